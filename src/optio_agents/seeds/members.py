"""The files of a seed as a gzip-compressed tar in memory, and back. Pure.

An archive may come from anybody who can write to the database: nothing in it is believed. Only regular files and
directories below the home are taken, up to a bound that also holds for what is compressed.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from optio_host.errors import FileRefused
from optio_host.restore import SafeHeader
from optio_host.tar_stream import END, gzipped, header, padding

from ..errors import SeedBroken
from .manifest import parents_of, segments_of

SEED_LIMIT = 64 * 1024 * 1024
"""Bytes of all files of a seed together. One is a few kilobytes of settings and tokens."""

MEMBER_LIMIT = 10_000
"""Files and directories of a seed."""


@dataclass(frozen=True, slots=True)
class SeedFile:
    """A file of a seed.

    Attributes:
        content: its bytes; not shown.
        executable: whether its user may run it. No other permission is kept: in a home it is its user's alone.
    """

    content: bytes
    executable: bool = False

    def __repr__(self) -> str:
        return f"SeedFile({len(self.content)} bytes)"


Members = Mapping[str, SeedFile | None]
"""What a seed holds by its path below the home; None is a directory."""


def pack(members: Members) -> bytes:
    """As an archive; the same members are always the same bytes. Raises what `unpack` does."""
    check_limits(len(members), sum(len(each.content) for each in members.values() if each))
    _check_directories(members)
    return b"".join(gzipped(_blocks(members)))


def unpack(archive: bytes) -> dict[str, SeedFile | None]:
    """What an archive holds. Symbolic links, which published seeds may hold, are left out.

    Raises FileRefused for what leads out, is no file, directory or symbolic link, or is a directory and something else
    at once; SeedBroken for an archive that is broken, cut off or passes the limits.
    """
    members: dict[str, SeedFile | None] = {}
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(archive)) as plain:
            # One more than allowed: enough to see that there is more. Headers are 1 KiB or, with long names, a few.
            content = plain.read(SEED_LIMIT + MEMBER_LIMIT * 4096 + 1)
            if plain.read(1):
                raise _too_large()
        with tarfile.open(fileobj=io.BytesIO(content), mode="r|", tarinfo=SafeHeader) as tar:
            size = 0
            for count, member in enumerate(tar, 1):
                tar.members = []  # type: ignore[attr-defined]
                size += member.size if member.isreg() else 0
                check_limits(count, size)
                path = _path_of(member)
                if member.issym() or not path:
                    continue
                found = _read(tar, member)
                if path in members and (members[path] is None) != (found is None):
                    raise FileRefused(member.name, "is a directory and something else in the same seed")
                members[path] = found
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise SeedBroken(f"the archive of a seed is broken or cut off ({error}); capture it anew") from error
    _check_directories(members)
    return members


def check_limits(count: int, size: int) -> None:
    """SeedBroken for more members or bytes than a seed may have."""
    if count > MEMBER_LIMIT or size > SEED_LIMIT:
        raise _too_large()


def _check_directories(members: Members) -> None:
    for path in members:
        for above in parents_of(path):
            if members.get(above) is not None:
                raise FileRefused(above, "is a directory and something else in the same seed")


def _too_large() -> SeedBroken:
    return SeedBroken(
        f"a seed holds at most {MEMBER_LIMIT} files and {SEED_LIMIT} bytes; include less of the home in its manifest"
    )


def _blocks(members: Members) -> Iterator[bytes]:
    for path in sorted(members):
        match members[path]:
            case None:
                yield header(path, tarfile.DIRTYPE, mode=0o700, mtime=0)
            case SeedFile(content, executable):
                mode = 0o700 if executable else 0o600
                yield header(path, tarfile.REGTYPE, mode=mode, mtime=0, size=len(content))
                yield content + padding(len(content))
    yield END


def _path_of(member: tarfile.TarInfo) -> str:
    try:
        return "/".join(segments_of(member.name))
    except ValueError as error:
        raise FileRefused(member.name, "leads out of the home that the seed is planted in") from error


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> SeedFile | None:
    if member.isdir():
        return None
    if not member.isreg() or member.issparse():
        raise FileRefused(member.name, "is no file and no directory; a seed may hold no more")
    file = tar.extractfile(member)
    assert file is not None
    content = file.read()
    if len(content) != member.size:
        raise EOFError(f"{member.name} is cut off")
    return SeedFile(content, bool(member.mode & 0o100))
