"""What is written besides an owner's batches. Runs in the writer's thread; what is refused raises and is undone."""

import json
from collections.abc import Collection, Sequence

from ...errors import SessionRefused
from .. import rules
from ..batch import Event, Snapshot
from ..documents import Command, Driver, JsonObject, SessionRecord, from_text, to_text
from ..lease import Lease, LeaseState
from .commit import inbox_marks
from .connect import CONTENTS
from .transaction import Head, Transaction


def create(transaction: Transaction, record: SessionRecord, driver: Driver, ttl: float) -> Lease:
    """A new session."""
    rules.check_record(record, record.id)
    lease = LeaseState().acquired(record.id, driver, transaction.now, ttl=ttl)
    transaction.touch(_insert(transaction, record, lease, first_seq=1, last_seq=0, last_event_id=""))
    return Lease(record.id, lease.generation)


def acquire(transaction: Transaction, session: str, driver: Driver, ttl: float, taking_over: int | None) -> Lease:
    """A new owner."""
    head = transaction.head(session)
    lease = head.lease.acquired(session, driver, transaction.now, ttl=ttl, taking_over=taking_over)
    transaction.set_lease(head, lease)
    transaction.touch(head)
    return Lease(session, lease.generation)


def renew(transaction: Transaction, lease: Lease, ttl: float) -> None:
    """The same owner for longer. Nobody waits for this, so it is no change."""
    head = transaction.head(lease.session)
    transaction.set_lease(head, head.lease.renewed_by(lease, transaction.now, ttl=ttl))


def release(transaction: Transaction, lease: Lease) -> None:
    """No owner any more."""
    head = transaction.head(lease.session)
    if (released := head.lease.released_by(lease)) != head.lease:
        transaction.set_lease(head, released)
        transaction.touch(head)


def put(transaction: Transaction, session: str, command_id: str, kind: str, data: str, sender: str) -> Command:
    """A command. data: as JSON."""
    head = transaction.head(session)
    row = transaction.connection.execute(
        "SELECT document FROM commands WHERE key=? AND id=?", (head.key, command_id)
    ).fetchone()
    if row:
        return rules.same_command(from_text(Command, row[0]), kind, data)
    last, taken = inbox_marks(transaction, head)
    rules.check_put(session, head.state, last - taken, data)
    decoded: JsonObject = json.loads(data)
    command = Command(number=last + 1, id=command_id, kind=kind, data=decoded, sender=sender, time=transaction.now)
    _insert_command(transaction, head, command)
    transaction.touch(head)
    return command


def prune(transaction: Transaction, session: str, before: int) -> int:
    """Fewer events."""
    transaction.flush()
    head = transaction.head(session)
    first = min(max(before, head.first_seq), head.last_seq + 1)
    count = first - head.first_seq
    if count:
        transaction.connection.execute("DELETE FROM events WHERE key=? AND seq<?", (head.key, first))
        head.first_seq = first
        transaction.touch(head)
    return count


def remove_ended(transaction: Transaction, before: float, keep: Collection[str], now: float) -> tuple[str, ...]:
    """Fewer sessions."""
    transaction.flush()
    rows = transaction.connection.execute(
        "SELECT id FROM sessions JOIN heads USING (key) JOIN leases USING (key) "
        "WHERE record IS NOT NULL AND state='ended' AND (driver IS NULL OR abs(?-renewed)>=ttl) AND updated<? "
        "ORDER BY id",
        (now, before),
    ).fetchall()
    removed = tuple(session for (session,) in rows if session not in keep)
    for session in removed:
        head = transaction.head(session)
        for table in CONTENTS:
            transaction.connection.execute(f"DELETE FROM {table} WHERE key=?", (head.key,))
        transaction.connection.execute("DELETE FROM leases WHERE key=?", (head.key,))
        transaction.connection.execute("UPDATE sessions SET state=NULL, record=NULL WHERE key=?", (head.key,))
        transaction.removed(head)
    return removed


def load(transaction: Transaction, snapshot: Snapshot, events: Sequence[Event], data: Sequence[str]) -> None:
    """A session from elsewhere. data: of each event, as JSON."""
    rules.check_importable(snapshot, events)
    lease = LeaseState(snapshot.lease.generation)
    last_event_id = events[-1].event_id if events else ""
    head = _insert(transaction, snapshot.record, lease, snapshot.first_seq, snapshot.last_seq, last_event_id)
    for event, text in zip(events, data, strict=True):
        transaction.add_event((head.key, event.seq, event.type, text, event.time, event.source, event.event_id))
    for stream, cursor in snapshot.cursors.items():
        transaction.set_cursor(head, stream, cursor)
    many = transaction.connection.executemany
    outbox = snapshot.outbox
    pieces = [piece for each in outbox.values() for piece in each.entries]
    many("INSERT INTO streams VALUES (?,?,?)", [(head.key, name, each.acknowledged) for name, each in outbox.items()])
    many("INSERT INTO outbox VALUES (?,?,?,?)", [(head.key, each.stream, each.offset, each.data) for each in pieces])
    many("INSERT INTO questions VALUES (?,?,?)", [(head.key, each.id, to_text(each)) for each in snapshot.questions])
    many(
        "INSERT INTO deliverables VALUES (?,?,?)",
        [(head.key, each.event_id, to_text(each)) for each in snapshot.deliverables],
    )
    for command in snapshot.commands:
        _insert_command(transaction, head, command)
    transaction.touch(head, updated=snapshot.record.updated)


def _insert(
    transaction: Transaction,
    record: SessionRecord,
    lease: LeaseState,
    first_seq: int,
    last_seq: int,
    last_event_id: str,
) -> Head:
    execute = transaction.connection.execute
    row = execute("SELECT key, record IS NOT NULL FROM sessions WHERE id=?", (record.id,)).fetchone()
    if row and row[1]:
        raise SessionRefused(f"there is a session {record.id} already")
    key = row[0] if row else None  # None: SQLite chooses one
    values = (key, record.id, record.state, record.created, to_text(record))
    key = execute("INSERT OR REPLACE INTO sessions VALUES (?,?,?,?,?)", values).lastrowid
    execute("INSERT OR REPLACE INTO heads VALUES (?,0,0,?,?,?)", (key, first_seq, last_seq, last_event_id))
    execute("INSERT INTO leases VALUES (?,0,NULL,0,0)", (key,))
    head = transaction.head(record.id)
    transaction.set_lease(head, lease)
    return head


def _insert_command(transaction: Transaction, head: Head, command: Command) -> None:
    transaction.connection.execute(
        "INSERT INTO commands VALUES (?,?,?,?,?)",
        (head.key, command.number, command.id, command.receipt is not None, to_text(command)),
    )
