"""What goes into a journal in one piece, and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from optio_host.cursor import Cursor

from .documents import Command, Deliverable, JsonObject, Question, Receipt, SessionRecord
from .ids import new_event_id
from .lease import LeaseState


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened, not yet numbered.

    Attributes:
        type: what kind of thing, such as "status".
        data: what there is to say of it; anything JSON has.
        time: when, in seconds since the epoch.
        source: who says so.
        event_id: the same whenever the same thing is seen again: made from the place in the stream it was read from,
            so that a callback that runs again after a crash can tell. Random if it was read from no stream.
    """

    type: str
    data: JsonObject
    time: float
    source: str = ""
    event_id: str = field(default_factory=new_event_id)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as the journal holds it; `seq` counts from 1 in its session, without holes."""

    seq: int
    type: str
    data: JsonObject
    time: float
    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Bytes that are to be appended to a stream of the session, such as the agent's stdin, at this offset of it."""

    stream: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Outbox:
    """All that was ever to be appended to one stream, in order.

    Attributes:
        entries: every piece; they join without a gap.
        acknowledged: bytes of the stream that are known to have arrived.
    """

    entries: tuple[Outgoing, ...] = ()
    acknowledged: int = 0

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.entries[-1].offset + len(self.entries[-1].data) if self.entries else 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything an owner writes at once: what happened, and how far that brought it. All of it or nothing.

    Attributes:
        after: seq of the last event in the journal, as far as the owner knows: the new events come right behind it.
        events: what happened.
        cursors: by the name of each stream, where its reader stands once the events are dealt with.
        record: the record as it is from now on; None: as it was.
        outbox: bytes to be sent, each piece where the one before ends.
        acknowledged: by stream, how many bytes are known to have arrived.
        questions: questions that are new or have changed.
        deliverables: files that have landed.
        receipts: by the number of the command, what became of it; commands are taken in order, each once.
    """

    after: int
    events: tuple[NewEvent, ...] = ()
    cursors: Mapping[str, Cursor] = field(default_factory=dict)
    record: SessionRecord | None = None
    outbox: tuple[Outgoing, ...] = ()
    acknowledged: Mapping[str, int] = field(default_factory=dict)
    questions: tuple[Question, ...] = ()
    deliverables: tuple[Deliverable, ...] = ()
    receipts: Mapping[int, Receipt] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Committed:
    """A batch is in the journal, durably.

    Attributes:
        last_seq: seq of the last event now.
        repeated: it had been there before; this time nothing was written.
    """

    last_seq: int
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that were asked for and are no longer kept, from the first to the last seq."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a session's history.

    Attributes:
        events: in order, without holes.
        gap: what is missing before them; None: nothing.
        last_seq: seq of the last event in the journal when this was read; the history goes on if it is not in here.
    """

    events: tuple[Event, ...]
    gap: Gap | None
    last_seq: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the journal holds of a session at one moment, but its events.

    Attributes:
        record: what the session is.
        lease: who owns it.
        first_seq: seq of the oldest event that is kept; last_seq + 1 when none is.
        last_seq: seq of the latest event; 0 before the first.
        change: number of the latest change to it; see `Store.news`.
        cursors: by the name of each stream, where its reader stands.
        outbox: by stream, what was to be sent.
        questions: all, in the order they were asked.
        deliverables: all, in the order they landed.
        commands: the whole inbox, in order, with receipts.
    """

    record: SessionRecord
    lease: LeaseState
    first_seq: int
    last_seq: int
    change: int
    cursors: Mapping[str, Cursor]
    outbox: Mapping[str, Outbox]
    questions: tuple[Question, ...]
    deliverables: tuple[Deliverable, ...]
    commands: tuple[Command, ...]
