"""What is changed besides an owner's batches."""

import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace

from pymongo.errors import DuplicateKeyError

from ...errors import SessionRefused
from .. import rules
from ..batch import Event, Snapshot
from ..documents import Command, Driver, JsonObject, SessionRecord, from_text, to_text
from ..ids import new_event_id
from ..lease import Lease, LeaseState
from . import rows
from .changing import Changing
from .head import Head, Stream, head_of
from .keys import Document, all_rows, command_key, head_key, heads_of, new_life, rows_behind
from .reading import part_with_key
from .tables import Tables

FORGET_AFTER = 86_400.0
"""Seconds that the head of a removed session is kept, so that those who wait for it see that it is gone."""
ROWS_AT_ONCE = 1_000


async def create(changing: Changing, record: SessionRecord, driver: Driver, ttl: float) -> Lease:
    """A new session."""
    rules.check_record(record, record.id)
    lease = LeaseState().acquired(record.id, driver, changing.lease_time(), ttl=ttl)
    head = Head(head_key(changing.tables.tenant, record.id), record.id, new_life(), record, lease)
    await _insert(changing, head)
    return Lease(record.id, lease.generation)


async def acquire(changing: Changing, session: str, driver: Driver, ttl: float, taking_over: int | None) -> Lease:
    """A new owner."""
    token = secrets.token_hex(8)

    async def decide(head: Head) -> tuple[Head | None, Lease]:
        if head.lease_token == token:  # done before, and only the answer was lost
            return None, Lease(session, head.lease.generation)
        now = changing.lease_time()
        lease = head.lease.acquired(session, driver, now, ttl=ttl, taking_over=taking_over)
        return replace(head, lease=lease, lease_token=token), Lease(session, lease.generation)

    return await changing.change(session, decide)


async def renew(changing: Changing, lease: Lease, ttl: float) -> None:
    """The same owner for longer. Nobody waits for this, so it is no change, and no version of the head."""
    head = await changing.existing(lease.session)
    renewed = head.lease.renewed_by(lease, changing.lease_time(), ttl=ttl)
    tables = changing.tables
    wanted = {"_id": head.key, "life": head.life, "lease.generation": lease.generation, "lease.token": head.lease_token}
    fields = {"lease.renewed": renewed.renewed, "lease.ttl": renewed.ttl}
    held = {"lease.driver": {"$ne": None}}
    result = await tables.server.ask(lambda: tables.heads.update_one({**wanted, **held}, {"$set": fields}))
    if not result.matched_count:
        (await changing.existing(lease.session)).lease.check(lease)


async def release(changing: Changing, lease: Lease) -> None:
    """No owner any more."""

    async def decide(head: Head) -> tuple[Head | None, None]:
        released = head.lease.released_by(lease)
        return None if released == head.lease else replace(head, lease=released), None

    await changing.change(lease.session, decide)


async def put(changing: Changing, session: str, command_id: str | None, kind: str, data: str, sender: str) -> Command:
    """A command. data: as JSON. command_id: None: a random one."""
    tables = changing.tables
    may_be_there = command_id is not None
    id = command_id or new_event_id()

    async def decide(head: Head) -> tuple[Head | None, Command]:
        nonlocal may_be_there
        if may_be_there and (stored := await _with_id(tables, head, id)) is not None:
            return None, rules.same_command(stored, kind, data)
        may_be_there = True
        assert head.record is not None
        rules.check_put(session, head.record.state, len(head.inbox), data)
        number = head.commands + 1
        decoded: JsonObject = json.loads(data)
        time = changing.clock.time()
        command = Command(number=number, id=id, kind=kind, data=decoded, sender=sender, time=time)
        # Not replaced if it is there: by this call, whose answer was lost, or by another one of the same id.
        command = rules.same_command(await _stored(tables, head.life, command), kind, data)
        return replace(head, inbox=(*head.inbox, id)), command

    return await changing.change(session, decide)


async def _with_id(tables: Tables, head: Head, command_id: str) -> Command | None:
    """The command that has this id; None: none that counts."""
    for row in await tables.find(tables.commands, {"command": f"{head.life}/{command_id}"}):
        command = from_text(Command, row["document"])
        if command.number > head.taken:
            if head.inbox[command.number - head.taken - 1 :][:1] == (command_id,):
                return command
            continue
        part = await part_with_key(tables, head, rows.receipt_key(head.life, command.number))
        if part is not None and part["command"] == command_id:
            return command.model_copy(update={"receipt": rows.parts_of([part]).receipts[command.number][1]})
    return None


