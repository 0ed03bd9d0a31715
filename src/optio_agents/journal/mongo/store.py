"""The store: a database, a tenant in it, and a look now and then at what other processes wrote."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from optio_host.clock import SYSTEM_CLOCK, Clock, SystemClock

from ...errors import StoreError
from ..batch import Batch, Committed, Event, Page, Snapshot
from ..contract import PAGE
from ..documents import Command, Driver, JsonObject, SessionRecord, State, to_json
from ..lease import LEASE_TTL, Lease
from ..news import News
from . import reading, sessions
from .changing import Changing
from .commit import write_batch
from .keys import Document, check_tenant, head_key, heads_of
from .server import PATIENCE, Server
from .tables import Database, Tables
from .url import TENANT, Place

CLOSE_WITHIN = 5.0
"""Seconds in which MongoDB's own client must have let go of its connections; what is left ends with the event loop."""
LOOK_EVERY = 0.2
"""Seconds between two looks for changes by other processes, while anybody waits for one."""


@asynccontextmanager
async def open_mongo(
    place: Place, *, clock: Clock = SYSTEM_CLOCK, patience: float = PATIENCE
) -> "AsyncIterator[MongoStore]":
    """The journals of a tenant in a database; collections and indexes are made if they are not there.

    Parameters:
        place: what the URL says.
        clock: for times that are noted and the looks at what other processes wrote. Leases go by the time of the
            server, unless another clock than the system's is given here.
        patience: seconds that one question to the server may take until it counts as away.

    Raises:
        StoreAway: it cannot be reached.
        StoreError: it refuses, or the URL cannot be used; the message says why and what to do.
    """
    try:
        client: AsyncMongoClient[Document] = AsyncMongoClient(place.client_url)
    except (PyMongoError, ValueError) as error:
        # The cause is not named: it may show what is in the URL.
        raise StoreError(f"{place.shown}: MongoDB's client does not take this URL ({type(error).__name__})") from None
    try:
        async with mongo_store(
            client[place.database], tenant=place.tenant, clock=clock, patience=patience, place=place
        ) as store:
            yield store
    finally:
        # Once seen to wait for ever, where no server was there any more: it waits for tasks of its own.
        with anyio.move_on_after(CLOSE_WITHIN, shield=True):
            await client.close()


@asynccontextmanager
async def mongo_store(
    database: Database,
    *,
    tenant: str = TENANT,
    clock: Clock = SYSTEM_CLOCK,
    patience: float = PATIENCE,
    place: Place | None = None,
) -> "AsyncIterator[MongoStore]":
    """The same with a database that the caller has opened, and closes.

    Parameters:
        database: of motor's client, or of PyMongo's asynchronous one; it belongs to this event loop.
        tenant: whose journals; tenants do not see each other's.
        clock: as for `open_mongo`.
        patience: as for `open_mongo`.
        place: where that is, if a URL says so.
    """
    shown = place.shown if place is not None else f"mongodb:{database.name}?optio_tenant={tenant}"
    store = MongoStore(Tables(database, check_tenant(tenant), Server(shown, patience)), clock, place)
    await store.prepare()
    raised: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.watch)
        try:
            yield store
        except Exception as error:
            raised = error  # a task group would wrap it in a group, and nobody outside could name it
        tasks.cancel_scope.cancel()
    if raised is not None:
        raise raised


