"""The one place from which a session's owner writes to its journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio

from optio_host.clock import Clock
from optio_host.cursor import Cursor

from . import seams
from .errors import JournalError
from .events import NO_ORIGIN, Origin, SessionEvent, Source, event_data
from .journal import (
    Batch,
    Committed,
    Deliverable,
    Lease,
    NewEvent,
    OutcomeDocument,
    Outgoing,
    Question,
    Receipt,
    SessionRecord,
    Snapshot,
    Store,
)
from .patience import until_reached
from .redaction import Redactor, redacted_json


@dataclass(frozen=True, slots=True)
class Said:
    """An event on its way into the journal.

    Attributes:
        event: what happened.
        source: who says so.
        event_id: the same whenever the same line of a stream is read again; "" for what was read from no stream.
        origin: where it comes from, when the agent said it in a conversation.
    """

    event: SessionEvent
    source: Source = "session"
    event_id: str = ""
    origin: Origin = NO_ORIGIN


class JournalWriter:
    """Commits what happened together with how far that brought the session. Nothing else writes as its owner.

    Parameters:
        store: where the journal is.
        lease: the right to write.
        snapshot: the journal as it was when the lease was acquired.
        redact: applied to every text that is written, but to what is sent to the program: that is the caller's to do.
        clock: time, for tests.

    Attributes:
        record: the record as it was committed last.
    """

    def __init__(self, store: Store, lease: Lease, snapshot: Snapshot, redact: Redactor, clock: Clock) -> None:
        self.store = store
        self.lease = lease
        self.record: SessionRecord = snapshot.record
        self._last_seq = snapshot.last_seq
        self.redact = redact
        self._clock = clock
        self._lock = anyio.Lock()
        self._unsettled: tuple[Batch, SessionRecord | None] | None = None

    async def commit(
        self,
        *said: Said,
        cursors: Mapping[str, Cursor] | None = None,
        record: Mapping[str, object] | None = None,
        outbox: Sequence[Outgoing] = (),
        acknowledged: Mapping[str, int] | None = None,
        questions: Sequence[Question] = (),
        deliverables: Sequence[Deliverable] = (),
        receipts: Mapping[int, Receipt] | None = None,
    ) -> None:
        """Write all of it, or nothing; once begun, it is carried through. While the store is away, this waits.

        Parameters:
            said: what happened, in order.
            cursors: by stream, where its reader stands now.
            record: fields of the record that change.
            outbox: bytes that are to be sent.
            acknowledged: by stream, how many bytes are known to have arrived.
            questions: questions that are new or have changed, without secrets.
            deliverables: files that have landed.
            receipts: by number of the command, what became of it.

        Raises LeaseLost when another driver has taken over, StoreError when the store cannot be written.
        """
        async with self._lock:
            await self._settle()
            changed = self._changed(record) if record else None
            batch = Batch(
                after=self._last_seq,
                events=tuple(self._new_event(each) for each in said),
                cursors=cursors or {},
                record=changed,
                outbox=tuple(outbox),
                acknowledged=acknowledged or {},
                questions=tuple(questions),
                deliverables=tuple(deliverables),
                receipts=receipts or {},
            )
            seams.reached("before commit")
            self._unsettled = (batch, changed)
            await self._settle()
            seams.reached("after commit")

    async def _settle(self) -> None:
        """See the last batch into the journal, if it is not known to be there: one that was given up may be, or not.

        A store that is away says nothing about the lease. If another driver takes over meanwhile, the host knows.
        """
        if self._unsettled is None:
            return
        batch, changed = self._unsettled
        try:
            committed = await until_reached(lambda: self._write(batch), self._clock)
        except JournalError:
            self._unsettled = None  # nothing of it was written
            raise
        self._unsettled = None
        self._last_seq = committed.last_seq
        self.record = changed or self.record

    async def _write(self, batch: Batch) -> Committed:
        with anyio.CancelScope(shield=True):
            committed = await self.store.commit(self.lease, batch)
        return committed

    def _changed(self, fields: Mapping[str, object]) -> SessionRecord:
        changed = self.record.model_copy(update=dict(fields))
        if changed.outcome is None:
            return changed
        reason, summary = self.redact(changed.outcome.reason), self.redact(changed.outcome.summary)
        outcome: OutcomeDocument = changed.outcome.model_copy(update={"reason": reason, "summary": summary})
        return changed.model_copy(update={"outcome": outcome})

    def _new_event(self, said: Said) -> NewEvent:
        stored = {**event_data(said.event), **said.origin.to_data()}
        data = {name: redacted_json(self.redact, value) for name, value in stored.items()}
        now = self._clock.time()
        if said.event_id:
            return NewEvent(said.event.type, data, now, said.source, said.event_id)
        return NewEvent(said.event.type, data, now, said.source)
