"""Reading the files of a seed from a home on a host, and writing them there. Only the published methods of a host.

Files go and come by the host's copies, so nothing of what they hold is ever in a command. What a path is is asked
first, links not followed; a symbolic link is never gone through and never written through.
"""

import posixpath
import shlex
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from typing import Literal

from optio_host.errors import FileRefused
from optio_host.host import Host, StreamsFiles

from ..errors import SeedBroken
from .manifest import SeedManifest, parents_of
from .members import SEED_LIMIT, Members, SeedFile, check_limits

Kind = Literal["directory", "file", "program", "other"]

COMMAND_BYTES = 60_000
"""Length of a command that every shell takes: Linux takes 128 KiB in one argument."""

_KINDS: dict[str, Kind] = {"d": "directory", "f": "file", "x": "program", "o": "other"}

# Each as its kind, its path, and a NUL, behind a mark: rc files of a login may write something before. find -P, the
# default, follows no link, the first path included.
_LOOK = r"""
cd {workdir} || exit
look() {{
    [ -e "$1" ] || [ -h "$1" ] || return 0
    find "$@" \( -type d -exec printf 'd%s\0' {{}} + \
        -o -type f -perm -100 -exec printf 'x%s\0' {{}} + \
        -o -type f -exec printf 'f%s\0' {{}} + \
        -o -exec printf 'o%s\0' {{}} + \)
}}
printf 'optio-seed '
for path in {shallow}; do look "$path" -prune || exit; done
for path in {deep}; do look "$path" || exit; done
printf 'whole\0'
"""


async def read_home(host: Host, manifest: SeedManifest) -> tuple[dict[str, SeedFile | None], tuple[str, ...]]:
    """The files of a home that a manifest includes; and what was left out because it is no file and no directory.

    Raises SeedBroken when the home cannot be looked at or the files pass the limits; FileRefused for one that changes
    while it is read or may not be read, and for one behind a symbolic link.
    """
    included = [_below(manifest, path) for path in manifest.paths]
    found = await _look(host, _above(included), included)
    if manifest.home and manifest.home not in found:
        raise SeedBroken(f"{host.workdir}/{manifest.home}: there is no such home to capture a seed from")
    above = {manifest.home, *_above(included)}
    links = sorted(path for path in above if found.get(path, "directory") != "directory")
    if links:
        raise FileRefused(links[0], "is no directory or a symbolic link; a seed is captured from a home's own files")
    members: dict[str, SeedFile | None] = {}
    left_out: list[str] = []
    size = 0
    for path in sorted(found):
        inside = posixpath.relpath(path, manifest.home or ".")
        if inside == "." or not manifest.covers(inside):
            continue
        match found[path]:
            case "directory":
                members[inside] = None
            case "other":
                left_out.append(inside)
            case "file" | "program" as kind:
                content = await _content(host, path, SEED_LIMIT - size)
                size += len(content)
                members[inside] = SeedFile(content, kind == "program")
        check_limits(len(members), size)
    return members, tuple(left_out)


async def write_home(host: Host, manifest: SeedManifest, members: Members) -> None:
    """Write those members that a manifest includes into a home: each file whole and in one step, for its user alone.

    Other files there stay. Raises FileRefused where a directory of the home is a symbolic link or a file, or a member
    would replace a directory; nothing is written then. TransferFailed when one cannot be written; those before it are.
    """
    wanted = {_below(manifest, path): member for path, member in members.items() if manifest.covers(path)}
    directories = sorted({*_above(wanted), *(path for path, member in wanted.items() if member is None)})
    found = await _look(host, [*directories, *wanted], ())
    for path in directories:
        if found.get(path, "directory") != "directory":
            raise FileRefused(path, "is no directory or a symbolic link; a seed is planted into a home of its own")
    files = {path: member for path, member in wanted.items() if member is not None}
    for path in files:
        if found.get(path) == "directory":
            raise FileRefused(path, "is a directory; a file of the seed has this name")
    made = [path for path in directories if path not in found]
    for some in _batches(host, made):
        await _done(host, f"mkdir -p {some} && chmod 700 {some}")
    for path, file in files.items():
        await host.put_file_to_host(file.content, f"{host.workdir}/{path}")
    for mode, executable in (("600", False), ("700", True)):
        for some in _batches(host, [path for path, file in files.items() if file.executable == executable]):
            await _done(host, f"chmod {mode} {some}")


def _below(manifest: SeedManifest, path: str) -> str:
    """A path of the home as a path of the workdir."""
    return "/".join(part for part in (manifest.home, path) if part) or "."


def _above(paths: Iterable[str]) -> list[str]:
    """The directories that these paths of the workdir are in."""
    return sorted({above for path in paths for above in parents_of(path)})


async def _look(host: Host, shallow: Iterable[str], deep: Iterable[str]) -> dict[str, Kind]:
    """What is there, by its path below the workdir: the first paths by themselves, the others with all below them."""
    found: dict[str, Kind] = {}
    for some in _batches(host, shallow, beginning="./"):
        found |= await _answer(host, some, "")
    for some in _batches(host, deep, beginning="./"):
        found |= await _answer(host, "", some)
    return found


async def _answer(host: Host, shallow: str, deep: str) -> dict[str, Kind]:
    command = _LOOK.format(workdir=shlex.quote(host.workdir), shallow=shallow, deep=deep)
    result = await host.run_command(command, cwd="/")
    _, mark, answer = result.stdout.partition("optio-seed ")
    records = answer.split("\0")
    if not mark or result.exit_code != 0 or records[-2:] != ["whole", ""]:
        raise SeedBroken(f"{host.workdir}: the files there cannot be listed: {result.stderr.strip()[-500:]}")
    return {posixpath.normpath(record[1:]): _KINDS[record[0]] for record in records[:-2]}


def _batches(host: Host, paths: Iterable[str], *, beginning: str = "") -> Iterator[str]:
    """Paths of the workdir, quoted, as many at a time as a command can take; absolute without a beginning."""
    some: list[str] = []
    size = 0
    for path in paths:
        word = shlex.quote(f"{beginning or host.workdir + '/'}{path}")
        if some and size + len(word) > COMMAND_BYTES:
            yield " ".join(some)
            some, size = [], 0
        some.append(word)
        size += len(word.encode(errors="surrogateescape")) + 1
    if some:
        yield " ".join(some)


async def _content(host: Host, path: str, limit: int) -> bytes:
    absolute = f"{host.workdir}/{path}"
    if not isinstance(host, StreamsFiles):
        return await host.fetch_bytes_from_host(absolute)
    async with aclosing(host.stream_file(absolute, within=host.workdir, max_bytes=limit)) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _done(host: Host, command: str) -> None:
    result = await host.run_command(command, cwd="/")
    if result.exit_code != 0:
        raise SeedBroken(f"{host.workdir}: the home cannot be prepared: {result.stderr.strip()[-500:]}")
