"""What the journal costs on both stores, in one table.

    python benchmarks/store.py [ROW ...] [--quick] [--json FILE]

MongoDB is the server that OPTIO_TEST_MONGO_URL names, else the wire-compatible one of the tests, which stands for what
the protocol costs and for nothing else. See README.md beside this file.
"""

import itertools
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median

import anyio
import published
from command_line import main
from pymongo import AsyncMongoClient, WriteConcern
from table import AtMost, LeftOut, Row, TimesAsMuch, Told, percentile

from optio_agents.journal import Batch, Driver, NewEvent, SessionRecord, Store, open_store
from optio_agents.journal.mongo.url import place_of

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from mongo_rig import mongo_url, new_store

HERE = Path(__file__).parent
PRODUCERS = 64
DRIVER = Driver(id="bench", hostname="here", pid=1)
TEXT = "STATUS: 42% compiling the third of seven modules"

Append = Callable[[int, int], Awaitable[object]]


async def appends(quick: bool) -> list[Row]:
    """Durable appends per second of many producers, one event each time, answered when it is on the disk."""
    each, peers, rounds = (20, 3, 1) if quick else (2_000, 60, 5)
    ours, one, peer = [], [], []
    waits: list[float] = []
    for _ in range(rounds):
        with _directory() as directory:
            async with open_store(f"sqlite://{directory}/ours.db") as store:
                append = await _sessions(store, PRODUCERS)
                ours.append(await _together(append, each, waits))
            async with open_store(f"sqlite://{directory}/one.db") as store:
                one.append(await _together(_by_turns(await _sessions(store, 1)), each, []))
            if not quick:
                peer.append(_peer(directory, peers))
    told = f"{min(ours):,.0f} to {max(ours):,.0f}; p99 of one append {1000 * percentile(waits, 99):.1f} ms"
    if peer:
        told += f"; peer {min(peer):,.0f} to {max(peer):,.0f}"
    peer_is = f"{published.AIOSQLITE}, one commit each"
    what = f"durable journal appends, SQLite, {PRODUCERS} producers"
    beside = median(peer) if peer else None
    return [
        Row(what, "appends/s", median(ours), beside, peer_is, TimesAsMuch(30), told),
        Row(f"{what} of one session", "appends/s", median(one), beside, peer_is, Told()),
    ]


