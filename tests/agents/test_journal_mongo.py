"""The store in MongoDB: every promise of the contract, and what is its own."""

import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import settings
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient
from test_journal_machine import Stores

from mongo_rig import CANCELLED_CONNECTS, free_port, mongo_url, new_store, own_mongo
from optio_agents.errors import LeaseHeld, LeaseLost, StoreAway, StoreError, StoreTooNew
from optio_agents.journal import Batch, Outgoing, Store, open_store
from optio_agents.journal.conformance import (
    DONE,
    FIRST,
    PROMISES,
    RECORD,
    SECOND,
    Promise,
    a_batch_is_all_or_nothing,
    an_export_comes_back_whole,
    commands_are_taken_in_order_and_once,
    event,
    fails,
    news_comes_to_those_who_wait,
    texts,
)
from optio_agents.journal.mongo.store import mongo_store, open_mongo
from optio_agents.journal.mongo.tables import Tables
from optio_agents.journal.mongo.url import Place, place_of
from optio_host.clock import Clock, SystemClock
from optio_host.testing.relay import Relay

pytestmark = CANCELLED_CONNECTS

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server, without a database."""
    with mongo_url(tmp_path_factory.mktemp("mongo")) as url:
        yield url


@pytest.fixture
def place(server: str) -> Place:
    """Journals that are empty."""
    return place_of(new_store(server))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_mongo(promise: Promise, run: Run, place: Place) -> None:
    def opened(clock: Clock) -> AbstractAsyncContextManager[Store]:
        return open_mongo(place, clock=clock)

    run(lambda: promise(opened))


@pytest.mark.parametrize(
    "promise",
    [
        a_batch_is_all_or_nothing,
        an_export_comes_back_whole,
        commands_are_taken_in_order_and_once,
        news_comes_to_those_who_wait,
    ],
    ids=lambda promise: promise.__name__,
)
def test_a_database_of_motors_client_does_as_well(promise: Promise, run: Run, place: Place) -> None:
    @asynccontextmanager
    async def opened(clock: Clock) -> AsyncIterator[Store]:
        client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(place.client_url)
        try:
            async with mongo_store(client[place.database], tenant=place.tenant, clock=clock) as store:
                yield store
        finally:
            client.close()

    async def body() -> None:
        await promise(opened)
        # The driver of the database ends its threads when it notices.
        for thread in threading.enumerate():
            if thread.name.startswith("pymongo_"):
                await anyio.to_thread.run_sync(thread.join, 10)

    run(body)


def test_a_dead_owner_leaves_nothing_that_counts_and_a_late_one_spoils_nothing(
    run: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(tables: Tables, *heads: object) -> bool:
        raise RuntimeError("killed before the head was changed")

    async def body() -> None:
        async with open_mongo(place) as store:
            first = await store.create(RECORD, FIRST)
            batch = Batch(
                after=0, events=(event("old 1"), event("old 2"), event("old 3")), outbox=(Outgoing("stdin", 0, b"old"),)
            )
            with monkeypatch.context() as patch:
                patch.setattr(Tables, "swap", killed)
                with pytest.raises(RuntimeError):
                    await store.commit(first, batch)
            assert await texts(store) == []
            assert dict((await store.snapshot(RECORD.id)).outbox) == {}

            second = await store.acquire(RECORD.id, SECOND, taking_over=first.generation)
            await store.commit(second, Batch(after=0, events=(event("new 1"),), outbox=(Outgoing("stdin", 0, b"new"),)))
            assert await texts(store) == ["new 1"]
            with pytest.raises(LeaseLost):
                await store.commit(first, batch)
            await store.commit(second, Batch(after=1, events=(event("new 2"), event("new 3"), event("new 4"))))
            assert await texts(store) == [f"new {n}" for n in range(1, 5)]
            assert (await store.snapshot(RECORD.id)).outbox["stdin"].entries == (Outgoing("stdin", 0, b"new"),)

    run(body)


def test_a_row_of_a_later_owner_is_never_replaced(run: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner is paused between its look at the head and its writing; meanwhile another one takes over and writes."""
    write = Tables.write

    async def body() -> None:
        async with open_mongo(place) as store:
            first = await store.create(RECORD, FIRST)

            async def overtaken(tables: Tables, *what: object) -> bool:
                monkeypatch.setattr(Tables, "write", write)
                second = await store.acquire(RECORD.id, SECOND, taking_over=first.generation)
                await store.commit(second, Batch(after=0, events=(event("new"),)))
                return await write(tables, *what)  # type: ignore[arg-type]

            monkeypatch.setattr(Tables, "write", overtaken)
            with pytest.raises(LeaseLost):
                await store.commit(first, Batch(after=0, events=(event("late"),)))
            assert await texts(store) == ["new"]

    run(body)


