"""How far a copy has come, told seldom enough that telling costs nothing. Pure."""

from .host import ProgressCallback


class CopyProgress:
    """Turns counts of bytes into calls of a progress callback: whole percents, rising, 100 only at the end.

    Parameters:
        callback: who is told; None: nobody.
        total: bytes in all; None when unknown, then only the end is told.
    """

    def __init__(self, callback: ProgressCallback | None, total: int | None) -> None:
        self._callback = callback
        self._total = total
        self._told = 0

    def advance(self, done: int) -> None:
        """So many bytes are copied."""
        if self._callback is None or not self._total:
            return
        percent = min(done * 100 // self._total, 99)
        if percent > self._told:
            self._told = percent
            self._callback(float(percent), None)

    def finish(self, message: str | None = None) -> None:
        """It is copied, verified and in its place."""
        if self._callback is not None:
            self._callback(100.0, message)
