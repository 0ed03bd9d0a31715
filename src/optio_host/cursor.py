r"""Where a reader stands in a file that others write, and what a look at the file says about it. Pure.

A position is not an offset alone: the file may have been cut, replaced or rotated since. A cursor therefore names the
file (device and inode) and carries a check over the bytes just before its offset, so that a file which was rewritten in
place and has grown past the old offset (`echo DONE > optio.log` by an agent that meant `>>`) is noticed as well.

    >>> before = Cursor().advanced("8:12", b"STATUS: 1%\n")
    >>> compare(before, FileState("8:12", 15), before.check_of(b"STATUS: 1%\n"))
    Same(available=4)
    >>> compare(before, FileState("8:12", 3), None)
    Changed(reason='truncated')
"""

import zlib
from dataclasses import dataclass
from typing import Literal

CHECKED_BYTES = 64
"""How many bytes before the offset the check covers, at most."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a file.

    Attributes:
        file: identity of the file, "device:inode"; empty before any file was seen.
        offset: bytes of it that are done with.
        check: CRC-32 over the last CHECKED_BYTES (or fewer) bytes before the offset.
    """

    file: str = ""
    offset: int = 0
    check: int = 0

    def advanced(self, file: str, tail: bytes, *, offset: int | None = None) -> "Cursor":
        """The cursor behind more bytes.

        Parameters:
            file: the file they were read from.
            tail: the last bytes before the new offset; at least CHECKED_BYTES of them where the file has as many.
            offset: the new offset; without it, `tail` is all that is read from a fresh cursor.
        """
        return Cursor(file, self.offset + len(tail) if offset is None else offset, self.check_of(tail))

    @staticmethod
    def check_of(tail: bytes) -> int:
        """The check over the bytes before an offset; only the last CHECKED_BYTES count."""
        return zlib.crc32(tail[-CHECKED_BYTES:])


START = Cursor()
"""Nothing read yet: the beginning of whatever file is there."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What one look at a file saw: its identity "device:inode" and its size in bytes."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Same:
    """It is the cursor's file; `available` bytes lie behind the offset."""

    available: int


@dataclass(frozen=True, slots=True)
class Changed:
    """It is not what the cursor was made for: read it from its beginning, and say so."""

    reason: Literal["truncated", "replaced", "rewritten"]


def compare(cursor: Cursor, state: FileState, check: int | None) -> Same | Changed:
    """Hold a cursor against a look at the file.

    Parameters:
        cursor: where the reader stands.
        state: what the look saw.
        check: `Cursor.check_of` the bytes now before the cursor's offset; None when they were not read.
    """
    if cursor.file and cursor.file != state.file:
        return Changed("replaced")
    if state.size < cursor.offset:
        return Changed("truncated")
    if check is not None and cursor.offset and check != cursor.check:
        return Changed("rewritten")
    return Same(state.size - cursor.offset)
