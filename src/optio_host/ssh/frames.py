r"""What the driver and the far-side reader say to each other. Pure.

The driver sends lines. `follow ID EPOCH OFFSET CREDIT PATH` has a file read from an offset on, or again from another
one; `more ID BYTES` lets more of it be under way; `sync ID` asks for an answer once it is read to its end; `unfollow
ID`; `tick` asks for a sign of life; `quit`. The reader answers with frames, a line of words each, and behind a `look`
as many bytes as its last two words say. An epoch is one reading from one offset; what comes of an earlier one is stale.

    >>> reader = FrameReader()
    >>> reader.feed(b"alive python3\nlook 7 1 8:12 2000 4 4 5\none\ntw")
    [Alive(reader='python3')]
    >>> reader.feed(b"o\nx")
    [Looked(id=7, epoch=1, look=Look(file='8:12', size=2000, offset=4, before=b'one\n', chunk=b'two\nx'))]
"""

import re
from dataclasses import dataclass

from ..following import Look

LOOK_COST = 256
"""What a look takes of a file's credit beside its bytes, so that many small looks are bounded as well. The readers in
farside/ count with the same number."""

LONGEST_HEADER = 1024
LONGEST_LOOK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Alive:
    """The reader has begun, or answers a tick.

    Attributes:
        reader: which one it is, "python3" or "sh".
    """

    reader: str


@dataclass(frozen=True, slots=True)
class Looked:
    """A file was looked at, and something was new."""

    id: int
    epoch: int
    look: Look

    @property
    def cost(self) -> int:
        """What it takes of the file's credit."""
        return len(self.look.chunk) + LOOK_COST


@dataclass(frozen=True, slots=True)
class Synced:
    """The file is read to its end; all of it is in the looks before this."""

    id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The path cannot be followed; the reader has dropped it."""

    id: int
    epoch: int
    reason: str


Frame = Alive | Looked | Synced | Refused


class FrameReader:
    """Cuts what the far-side reader writes into frames, however the bytes are cut into chunks."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take the next bytes; return the frames that are now complete. ValueError for what is no frame."""
        pending = self._pending + chunk if self._pending else chunk
        frames: list[Frame] = []
        position = 0
        while True:
            end = pending.find(b"\n", position)
            if end < 0:
                break
            body = end + 1
            words = pending[position:end].decode("utf-8", "replace").split(" ")
            size = _body_size(words)
            if len(pending) < body + size:
                break
            frames.append(_frame(words, pending[body : body + size]))
            position = body + size
        self._pending = pending[position:]
        if end < 0 and len(self._pending) > LONGEST_HEADER:
            raise ValueError(f"no frame: {self._pending[:80]!r}")
        return frames


def _body_size(words: list[str]) -> int:
    if words[0] not in ("look", "hexlook"):
        return 0
    try:
        size = int(words[6]) + int(words[7])
    except (ValueError, IndexError):
        raise ValueError(f"no frame: {words}") from None
    if not 0 <= size <= LONGEST_LOOK:
        raise ValueError(f"a look of {size} bytes")
    return 2 * size if words[0] == "hexlook" else size


def _frame(words: list[str], body: bytes) -> Frame:
    match words:
        case ["alive", reader]:
            return Alive(reader)
        case ["look" | "hexlook" as form, id, epoch, file, size, offset, before, _]:
            # sh holds no NUL in a variable, so its reader sends hexadecimal digits.
            data = bytes.fromhex(body.decode()) if form == "hexlook" else body
            cut = int(before)
            return Looked(int(id), int(epoch), Look(file, int(size), int(offset), data[:cut], data[cut:]))
        case ["synced", id, epoch]:
            return Synced(int(id), int(epoch))
        case ["refused", id, epoch, *reason]:
            return Refused(int(id), int(epoch), " ".join(reason))
        case _:
            raise ValueError(f"no frame: {words}")


def follow(id: int, epoch: int, offset: int, credit: int, path: str) -> bytes:
    """The command to read a file from an offset on; again for the same file begins a new epoch of it.

    Parameters:
        id: what the driver calls it.
        epoch: the number of this reading.
        offset: bytes from the beginning of the file.
        credit: bytes that may be under way before `more` is said, counted with LOOK_COST.
        path: absolute path; a byte that is not UTF-8 is a surrogate, as in `os.fsencode`.
    """
    return b"follow %d %d %d %d %s\n" % (id, epoch, offset, credit, escaped(path.encode("utf-8", "surrogateescape")))


def more(id: int, credit: int) -> bytes:
    """The command to let that many bytes more be under way."""
    return b"more %d %d\n" % (id, credit)


def sync(id: int) -> bytes:
    """The command to answer with `Synced` once all that is there has been sent."""
    return b"sync %d\n" % id


def unfollow(id: int) -> bytes:
    """The command to let go of a file."""
    return b"unfollow %d\n" % id


TICK = b"tick\n"
QUIT = b"quit\n"

_PLAIN = re.compile(rb"[^A-Za-z0-9_./@+=:,-]")


def escaped(path: bytes) -> bytes:
    r"""A path as one word that `printf %b` of every sh turns back.

    >>> escaped(b"/tmp/a b")
    b'/tmp/a\\0040b'
    """
    return _PLAIN.sub(lambda found: b"\\0%03o" % found[0][0], path)
