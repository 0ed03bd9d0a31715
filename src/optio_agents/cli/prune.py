"""`optio prune`: forget old sessions."""

import os
import posixpath
import re
import time
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING

import click

from optio_host.errors import HostError, LinkLost
from optio_host.job_index import forget, jobs
from optio_host.open import open_host

from ..driver_identity import is_proved_dead
from ..journal import SessionRecord, State, Store
from ..pull import PULLED
from .brief import print_json
from .carry_out import carry_out
from .driving import driver_directory
from .hosts import is_local, is_on_one_of
from .options import Duration, host_url, json_option, store_option
from .visible import span, visible

if TYPE_CHECKING:
    from optio_host.open import AnyHost

TIMEOUT = 30
"""Seconds after which a command on the host is given up; it takes milliseconds."""

ENDED: tuple[State, ...] = ("ended",)


@click.command()
@click.option(
    "--older-than",
    type=Duration(),
    default="30d",
    show_default=True,
    metavar="T",
    help="Only sessions that ended longer ago than this.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="URL",
    callback=host_url,
    help="Also sessions on this host; no other one is dialled. May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Only say which.")
@json_option
@store_option
def command(older_than: float, hosts: tuple[str, ...], dry_run: bool, as_json: bool, store_url: str | None) -> None:
    """Forget sessions that have ended: their journal, their log and their output. Deliverables stay.

    Those on other hosts than this machine stay, too, unless --host names theirs: what is there could not be removed.

    Exit status: 1 when a directory could not be removed.

    \b
    Examples:
      optio prune --dry-run
      optio prune --older-than 7d --host build-7
    """
    now = time.time()

    async def prune(store: Store) -> tuple[list[tuple[SessionRecord, str, bool]], list[SessionRecord]]:
        before = now - older_than
        ended = [each for each in await store.sessions(states=ENDED) if each.updated < before]
        away = [each for each in ended if not is_on_one_of(each, hosts)]
        old = [each for each in ended if each not in away and (each.driver is None or is_proved_dead(each.driver))]
        if dry_run:
            return [(each, "", False) for each in old], away
        # The directories first: what is cut short in between is pruned again the next time.
        problems, out_of_reach = await _remove_directories(old)
        await store.remove_ended(before=before, keep={each.id for each in away} | out_of_reach)
        return [(each, problems.get(each.id, ""), each.id not in out_of_reach) for each in old], away

    pruned, away = carry_out(prune, store_url)
    for record, problem, forgotten in pruned:
        if as_json:
            print_json({"id": record.id, "forgotten": forgotten, "problem": problem or None})
        else:
            verb = "forgot" if forgotten else "would forget" if dry_run else "kept"
            words = f"{verb} {visible(record.id)} ({visible(record.agent)}, "
            click.echo(f"{words}ended {span(now - record.updated)} ago)" + (f"; {visible(problem)}" if problem else ""))
    for where in sorted({record.host for record in away}):
        count = sum(record.host == where for record in away)
        click.echo(f"{count} on {visible(where)} stay; --host {visible(where)} forgets them, too", err=True)
    if not pruned and not as_json:
        click.echo(f"no session ended more than {span(older_than)} ago")
    if any(problem for _, problem, _ in pruned):
        raise SystemExit(1)


async def _remove_directories(records: list[SessionRecord]) -> tuple[dict[str, str], set[str]]:
    """Remove the directory of each session. What prevented it, by id; and those whose host does not answer."""
    problems: dict[str, str] = {}
    out_of_reach: set[str] = set()
    for where in {record.host for record in records}:
        there = [record for record in records if record.host == where]
        try:
            async with open_host(where) as host:
                problems |= await _remove_on(host, there)
        except HostError as error:
            problems |= {record.id: f"its host does not answer: {error}" for record in there}
            out_of_reach |= {record.id for record in there}
    return problems, out_of_reach


async def _remove_on(host: "AnyHost", records: list[SessionRecord]) -> dict[str, str]:
    runs = {entry.rundir: entry.id for entry in await jobs(host)}
    problems = {}
    for record in records:
        try:
            if await _is_ours(host, record):
                if record.rundir in runs:
                    await forget(host, runs[record.rundir], directory=True)
                await host.at(record.taskdir).cleanup_taskdir(aggressive=False)
            if not is_local(record):
                _remove_driver_log(record)
        except LinkLost:
            raise
        except (HostError, OSError) as error:
            problems[record.id] = f"{record.taskdir} is still there: {error}"
    return problems


async def _is_ours(host: "AnyHost", record: SessionRecord) -> bool:
    """Whether its directory is plainly that of a session there: an imported record names whatever its author wanted."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", record.id) or record.taskdir != posixpath.join(host.taskdir, record.id):
        return False
    return (await host.run_command(f"[ -d {quote(record.taskdir)}/run ]", cwd="/", timeout=TIMEOUT)).exit_code == 0


def _remove_driver_log(record: SessionRecord) -> None:
    directory = driver_directory(record)
    if not directory:
        return
    for name in ("driver.log", PULLED):
        with suppress(FileNotFoundError):
            os.remove(os.path.join(directory, name))
    with suppress(FileNotFoundError):
        os.rmdir(directory)
