"""From the log to the journal: every entry becomes an event, committed with the position behind it."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import assert_never

import anyio

from optio_host.cursor import Cursor
from optio_host.errors import FileRefused, HostError
from optio_host.host import EndOfWriting, FileReset

from .ahead import Ahead
from .delivery import Announcement, Deliveries
from .errors import JournalError, LogChannelLost
from .events import (
    Attention,
    ErrorReported,
    Finished,
    LogReset,
    SessionEvent,
    Status,
    UnknownText,
)
from .journal import OutcomeDocument
from .journal_writer import JournalWriter, Said
from .notify import Notifier
from .protocol.channel import LogChannel, LogEntry
from .protocol.events import (
    AttentionEvent,
    BrowserEvent,
    CallerMessageEvent,
    ClientMessageEvent,
    DeliverableEvent,
    DoneEvent,
    ErrorEvent,
    OverlongLine,
    StatusEvent,
    UnknownLine,
)

LOG = "log"
"""Name of the log's cursor in the journal."""

BATCH = 1024
"""Entries that are committed at once, at most; also how far the reader may be ahead."""

BATCH_BYTES = 256 * 1024
"""Bytes of them, at most; one entry may always come, however large."""


class Intake:
    """Reads the log of one session and commits what it says.

    Parameters:
        channel: the log, at the position that was committed last.
        writer: the journal.
        deliveries: what becomes of announced deliverables.
        notifier: called when the program asks for a person.

    Attributes:
        decided: set once a DONE or ERROR is in the journal.
    """

    def __init__(self, channel: LogChannel, writer: JournalWriter, deliveries: Deliveries, notifier: Notifier) -> None:
        self.decided = anyio.Event()
        self._channel = channel
        self._writer = writer
        self._deliveries = deliveries
        self._notifier = notifier
        if writer.record.outcome is not None:
            self.decided.set()

    async def run(self, until: EndOfWriting) -> None:
        """Until the end of the log.

        Raises LogChannelLost when the log is not what can be read, HostError when its host does not let us, which says
        nothing about the program; LeaseLost, StoreError.
        """
        ahead = Ahead[LogEntry](BATCH, BATCH_BYTES)
        failure: BaseException | None = None  # raised outside of the group, which would wrap it

        async def read() -> None:
            nonlocal failure
            try:
                before = 0
                async with aclosing(self._channel.entries(until=until)) as entries:
                    async for entry in entries:
                        behind = before if entry.cursor is None else entry.cursor.offset
                        if ahead.add(entry, max(0, behind - before)):
                            await ahead.taken()
                        before = behind
            except LogChannelLost as error:
                cause = error.__cause__
                away = isinstance(cause, HostError) and not isinstance(cause, FileRefused)
                failure = cause if away else error
            finally:
                ahead.end()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            try:
                while batch := await ahead.take():
                    await self._take(batch)
            except (JournalError, HostError) as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _take(self, batch: list[LogEntry]) -> None:
        waiting: list[LogEntry] = []
        for entry in batch:
            if isinstance(entry.event, DeliverableEvent):
                await self._commit(waiting)
                waiting = []
                await self._deliveries.take(Announcement(entry.event.path, _event_id(entry), _cursors(entry)))
            else:
                waiting.append(entry)
        await self._commit(waiting)

    async def _commit(self, entries: list[LogEntry]) -> None:
        if not entries:
            return
        said: list[Said] = []
        outcome = self._writer.record.outcome
        for entry in entries:
            event = _event_of(entry)
            said.append(Said(event, "log", _event_id(entry)))
            outcome = outcome or _outcome_of(event)
        decided = outcome is not None and self._writer.record.outcome is None
        await self._writer.commit(
            *said, cursors=_cursors(entries[-1]), record={"outcome": outcome} if decided else None
        )
        if decided:
            self.decided.set()
        for each in said:
            if isinstance(each.event, Attention):
                self._notifier.notify("attention", self._writer.redact(each.event.reason))


def _event_of(entry: LogEntry) -> SessionEvent:
    match entry.event:
        case StatusEvent(percent, message):
            return Status(percent, message)
        case AttentionEvent(reason):
            return Attention(reason)
        case DoneEvent(summary):
            return Finished(summary)
        case ErrorEvent(message):
            return ErrorReported(message)
        case UnknownLine(text):
            return UnknownText(text)
        case OverlongLine(size, head):
            return UnknownText(head, size)
        case FileReset(reason, dropped):
            return LogReset(reason, dropped)
        case DeliverableEvent() | BrowserEvent() | ClientMessageEvent() | CallerMessageEvent():
            raise AssertionError(f"{entry.event}: its keyword is off in this session")
        case _:
            assert_never(entry.event)


def _outcome_of(event: SessionEvent) -> OutcomeDocument | None:
    match event:
        case Finished(summary):
            return OutcomeDocument(outcome="done", summary=summary or "")
        case ErrorReported(message):
            return OutcomeDocument(outcome="failed", reason=message or "the program reported ERROR")
        case _:
            return None


def _cursors(entry: LogEntry) -> Mapping[str, Cursor]:
    return {LOG: entry.cursor} if entry.cursor is not None else {}


def _event_id(entry: LogEntry) -> str:
    """Made from the place in the file, so that a line that is read again has the same id."""
    assert entry.cursor is not None
    return f"{LOG}-{entry.cursor.file}-{entry.cursor.offset}-{entry.cursor.check:08x}"
