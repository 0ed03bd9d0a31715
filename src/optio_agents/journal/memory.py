"""Journals in memory: for tests, and for sessions that need not outlive their driver."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from optio_host.clock import SYSTEM_CLOCK, Clock
from optio_host.cursor import Cursor

from ..errors import SessionRefused, SessionUnknown
from . import rules
from .batch import Batch, Committed, Event, Gap, NewEvent, Outbox, Page, Snapshot
from .contract import PAGE
from .documents import (
    Command,
    D,
    Deliverable,
    Driver,
    JsonObject,
    Question,
    Receipt,
    SessionRecord,
    State,
    from_text,
    to_json,
    to_text,
)
from .ids import new_event_id, resolved
from .lease import LEASE_TTL, Lease, LeaseState
from .news import News


@dataclass
class _Journal:
    """One session. What is not a list is replaced and never changed, so that it can be handed out."""

    record: SessionRecord
    lease: LeaseState
    change: int = 0
    first_seq: int = 1
    last_seq: int = 0
    last_event_id: str = ""
    events: list[Event] = field(default_factory=list)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    outbox: dict[str, Outbox] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    deliverables: dict[str, Deliverable] = field(default_factory=dict)
    commands: tuple[Command, ...] = ()
    taken: int = 0


class MemoryStore:
    """Implements `Store`. What is handed in is copied, as if it had been written and read again."""

    url = secret_url = "memory:"

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._journals: dict[str, _Journal] = {}
        self._change = 0
        self._news = News()

    async def create(self, record: SessionRecord, driver: Driver, *, ttl: float = LEASE_TTL) -> Lease:
        """Begin the journal of a new session."""
        self._check_free(record.id)
        rules.check_record(record, record.id)
        lease = LeaseState().acquired(record.id, driver, self._clock.time(), ttl=ttl)
        self._journals[record.id] = journal = _Journal(_copy(record), lease)
        self._changed(journal)
        return Lease(record.id, lease.generation)

    async def sessions(self, *, states: Collection[State] = ()) -> list[SessionRecord]:
        """The record of every session, the oldest first."""
        records = [_record(journal) for journal in self._journals.values()]
        wanted = [each for each in records if not states or each.state in states]
        return sorted(wanted, key=lambda each: (each.created, each.id))

    async def resolve(self, prefix: str) -> str:
        """The id that begins like this."""
        return resolved(prefix, [session for session in self._journals if session.startswith(prefix)])

    async def snapshot(self, session: str) -> Snapshot:
        """Everything about a session but its events."""
        journal = self._journal(session)
        return Snapshot(
            record=_record(journal),
            lease=journal.lease,
            first_seq=journal.first_seq,
            last_seq=journal.last_seq,
            change=journal.change,
            cursors=journal.cursors,
            outbox=journal.outbox,
            questions=tuple(journal.questions.values()),
            deliverables=tuple(journal.deliverables.values()),
            commands=journal.commands,
        )

    async def acquire(
        self, session: str, driver: Driver, *, ttl: float = LEASE_TTL, taking_over: int | None = None
    ) -> Lease:
        """Become the owner."""
        journal = self._journal(session)
        journal.lease = journal.lease.acquired(session, driver, self._clock.time(), ttl=ttl, taking_over=taking_over)
        self._changed(journal)
        return Lease(session, journal.lease.generation)

    async def renew(self, lease: Lease, *, ttl: float = LEASE_TTL) -> None:
        """Keep the ownership."""
        journal = self._journal(lease.session)
        journal.lease = journal.lease.renewed_by(lease, self._clock.time(), ttl=ttl)

    async def release(self, lease: Lease) -> None:
        """Give the ownership up."""
        journal = self._journal(lease.session)
        if (released := journal.lease.released_by(lease)) != journal.lease:
            journal.lease = released
            self._changed(journal)

    async def commit(self, lease: Lease, batch: Batch) -> Committed:
        """Write a batch."""
        journal = self._journal(lease.session)
        journal.lease.check(lease)
        if rules.is_repeat(batch, journal.last_seq, journal.last_event_id):
            return Committed(journal.last_seq, repeated=True)
        # Everything that can be refused comes before the first change.
        new = replace(journal)
        new.events = [_numbered(seq, event) for seq, event in enumerate(batch.events, journal.last_seq + 1)]
        new.cursors = {**journal.cursors, **batch.cursors}
        new.outbox = _extended(journal.outbox, batch)
        new.questions = _asked(journal.questions, batch)
        new.deliverables = {**journal.deliverables, **{each.event_id: _copy(each) for each in batch.deliverables}}
        _take(new, batch.receipts)
        if batch.record is not None:
            rules.check_record(batch.record, lease.session)
            new.record = _copy(batch.record)
            if new.record.state == "ended":
                _refuse_waiting(new, self._clock.time())
        new.last_seq += len(new.events)
        new.last_event_id = batch.events[-1].event_id if batch.events else new.last_event_id
        journal.events.extend(new.events)
        new.events = journal.events
        self._journals[lease.session] = new
        self._changed(new)
        return Committed(new.last_seq)

    async def put(
        self, session: str, kind: str, data: JsonObject, *, sender: str = "", command_id: str | None = None
    ) -> Command:
        """Put a command into the inbox."""
        journal = self._journal(session)
        text = to_json(data)
        for each in journal.commands:
            if each.id == command_id:
                return rules.same_command(each, kind, text)
        rules.check_put(session, journal.record.state, len(journal.commands) - journal.taken, text)
        command = Command(
            number=len(journal.commands) + 1,
            id=command_id or new_event_id(),
            kind=kind,
            data=json.loads(text),
            sender=sender,
            time=self._clock.time(),
        )
        journal.commands = (*journal.commands, command)
        self._changed(journal)
        return command

    async def inbox(self, session: str, *, limit: int = 100) -> tuple[Command, ...]:
        """The commands not taken yet."""
        journal = self._journal(session)
        return journal.commands[journal.taken : journal.taken + limit]

    async def command(self, session: str, number: int) -> Command:
        """One command."""
        commands = self._journal(session).commands
        if not 1 <= number <= len(commands):
            raise LookupError(f"session {session} has no command {number}")
        return commands[number - 1]

    async def events(self, session: str, *, after: int = 0, limit: int = PAGE) -> Page:
        """A page of history."""
        journal = self._journal(session)
        begin = max(after + 1, journal.first_seq)
        gap = Gap(after + 1, begin - 1) if begin > after + 1 else None
        index = begin - journal.first_seq
        return Page(tuple(journal.events[index : index + limit]), gap, journal.last_seq)

    async def news(self, session: str | None, since: int) -> int:
        """Wait for a change."""
        change = self._change if session is None else self._journal(session).change
        if change > since:
            return change
        future = self._news.expect(session)
        try:
            change = await future
        finally:
            self._news.forget(session, future)
        if session is not None:
            self._journal(session)
        return change

    async def prune(self, session: str, *, before: int) -> int:
        """Forget old events."""
        journal = self._journal(session)
        first = min(max(before, journal.first_seq), journal.last_seq + 1)
        count = first - journal.first_seq
        if count:
            del journal.events[:count]
            journal.first_seq = first
            self._changed(journal)
        return count

    async def remove_ended(self, *, before: float, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Forget ended sessions."""
        now = self._clock.time()
        old = [
            session
            for session, journal in self._journals.items()
            if journal.record.state == "ended"
            and not journal.lease.is_held(now)
            and journal.record.updated < before
            and session not in keep
        ]
        for session in old:
            self._changed(self._journals.pop(session))
        return tuple(sorted(old))

    async def load(self, snapshot: Snapshot, events: Sequence[Event]) -> None:
        """Add a session from elsewhere."""
        self._check_free(snapshot.record.id)
        rules.check_importable(snapshot, events)
        journal = _Journal(
            record=_copy(snapshot.record),
            lease=LeaseState(snapshot.lease.generation),
            first_seq=snapshot.first_seq,
            last_seq=snapshot.last_seq,
            last_event_id=events[-1].event_id if events else "",
            events=[replace(each, data=json.loads(to_json(each.data))) for each in events],
            cursors=dict(snapshot.cursors),
            outbox=dict(snapshot.outbox),
            questions={each.id: _copy(each) for each in snapshot.questions},
            deliverables={each.event_id: _copy(each) for each in snapshot.deliverables},
            commands=tuple(_copy(each) for each in snapshot.commands),
            taken=sum(each.receipt is not None for each in snapshot.commands),
        )
        self._journals[snapshot.record.id] = journal
        self._changed(journal, updated=snapshot.record.updated)

    def _journal(self, session: str) -> _Journal:
        if session not in self._journals:
            raise SessionUnknown(f"there is no session {session} in {self.url}")
        return self._journals[session]

    def _check_free(self, session: str) -> None:
        if session in self._journals:
            raise SessionRefused(f"there is a session {session} in {self.url} already")

    def _changed(self, journal: _Journal, *, updated: float | None = None) -> None:
        self._change += 1
        journal.change = self._change
        now = self._clock.time() if updated is None else updated
        journal.record = journal.record.model_copy(update={"updated": now})
        self._news.tell({journal.record.id: self._change})


