"""Several processes on one SQLite file: real ones, and some of them are killed while they write."""

import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from optio_agents.errors import CommitRefused, LeaseHeld, LeaseLost
from optio_agents.journal import Batch, Driver, NewEvent, Outgoing, SessionRecord, Store
from optio_agents.journal.sqlite.store import open_sqlite
from optio_host.cursor import Cursor

Run = Callable[[Callable[[], Awaitable[object]]], None]
DRIVER = Driver(id="d", hostname="here", pid=1)


def record(session: str) -> SessionRecord:
    return SessionRecord(id=session, host="local", agent="a", created=1.0)


def batch(n: int) -> Batch:
    """Batch n, from 0: three events, a cursor and a byte for each batch so far; one belongs to the other."""
    return Batch(
        after=3 * n,
        events=tuple(NewEvent("line", {"batch": n, "text": "x" * 200}, 1.0) for _ in range(3)),
        cursors={"log": Cursor("1:1", n + 1)},
        outbox=(Outgoing("stdin", n, b"b"),),
    )


async def write_for_ever(path: Path, session: str) -> None:
    """Commit batch after batch, and say after each that it is there."""
    async with open_sqlite(path) as store:
        lease = await store.create(record(session), DRIVER)
        n = 0
        while True:
            await store.commit(lease, batch(n))
            n += 1
            print(n, flush=True)


async def write_some(path: Path, session: str) -> None:
    """Open a file that may not be there yet, and commit a hundred batches."""
    async with open_sqlite(path) as store:
        lease = await store.create(record(session), DRIVER)
        for n in range(100):
            await store.commit(lease, batch(n))


async def adopt_and_write(path: Path, name: str) -> None:
    """Take a session over from whoever has it, again and again, and print the seq of every event committed."""
    async with open_sqlite(path) as store:
        mine: list[int] = []
        for _ in range(20):
            try:
                generation = (await store.snapshot("shared")).lease.generation
                lease = await store.acquire("shared", DRIVER, taking_over=generation)
                last = (await store.snapshot("shared")).last_seq
                for _ in range(5):
                    event = NewEvent("line", {"driver": name, "generation": lease.generation}, 1.0)
                    last = (await store.commit(lease, Batch(after=last, events=(event,)))).last_seq
                    mine.append(last)
            except (LeaseHeld, LeaseLost):
                continue  # somebody was faster
            except CommitRefused:
                # Between the acquisition and the look at the last event nobody can have written but the owner.
                print("two owners", flush=True)
        print(json.dumps(mine), flush=True)


def start(what: Callable[[Path, str], Awaitable[None]], path: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, what.__name__, path, name], stdout=subprocess.PIPE)


def test_processes_that_make_and_write_one_file_lose_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.db"
    writers = [start(write_some, path, f"s{n}") for n in range(6)]
    assert [writer.wait(60) for writer in writers] == [0] * 6
    for writer in writers:
        writer.communicate()

    async def body() -> None:
        async with open_sqlite(path) as store:
            for n in range(6):
                await check(store, f"s{n}", 100, 100)

    run(body)


@pytest.mark.parametrize("batches", [1, 2, 7, 40, 150])
def test_a_writer_killed_at_any_moment_leaves_whole_batches(batches: int, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    writers = [start(write_for_ever, path, f"s{n}") for n in range(2)]
    told = []
    for writer in writers:
        assert writer.stdout is not None
        for _ in range(batches):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        # What it had said before it died still comes.
        rest, _ = writer.communicate()
        told.append(batches + rest.count(b"\n"))

    async def body() -> None:
        async with open_sqlite(path) as store:
            for n in range(2):
                # One more may have been committed and not yet told.
                await check(store, f"s{n}", told[n], told[n] + 1)
                found = await store.snapshot(f"s{n}")
                lease = await store.acquire(f"s{n}", DRIVER, taking_over=found.lease.generation)
                await store.commit(lease, batch(found.last_seq // 3))

    run(body)


async def check(store: Store, session: str, least: int, most: int) -> None:
    """The session has this many batches, each of them whole."""
    found = await store.snapshot(session)
    count, rest = divmod(found.last_seq, 3)
    assert least <= count <= most
    assert rest == 0
    assert found.cursors["log"].offset == count
    assert found.outbox["stdin"].end == count
    events = (await store.events(session, limit=10_000)).events
    assert [(each.seq, each.data["batch"]) for each in events] == [(n + 1, n // 3) for n in range(3 * count)]


def test_of_drivers_that_take_a_session_from_each_other_each_generation_has_one_writer(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"

    async def prepare() -> None:
        async with open_sqlite(path) as store:
            await store.create(record("shared"), DRIVER)

    run(prepare)
    drivers = {name: start(adopt_and_write, path, name) for name in ("a", "b", "c")}
    told = {name: json.loads(driver.communicate(timeout=60)[0]) for name, driver in drivers.items()}

    async def body() -> None:
        async with open_sqlite(path) as store:
            events = (await store.events("shared", limit=10_000)).events
        assert {name: [e.seq for e in events if e.data["driver"] == name] for name in told} == told
        writers = {(each.data["generation"], each.data["driver"]) for each in events}
        assert len(writers) == len({generation for generation, _ in writers})
        generations = [each.data["generation"] for each in events]
        assert generations == sorted(generations)

    run(body)


def test_a_command_from_another_process_reaches_the_owner_who_waits(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def body() -> None:
        async with open_sqlite(path) as store:
            await store.create(record("s"), DRIVER)
            change = (await store.snapshot("s")).change
            sender = await anyio.run_process([sys.executable, __file__, "send", str(path), "s"])
            assert sender.returncode == 0
            await store.news("s", change)
            (command,) = await store.inbox("s")
            assert (command.kind, command.sender) == ("cancel", "another process")

    run(body)


async def send(path: Path, session: str) -> None:
    """Put a command."""
    async with open_sqlite(path) as store:
        await store.put(session, "cancel", {}, sender="another process")


if __name__ == "__main__":
    act = {each.__name__: each for each in (write_for_ever, write_some, adopt_and_write, send)}[sys.argv[1]]
    anyio.run(act, Path(sys.argv[2]), sys.argv[3])
