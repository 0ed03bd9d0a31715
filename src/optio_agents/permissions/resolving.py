"""Where paths lead on a host: every symbolic link on the way followed there, not here."""

from collections.abc import Sequence

from optio_host.errors import HostError
from optio_host.host import RunsCommands
from optio_host.job_shell import arguments, ask, farside
from optio_host.job_state import path_from_hex

LIMIT = 200
"""Paths that are resolved for one decision; what is behind them counts as not resolved, which is never allowed."""

LIMIT_BYTES = 64 * 1024
"""Likewise of the script that asks for them: Linux takes 128 KiB as one argument."""


async def resolved(host: RunsCommands, paths: Sequence[str]) -> dict[str, str | None]:
    """By each path, where it leads; None when that cannot be said. Its last segments need not exist.

    Parameters:
        host: where.
        paths: absolute, as they are named: dot-segments and all.

    Raises HostError when the host does not say.
    """
    sent: list[str] = []
    script = ""
    for path in [each for each in paths if each.startswith("/") and _is_sendable(each)][:LIMIT]:
        line = arguments("resolve", path)
        if len((script + line).encode()) <= LIMIT_BYTES:
            sent.append(path)
            script += line
    if not sent:
        return {}
    answers = await ask(host, farside("act", "resolve") + script, what="resolving the paths of a tool call", rundir="")
    found = [path_from_hex(value) if value else None for key, value in answers if key == "path"]
    if len(found) != len(sent):
        raise HostError(f"{len(sent)} paths of a tool call were to be resolved, and the host told of {len(found)}")
    return dict(zip(sent, found, strict=True))


def _is_sendable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in path
