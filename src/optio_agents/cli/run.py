"""`optio run`: a program on a host, from its start to its end."""

import math
import os
import posixpath
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import anyio
import click

from optio_host.errors import HostError
from optio_host.job import Limits as JobLimits
from optio_host.open import connected, private_root

from ..drive import GRACE
from ..errors import StoreError
from ..journal import Limits, OutcomeDocument, new_id, open_store
from ..journal.lease import LEASE_TTL
from ..landing import Landing
from ..session import Session
from .agents import (
    AGENTS,
    REMINDER,
    AgentOptions,
    agent_of,
    extensions_of,
    first_prompt,
    policy_text,
    with_agent_options,
)
from .attend import attend
from .brief import print_json, record_in_brief
from .carry_out import carry_out_here, exit_status, leave_with
from .driving import start_driver
from .environment import environment
from .hosts import name_of
from .options import Duration, Size, host_option, store_option
from .place import find_place
from .upload import uploading

LIMIT = Duration(least=0.001, because="nothing could run at all")
ORPHAN_TIMEOUT = Duration(least=LEASE_TTL, because=f"a driver may be silent for up to {LEASE_TTL:g}s")


@click.command()
@host_option
@click.option(
    "--in",
    "directory",
    metavar="DIR",
    help="Directory to run in, on the host; there a relative one is below your home directory. Default: the current "
    "one, and on another host --scratch.",
)
@click.option("--scratch", is_flag=True, help="Run in an empty directory of the session's own.")
@click.option(
    "--upload",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Copy this directory into one of the session's own, and run there. `optio pull` brings back what changes.",
)
@click.option(
    "--deliverables",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where deliverables land. Default: ./optio-<id>/",
)
@click.option("--json", "as_json", is_flag=True, help="Print one event a line as JSON; with --detach, the session.")
@click.option("-v", "--verbose", is_flag=True, help="Also show the program's output and lines that are no entries.")
@click.option(
    "-d", "--detach", is_flag=True, help="Print the session's ID and return; a driver in the background goes on."
)
@click.option("--timeout", type=LIMIT, metavar="T", help="Stop it after this long (90, 90s, 15m, 2h): failed.")
@click.option("--idle", type=LIMIT, metavar="T", help="Stop it after this long without any sign of life: failed.")
@click.option(
    "--grace",
    type=Duration(),
    default=GRACE,
    show_default=True,
    metavar="T",
    help="How long it may take to exit after DONE or ERROR.",
)
@click.option(
    "--orphan-timeout",
    type=ORPHAN_TIMEOUT,
    metavar="T",
    help="Stop it on its host when no driver was there for this long. Default: never.",
)
@click.option("--max-output", type=Size(), metavar="N", help="Stop it when it has written this much (500M, 2G).")
@click.option("--min-free", type=Size(), metavar="N", help="Stop it when less room than this is left on the disk.")
@click.option(
    "--env",
    "assignments",
    multiple=True,
    metavar="K[=V]",
    help="Set a variable for the program, or pass on one that is set here. May be repeated.",
)
@click.option(
    "--env-file",
    "files",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="F",
    help="Set the variables in a file of K=V lines. May be repeated.",
)
@click.option(
    "--notify",
    default="",
    metavar="CMD",
    help="Command to run when the program asks for a person or has ended; it finds OPTIO_SESSION, "
    "OPTIO_EVENT and OPTIO_TEXT.",
)
@click.option(
    "--agent",
    type=click.Choice(AGENTS),
    help="Run this agent; what is not an option is its prompt. What it may not do by itself it asks for: "
    "here, at a terminal, and in `optio permissions`.",
)
@with_agent_options
@store_option
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND [ARG]...")
def command(
    host: str,
    directory: str | None,
    scratch: bool,
    upload: Path | None,
    deliverables: Path | None,
    as_json: bool,
    verbose: bool,
    detach: bool,
    timeout: float | None,
    idle: float | None,
    grace: float,
    orphan_timeout: float | None,
    max_output: int | None,
    min_free: int | None,
    assignments: tuple[str, ...],
    files: tuple[Path, ...],
    notify: str,
    agent: str | None,
    agent_options: AgentOptions,
    store_url: str | None,
    program: tuple[str, ...],
) -> None:
    """Run a program, here or on another host, follow its log, and bring its deliverables home.

    The program finds three paths in its environment: it appends lines such as "STATUS: 40% testing", "DELIVERABLE:
    report.md" and at the end "DONE" to OPTIO_LOG, puts files to hand over into OPTIO_DELIVERABLES, and finds an answer
    to each of them in OPTIO_REPLIES. `optio prompt` prints the text that tells an agent so.

    It outlives this command: when this is killed, or its terminal is closed, the program goes on, and `optio attach`
    comes back to it. Ctrl-C ends it, with everything that it started; a second Ctrl-C kills it at once.

    Exit status: 0 done, 1 failed (or it could not be started), 2 wrong usage, 3 lost, 130 interrupted.

    \b
    Examples:
      optio run -- ./nightly-report.sh
      optio run --in ~/src/app --timeout 2h -- my-agent "Fix the failing test"
      optio run --agent claude "Fix the failing test."
      optio run --host build-7 --in src/app -- make release
      optio run --host ssh://me@build-7:2222 --upload . -- ./job.sh
      optio run --detach --notify 'echo "$OPTIO_TEXT" | mail -s "$OPTIO_EVENT" me' -- ./overnight.sh
      optio run --json --env API_KEY -- ./job.sh | jq -c 'select(.type == "deliverable")'
    """
    if any(asdict(agent_options).values()) and not agent:
        given = next(name for name, value in asdict(agent_options).items() if value)
        raise click.UsageError(f"--{given.replace('_', '-')} is for an agent: say which with --agent")
    if not program and not agent:
        raise click.UsageError("no program given; write it behind --, as in: optio run -- ./job.sh")
    if scratch and directory:
        raise click.UsageError("--scratch and --in exclude each other: a scratch directory is the session's own")
    if upload and directory:
        raise click.UsageError("--upload and --in exclude each other: what is copied goes into the session's own")
    if detach and store_url == "memory:":
        raise click.UsageError("--detach needs a store that outlives this command, and memory: does not")
    additions = environment(assignments, files)
    claude = agent_of(additions, agent_options) if agent else None
    prompt = first_prompt(program) if agent else ""
    policy = policy_text(agent_options) if agent else ""
    session_id = new_id()
    sources, hooks, tools = extensions_of(agent_options)
    landing = Path(os.path.abspath(deliverables or f"optio-{session_id}"))
    try:
        anyio.run(Landing(landing).prepare)
    except (HostError, OSError) as error:
        raise click.UsageError(str(error)) from error

    async def run() -> OutcomeDocument | None:
        async with connected(host) as there:
            place = await find_place(
                there,
                host,
                None if claude else program[0],  # an agent says itself what it lacks
                directory=directory,
                scratch=scratch,
                upload=upload,
                path=additions.get("PATH"),
            )
            async with open_store(store_url) as store:
                root = await private_root(there, host)
                session = await Session.start(
                    there.at(root),
                    store,
                    () if claude else program,
                    agent=claude,
                    prompt=prompt,
                    reminder=REMINDER if claude else "",
                    policy=policy,
                    cwd=place or posixpath.join(root, session_id, "workdir"),
                    deliverables=str(landing),
                    state_dir=root,
                    env=additions,
                    session_id=session_id,
                    host_name=name_of(host),
                    limits=Limits(wall=timeout, idle=idle, grace=grace),
                    job_limits=_job_limits(orphan_timeout, max_output, min_free),
                    notify=notify,
                    make_cwd=place is None,
                    fill=uploading(there, upload) if upload else None,
                    hooks=hooks,
                    tools=tools,
                    sources=sources,
                )
                if detach:
                    await session.leave("detached from the start")
                    with suppress(StoreError):  # it runs out; the driver waits for that
                        await store.release(session.lease)
                    start_driver(session.record, store.secret_url)
                    if as_json:
                        print_json(record_in_brief((await store.snapshot(session_id)).record))
                    else:
                        click.echo(session_id)
                    return None
                return await attend(
                    store, there, session_id, started=session, json=as_json, verbose=verbose, signals_cancel=True
                )

    outcome = carry_out_here(run)
    leave_with(0 if detach else exit_status(outcome))


def _job_limits(orphan_timeout: float | None, max_output: int | None, min_free: int | None) -> JobLimits:
    return JobLimits(
        no_driver=math.ceil(orphan_timeout or 0),
        spool_bytes=max_output or 0,
        free_bytes=min_free or 0,
        check_every=2,  # a program may fill a disk in seconds
    )
