"""Where paths lead on a host: every symbolic link on the way followed there, not here."""

from collections.abc import Sequence

from optio_host.errors import HostError
from optio_host.host import RunsCommands
from optio_host.job_shell import arguments, ask, farside
from optio_host.job_state import path_from_hex

LIMIT = 200
"""Paths that are resolved for one decision; what is behind them counts as not resolved, which is never allowed."""


async def resolved(host: RunsCommands, paths: Sequence[str]) -> dict[str, str | None]:
    """By each path, where it leads; None when that cannot be said. Its last segments need not exist.

    Parameters:
        host: where.
        paths: absolute, as they are named: dot-segments and all.

    Raises HostError when the host does not say.
    """
    sendable = [each for each in paths if each.startswith("/") and _is_sendable(each)][:LIMIT]
    if not sendable:
        return {}
    script = farside("act", "resolve") + "".join(arguments("resolve", each) for each in sendable)
    answers = await ask(host, script, what="resolving the paths of a tool call", rundir="")
    found = [path_from_hex(value) if value else None for key, value in answers if key == "path"]
    if len(found) != len(sendable):
        raise HostError(f"{len(sendable)} paths of a tool call were to be resolved, and the host told of {len(found)}")
    return dict(zip(sendable, found, strict=True))


def _is_sendable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in path
