r"""Bytes to lines, with bounded memory and exact offsets. Pure: no I/O, no clock, no decoding.

    >>> framer = LineFramer()
    >>> framer.feed(b"STATUS: 1%\r\nDO")
    [Line(data=b'STATUS: 1%', end=12)]
    >>> framer.feed(b"NE\n")
    [Line(data=b'DONE', end=17)]

Whatever way the bytes are cut into chunks, the lines are the same.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

PIECE_LIMIT = 16 * 1024 * 1024
"""A line of a process's output that is longer than this many bytes comes in pieces, so that memory is bounded."""

DEFAULT_LINE_LIMIT = 1024 * 1024
"""Longest line that is handed on whole, in bytes. Far above any line of a log channel, far below what hurts."""

HEAD_BYTES = 1024
"""How much of an over-long line is kept to show what it was."""


@dataclass(frozen=True, slots=True)
class Line:
    r"""One complete line.

    Attributes:
        data: its bytes without the line end ("\n" or "\r\n").
        end: offset in the stream just behind its line end: where reading goes on.
    """

    data: bytes
    end: int


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line that was longer than the limit: its size and its beginning. The bytes stay in the file.

    Attributes:
        size: its length in bytes without the line end.
        head: its first bytes, at most HEAD_BYTES.
        end: offset in the stream just behind its line end.
    """

    size: int
    head: bytes
    end: int


class LineFramer:
    """Cuts a stream of bytes into lines.

    Parameters:
        offset: where in the stream the first fed byte stands.
        limit: the longest line, in bytes without its line end, that comes out as a `Line`.
    """

    def __init__(self, *, offset: int = 0, limit: int = DEFAULT_LINE_LIMIT) -> None:
        self._limit = limit
        self._fed = offset
        self._pending = b""
        self._long: _Overflow | None = None

    @property
    def fed(self) -> int:
        """Offset behind the last byte that was fed: where to read next."""
        return self._fed

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished line have been fed."""
        return self._long.size if self._long else len(self._pending)

    def feed(self, chunk: bytes) -> list[Line | LongLine]:
        """Take the next bytes of the stream; return the lines that are now complete, in order."""
        pieces = chunk.split(b"\n")
        lines: list[Line | LongLine] = []
        position = self._fed
        for piece in pieces[:-1]:
            position += len(piece) + 1
            # Nearly every line is whole and fits: what may be otherwise is looked at by itself.
            if self._pending or self._long is not None or len(piece) > self._limit or piece[-1:] == b"\r":
                lines.append(self._complete(piece, position))
            else:
                lines.append(Line(piece, position))
        self._fed += len(chunk)
        self._keep(pieces[-1])
        return lines

    def finish(self) -> Line | LongLine | None:
        """The unfinished last line, for a stream that has ended for good; None when there is none."""
        if not self.pending:
            return None
        return self._complete(b"", self._fed)

    def _complete(self, piece: bytes, end: int) -> Line | LongLine:
        if self._long is not None:
            self._long.add(piece)
            long, self._long = self._long, None
            size = long.size - long.ends_with_return
            return LongLine(size, long.head[:size], end)
        data = self._pending + piece if self._pending else piece
        self._pending = b""
        if data.endswith(b"\r"):
            data = data[:-1]
        return Line(data, end) if len(data) <= self._limit else LongLine(len(data), data[:HEAD_BYTES], end)

    def _keep(self, piece: bytes) -> None:
        if self._long is not None:
            self._long.add(piece)
            return
        self._pending += piece
        # One byte more than the limit may still be the "\r" of a line that fits.
        if len(self._pending) > self._limit + 1:
            self._long = _Overflow(self._pending)
            self._pending = b""


class _Overflow:
    """What is remembered of a line that has already grown past the limit."""

    def __init__(self, data: bytes) -> None:
        self.head = data[:HEAD_BYTES]
        self.size = len(data)
        self.ends_with_return = data.endswith(b"\r")

    def add(self, piece: bytes) -> None:
        if piece:
            self.head += piece[: HEAD_BYTES - len(self.head)]
            self.size += len(piece)
            self.ends_with_return = piece.endswith(b"\r")


async def lines_of(read: Callable[[], Awaitable[bytes]]) -> AsyncGenerator[bytes]:
    """A stream as lines with their line ends; the last one may have none. `read` gives b"" at the end."""
    pending = b""
    while chunk := await read():
        pieces = (pending + chunk).split(b"\n")
        pending = pieces.pop()
        for piece in pieces:
            yield piece + b"\n"
        if len(pending) > PIECE_LIMIT:
            yield pending
            pending = b""
    if pending:
        yield pending