def _copy(document: D) -> D:
    return from_text(type(document), to_text(document))


def _record(journal: _Journal) -> SessionRecord:
    return journal.record.model_copy(update={"driver": journal.lease.driver})


def _numbered(seq: int, event: NewEvent) -> Event:
    return Event(seq, event.type, json.loads(to_json(event.data)), event.time, event.source, event.event_id)


def _extended(outbox: dict[str, Outbox], batch: Batch) -> dict[str, Outbox]:
    new = dict(outbox)
    for piece in batch.outbox:
        stream = new.get(piece.stream, Outbox())
        stored = next((each.data for each in stream.entries if each.offset == piece.offset), None)
        if rules.is_new_output(piece, stream.end, stored):
            new[piece.stream] = replace(stream, entries=(*stream.entries, piece))
    for name, mark in batch.acknowledged.items():
        stream = new.get(name, Outbox())
        rules.check_acknowledged(name, mark, stream.acknowledged, stream.end)
        new[name] = replace(stream, acknowledged=mark)
    return new


def _asked(questions: dict[str, Question], batch: Batch) -> dict[str, Question]:
    new = dict(questions)
    for question in batch.questions:
        rules.check_question(question, new.get(question.id))
        new[question.id] = _copy(question)
    return new


def _take(journal: _Journal, receipts: Mapping[int, Receipt]) -> None:
    stored = {each.number: each.receipt for each in journal.commands if each.receipt is not None}
    new = rules.new_receipts(receipts, journal.taken, len(journal.commands), stored)
    commands = list(journal.commands)
    for number in new:
        commands[number - 1] = commands[number - 1].model_copy(update={"receipt": _copy(receipts[number])})
    journal.commands = tuple(commands)
    journal.taken += len(new)


def _refuse_waiting(journal: _Journal, now: float) -> None:
    waiting = range(journal.taken + 1, len(journal.commands) + 1)
    _take(journal, {number: rules.refused_at_end(now) for number in waiting})
