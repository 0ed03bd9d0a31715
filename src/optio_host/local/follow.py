"""Following one file of this machine: every complete line once, from any cursor on, whatever happens to the file."""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from typing import Literal

from ..cursor import CHECKED_BYTES, START, Changed, Cursor, FileState, compare
from ..errors import FileRefused
from ..host import EndOfWriting, FileReset, Followed
from ..lines import DEFAULT_LINE_LIMIT, Line, LineFramer, LongLine
from .watcher import Wake, Watcher

READ_BYTES = 256 * 1024
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
        self._limit = limit
        self._descriptor: int | None = None
        self._begin(cursor)

    def _begin(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._framer = LineFramer(offset=cursor.offset, limit=self._limit)
        self._tail: bytes | None = None  # the last bytes before what was fed; None: not read since the start

    def look(self) -> list[tuple[Followed, Cursor]] | None:
        """Read on, one read's worth: the lines completed by it, maybe none; None when nothing new is there."""
        if self._descriptor is None and not self._open():
            return None
        found = self._read()
        if found is None and self._was_replaced():
            # The old file was read to its end just now; whoever wrote to it has moved on.
            return self._start_again("replaced")
        return found

    def finish(self) -> list[tuple[Followed, Cursor]]:
        """The unfinished last line, once nobody writes any more."""
        last = self._framer.finish()
        if last is None or self._tail is None:
            return []
        self._cursor = Cursor(self._cursor.file, last.end, Cursor.check_of(self._tail))
        return [(last, self._cursor)]

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> bool:
        try:
            # O_NONBLOCK: opening a FIFO that someone put here must not block.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise FileRefused(self._path, f"it cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileRefused(self._path, "it is no regular file, so it cannot be followed; remove it")
        self._descriptor = descriptor
        return True

    def _was_replaced(self) -> bool:
        try:
            now = os.stat(self._path)
        except OSError:
            return False  # it was moved away or removed; until there is another one, the open file is the file
        assert self._descriptor is not None
        return not os.path.samestat(now, os.fstat(self._descriptor))

    def _read(self) -> list[tuple[Followed, Cursor]] | None:
        assert self._descriptor is not None
        state = os.fstat(self._descriptor)
        file = f"{state.st_dev}:{state.st_ino}"
        fed = self._framer.fed
        before = os.pread(self._descriptor, min(fed, CHECKED_BYTES), max(0, fed - CHECKED_BYTES))
        check = self._cursor.check if self._tail is None else Cursor.check_of(self._tail)
        verdict = compare(
            Cursor(self._cursor.file, fed, check), FileState(file, state.st_size), Cursor.check_of(before)
        )
        if isinstance(verdict, Changed):
            return self._start_again(verdict.reason)
        self._cursor = Cursor(file, self._cursor.offset, self._cursor.check)
        self._tail = before
        if not verdict.available:
            return None
        chunk = os.pread(self._descriptor, READ_BYTES, fed)
        window = before + chunk
        self._tail = window[-CHECKED_BYTES:]
        shift = len(before) - fed
        return [self._at(file, line, window, line.end + shift) for line in self._framer.feed(chunk)]

    def _start_again(self, reason: Literal["truncated", "replaced", "rewritten"]) -> list[tuple[Followed, Cursor]]:
        dropped = self._framer.pending
        self.close()
        self._begin(START)
        return [(FileReset(reason, dropped), START)]

    def _at(self, file: str, line: Line | LongLine, window: bytes, index: int) -> tuple[Followed, Cursor]:
        self._cursor = Cursor(file, line.end, Cursor.check_of(window[max(0, index - CHECKED_BYTES) : index]))
        return line, self._cursor