class MongoStore:
    """Implements `Store`. Made by `open_mongo` or `mongo_store`."""

    def __init__(self, tables: Tables, clock: Clock, place: Place | None) -> None:
        self.url = tables.server.name
        self.secret_url = self.url if place is None else place.secret_url
        self._tables = tables
        self._clock = clock
        self._news = News()
        self._changing = Changing(tables, clock, self._news)
        self._putting = asyncio.Lock()
        self._told: dict[str, int] = {}

    async def prepare(self) -> None:
        """Make what is not there, and look at the clock of the server."""
        await self._tables.make_indexes()
        await self._compare_clocks()

    async def create(self, record: SessionRecord, driver: Driver, *, ttl: float = LEASE_TTL) -> Lease:
        """Begin the journal of a new session."""
        return await sessions.create(self._changing, record, driver, ttl)

    async def sessions(self, *, states: Collection[State] = ()) -> list[SessionRecord]:
        """The record of every session, the oldest first."""
        return await reading.sessions(self._tables, states)

    async def resolve(self, prefix: str) -> str:
        """The id that begins like this."""
        return await reading.resolve(self._tables, prefix)

    async def snapshot(self, session: str) -> Snapshot:
        """Everything about a session but its events."""
        return await reading.snapshot(self._changing, session)

    async def acquire(
        self, session: str, driver: Driver, *, ttl: float = LEASE_TTL, taking_over: int | None = None
    ) -> Lease:
        """Become the owner."""
        await self._compare_clocks()
        return await sessions.acquire(self._changing, session, driver, ttl, taking_over)

    async def renew(self, lease: Lease, *, ttl: float = LEASE_TTL) -> None:
        """Keep the ownership."""
        await self._compare_clocks()
        await sessions.renew(self._changing, lease, ttl)

    async def release(self, lease: Lease) -> None:
        """Give the ownership up."""
        await sessions.release(self._changing, lease)

    async def commit(self, lease: Lease, batch: Batch) -> Committed:
        """Write a batch."""
        data = [to_json(event.data) for event in batch.events]
        return await write_batch(self._changing, lease, batch, data)

    async def put(
        self, session: str, kind: str, data: JsonObject, *, sender: str = "", command_id: str | None = None
    ) -> Command:
        """Put a command into the inbox."""
        text = to_json(data)
        async with self._putting:  # many at once would only make each other begin again
            return await sessions.put(self._changing, session, command_id, kind, text, sender)

    async def inbox(self, session: str, *, limit: int = 100) -> tuple[Command, ...]:
        """The commands not taken yet."""
        return await reading.inbox(self._changing, session, limit)

    async def command(self, session: str, number: int) -> Command:
        """One command."""
        return await reading.command(self._changing, session, number)

    async def events(self, session: str, *, after: int = 0, limit: int = PAGE) -> Page:
        """A page of history."""
        return await reading.events(self._changing, session, after, limit)

    async def news(self, session: str | None, since: int) -> int:
        """Wait for a change."""
        told = self._news.expect(session)  # first, so that nothing falls between the look and the wait
        try:
            change = await self._change(session)
            if change > since:
                return change
            while (change := await told) <= since:
                self._news.forget(session, told)
                told = self._news.expect(session)
        finally:
            self._news.forget(session, told)
        if session is not None:
            await self._changing.existing(session)  # unless it was removed
        return change

    async def prune(self, session: str, *, before: int) -> int:
        """Forget old events."""
        return await sessions.prune(self._changing, session, before)

    async def remove_ended(self, *, before: float, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Forget ended sessions."""
        await self._compare_clocks()
        return await sessions.remove_ended(self._changing, before, keep)

    async def load(self, snapshot: Snapshot, events: Sequence[Event]) -> None:
        """Add a session from elsewhere."""
        data = [to_json(event.data) for event in events]
        await sessions.load(self._changing, snapshot, events, data)

    async def watch(self) -> None:
        """Tell those who wait here what other processes wrote. Runs for as long as the store is open."""
        while True:
            await self._news.until_somebody_waits()
            try:
                changes = await self._changes(self._news.waited_for())
            except StoreError as error:
                self._news.fail(error)
            else:
                self._news.tell({name: change for name, change in changes.items() if change > self._told.get(name, 0)})
                self._told = changes
            await self._clock.sleep(LOOK_EVERY)

    async def _change(self, session: str | None) -> int:
        if session is not None:
            return (await self._changing.existing(session)).change
        return max((await self._changes({None})).values(), default=0)

    async def _changes(self, names: Collection[str | None]) -> dict[str, int]:
        """The latest change to each of these sessions, or to every one; to removed ones, too."""
        tenant = self._tables.tenant
        wanted: dict[str, Any] = heads_of(tenant)
        if None not in names:
            wanted = {"_id": {"$in": [head_key(tenant, name) for name in names if name is not None]}}
        found = await self._tables.find(self._tables.heads, wanted, fields=("session", "change"))
        return {each["session"]: each["change"] for each in found}

    async def _compare_clocks(self) -> None:
        if isinstance(self._clock, SystemClock):
            before = self._clock.time()
            theirs = await self._tables.server_time()
            self._changing.ahead = theirs - (before + self._clock.time()) / 2