async def commit(quick: bool) -> list[Row]:
    """One commit of one event after the other: how long each takes."""
    count = 50 if quick else 2_000
    rows = []
    with _directory() as directory:
        async with open_store(f"sqlite://{directory}/ours.db") as store:
            ours = await _one_by_one(store, count)
        peer = [each async for each in _sqlite_alone(directory / "peer.db", count)]
        rows.append(_cost("SQLite", ours, peer, "sqlite3, INSERT and COMMIT in the same thread"))
        async with _mongo(directory) as (url, which):
            async with open_store(url) as store:
                ours = await _one_by_one(store, count // 4)
            peer = [each async for each in _mongo_alone(url, count // 4)]
        rows.append(_cost(f"MongoDB ({which})", ours, peer, f"pymongo {version('pymongo')}, one insert_one"))
    return rows


def _cost(store: str, ours: list[float], peer: list[float], peer_is: str) -> Row:
    note = f"p99 {percentile(ours, 99):.2f}, peer {percentile(peer, 99):.2f}"
    return Row(f"one commit, {store}, p50", "ms", percentile(ours, 50), percentile(peer, 50), peer_is, Told(), note)


async def recover(quick: bool) -> list[Row]:
    """Adopt a session with a long history whose driver was killed, in a new process."""
    rows = []
    with _directory() as directory:
        events = 2_000 if quick else 1_000_000
        took, reading = await _recovered(directory / "sqlite", f"sqlite://{directory}/journal.db", events)
        rows.append(_recovery("SQLite", events, took, reading, AtMost(2)))
        async with _mongo(directory) as (url, which):
            events = 500 if quick else 100_000
            took, reading = await _recovered(directory / "mongo", url, events)
            rows.append(_recovery(f"MongoDB ({which})", events, took, reading, Told()))
    return rows


def _recovery(store: str, events: int, took: float, reading: float, target: AtMost | Told) -> Row:
    note = f"from the start of the process to the committed adoption; the last page of history read in {reading:.3f} s"
    return Row(f"adopt a session of {events:,} events, {store}", "s", took, None, "", target, note)


async def _recovered(directory: Path, url: str, events: int) -> tuple[float, float]:
    """Seconds until a new process has adopted the session, and in which it has read the last page of history."""
    directory.mkdir()  # noqa: ASYNC240 - nobody else waits here
    env = {**os.environ, "XDG_STATE_HOME": str(directory), "OPTIO_STORE": url}
    words = [sys.executable, str(HERE / "store_driver.py"), str(directory)]
    # It kills itself with SIGKILL.
    await anyio.run_process([*words, "fill", str(events)], env=env, check=False, stderr=None)
    begun = time.time()
    adopted = await anyio.run_process([*words, "adopt"], env=env, stderr=None)
    measured = json.loads(adopted.stdout)
    assert measured["last_seq"] >= events
    return measured["adopted"] - begun, measured["page"]


@contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="optio-bench-") as directory:
        yield Path(directory)


@asynccontextmanager
async def _mongo(directory: Path) -> AsyncIterator[tuple[str, str]]:
    """The URL of an empty journal, and what serves it."""
    which = "server of OPTIO_TEST_MONGO_URL" if "OPTIO_TEST_MONGO_URL" in os.environ else "wire-compatible server"
    files = directory / "mongo-server"
    files.mkdir(exist_ok=True)
    try:
        with mongo_url(files) as url:
            yield new_store(url), which
    except FileNotFoundError as error:
        raise LeftOut(f"the wire-compatible server is missing: {error}") from error


async def _sessions(store: Store, count: int) -> Append:
    """Appends an event as number n + 1 to one of so many new sessions."""
    records = [SessionRecord(id=f"s{n}", host="local", agent="bench", created=0.0) for n in range(count)]
    leases = [await store.create(record, DRIVER) for record in records]

    async def append(producer: int, n: int) -> None:
        event = NewEvent("status", {"text": TEXT}, 0.0, "log")
        await store.commit(leases[producer], Batch(after=n, events=(event,)))

    return append


def _by_turns(append: Append) -> Append:
    """The same for one session, whichever producer it is."""
    numbers = itertools.count()
    return lambda _producer, _n: append(0, next(numbers))


async def _together(append: Append, each: int, waits: list[float]) -> float:
    """Appends per second; how long each took is added to `waits`."""

    async def produce(producer: int) -> None:
        for n in range(each):
            begun = time.perf_counter()
            await append(producer, n)
            waits.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for producer in range(PRODUCERS):
            tasks.start_soon(produce, producer)
    return PRODUCERS * each / (time.perf_counter() - begun)


async def _one_by_one(store: Store, count: int) -> list[float]:
    """Milliseconds of each commit."""
    append = await _sessions(store, 1)
    took = []
    for n in range(count):
        begun = time.perf_counter()
        await append(0, n)
        took.append(1000 * (time.perf_counter() - begun))
    return took


def _peer(directory: Path, each: int) -> float:
    command = [
        published.python(published.AIOSQLITE),
        str(HERE / "store_peer.py"),
        str(directory / "peer.db"),
        str(each),
    ]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


async def _sqlite_alone(path: Path, count: int) -> AsyncIterator[float]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (session TEXT, seq INTEGER, data TEXT, PRIMARY KEY (session, seq))")
    for n in range(count):
        begun = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO events VALUES ('s', ?, ?)", (n, TEXT))
        connection.execute("COMMIT")
        yield 1000 * (time.perf_counter() - begun)
    connection.close()


async def _mongo_alone(url: str, count: int) -> AsyncIterator[float]:
    place = place_of(url)
    async with AsyncMongoClient[dict[str, object]](place.client_url) as client:
        events = client[place.database]["optio_bench"].with_options(write_concern=WriteConcern(w="majority", j=True))
        for n in range(count):
            begun = time.perf_counter()
            await events.insert_one({"_id": f"{place.tenant}/{n}", "text": TEXT})
            yield 1000 * (time.perf_counter() - begun)


ROWS = {"appends": appends, "commit": commit, "recover": recover}


if __name__ == "__main__":
    main("What the journal costs on both stores.", ROWS)
