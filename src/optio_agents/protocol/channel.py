"""The reader of one optio.log: entries in order, each with the position behind it, whoever acts on them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from optio_host.cursor import START, Cursor
from optio_host.host import EndOfWriting, FileReset, FollowsFiles, Host
from optio_host.lines import DEFAULT_LINE_LIMIT, HEAD_BYTES, Line, LineFramer, LongLine

from ..errors import LogChannelLost
from .events import LogEvent, OverlongLine
from .features import DEFAULT_FEATURES, ProtocolFeatures
from .parser import event_of_line

ChannelEvent = LogEvent | OverlongLine | FileReset
"""What comes out of a log: what its lines say, and the news that it is not the file it was."""


LINES_PER_TURN = 100
"""After so many lines in a row the other tasks get their turn."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event of a log.

    Attributes:
        event: what was read.
        cursor: the position behind it, to be committed with its effect; None on a host that cannot follow from a
            position.
    """

    event: ChannelEvent
    cursor: Cursor | None


class LogChannel:
    """Reads one log. It remembers where it stands: `entries` called again goes on behind the last entry.

    On a host that can follow files (`optio_host.host.FollowsFiles`) it begins at a cursor, notices a file that was cut
    or replaced, and holds one over-long line in bounded memory. On any other it reads from the first line on by
    `tail_file`, with the bounds that the host itself has.

    Parameters:
        host: where the log is.
        path: its absolute path.
        features: which optional keywords are on.
        cursor: where to begin.
        limit: longest line in bytes that is read; a longer one comes as `OverlongLine`.
    """

    def __init__(
        self,
        host: Host,
        path: str,
        *,
        features: ProtocolFeatures = DEFAULT_FEATURES,
        cursor: Cursor = START,
        limit: int = DEFAULT_LINE_LIMIT,
    ) -> None:
        self._host = host
        self._path = path
        self._features = features
        self._limit = limit
        self._cursor = cursor
        self._lines = 0

    def copy(self) -> "LogChannel":
        """Another reader of the same log that stands where this one stands."""
        other = LogChannel(self._host, self._path, features=self._features, cursor=self._cursor, limit=self._limit)
        other._lines = self._lines
        return other

    async def entries(self, *, until: EndOfWriting | None = None) -> AsyncGenerator[LogEntry]:
        """Each entry in order, those that are there and those that come. Ends only by `until`.

        Parameters:
            until: once it is set, what is in the file is read to its end, an unfinished last line as a line, and the
                iteration ends.

        Raises LogChannelLost when the log cannot be read any more: the reader on the host failed, or just stopped.
        """
        host = self._host
        found = self._followed(host, until) if isinstance(host, FollowsFiles) else self._tailed(until)
        try:
            async with aclosing(found):
                count = 0
                async for entry in found:
                    yield entry
                    count += 1
                    if count % LINES_PER_TURN == 0:
                        # A host may have a thousand lines at hand, and give them without a pause.
                        await anyio.lowlevel.checkpoint()
        except LogChannelLost:
            raise
        except Exception as error:
            raise LogChannelLost(self._path, f"{type(error).__name__}: {error}") from error
        if until is None or not until.is_set():
            raise LogChannelLost(self._path, "its reader stopped without an error")

    async def _followed(self, host: FollowsFiles, until: EndOfWriting | None) -> AsyncGenerator[LogEntry]:
        lines = host.follow(self._path, self._cursor, limit=self._limit, until=until)
        async with aclosing(lines):
            async for followed, cursor in lines:
                first = self._cursor.offset == 0
                self._cursor = cursor
                if isinstance(followed, FileReset):
                    yield LogEntry(followed, cursor)
                else:
                    yield LogEntry(event_of_line(followed, features=self._features, first=first), cursor)

    async def _tailed(self, until: EndOfWriting | None) -> AsyncGenerator[LogEntry]:
        known = self._lines
        seen = 0
        lines = self._host.tail_file(self._path)
        try:
            while (text := await _next_before(lines, until)) is not None:
                seen += 1
                if seen > known:
                    yield self._entry_of(self._framed(text))
        finally:
            if isinstance(lines, AsyncGenerator):
                await lines.aclose()
        if until is not None and until.is_set():
            async for entry in self._rest():
                yield entry

    async def _rest(self) -> AsyncGenerator[LogEntry]:
        """What stands behind the last line that was seen, read at once; the unfinished last line is among it."""
        try:
            content = await self._host.fetch_bytes_from_host(self._path)
        except FileNotFoundError:
            return
        framer = LineFramer(limit=self._limit)
        lines = framer.feed(content)
        if (last := framer.finish()) is not None:
            lines.append(last)
        for line in lines[self._lines :]:
            yield self._entry_of(line)

    def _framed(self, text: str) -> Line | LongLine:
        data = text.encode("utf-8", "replace")
        return Line(data, 0) if len(data) <= self._limit else LongLine(len(data), data[:HEAD_BYTES], 0)

    def _entry_of(self, line: Line | LongLine) -> LogEntry:
        self._lines += 1
        return LogEntry(event_of_line(line, features=self._features, first=self._lines == 1), None)


async def _next_before(lines: AsyncIterator[str], until: EndOfWriting | None) -> str | None:
    """The next line; None when the iterator ends, or when `until` is set before there is one."""
    if until is None:
        return await anext(lines, None)
    found: str | None = None
    failure: Exception | None = None

    async def stop_waiting(scope: anyio.CancelScope) -> None:
        await until.wait()
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(stop_waiting, group.cancel_scope)
        try:
            found = await anext(lines, None)
        except Exception as error:
            # Raised outside of the group, which would wrap it.
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return found
