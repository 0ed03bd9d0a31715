r"""Cutting off what login scripts print before a command has begun. Pure.

>>> cut = NoiseCut(b"optio-7f ")
>>> cut.feed(b"Welcome! opt"), cut.feed(b"io-7f 12 0\nout"), cut.line
(b'', b'out', b'12 0')
"""


class NoiseCut:
    """Drops everything up to a marker that only the command itself can have printed, and the line it stands on.

    Parameters:
        marker: random for each command, so that nothing else contains it.

    Attributes:
        line: what stands behind the marker on its line; None until it has come.
    """

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._pending = b""
        self.line: bytes | None = None
        self._noise = b""

    @property
    def noise(self) -> bytes:
        """What came before the marker, at most NOISE_KEPT bytes of it; for messages."""
        return (self._noise + self._pending)[:NOISE_KEPT] if self.line is None else self._noise

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the stream; return those that belong to the command."""
        if self.line is not None:
            return chunk
        self._pending += chunk
        start = self._pending.find(self._marker)
        if start < 0:
            # The marker may be cut by the end of this chunk.
            self._drop(max(0, len(self._pending) - len(self._marker) + 1))
            return b""
        self._drop(start)
        line, end, rest = self._pending[len(self._marker) :].partition(b"\n")
        if not end:
            return b""
        self.line, self._pending = line, b""
        return rest

    def _drop(self, count: int) -> None:
        self._noise += self._pending[: min(count, NOISE_KEPT - len(self._noise))]
        self._pending = self._pending[count:]


NOISE_KEPT = 4096
"""Bytes of noise that are kept, to show what a host said that never came to the command."""
