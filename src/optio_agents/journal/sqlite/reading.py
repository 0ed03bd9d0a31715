"""What is read, each in one look at the file. Runs in worker threads, on connections that cannot write."""

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from optio_host.cursor import Cursor

from ...errors import SessionUnknown
from ..batch import Event, Gap, Outbox, Outgoing, Page, Snapshot
from ..documents import Command, D, Deliverable, Driver, Question, SessionRecord, State, from_text
from ..ids import resolved
from .transaction import lease_state


def sessions(connection: sqlite3.Connection, states: Collection[State]) -> list[SessionRecord]:
    """Records, the oldest first."""
    rows = connection.execute(
        "SELECT record, driver, updated, state FROM sessions JOIN heads USING (key) JOIN leases USING (key) "
        "WHERE record IS NOT NULL ORDER BY created, id"
    )
    return [_record(*row) for *row, state in rows if not states or state in states]


def resolve(connection: sqlite3.Connection, prefix: str) -> str:
    """The id that begins like this."""
    rows = connection.execute(
        "SELECT id FROM sessions WHERE record IS NOT NULL AND substr(id, 1, ?) = ?", (len(prefix), prefix)
    )
    return resolved(prefix, [session for (session,) in rows])


def snapshot(connection: sqlite3.Connection, session: str) -> Snapshot:
    """Everything but the events."""
    with _one_moment(connection):
        key, record, first_seq, last_seq, change, updated, *lease = _row(
            connection,
            session,
            "key, record, first_seq, last_seq, change, updated, generation, driver, renewed, ttl",
        )
        return Snapshot(
            record=_record(record, lease[1], updated),
            lease=lease_state(*lease),
            first_seq=first_seq,
            last_seq=last_seq,
            change=change,
            cursors={
                stream: Cursor(file, offset, check)
                for stream, file, offset, check in connection.execute(
                    "SELECT stream, file, offset, bytes_check FROM cursors WHERE key=? ORDER BY stream", (key,)
                )
            },
            outbox=_outbox(connection, key),
            questions=_documents(connection, Question, "questions WHERE key=? ORDER BY rowid", key),
            deliverables=_documents(connection, Deliverable, "deliverables WHERE key=? ORDER BY rowid", key),
            commands=_documents(connection, Command, "commands WHERE key=? ORDER BY number", key),
        )


def inbox(connection: sqlite3.Connection, session: str, limit: int) -> tuple[Command, ...]:
    """Commands not yet taken."""
    with _one_moment(connection):
        (key,) = _row(connection, session, "key")
        rows = connection.execute(
            "SELECT document FROM commands WHERE key=? AND NOT taken ORDER BY number LIMIT ?", (key, limit)
        )
        return tuple(from_text(Command, text) for (text,) in rows)


def command(connection: sqlite3.Connection, session: str, number: int) -> Command:
    """One command."""
    with _one_moment(connection):
        (key,) = _row(connection, session, "key")
        row = connection.execute("SELECT document FROM commands WHERE key=? AND number=?", (key, number)).fetchone()
    if row is None:
        raise LookupError(f"session {session} has no command {number}")
    return from_text(Command, row[0])


def events(connection: sqlite3.Connection, session: str, after: int, limit: int) -> Page:
    """A page of history."""
    with _one_moment(connection):
        key, first_seq, last_seq = _row(connection, session, "key, first_seq, last_seq")
        rows = connection.execute(
            "SELECT seq, type, data, time, source, event_id FROM events WHERE key=? AND seq>? ORDER BY seq LIMIT ?",
            (key, after, limit),
        ).fetchall()
    found = tuple(Event(seq, kind, json.loads(data), *rest) for seq, kind, data, *rest in rows)
    return Page(found, Gap(after + 1, first_seq - 1) if first_seq > after + 1 else None, last_seq)


def change(connection: sqlite3.Connection, session: str | None) -> int:
    """The number of the latest change, to one session or in all."""
    if session is not None:
        return int(_row(connection, session, "change")[0])
    (latest,) = connection.execute("SELECT latest FROM changes").fetchone()
    return int(latest)


def changes_since(connection: sqlite3.Connection, since: int) -> dict[str, int]:
    """Every session that has changed after the change of this number, removed ones too; the latest change to each."""
    if change(connection, None) <= since:
        return {}  # nearly always, and much cheaper than a look at every session
    rows = connection.execute("SELECT id, change FROM sessions JOIN heads USING (key) WHERE change>?", (since,))
    return dict(rows.fetchall())


@contextmanager
def _one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads in the body see the file as it was at the first of them."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:  # else an error has ended it already
            connection.execute("ROLLBACK")


def _row(connection: sqlite3.Connection, session: str, columns: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(
        f"SELECT {columns} FROM sessions JOIN heads USING (key) JOIN leases USING (key) "
        "WHERE id=? AND record IS NOT NULL",
        (session,),
    ).fetchone()
    if row is None:
        raise SessionUnknown(f"there is no session {session}")
    return row


def _documents(connection: sqlite3.Connection, kind: type[D], source: str, key: int) -> tuple[D, ...]:
    return tuple(from_text(kind, text) for (text,) in connection.execute(f"SELECT document FROM {source}", (key,)))


def _outbox(connection: sqlite3.Connection, key: int) -> dict[str, Outbox]:
    pieces: dict[str, list[Outgoing]] = {}
    for row in connection.execute(
        "SELECT stream, offset, data FROM outbox WHERE key=? ORDER BY stream, offset", (key,)
    ):
        pieces.setdefault(row[0], []).append(Outgoing(*row))
    streams = connection.execute("SELECT stream, acknowledged FROM streams WHERE key=? ORDER BY stream", (key,))
    return {stream: Outbox(tuple(pieces.get(stream, ())), acknowledged) for stream, acknowledged in streams}


def _record(text: str, driver: str | None, updated: float) -> SessionRecord:
    holder = None if driver is None else from_text(Driver, driver)
    return from_text(SessionRecord, text).model_copy(update={"driver": holder, "updated": updated})
