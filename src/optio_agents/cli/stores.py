"""What the commands on sessions share: the options, an open store, and errors as messages with an exit code."""

import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import click

from optio_host.errors import HostError
from optio_host.local.host import LocalHost
from optio_host.paths import state_dir

from ..errors import AgentsError, SessionAmbiguous, SessionUnknown
from ..journal import OutcomeDocument, SessionRecord, Store, open_store

Result = TypeVar("Result")

store_option = click.option(
    "--store",
    "store_url",
    envvar="OPTIO_STORE",
    metavar="URL",
    help="Where the journal is: sqlite:///path. Default: $OPTIO_STORE, else a file of yours.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one value a line.")
session_argument = click.argument("session", metavar="ID")

LOCAL = "local"
"""What this machine is called in the list of sessions."""


def carry_out(body: Callable[[Store], Awaitable[Result]], url: str | None) -> Result:
    """Open the store, do it, and turn what goes wrong into a message: exit 2 for a wrong id, else 1."""

    async def run() -> Result | Exception:
        try:
            async with open_store(url) as store:
                return await body(store)
        except (AgentsError, HostError, OSError) as error:
            return error

    result = anyio.run(run)
    if isinstance(result, SessionUnknown | SessionAmbiguous):
        raise click.UsageError(str(result))
    if isinstance(result, Exception):
        raise click.ClickException(str(result))
    return result


def carry_out_here(body: Callable[[], Awaitable[Result]]) -> Result:
    """The same for what needs no store."""

    async def run() -> Result | Exception:
        try:
            return await body()
        except (HostError, OSError) as error:
            return error

    result = anyio.run(run)
    if isinstance(result, Exception):
        raise click.ClickException(str(result))
    return result


def here() -> LocalHost:
    """This machine, for sessions that name their directories by absolute paths."""
    return LocalHost(state_dir())


def exit_status(outcome: OutcomeDocument) -> int:
    """What a command exits with that has seen a session to its end."""
    return {"done": 0, "closed": 0, "failed": 1, "lost": 3, "cancelled": 130}[outcome.outcome]


def leave_with(status: int) -> None:
    """Exit, after what was printed has gone out."""
    sys.stdout.flush()
    sys.exit(status)


def record_in_brief(record: SessionRecord) -> dict[str, object]:
    """A record as `--json` prints it: flat, times in UTC, without what only a driver needs."""
    from ..events import rfc3339

    driver = record.driver
    return {
        "id": record.id,
        "host": record.host,
        "agent": record.agent,
        "state": record.state,
        "outcome": record.outcome.outcome if record.outcome and record.state == "ended" else None,
        "reason": record.outcome.reason or None if record.outcome else None,
        "driver": f"pid {driver.pid} on {driver.hostname}" if driver else None,
        "created": rfc3339(record.created),
        "updated": rfc3339(record.updated),
        "command": list(record.command),
        "cwd": record.cwd,
        "taskdir": record.taskdir,
        "deliverables": record.deliverables_dir,
    }
