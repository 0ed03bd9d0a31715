"""What is written, in one transaction. Runs in the writer's thread.

Events, cursors and heads, of which nearly every commit has some, are collected and written in bulk at the end. Whatever
reads those tables must call `flush` first.
"""

import sqlite3
from contextlib import suppress
from dataclasses import dataclass

from optio_host.cursor import Cursor

from ...errors import SessionUnknown
from ..documents import Driver, from_text, to_text
from ..lease import LeaseState

EventRow = tuple[int, int, str, str, float, str, str]


@dataclass(slots=True)
class Head:
    """What every commit looks at and changes. `state` is the record's."""

    key: int
    session: str
    state: str
    lease: LeaseState
    first_seq: int
    last_seq: int
    last_event_id: str
    updated: float
    change: int


class Transaction:
    """A transaction at a time on one connection.

    Heads are remembered from one transaction to the next for as long as no other connection has written.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.now = 0.0
        self._heads: dict[str, Head] = {}
        self._change = 0
        self._data_version = -1
        self._events: list[EventRow] = []
        self._cursors: dict[tuple[int, str], Cursor] = {}
        self._touched: dict[str, Head] = {}
        self._changes: dict[str, int] = {}

    def begin(self, now: float) -> None:
        """Begin. now: seconds since the epoch, for all that is noted in it."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.now = now
        (data_version,) = self.connection.execute("PRAGMA data_version").fetchone()
        if data_version != self._data_version:
            self._forget()
            self._data_version = data_version
            (self._change,) = self.connection.execute("SELECT latest FROM changes").fetchone()
        self._changes = {}

    def commit(self) -> dict[str, int]:
        """Make it durable; the sessions it changed, and the number of the change to each."""
        self.flush()
        if self._changes:
            self._change += 1
            self.connection.execute("UPDATE changes SET latest=?", (self._change,))
        self.connection.execute("COMMIT")
        return self._changes

    def roll_back(self) -> None:
        """Undo it, if there is anything to undo."""
        if self.connection.in_transaction:
            with suppress(sqlite3.Error):  # after some errors SQLite has undone it by itself, and says so with another
                self.connection.execute("ROLLBACK")
        self._forget()

    def flush(self) -> None:
        """Write what was collected."""
        if self._events:
            self.connection.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?)", self._events)
            self._events.clear()
        if self._cursors:
            self.connection.executemany(
                "INSERT OR REPLACE INTO cursors VALUES (?,?,?,?,?)",
                [(key, stream, at.file, at.offset, at.check) for (key, stream), at in self._cursors.items()],
            )
            self._cursors.clear()
        if self._touched:
            self.connection.executemany(
                "UPDATE heads SET change=?, updated=?, first_seq=?, last_seq=?, last_event_id=? WHERE key=?",
                [
                    (head.change, head.updated, head.first_seq, head.last_seq, head.last_event_id, head.key)
                    for head in self._touched.values()
                ],
            )
            self._touched.clear()

    def head(self, session: str) -> Head:
        """The head of a session, to be changed in place and then `touch`ed. SessionUnknown if there is none."""
        head = self._heads.get(session)
        if head is None:
            head = self._heads[session] = self._read_head(session)
        return head

    def touch(self, head: Head, *, updated: float | None = None) -> None:
        """Note that a session has changed; now, unless said otherwise."""
        head.change = self._change + 1
        head.updated = self.now if updated is None else updated
        self._touched[head.session] = head
        self._changes[head.session] = head.change

    def add_event(self, row: EventRow) -> None:
        """Collect an event."""
        self._events.append(row)

    def set_cursor(self, head: Head, stream: str, cursor: Cursor) -> None:
        """Collect where a reader stands."""
        self._cursors[head.key, stream] = cursor

    def set_lease(self, head: Head, lease: LeaseState) -> None:
        """Store who owns a session."""
        head.lease = lease
        driver = None if lease.driver is None else to_text(lease.driver)
        self.connection.execute(
            "INSERT OR REPLACE INTO leases VALUES (?,?,?,?,?)",
            (head.key, lease.generation, driver, lease.renewed, lease.ttl),
        )

    def removed(self, head: Head) -> None:
        """Note that a session is no more."""
        self.touch(head)
        self.flush()
        del self._heads[head.session]

    def _read_head(self, session: str) -> Head:
        row = self.connection.execute(
            "SELECT key, state, first_seq, last_seq, last_event_id, updated, change, generation, driver, renewed, ttl "
            "FROM sessions JOIN heads USING (key) JOIN leases USING (key) WHERE id=? AND record IS NOT NULL",
            (session,),
        ).fetchone()
        if row is None:
            raise SessionUnknown(f"there is no session {session}")
        key, state, first_seq, last_seq, last_event_id, updated, change, *lease = row
        return Head(key, session, state, lease_state(*lease), first_seq, last_seq, last_event_id, updated, change)

    def _forget(self) -> None:
        self._heads.clear()
        self._events.clear()
        self._cursors.clear()
        self._touched.clear()
        self._data_version = -1


def lease_state(generation: int, driver: str | None, renewed: float, ttl: float) -> LeaseState:
    """The lease behind a row of the table."""
    return LeaseState(generation, None if driver is None else from_text(Driver, driver), renewed, ttl)
