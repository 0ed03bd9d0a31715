"""`optio prune`: forget old sessions."""

import os
import re
import time

import anyio
import click

from optio_host.errors import HostError
from optio_host.job_index import forget, jobs
from optio_host.local.files import remove_tree
from optio_host.paths import state_dir

from ..driver_identity import is_proved_dead
from ..journal import SessionRecord, State, Store
from .brief import print_json
from .carry_out import carry_out
from .driving import here
from .options import Duration, json_option, store_option
from .visible import span, visible

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
@click.option("--dry-run", is_flag=True, help="Only say which.")
@json_option
@store_option
def command(older_than: float, dry_run: bool, as_json: bool, store_url: str | None) -> None:
    """Forget sessions that have ended: their journal, their log and their output. Deliverables stay.

    Exit status: 1 when a directory could not be removed.

    \b
    Examples:
      optio prune --dry-run
      optio prune --older-than 7d
    """
    now = time.time()

    async def prune(store: Store) -> list[tuple[SessionRecord, str]]:
        before = now - older_than
        ended = [each for each in await store.sessions(states=ENDED) if each.updated < before]
        old = [each for each in ended if each.driver is None or is_proved_dead(each.driver)]
        if dry_run:
            return [(each, "") for each in old]
        # The directories first: what is cut short in between is pruned again the next time.
        problems = await _remove_directories(old)
        await store.remove_ended(before=before)
        return list(zip(old, problems, strict=True))

    pruned = carry_out(prune, store_url)
    for record, problem in pruned:
        if as_json:
            print_json({"id": record.id, "forgotten": not dry_run, "problem": problem or None})
        else:
            words = f"{'would forget' if dry_run else 'forgot'} {visible(record.id)} ({visible(record.agent)}, "
            click.echo(f"{words}ended {span(now - record.updated)} ago)" + (f"; {visible(problem)}" if problem else ""))
    if not pruned and not as_json:
        click.echo(f"no session ended more than {span(older_than)} ago")
    if any(problem for _, problem in pruned):
        raise SystemExit(1)


async def _remove_directories(records: list[SessionRecord]) -> list[str]:
    """Remove the directory of each session; for each what prevented it, or ""."""
    host = here()
    runs = {entry.rundir: entry.id for entry in await jobs(host)}
    problems = []
    for record in records:
        problem = ""
        if _is_ours(record):
            try:
                if record.rundir in runs:
                    await forget(host, runs[record.rundir], directory=True)
                await anyio.to_thread.run_sync(remove_tree, record.taskdir)
            except (HostError, OSError) as error:
                problem = f"{record.taskdir} is still there: {error}"
        problems.append(problem)
    return problems


def _is_ours(record: SessionRecord) -> bool:
    """Whether its directory is plainly that of a session here: an imported record names whatever its author wanted."""
    return (
        re.fullmatch(r"[A-Za-z0-9_-]+", record.id) is not None
        and record.taskdir == os.path.join(state_dir(), record.id)
        and os.path.isdir(os.path.join(record.taskdir, "run"))
    )
