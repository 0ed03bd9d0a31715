"""Writing a tar archive as blocks of bytes, in bounded memory."""

import os
import stat
import tarfile
import zlib
from collections.abc import Generator, Iterable
from typing import Literal

from .errors import TransferFailed

Format = Literal[0, 1, 2]
"""One of the formats of `tarfile`."""

CHUNK = 256 * 1024
LEVEL = 3
"""Of zlib: about three times as fast as its default 6, for a few percent more bytes."""

END = bytes(2 * tarfile.BLOCKSIZE)
"""Two empty blocks end a tar, as pax(1) has it."""


def header(
    relative: str,
    kind: bytes,
    *,
    mode: int,
    mtime: float,
    size: int = 0,
    target: str = "",
    format: Format = tarfile.PAX_FORMAT,
) -> bytes:
    """The header of a member.

    Parameters:
        relative: its name.
        kind: one of the types of `tarfile`.
        mode: permission bits.
        mtime: seconds since the epoch; a fraction is kept by PAX_FORMAT only.
        size: bytes of content.
        target: of a link.
        format: busybox's tar knows long names of GNU_FORMAT only.
    """
    name = relative.encode("utf-8", "surrogateescape") + (b"/" if kind == tarfile.DIRTYPE else b"")
    seconds = int(mtime)
    if format == tarfile.GNU_FORMAT and not target and len(name) <= 100 and max(size, seconds) < 8**11 and seconds >= 0:
        return _plain(name, kind, mode, seconds, size)
    info = tarfile.TarInfo(relative)
    info.type = kind
    info.size = size
    info.linkname = target
    info.mode = mode
    info.mtime = mtime if format == tarfile.PAX_FORMAT else int(mtime)
    return info.tobuf(format, "utf-8", "surrogateescape")


def _plain(name: bytes, kind: bytes, mode: int, seconds: int, size: int) -> bytes:
    """The header of most members, as `tarfile` makes it, in a third of the time: a tree has thousands of them."""
    block = b"%b%07o\0%b%011o\0%011o\0        %b%b" % (
        name.ljust(100, b"\0"),
        mode & 0o7777,
        b"0000000\0" * 2,
        size,
        seconds,
        kind,
        bytes(100) + b"ustar  \0",
    )
    return b"%b%06o\0%b" % (block[:148], sum(block), block[155:].ljust(357, b"\0"))


def file_member(path: str, relative: str, *, format: Format = tarfile.PAX_FORMAT) -> Generator[bytes, None, None]:
    """A regular file as a member; nothing if it is none. Blocking.

    One that grows meanwhile is kept as long as it was. Raises OSError; TransferFailed when it becomes shorter.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            return
        # The size stands before the content; of a file that fits in one chunk it is what was really read. Some file
        # systems say 0 of every file.
        chunk = os.read(descriptor, min(seen.st_size, CHUNK) or CHUNK)
        size = len(chunk) if len(chunk) < CHUNK else max(seen.st_size, CHUNK)
        mode = stat.S_IMODE(seen.st_mode)
        yield header(relative, tarfile.REGTYPE, mode=mode, mtime=seen.st_mtime, size=size, format=format)
        left = size
        while left > 0:
            if not chunk:
                raise TransferFailed(f"{path}: became shorter while it was archived; try again")
            yield chunk[:left]
            left -= len(chunk)
            chunk = os.read(descriptor, CHUNK) if left > 0 else b""
        yield padding(size)
    finally:
        os.close(descriptor)


def padding(size: int) -> bytes:
    """What fills up the last block of so many bytes."""
    return bytes(-size % tarfile.BLOCKSIZE)


def gathered(blocks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """The same bytes in pieces of CHUNK or a little more."""
    ready = bytearray()
    for block in blocks:
        ready += block
        if len(ready) >= CHUNK:
            yield bytes(ready)
            ready.clear()
    if ready:
        yield bytes(ready)


def gzipped(blocks: Iterable[bytes]) -> Generator[bytes, None, None]:
    """The same bytes compressed, in pieces of CHUNK or a little more."""
    # 31: the largest window, in a gzip frame.
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    yield from gathered(compressor.compress(block) for block in blocks)
    yield compressor.flush()