async def _stored(tables: Tables, life: str, command: Command) -> Command:
    """The command as it stands in its place, now or since before."""
    row = _command_row(life, command)
    try:
        await tables.server.ask(lambda: tables.commands.insert_one(row))
    except DuplicateKeyError:
        (row,) = await tables.find(tables.commands, {"_id": row["_id"]})
    return from_text(Command, row["document"])


def _command_row(life: str, command: Command) -> Document:
    return {
        "_id": command_key(life, command.number, command.id),
        "command": f"{life}/{command.id}",
        "document": to_text(command.model_copy(update={"receipt": None})),
    }


async def prune(changing: Changing, session: str, before: int) -> int:
    """Fewer events."""

    async def decide(head: Head) -> tuple[Head | None, tuple[Head, int, int]]:
        first = min(max(before, head.first_seq), head.last_seq + 1)
        count = first - head.first_seq
        return replace(head, first_seq=first) if count else None, (head, first, count)

    head, first, count = await changing.change(session, decide)
    await changing.tables.delete(changing.tables.events, rows_behind(head.life, 0, first - 1))
    return count


async def remove_ended(changing: Changing, before: float, keep: Collection[str]) -> tuple[str, ...]:
    """Fewer sessions."""
    tables = changing.tables
    removed: list[str] = []
    for found in await tables.find(tables.heads, heads_of(tables.tenant)):
        head = head_of(found)
        if head.record is None:
            if head.updated < changing.clock.time() - FORGET_AFTER:
                # Once more, since a driver that was asleep may have written after that.
                await _remove_rows(tables, head)
                await tables.delete(tables.heads, {"_id": head.key, "version": head.version})
        elif (
            head.record.state == "ended"
            and not head.lease.is_held(changing.lease_time())
            and head.updated < before
            and head.session not in keep
            and await changing.swap(head, replace(head, record=None))
        ):
            await _remove_rows(tables, head)
            removed.append(head.session)
    return tuple(removed)


async def load(changing: Changing, snapshot: Snapshot, events: Sequence[Event], data: Sequence[str]) -> None:
    """A session from elsewhere. data: of each event, as JSON."""
    rules.check_importable(snapshot, events)
    tables, record = changing.tables, snapshot.record
    await _check_free(changing, record.id)
    life = new_life()
    # Rows of a life that no head names count for nothing: until the last step, there is no such session.
    event_rows = rows.event_rows(life, snapshot.first_seq - 1, 0, events, data)
    parts = [rows.output(life, piece) for outbox in snapshot.outbox.values() for piece in outbox.entries]
    parts += [rows.question(life, each) for each in snapshot.questions]
    parts += [rows.deliverable(life, each) for each in snapshot.deliverables]
    parts += [rows.receipt(life, each.number, each.id, each.receipt) for each in snapshot.commands if each.receipt]
    commands = [_command_row(life, each) for each in snapshot.commands]
    part_rows = rows.part_rows(life, 0, 0, parts)
    for collection, documents in ((tables.events, event_rows), (tables.parts, part_rows), (tables.commands, commands)):
        for start in range(0, len(documents), ROWS_AT_ONCE):
            await tables.write(collection, documents[start : start + ROWS_AT_ONCE])
    waiting = tuple(each.id for each in snapshot.commands if each.receipt is None)
    head = Head(
        key=head_key(tables.tenant, record.id),
        session=record.id,
        life=life,
        record=record,
        lease=LeaseState(snapshot.lease.generation),
        first_seq=snapshot.first_seq,
        last_seq=snapshot.last_seq,
        last_event_id=events[-1].event_id if events else "",
        parts=len(parts),
        cursors=snapshot.cursors,
        streams={name: Stream(outbox.end, outbox.acknowledged) for name, outbox in snapshot.outbox.items()},
        taken=len(snapshot.commands) - len(waiting),
        inbox=waiting,
    )
    await _insert(changing, head, updated=record.updated)


async def _insert(changing: Changing, head: Head, *, updated: float | None = None) -> None:
    """Store a new head. SessionRefused if there is a session."""
    while True:
        there = await changing.tables.head(head.session)
        if there is not None and there.life == head.life:
            return  # by this call, whose answer was lost
        if there is not None and there.record is not None:
            raise SessionRefused(f"there is a session {head.session} in {changing.tables.server.name} already")
        if there is None:
            done = await changing.insert(head, updated=updated)
        else:
            done = await changing.swap(there, head, updated=updated)
        if done:
            return


async def _check_free(changing: Changing, session: str) -> None:
    there = await changing.tables.head(session)
    if there is not None and there.record is not None:
        raise SessionRefused(f"there is a session {session} in {changing.tables.server.name} already")


async def _remove_rows(tables: Tables, head: Head) -> None:
    for collection in (tables.events, tables.parts, tables.commands):
        await tables.delete(collection, all_rows(head.life))
