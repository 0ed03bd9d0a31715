"""`optio run`: a program on this machine, from its start to its end."""

import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import click

from optio_host.errors import HostError
from optio_host.local.host import LocalHost
from optio_host.paths import ensure_private_dir, state_dir

from ..landing import Landing
from ..outcome import Cancelled, Closed, Done, Failed, Lost, SessionOutcome
from ..session import GRACE, Limits, Program, Session
from .options import Duration, environment
from .summary import print_summary
from .view import View, choose, watch

ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters of a session id: none that a person mistakes for another."""


@click.command(context_settings={"ignore_unknown_options": False})
@click.option(
    "--in",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory to run in. Default: the current one.",
)
@click.option("--scratch", is_flag=True, help="Run in an empty directory of the session's own.")
@click.option(
    "--deliverables",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where deliverables land. Default: ./optio-<id>/",
)
@click.option("--json", "as_json", is_flag=True, help="Print one event a line as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Also show the program's output and lines that are no entries.")
@click.option("--timeout", type=Duration(), metavar="T", help="Stop it after this long (90, 90s, 15m, 2h): failed.")
@click.option(
    "--grace",
    type=Duration(),
    default=GRACE,
    show_default=True,
    metavar="T",
    help="How long it may take to exit after DONE or ERROR.",
)
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
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND [ARG]...")
def command(
    directory: Path | None,
    scratch: bool,
    deliverables: Path | None,
    as_json: bool,
    verbose: bool,
    timeout: float | None,
    grace: float,
    assignments: tuple[str, ...],
    files: tuple[Path, ...],
    program: tuple[str, ...],
) -> None:
    """Run a program here, follow its log, and bring its deliverables home.

    The program finds three paths in its environment: it appends lines such as "STATUS: 40% testing", "DELIVERABLE:
    report.md" and at the end "DONE" to OPTIO_LOG, puts files to hand over into OPTIO_DELIVERABLES, and finds an answer
    to each of them in OPTIO_REPLIES. `optio prompt` prints the text that tells an agent so.

    Exit status: 0 done, 1 failed, 2 wrong usage, 3 lost, 130 interrupted. Ctrl-C stops the program and everything it
    started; a second Ctrl-C kills it at once.

    \b
    Examples:
      optio run -- ./nightly-report.sh
      optio run --in ~/src/app --timeout 2h -- my-agent "Fix the failing test"
      optio run --json --env API_KEY -- ./job.sh | jq -c 'select(.type == "deliverable")'
    """
    if not program:
        raise click.UsageError("no program given; write it behind --, as in: optio run -- ./job.sh")
    if scratch and directory:
        raise click.UsageError("--scratch and --in exclude each other: a scratch directory is the session's own")
    additions = environment(assignments, files)
    session_id = "".join(secrets.choice(ID_LETTERS) for _ in range(8))
    try:
        taskdir = os.path.join(state_dir(), session_id)
        host = LocalHost(taskdir)
        cwd = host.workdir if scratch else os.path.abspath(directory or ".")
        _check_program(program[0], cwd, additions)
        landing = Landing(deliverables or Path(f"optio-{session_id}"))
        anyio.run(landing.prepare)
        ensure_private_dir(host.workdir if scratch else taskdir)
    except (HostError, OSError) as error:
        raise click.UsageError(str(error)) from error
    limits = Limits(wall_time=timeout, grace=grace)
    begin = partial(Session, host, session_id, Program(program, cwd, additions), landing, limits=limits)
    view = choose(json=as_json, verbose=verbose)
    started = time.monotonic()
    try:
        session, outcome = anyio.run(_run, begin, view, verbose and not as_json)
    except (OSError, HostError) as error:
        raise click.ClickException(f"session {session_id} could not go on: {error}") from error
    finally:
        view.close()
    if not as_json:
        print_summary(session, outcome, time.monotonic() - started)
    sys.exit(exit_status(outcome))


def exit_status(outcome: SessionOutcome) -> int:
    """What the command exits with."""
    match outcome:
        case Done() | Closed():
            return 0
        case Failed():
            return 1
        case Lost():
            return 3
        case Cancelled():
            return 130


async def _run(begin: Callable[[], Session], view: View, verbose: bool) -> tuple[Session, SessionOutcome]:
    session = begin()
    outcome: SessionOutcome | OSError | HostError
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_obey_signals, session, view)
        shown = anyio.Event()

        async def show() -> None:
            await watch(view, session, output=verbose)
            shown.set()

        tasks.start_soon(show)
        try:
            outcome = await session.run()
            await shown.wait()
        except (OSError, HostError) as error:
            outcome = error  # raised outside of the group, which would wrap it
        tasks.cancel_scope.cancel()
    if isinstance(outcome, Exception):
        raise outcome
    return session, outcome


async def _obey_signals(session: Session, view: View) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
        first = True
        async for number in received:
            if first:
                view.note("stopping the program and everything it started; Ctrl-C again kills it at once")
                session.cancel(f"stopped by {signal.Signals(number).name}")
            else:
                await session.kill()
            first = False


def _check_program(name: str, cwd: str, additions: dict[str, str]) -> None:
    path = additions.get("PATH", os.environ.get("PATH"))
    where = os.path.join(cwd, name) if "/" in name else name
    if shutil.which(where, path=path) is None:
        looked = f"in {cwd}" if "/" in name else "in PATH"
        raise click.UsageError(f"{name}: there is no such program {looked} (or it is not executable)")
