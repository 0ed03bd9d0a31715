"""The history of one session, from which every view is made: append in one place, read from any number in any place."""

from collections.abc import AsyncGenerator

import anyio

from optio_host.clock import SYSTEM_CLOCK, Clock

from .events import Record, SessionEnded, SessionEvent, Source

KEPT_EVENTS = 100_000
"""How many events are kept at least; a reader that is further behind sees a gap in `seq`."""


class EventLog:
    """Events in memory.

    Parameters:
        session: the session's id.
        clock: time, for tests.
    """

    def __init__(self, session: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._session = session
        self._clock = clock
        self._records: list[Record] = []
        self._next = 1
        self._appended = anyio.Event()

    def append(self, source: Source, event: SessionEvent) -> Record:
        """Put an event at the end of the history."""
        record = Record(self._next, self._clock.time(), self._session, source, event)
        self._next += 1
        self._records.append(record)
        if len(self._records) > 2 * KEPT_EVENTS:
            del self._records[:KEPT_EVENTS]
        appended, self._appended = self._appended, anyio.Event()
        appended.set()
        return record

    async def follow(self, after: int = 0) -> AsyncGenerator[Record]:
        """Every event behind number `after`, then each as it comes; ends with `SessionEnded`.

        A reader that is slow holds up nobody: it reads the history at its own pace.
        """
        while True:
            appended = self._appended
            unread = min(self._next - 1 - after, len(self._records))
            for record in self._records[len(self._records) - unread :]:
                after = record.seq
                yield record
                if isinstance(record.event, SessionEnded):
                    return
            if appended is self._appended:
                await appended.wait()
