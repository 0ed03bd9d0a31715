r"""Following a file, without touching it: looks at the file go in, every complete line comes out once. Pure.

Whoever can look at a file - here, on the far side of a link, in a test's memory - makes a `Look` at `Following.fed`
again and again. What has happened to the file in between, the looks tell.

    >>> following = Following()
    >>> [(line, cursor)] = following.take(Look("8:12", 10, 0, b"", b"one\nrest.."))
    >>> line, following.fed
    (Line(data=b'one', end=4), 10)
    >>> following.take(Look("8:99", 5, 10, b"", b""))
    [(FileReset(reason='replaced', dropped=6), Cursor(file='', offset=0, check=0))]
"""

from dataclasses import dataclass

from .cursor import CHECKED_BYTES, START, Changed, Cursor, FileState, compare
from .host import FileReset, Followed
from .lines import DEFAULT_LINE_LIMIT, LineFramer

NOT_REGULAR = "it is no regular file, so it cannot be followed; remove it"
"""Why a FIFO, a directory or a device is refused."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a file saw.

    Attributes:
        file: identity of the file, "device:inode".
        size: its size in bytes.
        offset: where the look was made: `Following.fed`.
        before: the bytes just before the offset, CHECKED_BYTES of them where the file has as many. Never needed for a
            file whose identity or size tell that it has changed.
        chunk: bytes from the offset on; empty when nothing new is there.
    """

    file: str
    size: int
    offset: int
    before: bytes
    chunk: bytes


class Following:
    """One file as it is read on: where, and what of an unfinished line has come.

    Parameters:
        cursor: where to begin.
        limit: longest line in bytes that comes whole.
    """

    def __init__(self, cursor: Cursor = START, limit: int = DEFAULT_LINE_LIMIT) -> None:
        self._limit = limit
        self._begin(cursor)

    def _begin(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._framer = LineFramer(offset=cursor.offset, limit=self._limit)
        self._tail: bytes | None = None  # the last bytes before what was fed; None: not looked at since the start

    @property
    def fed(self) -> int:
        """The offset of the next look."""
        return self._framer.fed

    def take(self, look: Look) -> list[tuple[Followed, Cursor]]:
        """The lines that a look completes, each with the cursor behind it.

        A file that is not what it was gives one `FileReset` and nothing else; the next look is at the beginning then.
        Raises ValueError for a look at another offset than `fed`.
        """
        fed = self._framer.fed
        if look.offset != fed:
            raise ValueError(f"a look at offset {look.offset}, where {fed} bytes are read")
        check = self._cursor.check if self._tail is None else Cursor.check_of(self._tail)
        verdict = compare(
            Cursor(self._cursor.file, fed, check), FileState(look.file, look.size), Cursor.check_of(look.before)
        )
        if isinstance(verdict, Changed):
            dropped = self._framer.pending
            self._begin(START)
            return [(FileReset(verdict.reason, dropped), START)]
        self._cursor = Cursor(look.file, self._cursor.offset, self._cursor.check)
        window = look.before + look.chunk
        self._tail = window[-CHECKED_BYTES:]
        shift = len(look.before) - fed
        found: list[tuple[Followed, Cursor]] = []
        for line in self._framer.feed(look.chunk):
            index = line.end + shift
            check = Cursor.check_of(window[max(0, index - CHECKED_BYTES) : index])
            found.append((line, Cursor(look.file, line.end, check)))
        if found:
            self._cursor = found[-1][1]
        return found

    def finish(self) -> list[tuple[Followed, Cursor]]:
        """The unfinished last line, once nobody writes any more."""
        last = self._framer.finish()
        if last is None or self._tail is None:
            return []
        self._cursor = Cursor(self._cursor.file, last.end, Cursor.check_of(self._tail))
        return [(last, self._cursor)]


def began_again(found: list[tuple[Followed, Cursor]]) -> bool:
    """Whether what a look gave is that the file is not what it was."""
    return bool(found) and isinstance(found[0][0], FileReset)
