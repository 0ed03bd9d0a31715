"""The directory of a session on its host: what is in it, made once, and what can be read from it later."""

import posixpath
from collections.abc import Sequence
from shlex import quote

from optio_host.errors import HostError
from optio_host.host import RunsCommands
from optio_host.job_errors import JobGone

from .journal import SessionRecord

TIMEOUT = 30
"""Seconds after which a command on the host is given up; each takes milliseconds."""


def log_path(record: SessionRecord) -> str:
    """The log channel of a session, on its host."""
    return posixpath.join(record.taskdir, "optio.log")


def paths_for_program(record: SessionRecord) -> dict[str, str]:
    """The variables that tell the program where to write."""
    return {
        "OPTIO_LOG": log_path(record),
        "OPTIO_DELIVERABLES": posixpath.join(record.taskdir, "deliverables"),
        "OPTIO_REPLIES": posixpath.join(record.taskdir, "replies"),
    }


async def make_directories(host: RunsCommands, record: SessionRecord, more: Sequence[str]) -> None:
    """Make the session's directory, with an empty log and no replies; and `more`. HostError when it cannot be made."""
    made = await host.run_command(
        f"umask 077 && mkdir -p {quote(posixpath.dirname(record.taskdir))} && mkdir {quote(record.taskdir)}"
        f" && cd {quote(record.taskdir)} && mkdir deliverables && : >optio.log && : >replies"
        + "".join(f" && mkdir -p {quote(each)}" for each in more),
        cwd="/",
        timeout=TIMEOUT,
    )
    if made.exit_code != 0:
        raise HostError(f"{record.taskdir}: the session's directory cannot be made: {made.stderr.strip()}")


async def forbid_late_start(host: RunsCommands, record: SessionRecord) -> None:
    """Take the right to start the program, if nobody has: the start of a driver that died may still be on its way.

    Raises JobGone when it could be taken: nothing was started, and nothing will be.
    """
    taken = await host.run_command(
        f"umask 077; cd {quote(record.taskdir)} && mkdir -p {quote(record.rundir)} && cd {quote(record.rundir)} &&"
        " if mkdir claim 2>/dev/null; then : >forbidden; fi && [ -e forbidden ]",
        cwd="/",
        timeout=TIMEOUT,
    )
    if taken.exit_code == 0:
        raise JobGone(f"{record.rundir}: the program was not started before its driver died, and is not any more")


async def environment_of_program(host: RunsCommands, record: SessionRecord) -> dict[str, str]:
    """What the program was given, while it runs and on Linux: the values of its secrets stand nowhere else."""
    found = await host.run_command(
        f'read -r pid _ <{quote(record.rundir)}/pid && cat "/proc/$pid/environ"', cwd="/", timeout=TIMEOUT
    )
    pairs = (entry.partition("=") for entry in found.stdout.split("\0"))
    return {name: value for name, _, value in pairs if name}
