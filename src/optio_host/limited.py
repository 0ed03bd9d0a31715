r"""The head and the tail of an output that may be endless, in bounded memory. Pure.

>>> kept = HeadTail(8)
>>> kept.feed(b"abcdefgh"); kept.feed(b"ijkl")
>>> kept.dropped, kept.text()
(4, 'abcd\n[... 4 bytes left out ...]\nijkl')
"""


class HeadTail:
    """Keeps at most `limit` bytes of what is fed: the first half, and of the rest the last half.

    Parameters:
        limit: bytes to keep; at least 2.
    """

    def __init__(self, limit: int) -> None:
        if limit < 2:
            raise ValueError(f"an output limit of {limit} bytes keeps nothing; give at least 2")
        self._head_room = limit // 2
        self._tail_room = limit - self._head_room
        self._head = bytearray()
        self._tail = bytearray()
        self._cut_off = 0

    @property
    def dropped(self) -> int:
        """How many bytes between head and tail are not kept."""
        return self._cut_off + max(0, len(self._tail) - self._tail_room)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the output."""
        room = self._head_room - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._tail += chunk
        # Cutting only at twice the room keeps the cost per byte constant.
        if len(self._tail) > 2 * self._tail_room:
            self._cut()

    def text(self) -> str:
        """What was kept, as UTF-8 with U+FFFD for what is not; a line between head and tail counts what is missing."""
        self._cut()
        if not self.dropped:
            return (self._head + self._tail).decode("utf-8", "replace")
        head, tail = self._head.decode("utf-8", "replace"), self._tail.decode("utf-8", "replace")
        return f"{head}\n[... {self.dropped} bytes left out ...]\n{tail}"

    def _cut(self) -> None:
        excess = len(self._tail) - self._tail_room
        if excess > 0:
            del self._tail[:excess]
            self._cut_off += excess
