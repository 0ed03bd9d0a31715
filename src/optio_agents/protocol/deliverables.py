"""Fetching one announced file as text, refusing what a deliverable must not be."""

import posixpath
import shlex
from contextlib import aclosing
from dataclasses import dataclass

from optio_host.errors import FileRefused
from optio_host.host import Host, StreamsFiles

DELIVERABLES = "deliverables"
"""The directory of files to hand over, below the workdir."""

TEXT_LIMIT = 16 * 1024 * 1024
"""Largest file, in bytes, that is handed to a callback as text."""

PATH_LIMIT = 4096
"""Longest path, in bytes, that is looked for: PATH_MAX of Linux."""

# Asked on the host, where the links are. The kind comes first, so that a path may hold anything, a newline too; the
# final dot keeps the newlines at its end from being dropped by $().
_LOOK = r"""
root=$(cd {workdir} && pwd -P) || root=
file=$({{ realpath {path} 2>/dev/null || readlink -f {path} 2>/dev/null; }} && echo .) && file=${{file%??}}
kind=regular
size=0
if [ -z "$file" ] || [ ! -e "$file" ]; then kind=missing
elif case $file in "$root"/{deliverables}/?*) false;; esac; then kind=outside
elif [ ! -f "$file" ]; then kind=irregular
elif [ ! -r "$file" ]; then kind=unreadable
else size=$(($(wc -c <"$file")))
fi
printf 'optio-deliverable %s %d %s' "$kind" "$size" "$file"
"""


async def fetch_deliverable_text(host: Host, absolute_path: str, *, max_bytes: int = TEXT_LIMIT) -> str:
    """The text of an announced file.

    Where the file lies, symbolic links resolved, and what it is are decided on the host.

    Parameters:
        host: the host; the file must be below `deliverables` in its workdir.
        absolute_path: as it was announced: absolute, or relative to the workdir.
        max_bytes: the largest file that is taken.

    Raises FileNotFoundError; FileRefused for one that lies elsewhere, is no regular file, is too large, or changed
    while it was read; UnicodeDecodeError when it is not UTF-8.
    """
    if "\0" in absolute_path:
        raise FileRefused(absolute_path, "a path holds no NUL")
    if len(absolute_path.encode("utf-8", "replace")) > PATH_LIMIT:
        raise FileRefused(absolute_path[:200] + "...", f"the path is longer than {PATH_LIMIT} bytes")
    resolved = await _resolved(host, absolute_path, max_bytes)
    data = await _read(host, resolved, max_bytes)
    return data.decode()


def deliverable_name(path: str, workdir: str) -> str:
    """How a file is called: its path below the deliverables directory; the path as announced when it is not below it.

    Text alone is looked at, nothing is resolved.
    """
    below = posixpath.relpath(posixpath.join(workdir, path), posixpath.join(workdir, DELIVERABLES))
    return path if below == "." or below == ".." or below.startswith("../") else below


_REFUSED = {
    "outside": f"lies outside the directory {DELIVERABLES} of the workdir",
    "irregular": "is no regular file",
    "unreadable": "may not be read by this user",
}


@dataclass(frozen=True, slots=True)
class _Found:
    """What the host says of a path.

    Attributes:
        kind: "regular", "missing", or a key of _REFUSED.
        size: bytes of a regular file.
        path: where it is, symbolic links resolved.
    """

    kind: str
    size: int
    path: str


async def _resolved(host: Host, path: str, max_bytes: int) -> str:
    absolute = posixpath.join(host.workdir, path)
    found = await _look(host, absolute)
    if found is None:
        return _by_name_alone(host, path, absolute)
    if found.kind == "missing":
        raise FileNotFoundError(f"{path}: no such file")
    if found.kind != "regular":
        raise FileRefused(path, _REFUSED[found.kind])
    if found.size > max_bytes:
        raise _too_large(path, found.size, max_bytes)
    return found.path


async def _look(host: Host, absolute: str) -> _Found | None:
    """What the host says of a path; None from a host that did not run the command."""
    command = _LOOK.format(
        workdir=shlex.quote(host.workdir), path=shlex.quote(absolute), deliverables=shlex.quote(DELIVERABLES)
    )
    answer = (await host.run_command(command)).stdout
    # A login shell's start-up files may have written something before.
    _, marker, rest = answer.partition("optio-deliverable ")
    kind, _, rest = rest.partition(" ")
    size, _, path = rest.partition(" ")
    if not marker or kind not in ("regular", "missing", *_REFUSED):
        return None
    return _Found(kind, int(size), path)


def _by_name_alone(host: Host, path: str, absolute: str) -> str:
    """The stand-in of a task author's tests has files but runs no commands: there are no links to be resolved there."""
    normal = posixpath.normpath(absolute)
    if not normal.startswith(posixpath.join(posixpath.normpath(host.workdir), DELIVERABLES) + "/"):
        raise FileRefused(path, _REFUSED["outside"])
    return normal


async def _read(host: Host, resolved: str, max_bytes: int) -> bytes:
    if isinstance(host, StreamsFiles):
        # Judged once more on the open file: it may have been exchanged since the look.
        content = bytearray()
        async with aclosing(host.stream_file(resolved, within=host.workdir, max_bytes=max_bytes)) as chunks:
            async for chunk in chunks:
                content += chunk
        return bytes(content)
    data = await host.fetch_bytes_from_host(resolved)
    if len(data) > max_bytes:
        raise _too_large(resolved, len(data), max_bytes)
    return data


def _too_large(path: str, size: int, limit: int) -> FileRefused:
    return FileRefused(path, f"has {size} bytes, more than the limit of {limit}")