def test_a_connection_that_breaks_anywhere_loses_no_write_and_doubles_none(run: Run, tmp_path: Path) -> None:
    dice = random.Random(1)
    count = 12

    async def break_it(relay: Relay) -> None:
        while True:
            relay.reset_after(dice.randrange(600, 9_000))
            await anyio.sleep(dice.uniform(0.05, 0.4))

    async def body() -> None:
        with own_mongo(tmp_path) as server:
            async with Relay(server.port) as relay:
                place = place_of(new_store(f"mongodb://127.0.0.1:{relay.port}"))
                async with open_mongo(place, patience=30) as store:
                    lease = await store.create(RECORD, FIRST)
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(break_it, relay)
                        for n in range(count):
                            await store.put(RECORD.id, "send", {"n": n})
                            piece = Outgoing("stdin", n, b"b")
                            await store.commit(lease, Batch(after=n, events=(event(str(n)),), outbox=(piece,)))
                            await store.renew(lease)
                        await store.release(lease)
                        lease = await store.acquire(RECORD.id, SECOND)
                        tasks.cancel_scope.cancel()
                    relay.restore()
                    snapshot = await store.snapshot(RECORD.id)
                    assert await texts(store) == [str(n) for n in range(count)]
                    assert [piece.offset for piece in snapshot.outbox["stdin"].entries] == list(range(count))
                    assert [each.data["n"] for each in snapshot.commands] == list(range(count))
                    assert lease.generation == 2

    run(body)


def test_a_store_that_is_away_says_so_in_time_and_shows_no_password(run: Run) -> None:
    async def body() -> None:
        url = f"mongodb://me:hunter2@127.0.0.1:{free_port()}/optio?serverSelectionTimeoutMS=50"
        with anyio.fail_after(5):
            with pytest.raises(StoreAway) as caught:
                async with open_mongo(place_of(url), patience=0.2):
                    raise AssertionError("it was opened")
        assert "hunter2" not in str(caught.value)
        assert "me@" not in str(caught.value)

    run(body)


