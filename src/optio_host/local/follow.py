"""Following one file of this machine: every complete line once, from any cursor on, whatever happens to the file."""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator

from ..cursor import CHECKED_BYTES, START, Cursor
from ..errors import FileRefused
from ..following import NOT_REGULAR, Following, Look, began_again
from ..host import EndOfWriting, Followed
from ..lines import DEFAULT_LINE_LIMIT
from .watcher import Wake, Watcher

READ_BYTES = 64 * 1024
"""Bytes of one read. Reads are made on the event loop: from the page cache they take microseconds, a hop to a thread
and back takes more."""


async def follow(
    watcher: Watcher,
    path: str,
    cursor: Cursor = START,
    *,
    limit: int = DEFAULT_LINE_LIMIT,
    until: EndOfWriting | None = None,
) -> AsyncGenerator[tuple[Followed, Cursor]]:
    """See `optio_host.host.FollowsFiles.follow`. Raises FileRefused when the path is no regular file."""
    if not os.path.isabs(path):
        raise ValueError(f"{path!r}: a followed file is named by its absolute path")
    reader = FileReader(path, cursor, limit)
    try:
        with watcher.watching(path) as wake:
            while True:
                wake.event.clear()
                # Asked before the look: what was written before the end must be seen by the look after it.
                ended = until is not None and until.is_set()
                while (found := reader.look()) is not None:
                    for each in found:
                        yield each
                    if not found:  # a line without an end must not hold up everybody
                        await asyncio.sleep(0)
                if ended:
                    for each in reader.finish():
                        yield each
                    return
                await _either(wake, until)
    finally:
        reader.close()
        await watcher.stop_if_unused()


async def _either(wake: Wake, until: EndOfWriting | None) -> None:
    if until is None:
        await wake.wait()
        return
    waiting = [asyncio.ensure_future(wake.wait()), asyncio.ensure_future(until.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)


class FileReader:
    """Reads what is new in a file at each `look`; keeps it open, so that what a rotation moved away is still read."""

    def __init__(self, path: str, cursor: Cursor, limit: int) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._following = Following(cursor, limit)

    def look(self) -> list[tuple[Followed, Cursor]] | None:
        """Read on, one read's worth: the lines completed by it, maybe none; None when nothing new is there."""
        if self._descriptor is None:
            self._descriptor = self._open()
            if self._descriptor is None:
                return None
        look = self._read(self._descriptor)
        found = self._following.take(look)
        if not began_again(found) and not look.chunk:
            # The file was read to its end just now; if there is another one, whoever wrote to it has moved on.
            other = self._replacement(self._descriptor)
            if other is None:
                return None
            found = self._following.take(other)
        if began_again(found):
            self.close()
        return found

    def finish(self) -> list[tuple[Followed, Cursor]]:
        """The unfinished last line, once nobody writes any more."""
        return self._following.finish()

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int | None:
        try:
            # O_NONBLOCK: opening a FIFO that someone put here must not block.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileRefused(self._path, f"it cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileRefused(self._path, NOT_REGULAR)
        return descriptor

    def _read(self, descriptor: int) -> Look:
        state = os.fstat(descriptor)
        fed = self._following.fed
        checked = min(fed, CHECKED_BYTES)
        wanted = READ_BYTES if state.st_size > fed else 0
        window = os.pread(descriptor, checked + wanted, fed - checked)
        return Look(_identity(state), state.st_size, fed, window[:checked], window[checked:])

    def _replacement(self, descriptor: int) -> Look | None:
        try:
            now = os.stat(self._path)
        except OSError:
            return None  # it was moved away or removed; until there is another one, the open file is the file
        if os.path.samestat(now, os.fstat(descriptor)):
            return None
        return Look(_identity(now), now.st_size, self._following.fed, b"", b"")


def _identity(state: os.stat_result) -> str:
    return f"{state.st_dev}:{state.st_ino}"
