"""A batch of an owner, as rows. Runs in the writer's thread; what is refused raises, and is undone by the writer."""

from .. import rules
from ..batch import Batch, Committed
from ..documents import Command, Question, from_text, to_text
from ..lease import Lease
from .transaction import Head, Transaction


def write_batch(transaction: Transaction, lease: Lease, batch: Batch, data: list[str]) -> Committed:
    """Write a batch.

    Parameters:
        transaction: the transaction it becomes part of.
        lease: what the caller holds.
        batch: the batch.
        data: the data of each of its events as JSON, made by the caller, whose mistakes it may contain.
    """
    head = transaction.head(lease.session)
    head.lease.check(lease)
    if rules.is_repeat(batch, head.last_seq, head.last_event_id):
        return Committed(head.last_seq, repeated=True)
    for event, text in zip(batch.events, data, strict=True):
        head.last_seq += 1
        head.last_event_id = event.event_id
        transaction.add_event((head.key, head.last_seq, event.type, text, event.time, event.source, event.event_id))
    for stream, cursor in batch.cursors.items():
        transaction.set_cursor(head, stream, cursor)
    if batch.outbox or batch.acknowledged:
        _write_outbox(transaction, head, batch)
    for question in batch.questions:
        _write_question(transaction, head, question)
    for deliverable in batch.deliverables:
        transaction.connection.execute(
            "INSERT INTO deliverables VALUES (?,?,?) ON CONFLICT (key, id) DO UPDATE SET document=excluded.document",
            (head.key, deliverable.event_id, to_text(deliverable)),
        )
    if batch.receipts:
        _write_receipts(transaction, head, batch)
    if batch.record is not None:
        rules.check_record(batch.record, lease.session)
        head.state = batch.record.state
        transaction.connection.execute(
            "UPDATE sessions SET state=?, created=?, record=? WHERE key=?",
            (head.state, batch.record.created, to_text(batch.record), head.key),
        )
        if head.state == "ended":
            _refuse_waiting(transaction, head)
    transaction.touch(head)
    return Committed(head.last_seq)


def _write_outbox(transaction: Transaction, head: Head, batch: Batch) -> None:
    execute = transaction.connection.execute
    for piece in batch.outbox:
        row = execute(
            "SELECT data FROM outbox WHERE key=? AND stream=? AND offset=?", (head.key, piece.stream, piece.offset)
        ).fetchone()
        if rules.is_new_output(piece, _end(transaction, head, piece.stream), row and row[0]):
            execute("INSERT INTO outbox VALUES (?,?,?,?)", (head.key, piece.stream, piece.offset, piece.data))
            execute("INSERT OR IGNORE INTO streams VALUES (?,?,0)", (head.key, piece.stream))
    for stream, mark in batch.acknowledged.items():
        row = execute("SELECT acknowledged FROM streams WHERE key=? AND stream=?", (head.key, stream)).fetchone()
        rules.check_acknowledged(stream, mark, row[0] if row else 0, _end(transaction, head, stream))
        execute("INSERT OR REPLACE INTO streams VALUES (?,?,?)", (head.key, stream, mark))


def _end(transaction: Transaction, head: Head, stream: str) -> int:
    row = transaction.connection.execute(
        "SELECT offset + length(data) FROM outbox WHERE key=? AND stream=? ORDER BY offset DESC LIMIT 1",
        (head.key, stream),
    ).fetchone()
    return int(row[0]) if row else 0


def _write_question(transaction: Transaction, head: Head, question: Question) -> None:
    row = transaction.connection.execute(
        "SELECT document FROM questions WHERE key=? AND id=?", (head.key, question.id)
    ).fetchone()
    rules.check_question(question, from_text(Question, row[0]) if row else None)
    transaction.connection.execute(
        "INSERT INTO questions VALUES (?,?,?) ON CONFLICT (key, id) DO UPDATE SET document=excluded.document",
        (head.key, question.id, to_text(question)),
    )


def _write_receipts(transaction: Transaction, head: Head, batch: Batch) -> None:
    last, taken = inbox_marks(transaction, head)
    there = {n: command for n in batch.receipts if 1 <= n <= last and (command := _command(transaction, head, n))}
    stored = {number: command.receipt for number, command in there.items() if command.receipt is not None}
    for number in rules.new_receipts(batch.receipts, taken, last, stored):
        _store_command(transaction, head, there[number].model_copy(update={"receipt": batch.receipts[number]}))


def _refuse_waiting(transaction: Transaction, head: Head) -> None:
    last, taken = inbox_marks(transaction, head)
    receipt = rules.refused_at_end(transaction.now)
    for number in range(taken + 1, last + 1):
        command = _command(transaction, head, number)
        _store_command(transaction, head, command.model_copy(update={"receipt": receipt}))


def inbox_marks(transaction: Transaction, head: Head) -> tuple[int, int]:
    """The numbers of the last command in the inbox and of the last one taken; commands are taken in order."""
    last, taken = transaction.connection.execute(
        "SELECT count(*), coalesce(sum(taken), 0) FROM commands WHERE key=?", (head.key,)
    ).fetchone()
    return last, taken


def _command(transaction: Transaction, head: Head, number: int) -> Command:
    (text,) = transaction.connection.execute(
        "SELECT document FROM commands WHERE key=? AND number=?", (head.key, number)
    ).fetchone()
    return from_text(Command, text)


def _store_command(transaction: Transaction, head: Head, command: Command) -> None:
    transaction.connection.execute(
        "UPDATE commands SET taken=?, document=? WHERE key=? AND number=?",
        (command.receipt is not None, to_text(command), head.key, command.number),
    )