def test_a_server_that_was_killed_and_started_again_has_everything(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        with own_mongo(tmp_path) as server:
            async with open_mongo(place_of(f"mongodb://127.0.0.1:{server.port}")) as store:
                lease = await store.create(RECORD, FIRST)
                await store.commit(lease, Batch(after=0, events=(event("1"),)))
                await anyio.to_thread.run_sync(server.kill)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(store.commit, lease, Batch(after=1, events=(event("2"),)))
                    await anyio.to_thread.run_sync(server.start)
                assert await texts(store) == ["1", "2"]

    run(body)


class WrongClock(SystemClock):
    """The clock of a machine that is an hour off."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def time(self) -> float:
        return super().time() + self.ahead


@pytest.mark.parametrize("ahead", [3_600.0, -3_600.0])
def test_a_machine_whose_clock_is_wrong_neither_takes_a_session_nor_keeps_one(
    run: Run, place: Place, ahead: float
) -> None:
    async def body() -> None:
        async with open_mongo(place) as right, open_mongo(place, clock=WrongClock(ahead)) as wrong:
            await right.create(RECORD, FIRST)
            await fails(LeaseHeld, wrong.acquire(RECORD.id, SECOND))
            found = await wrong.snapshot(RECORD.id)
            assert found.lease.is_held(WrongClock(ahead).time())
            other = RECORD.model_copy(update={"id": "other"})
            await wrong.create(other, FIRST, ttl=0.1)
            await anyio.sleep(0.2)  # a lease runs out in real time here, since the server's clock is nobody's to move
            assert (await right.acquire("other", SECOND)).generation == 2

    run(body)


def test_tenants_see_nothing_of_each_other(run: Run, server: str) -> None:
    mine, yours = place_of(new_store(server)), place_of(new_store(server))

    async def body() -> None:
        async with open_mongo(mine) as store, open_mongo(yours) as other:
            lease = await store.create(RECORD, FIRST)
            await other.create(RECORD.model_copy(update={"agent": "other"}), SECOND)
            await store.commit(lease, Batch(after=0, events=(event("mine"),)))
            await store.put(RECORD.id, "send", {}, command_id="c1")
            assert await texts(other) == []
            assert await other.inbox(RECORD.id) == ()
            assert [each.agent for each in await other.sessions()] == ["other"]
            ended = RECORD.model_copy(update={"state": "ended", "outcome": DONE})
            await store.commit(lease, Batch(after=1, record=ended))
            await store.release(lease)
            assert await other.remove_ended(before=2e9) == ()
            assert await store.remove_ended(before=4e9) == (RECORD.id,)
            assert (await other.snapshot(RECORD.id)).record.agent == "other"

    run(body)


def test_what_a_newer_version_stored_is_not_touched(run: Run, place: Place) -> None:
    async def body() -> None:
        async with open_mongo(place) as store:
            lease = await store.create(RECORD, FIRST)
            async with AsyncMongoClient[dict[str, object]](place.client_url) as client:
                heads = client[place.database]["optio_sessions"]
                await heads.update_one(
                    {"_id": f"{place.tenant}/{RECORD.id}"}, {"$set": {"format": 2}, "$inc": {"version": 1}}
                )
            error = await fails(StoreTooNew, store.commit(lease, Batch(after=0, events=(event("x"),))))
            assert "update optio-agents" in str(error)

    run(body)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://db.example", "mongodb://db.example/optio"),
        (
            "mongodb://me:hun%40ter2@a:1,b:2/x?replicaSet=r&optio_tenant=team-7",
            "mongodb://a:1,b:2/x?optio_tenant=team-7",
        ),
        ("mongodb+srv://me:hunter2@cluster.example/", "mongodb+srv://cluster.example/optio"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, shown: str) -> None:
    place = place_of(url)
    assert place.shown == shown
    assert place.secret_url == url


@pytest.mark.parametrize("query", ["optio_tenant=a/b", "optio_tenant=", "no_such_option=hunter2", "w=hunter2&hunter2"])
def test_a_url_with_an_option_that_is_none_is_refused(query: str, run: Run) -> None:
    async def body() -> None:
        async with open_store(f"mongodb://db.example/x?{query}"):
            raise AssertionError("it was opened")

    with pytest.raises(StoreError) as caught:
        run(body)
    assert "hunter2" not in str(caught.value)


class MongoStores(Stores):
    """The same histories as for SQLite, by whoever, with late drivers and clocks that jump."""

    url = ""

    def __init__(self) -> None:
        self.place = place_of(new_store(self.url))
        super().__init__()

    def open(self) -> tuple[ExitStack, Store]:
        stack = self.stack.enter_context(ExitStack())
        manager = self.portal.wrap_async_context_manager(open_mongo(self.place, clock=self.clock))
        return stack, stack.enter_context(manager)


def test_whatever_is_done_to_it_by_whoever_it_does_what_memory_does(server: str) -> None:
    MongoStores.url = server
    case = MongoStores.TestCase()
    case.settings = settings(max_examples=5, stateful_step_count=25, deadline=None)
    case.runTest()
