"""What is read. A head first, then rows: those that it counts never change, so together they are of one moment."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import TypeVar

from ...errors import StoreError
from ..batch import Event, Gap, Page, Snapshot
from ..documents import Command, Receipt, SessionRecord, State, from_text
from ..ids import resolved
from . import rows
from .changing import Changing
from .head import Head, head_of
from .keys import Document, command_key, heads_of, number_of, rows_behind
from .tables import Tables

T = TypeVar("T")
TRIES = 5
"""Looks at a session of which rows are being removed."""
KEYS_AT_ONCE = 1_000


async def sessions(tables: Tables, states: Collection[State]) -> list[SessionRecord]:
    """Records, the oldest first."""
    found = [head_of(each) for each in await tables.find(tables.heads, heads_of(tables.tenant))]
    records = [record_of(head) for head in found if head.record is not None]
    wanted = [record for record in records if not states or record.state in states]
    return sorted(wanted, key=lambda record: (record.created, record.id))


async def resolve(tables: Tables, prefix: str) -> str:
    """The id that begins like this."""
    found = [head_of(each) for each in await tables.find(tables.heads, heads_of(tables.tenant, prefix))]
    return resolved(prefix, [each.session for each in found if each.record is not None])


async def snapshot(changing: Changing, session: str) -> Snapshot:
    """Everything but the events."""
    tables = changing.tables

    async def look(head: Head) -> Snapshot | None:
        found = await tables.find(tables.parts, rows_behind(head.life, 0, head.parts))
        parts = rows.parts_of(found)
        commands = await _commands(tables, head, parts.receipts)
        if len(found) != head.parts or commands is None:
            return None
        return Snapshot(
            record=record_of(head),
            lease=replace(head.lease, renewed=head.lease.renewed - changing.ahead),
            first_seq=head.first_seq,
            last_seq=head.last_seq,
            change=head.change,
            cursors=head.cursors,
            outbox=rows.outboxes(head, parts),
            questions=tuple(parts.questions.values()),
            deliverables=tuple(parts.deliverables.values()),
            commands=commands,
        )

    return await _whole(changing, session, look)


async def inbox(changing: Changing, session: str, limit: int) -> tuple[Command, ...]:
    """Commands not yet taken."""

    async def look(head: Head) -> tuple[Command, ...] | None:
        return await _commands(changing.tables, replace(head, inbox=head.inbox[:limit]), {})

    return await _whole(changing, session, look)


async def command(changing: Changing, session: str, number: int) -> Command:
    """One command."""
    tables = changing.tables

    async def look(head: Head) -> tuple[Command, ...] | None:
        if not 1 <= number <= head.commands:
            raise LookupError(f"session {session} has no command {number}")
        before = number - head.taken - 1
        if before >= 0:
            return await _commands(tables, replace(head, taken=number - 1, inbox=head.inbox[before : before + 1]), {})
        part = await part_with_key(tables, head, rows.receipt_key(head.life, number))
        receipts = rows.parts_of([part] if part else []).receipts
        return await _commands(tables, replace(head, inbox=()), receipts) or None

    (found,) = await _whole(changing, session, look)
    return found


async def events(changing: Changing, session: str, after: int, limit: int) -> Page:
    """A page of history."""
    tables = changing.tables

    async def look(head: Head) -> Page | None:
        first = max(after + 1, head.first_seq)
        last = min(head.last_seq, first + limit - 1)
        found: tuple[Event, ...] = ()
        if first <= last:
            found = tuple(map(rows.event_of, await tables.find(tables.events, rows_behind(head.life, first - 1, last))))
            if len(found) != last - first + 1:
                return None
        return Page(found, Gap(after + 1, first - 1) if first > after + 1 else None, head.last_seq)

    return await _whole(changing, session, look)


async def part_with_key(tables: Tables, head: Head, key: str) -> Document | None:
    """The latest part with this key that counts."""
    found = await tables.find(tables.parts, {"key": key})
    return next((each for each in reversed(found) if number_of(each) <= head.parts), None)


def record_of(head: Head) -> SessionRecord:
    """The record as it is handed out."""
    assert head.record is not None
    return head.record.model_copy(update={"driver": head.lease.driver, "updated": head.updated})


async def _whole(changing: Changing, session: str, look: Callable[[Head], Awaitable[T | None]]) -> T:
    """What `look` finds; None is for rows that are missing, because they were removed since the head was read."""
    for _ in range(TRIES):
        if (found := await look(await changing.existing(session))) is not None:
            return found
    raise StoreError(
        f"{changing.tables.server.name}: session {session} is damaged: its head counts more than is there. Was the "
        "database restored in part? Programs on their hosts are not touched by this"
    )


async def _commands(tables: Tables, head: Head, receipts: dict[int, tuple[str, Receipt]]) -> tuple[Command, ...] | None:
    """The commands that have these receipts, and those of the inbox; None when one is missing."""
    ids = {number: command_id for number, (command_id, _) in receipts.items()}
    ids |= dict(enumerate(head.inbox, head.taken + 1))
    keys = [command_key(head.life, number, ids[number]) for number in sorted(ids)]
    found: dict[str, Document] = {}
    for start in range(0, len(keys), KEYS_AT_ONCE):
        wanted = {"_id": {"$in": keys[start : start + KEYS_AT_ONCE]}}
        found |= {each["_id"]: each for each in await tables.find(tables.commands, wanted)}
    if len(found) != len(keys):
        return None
    commands = [from_text(Command, found[key]["document"]) for key in keys]
    return tuple(
        each.model_copy(update={"receipt": receipts[each.number][1]}) if each.number in receipts else each
        for each in commands
    )
