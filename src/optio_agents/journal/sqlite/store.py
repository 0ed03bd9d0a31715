"""The store: one writer, a few readers, and a look now and then at what other processes wrote."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import anyio

from optio_host.clock import SYSTEM_CLOCK, Clock

from ...errors import StoreError
from ..batch import Batch, Committed, Event, Page, Snapshot
from ..contract import PAGE
from ..documents import Command, Driver, JsonObject, SessionRecord, State, to_json
from ..ids import new_event_id
from ..lease import LEASE_TTL, Lease
from ..news import News
from . import reading, sessions
from .commit import write_batch
from .connect import BUSY_SECONDS, connect, errors_of, prepare
from .writer import Writer

T = TypeVar("T")
READERS = 4
"""How many reads go on at the same time."""
LOOK_EVERY = 0.1
"""Seconds between two looks for changes by other processes, while anybody waits for one."""


@asynccontextmanager
async def open_sqlite(
    path: Path, *, clock: Clock = SYSTEM_CLOCK, busy_seconds: float = BUSY_SECONDS
) -> "AsyncIterator[SqliteStore]":
    """The journals in a file; it is made if it is not there.

    Parameters:
        path: the file; SQLite puts two more next to it, named -wal and -shm.
        clock: for leases, times that are noted, and the looks at what other processes wrote.
        busy_seconds: how long to wait for other processes that hold the file.

    Raises:
        StoreError: it cannot be opened; the message says why and what to do.
    """
    await anyio.to_thread.run_sync(prepare, path, busy_seconds)
    store = SqliteStore(path, clock, busy_seconds)
    raised: Exception | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.watch)
            try:
                yield store
            except Exception as error:
                raised = error  # a task group would wrap it in a group, and nobody outside could name it
            tasks.cancel_scope.cancel()
    finally:
        await store.close()
    if raised is not None:
        raise raised


class SqliteStore:
    """Implements `Store`. Made by `open_sqlite`."""

    def __init__(self, path: Path, clock: Clock, busy_seconds: float) -> None:
        self.path = path
        self.url = self.secret_url = f"sqlite://{quote(str(path.absolute()))}"
        self._clock = clock
        self._busy_seconds = busy_seconds
        self._news = News()
        self._readers: list[sqlite3.Connection] = []
        self._reading = anyio.CapacityLimiter(READERS)
        self._closed = False
        self._seen = 0  # the latest change by whoever that was told here
        with errors_of(path):
            self._writer = Writer(path, busy_seconds, clock, self._news)

    async def create(self, record: SessionRecord, driver: Driver, *, ttl: float = LEASE_TTL) -> Lease:
        """Begin the journal of a new session."""
        return await self._writer.run(lambda transaction: sessions.create(transaction, record, driver, ttl))

    async def sessions(self, *, states: Collection[State] = ()) -> list[SessionRecord]:
        """The record of every session, the oldest first."""
        return await self._read(lambda connection: reading.sessions(connection, states))

    async def resolve(self, prefix: str) -> str:
        """The id that begins like this."""
        return await self._read(lambda connection: reading.resolve(connection, prefix))

    async def snapshot(self, session: str) -> Snapshot:
        """Everything about a session but its events."""
        return await self._read(lambda connection: reading.snapshot(connection, session))

    async def acquire(
        self, session: str, driver: Driver, *, ttl: float = LEASE_TTL, taking_over: int | None = None
    ) -> Lease:
        """Become the owner."""
        return await self._writer.run(
            lambda transaction: sessions.acquire(transaction, session, driver, ttl, taking_over)
        )

    async def renew(self, lease: Lease, *, ttl: float = LEASE_TTL) -> None:
        """Keep the ownership."""
        await self._writer.run(lambda transaction: sessions.renew(transaction, lease, ttl))

    async def release(self, lease: Lease) -> None:
        """Give the ownership up."""
        await self._writer.run(lambda transaction: sessions.release(transaction, lease))

    async def commit(self, lease: Lease, batch: Batch) -> Committed:
        """Write a batch."""
        data = [to_json(event.data) for event in batch.events]
        return await self._writer.run(lambda transaction: write_batch(transaction, lease, batch, data))

    async def put(
        self, session: str, kind: str, data: JsonObject, *, sender: str = "", command_id: str | None = None
    ) -> Command:
        """Put a command into the inbox."""
        text = to_json(data)
        id = command_id or new_event_id()
        return await self._writer.run(lambda transaction: sessions.put(transaction, session, id, kind, text, sender))

    async def inbox(self, session: str, *, limit: int = 100) -> tuple[Command, ...]:
        """The commands not taken yet."""
        return await self._read(lambda connection: reading.inbox(connection, session, limit))

    async def command(self, session: str, number: int) -> Command:
        """One command."""
        return await self._read(lambda connection: reading.command(connection, session, number))

    async def events(self, session: str, *, after: int = 0, limit: int = PAGE) -> Page:
        """A page of history."""
        return await self._read(lambda connection: reading.events(connection, session, after, limit))

    async def news(self, session: str | None, since: int) -> int:
        """Wait for a change."""
        told = self._news.expect(session)  # first, so that nothing falls between the look and the wait
        try:
            change = await self._read(lambda connection: reading.change(connection, session))
            if change > since:
                return change
            while (change := await told) <= since:
                self._news.forget(session, told)
                told = self._news.expect(session)
        finally:
            self._news.forget(session, told)
        if session is not None:
            await self._read(lambda connection: reading.change(connection, session))  # unless it was removed
        return change

    async def prune(self, session: str, *, before: int) -> int:
        """Forget old events."""
        return await self._writer.run(lambda transaction: sessions.prune(transaction, session, before))

    async def remove_ended(self, *, before: float, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Forget ended sessions."""
        now = self._clock.time()
        return await self._writer.run(lambda transaction: sessions.remove_ended(transaction, before, keep, now))

    async def load(self, snapshot: Snapshot, events: Sequence[Event]) -> None:
        """Add a session from elsewhere."""
        data = [to_json(event.data) for event in events]
        await self._writer.run(lambda transaction: sessions.load(transaction, snapshot, events, data))

    async def watch(self) -> None:
        """Tell those who wait here what other processes wrote. Runs for as long as the store is open."""
        while True:
            await self._news.until_somebody_waits()
            try:
                changes = await self._read(lambda connection: reading.changes_since(connection, self._seen))
            except StoreError as error:
                self._news.fail(error)
            else:
                self._seen = max([self._seen, *changes.values()])
                self._news.tell(changes)
            await self._clock.sleep(LOOK_EVERY)

    async def close(self) -> None:
        """Finish what is being written, and let go of the file."""
        with anyio.CancelScope(shield=True):
            self._closed = True
            await self._writer.close()
            for _ in range(READERS):
                await self._reading.acquire_on_behalf_of(object())  # had by reads that are still under way
        while self._readers:
            self._readers.pop().close()

    async def _read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreError(f"{self.path}: the journal was closed")
        return await anyio.to_thread.run_sync(self._look, look, limiter=self._reading)

    def _look(self, look: Callable[[sqlite3.Connection], T]) -> T:
        with errors_of(self.path):
            try:
                connection = self._readers.pop()
            except IndexError:  # as many connections are made as reads go on at once
                connection = connect(self.path, self._busy_seconds, read_only=True)
            try:
                return look(connection)
            finally:
                self._readers.append(connection)
