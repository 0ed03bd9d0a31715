"""From the log to the journal: every entry becomes an event, committed with the position behind it."""

import posixpath
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import assert_never

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from optio_host.clock import Clock
from optio_host.cursor import Cursor
from optio_host.errors import FileRefused, HostError
from optio_host.host import EndOfWriting, FileReset, StreamsFiles

from . import seams
from .errors import JournalError, LogChannelLost
from .events import (
    Attention,
    DeliverableLanded,
    DeliverableRefused,
    ErrorReported,
    Finished,
    LogReset,
    Notice,
    SessionEvent,
    Status,
    UnknownText,
)
from .journal import Deliverable, OutcomeDocument
from .journal_writer import JournalWriter, Said
from .landing import Landing
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
from .protocol.replies import deliverable_accepted, deliverable_not_handled, deliverable_refused
from .replies import REPLIES, Replies

LOG = "log"
"""Name of the log's cursor in the journal."""

BATCH = 256
"""Entries that are committed at once, at most; also how far the reader may be ahead."""

DeliverableHandler = Callable[["Delivery"], Awaitable[str | None]]
"""Called with each deliverable once it has landed. What it returns is said to the program; None: thanks."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A deliverable that has landed, for a handler.

    Attributes:
        name: its name below the deliverables directory.
        path: where it stands on this machine.
        size: bytes.
        sha256: of its content, in hexadecimal.
        event_id: the same whenever this announcement is handled again.
        redelivered: the handler may have been called for it before, by a driver that died.
    """

    name: str
    path: str
    size: int
    sha256: str
    event_id: str
    redelivered: bool


class Intake:
    """Reads the log of one session and commits what it says.

    Parameters:
        channel: the log, at the position that was committed last.
        writer: the journal.
        host: where the deliverables are.
        taskdir: the session's directory on the host.
        landing: where deliverables land on this machine.
        replies: where the answers to deliverables go.
        notifier: called when the program asks for a person.
        deliverable_bytes: the largest deliverable.
        handler: called for each deliverable.
        redelivered: the driver before this one died: the next deliverable may have been handled.
        clock: time, for tests.
    """

    def __init__(
        self,
        channel: LogChannel,
        writer: JournalWriter,
        host: StreamsFiles,
        taskdir: str,
        landing: Landing,
        *,
        replies: Replies,
        notifier: Notifier,
        deliverable_bytes: int,
        handler: DeliverableHandler | None,
        redelivered: bool,
        clock: Clock,
    ) -> None:
        self.decided = anyio.Event()
        self._channel = channel
        self._writer = writer
        self._host = host
        self._taskdir = taskdir
        self._deliverables = posixpath.join(taskdir, "deliverables")
        self._landing = landing
        self._replies = replies
        self._notifier = notifier
        self._deliverable_bytes = deliverable_bytes
        self._handler = handler
        self._redelivered = redelivered
        self._clock = clock
        if writer.record.outcome is not None:
            self.decided.set()

    async def run(self, until: EndOfWriting) -> None:
        """Until the end of the log. Raises LogChannelLost, LeaseLost, StoreError."""
        send, receive = anyio.create_memory_object_stream[LogEntry](BATCH)
        failure: Exception | None = None  # raised outside of the group, which would wrap it

        async def read() -> None:
            nonlocal failure
            try:
                async with send, aclosing(self._channel.entries(until=until)) as entries:
                    async for entry in entries:
                        await send.send(entry)
            except LogChannelLost as error:
                failure = error

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            try:
                async for entry in receive:
                    await self._take([entry, *_at_hand(receive)])
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
                await self._deliver(entry, entry.event.path)
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
                self._notifier.notify("attention", each.event.reason)

    async def _deliver(self, entry: LogEntry, announced: str) -> None:
        name = self._name_of(announced)
        if name is None:
            await self._refuse(entry, announced, "it is not below the directory that OPTIO_DELIVERABLES names")
            return
        path = posixpath.join(self._deliverables, name)
        chunks = self._host.stream_file(path, within=self._deliverables, max_bytes=self._deliverable_bytes)
        seams.reached("before landing")
        try:
            landed = await self._landing.receive(name, chunks)
        except FileNotFoundError:
            await self._refuse(entry, name, "there is no such file")
        except FileRefused as error:
            await self._refuse(entry, name, error.reason)
        except (HostError, OSError) as error:
            said = Said(Notice(f"deliverable {name} could not be stored: {error}"), "log", _event_id(entry))
            await self._answer(entry, said, deliverable_not_handled(name, str(error)))
        else:
            seams.reached("landed")
            await self._hand_over(entry, Delivery(
                name, landed.path, landed.size, landed.sha256, _event_id(entry), self._redelivered
            ))  # fmt: skip

    async def _hand_over(self, entry: LogEntry, delivery: Delivery) -> None:
        event = DeliverableLanded(delivery.name, delivery.path, delivery.size, delivery.sha256)
        reply = deliverable_accepted(delivery.name, None)
        if self._handler is not None:
            try:
                reply = deliverable_accepted(delivery.name, await self._handler(delivery))
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                reply = deliverable_not_handled(delivery.name, problem)
            seams.reached("handled")
        document = Deliverable(
            event_id=delivery.event_id,
            name=delivery.name,
            path=delivery.path,
            size=delivery.size,
            sha256=delivery.sha256,
            time=self._clock.time(),
        )
        self._redelivered = False
        await self._answer(entry, Said(event, "log", delivery.event_id), reply, document)

    async def _refuse(self, entry: LogEntry, name: str, reason: str) -> None:
        said = Said(DeliverableRefused(name, reason), "log", _event_id(entry))
        await self._answer(entry, said, deliverable_refused(name, reason))

    async def _answer(self, entry: LogEntry, said: Said, reply: str, *landed: Deliverable) -> None:
        """Commit what became of a deliverable, with the reply that is then to be sent."""
        piece = self._replies.piece(reply)
        acknowledged = {REPLIES: self._replies.acknowledged}
        await self._writer.commit(
            said, cursors=_cursors(entry), outbox=[piece], acknowledged=acknowledged, deliverables=landed
        )
        self._replies.send(piece)

    def _name_of(self, announced: str) -> str | None:
        """What an announced path is called below the deliverables directory; None when it is not there."""
        for directory in (self._taskdir, self._deliverables):
            name = posixpath.relpath(posixpath.join(directory, announced), self._deliverables)
            if name != "." and name != ".." and not name.startswith("../"):
                return name
        return None


def _at_hand(receive: MemoryObjectReceiveStream[LogEntry]) -> list[LogEntry]:
    """What else can be committed together with an entry, without waiting for more."""
    entries: list[LogEntry] = []
    while len(entries) < BATCH:
        try:
            entries.append(receive.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            break
    return entries


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
