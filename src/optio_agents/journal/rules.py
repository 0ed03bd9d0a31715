"""What a batch may say, given what the journal holds. Pure, and the same in every store."""

from collections.abc import Mapping, Sequence

from ..errors import CommitRefused, SessionRefused
from .batch import Batch, Event, Outgoing, Snapshot
from .documents import Command, Question, Receipt, SessionRecord, to_json

INBOX_LIMIT = 1_000
"""Commands that may wait in one inbox."""
COMMAND_LIMIT = 1 << 20
"""Characters of JSON that a command's data may have."""


def is_repeat(batch: Batch, last_seq: int, last_event_id: str) -> bool:
    """Whether the batch is the latest one again, sent by an owner that missed the answer.

    A batch without events is never known again. That is no loss: all it can do is set what is set already.

    Raises:
        CommitRefused: it is neither that nor the next one.
    """
    if batch.after == last_seq:
        return False
    if batch.events and batch.after + len(batch.events) == last_seq and batch.events[-1].event_id == last_event_id:
        return True
    raise CommitRefused(f"the batch follows event {batch.after}, but the last event is {last_seq}")


def check_record(new: SessionRecord, session: str) -> None:
    """CommitRefused if a record is another session's, or ended without saying how."""
    if new.id != session:
        raise CommitRefused(f"the record of session {new.id} was handed in for session {session}")
    if new.state == "ended" and new.outcome is None:
        raise CommitRefused(f"session {session} is to be ended without an outcome")


def is_new_output(piece: Outgoing, end: int, stored: bytes | None) -> bool:
    """Whether a piece of output is to be stored.

    Parameters:
        piece: the piece.
        end: where the stream's outbox ends.
        stored: what the outbox holds at exactly this offset; None: no piece begins there.

    Raises:
        CommitRefused: it leaves a hole, or says something else than was said before.
    """
    if piece.offset == end and piece.data:
        return True
    if piece.data and stored == piece.data:
        return False
    raise CommitRefused(f"outbox {piece.stream!r} ends at {end}; {len(piece.data)} bytes at {piece.offset} do not fit")


def check_acknowledged(stream: str, mark: int, before: int, end: int) -> None:
    """CommitRefused if fewer bytes are acknowledged than before, or more than were to be sent."""
    if not before <= mark <= end:
        raise CommitRefused(f"outbox {stream!r}: {mark} bytes acknowledged, of {end}, after {before} before")


def check_question(new: Question, stored: Question | None) -> None:
    """CommitRefused if a question that was answered or withdrawn is to change."""
    if stored is not None and stored.status != "open" and stored != new:
        raise CommitRefused(f"question {new.id} is {stored.status} already")


def new_receipts(receipts: Mapping[int, Receipt], taken: int, last: int, stored: Mapping[int, Receipt]) -> list[int]:
    """The commands that these receipts take, in order.

    Parameters:
        receipts: by the number of the command.
        taken: number of the last command that has a receipt.
        last: number of the last command that was put.
        stored: the receipts already there, for as many of those numbers as have one.

    Raises:
        CommitRefused: a command is skipped, does not exist, or has another receipt already.
    """
    for number, receipt in receipts.items():
        if number <= taken and stored.get(number) != receipt:
            raise CommitRefused(f"command {number} has another receipt already")
    new = sorted(number for number in receipts if number > taken)
    if new and (new[0] != taken + 1 or new[-1] != taken + len(new) or new[-1] > last):
        raise CommitRefused(f"receipts for commands {new}, but the next of {last} commands is {taken + 1}")
    return new


def check_put(session: str, state: str, waiting: int, data: str) -> None:
    """Whether one more command may be put into an inbox.

    Parameters:
        session: its id.
        state: its state.
        waiting: how many commands wait there.
        data: the new command's data, as JSON.

    Raises:
        SessionRefused: it has ended, the inbox is full, or the command is too long.
    """
    if state == "ended":
        raise SessionRefused(f"session {session} has ended; it takes no more commands")
    if waiting >= INBOX_LIMIT:
        raise SessionRefused(f"session {session}: {waiting} commands wait to be taken; is its driver alive?")
    if len(data) > COMMAND_LIMIT:
        raise SessionRefused(
            f"session {session}: a command of {len(data)} characters, at most {COMMAND_LIMIT} are taken"
        )


def same_command(stored: Command, kind: str, data: str) -> Command:
    """The stored command, when one with this id is put again; CommitRefused if it was another one."""
    if stored.kind != kind or to_json(stored.data) != data:
        raise CommitRefused(f"command {stored.id} was put before, and was another one")
    return stored


def refused_at_end(now: float) -> Receipt:
    """The receipt of a command that was still in the inbox when its session ended."""
    return Receipt(status="refused", message="the session ended before this was taken", time=now)


def check_importable(snapshot: Snapshot, events: Sequence[Event]) -> None:
    """CommitRefused if the events are not those that the snapshot speaks of, or something is there twice."""
    commands = [each.number for each in snapshot.commands]
    ids = (
        [each.id for each in snapshot.commands],
        [each.id for each in snapshot.questions],
        [each.event_id for each in snapshot.deliverables],
    )
    if commands != list(range(1, len(commands) + 1)) or any(len(set(each)) < len(each) for each in ids):
        raise CommitRefused(
            f"session {snapshot.record.id}: commands, questions or deliverables are missing or there twice; was the "
            "export edited?"
        )
    wanted = range(snapshot.first_seq, snapshot.last_seq + 1)
    if snapshot.first_seq < 1 or [each.seq for each in events] != list(wanted):
        raise CommitRefused(
            f"session {snapshot.record.id}: {len(events)} events are not those from {snapshot.first_seq} "
            f"to {snapshot.last_seq}; was the export cut short?"
        )
