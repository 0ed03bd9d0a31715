"""Durable journal appends per second: 64 producers, one event each time, answered when it is on the disk.

Ours is `Store.commit` on 64 sessions, on one session by turns, and with eight events to a commit; the peer is one
INSERT and one commit for each call through aiosqlite, in the same directory with the same settings. Needs aiosqlite:

    python benchmarks/journal_appends.py [DIRECTORY]
"""

import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosqlite
import anyio

from optio_agents.journal import Batch, Driver, NewEvent, SessionRecord
from optio_agents.journal.sqlite.store import open_sqlite

PRODUCERS = 64
DRIVER = Driver(id="bench", hostname="here", pid=1)
DATA = {"text": "STATUS: 42% compiling the third of seven modules"}
WAITS: list[float] = []


async def together(append: Callable[[int, int], Awaitable[object]], each: int) -> float:
    """Appends per second; how long each took is added to WAITS."""
    WAITS.clear()

    async def produce(producer: int) -> None:
        for n in range(each):
            begun = time.perf_counter()
            await append(producer, n)
            WAITS.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for producer in range(PRODUCERS):
            tasks.start_soon(produce, producer)
    return PRODUCERS * each / (time.perf_counter() - begun)


async def ours(directory: Path, each: int) -> float:
    async with open_sqlite(directory / "ours.db") as store:
        leases = [
            await store.create(SessionRecord(id=f"s{n}", host="local", agent="bench", created=0.0), DRIVER)
            for n in range(PRODUCERS)
        ]

        async def append(producer: int, n: int) -> None:
            await store.commit(leases[producer], Batch(after=n, events=(NewEvent("status", DATA, 0.0, "log"),)))

        return await together(append, each)


async def ours_one_session(directory: Path, each: int) -> float:
    async with open_sqlite(directory / "one.db") as store:
        lease = await store.create(SessionRecord(id="s", host="local", agent="bench", created=0.0), DRIVER)
        last = 0

        async def append(producer: int, n: int) -> None:
            nonlocal last
            after, last = last, last + 1
            await store.commit(lease, Batch(after=after, events=(NewEvent("status", DATA, 0.0, "log"),)))

        return await together(append, each)


async def ours_by_eights(directory: Path, each: int) -> float:
    """As a log is read: eight lines to a commit."""
    async with open_sqlite(directory / "eights.db") as store:
        leases = [
            await store.create(SessionRecord(id=f"s{n}", host="local", agent="bench", created=0.0), DRIVER)
            for n in range(PRODUCERS)
        ]

        async def append(producer: int, n: int) -> None:
            events = tuple(NewEvent("status", DATA, 0.0, "log") for _ in range(8))
            await store.commit(leases[producer], Batch(after=8 * n, events=events))

        return 8 * await together(append, each)


async def peer(directory: Path, each: int) -> float:
    async with aiosqlite.connect(directory / "peer.db") as connection:
        await connection.execute("PRAGMA journal_mode=WAL")
        await connection.execute("PRAGMA synchronous=FULL")
        await connection.execute(
            "CREATE TABLE events (session TEXT, seq INTEGER, data TEXT, PRIMARY KEY (session, seq))"
        )

        one_at_a_time = anyio.Lock()  # without it, one commit may be for the inserts of several

        async def append(producer: int, n: int) -> None:
            async with one_at_a_time:
                await insert(producer, n)

        async def insert(producer: int, n: int) -> None:
            await connection.execute("INSERT INTO events VALUES (?,?,?)", (f"s{producer}", n, str(DATA)))
            await connection.commit()

        return await together(append, each)


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else None
    results: dict[str, list[float]] = {}
    for _ in range(3):
        for kind, each in ((ours, 2_000), (ours_one_session, 2_000), (ours_by_eights, 500), (peer, 60)):
            with tempfile.TemporaryDirectory(prefix="optio-bench-", dir=where) as directory:
                rate = anyio.run(kind, Path(directory), each)
            results.setdefault(kind.__name__, []).append(rate)
            slow = sorted(WAITS)[len(WAITS) * 99 // 100]
            print(f"{kind.__name__:18} {rate:10,.0f} appends/s   p99 {slow * 1000:6.2f} ms")
    median = {name: sorted(rates)[1] for name, rates in results.items()}
    for name in ("ours", "ours_one_session", "ours_by_eights"):
        print(f"{name} against peer, medians: {median[name] / median['peer']:.1f}")


if __name__ == "__main__":
    main()
