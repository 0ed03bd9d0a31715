"""The SQLite file: who may read it, what is wrong with it, and what a full disk or a busy neighbour does."""

import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import pytest

from optio_agents.errors import CommitRefused, StoreBusy, StoreError, StoreFull, StoreTooNew
from optio_agents.journal import Batch, Driver, Lease, NewEvent, OutcomeDocument, SessionRecord
from optio_agents.journal.sqlite import reading
from optio_agents.journal.sqlite.connect import SCHEMA_VERSION
from optio_agents.journal.sqlite.store import open_sqlite
from optio_agents.journal.sqlite.writer import PENDING_LIMIT, Writer
from optio_host.testing.clock import ManualClock

Run = Callable[[Callable[[], Awaitable[object]]], None]
DRIVER = Driver(id="d", hostname="here", pid=1)
RECORD = SessionRecord(id="s", host="local", agent="claude", created=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "optio" / "journal.db"


def line(text: str) -> NewEvent:
    return NewEvent("line", {"text": text}, 1.0)


def test_nobody_else_may_read_the_journal(run: Run, path: Path) -> None:
    async def body() -> None:
        old = os.umask(0)
        try:
            async with open_sqlite(path) as store:
                await store.create(RECORD, DRIVER)
                modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
        finally:
            os.umask(old)
        assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}
        assert path.parent.stat().st_mode & 0o777 == 0o700

    run(body)


def test_a_journal_that_others_could_read_is_closed_to_them(run: Run, path: Path) -> None:
    async def body() -> None:
        async with open_sqlite(path):
            pass
        os.chmod(path, 0o644)
        async with open_sqlite(path):
            assert os.stat(path).st_mode & 0o777 == 0o600

    run(body)


def test_every_commit_is_flushed_to_the_disk(run: Run, path: Path) -> None:
    async def body() -> None:
        async with open_sqlite(path) as store:
            writing = await store._writer.run(lambda transaction: settings_of(transaction.connection))
        assert writing == ("wal", 2)  # 2: FULL

    run(body)


def settings_of(connection: sqlite3.Connection) -> tuple[str, int]:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    return mode, synchronous


def opening(path: Path, busy_seconds: float = 10.0) -> Callable[[], Awaitable[object]]:
    async def body() -> None:
        async with open_sqlite(path, busy_seconds=busy_seconds):
            pass

    return body


def test_a_store_of_a_newer_version_is_left_alone(run: Run, path: Path) -> None:
    run(opening(path))
    change(path, f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match=r"journal\.db: made by a newer version.*update"):
        run(opening(path))
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(run: Run, path: Path) -> None:
    path.parent.mkdir(parents=True)
    change(path, "CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's database"):
        run(opening(path))
    assert path.read_bytes() == before


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_damaged_file_is_named_with_what_to_do(run: Run, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database at all, " * 100)
    with pytest.raises(StoreError, match=r"journal\.db: the journal is damaged.*Move it aside.*recover"):
        run(opening(path))


def test_damage_in_the_middle_is_noticed_by_reader_and_writer(run: Run, path: Path) -> None:
    leases: list[Lease] = []

    async def fill() -> None:
        async with open_sqlite(path) as store:
            leases.append(await store.create(RECORD, DRIVER))
            await store.commit(leases[0], Batch(after=0, events=tuple(line("x" * 1000) for _ in range(50))))

    async def use() -> None:
        async with open_sqlite(path) as store:
            for call in (store.events("s"), store.commit(leases[0], Batch(after=50))):
                with pytest.raises(StoreError, match="damaged"):
                    await call

    run(fill)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    run(use)


@pytest.mark.parametrize("kind", ["directory", "below a file"])
def test_a_path_that_cannot_be_a_file_is_a_clear_error(kind: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path if kind == "directory" else tmp_path / "file" / "journal.db"
    with pytest.raises(StoreError, match=r"cannot be opened: .*(Is a|no) directory"):
        run(opening(path))


def test_a_neighbour_that_holds_the_file_too_long_is_told_and_nothing_is_written(run: Run, path: Path) -> None:
    async def body() -> None:
        async with open_sqlite(path, busy_seconds=0.05) as store:
            lease = await store.create(RECORD, DRIVER)
            neighbour = sqlite3.connect(path, isolation_level=None)
            neighbour.execute("BEGIN IMMEDIATE")
            batch = Batch(after=0, events=(line("a"),))
            with pytest.raises(StoreBusy, match=r"held the journal"):
                await store.commit(lease, batch)
            with pytest.raises(StoreBusy):
                async with open_sqlite(path, busy_seconds=0.05):
                    pass
            assert (await store.events("s")).events == ()  # who reads is not held up
            neighbour.execute("ROLLBACK")
            neighbour.close()
            assert not (await store.commit(lease, batch)).repeated

    run(body)


def test_a_full_disk_commits_nothing_by_halves(run: Run, path: Path) -> None:
    async def body() -> None:
        async with open_sqlite(path) as store:
            lease = await store.create(RECORD, DRIVER)
            await store.commit(lease, Batch(after=0, events=(line("before"),)))
            before = await store.snapshot("s")
            pages = await store._writer.run(
                lambda transaction: transaction.connection.execute("PRAGMA page_count").fetchone()[0]
            )
            await limit_pages(store._writer.run, pages + 2)
            large = Batch(after=1, events=tuple(line("x" * 3_000) for _ in range(20)), record=RECORD)
            with pytest.raises(StoreFull, match=r"journal\.db: no room left.*Make room"):
                await store.commit(lease, large)
            assert await store.snapshot("s") == before
            await limit_pages(store._writer.run, 1_000_000)
            assert (await store.commit(lease, large)).last_seq == 21

    run(body)


async def limit_pages(run_in_writer: Callable[..., Awaitable[object]], pages: int) -> None:
    """Make SQLite behave as on a disk with room for so many pages."""
    await run_in_writer(lambda transaction: transaction.connection.execute(f"PRAGMA max_page_count={pages}").fetchone())


def test_a_commit_that_is_refused_leaves_its_neighbours_in_the_same_transaction_alone(run: Run, path: Path) -> None:
    async def body() -> None:
        async with open_sqlite(path) as store:
            lease = await store.create(RECORD, DRIVER)
            outcomes: list[object] = []

            async def commit(after: int, text: str) -> None:
                try:
                    outcomes.append((await store.commit(lease, Batch(after=after, events=(line(text),)))).last_seq)
                except CommitRefused:
                    outcomes.append("refused")

            async with anyio.create_task_group() as tasks:
                for after, text in ((0, "a"), (7, "wrong"), (1, "b"), (1, "wrong"), (2, "c")):
                    tasks.start_soon(commit, after, text)
            assert sorted(map(str, outcomes)) == ["1", "2", "3", "refused", "refused"]
            assert [each.data["text"] for each in (await store.events("s")).events] == ["a", "b", "c"]

    run(body)


def test_what_shares_a_transaction_sees_what_came_before_it(run: Run, path: Path) -> None:
    async def body() -> None:
        async with open_sqlite(path) as store:
            lease = await store.create(RECORD, DRIVER)
            ended = RECORD.model_copy(update={"state": "ended", "outcome": OutcomeDocument(outcome="done")})
            async with anyio.create_task_group() as tasks:  # all handed over together
                tasks.start_soon(store.commit, lease, Batch(after=0, events=(line("a"), line("b"), line("c"))))
                tasks.start_soon(partial(store.prune, "s", before=3))
            assert [each.seq for each in (await store.events("s")).events] == [3]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.commit, lease, Batch(after=3, events=(line("d"),), record=ended))
                tasks.start_soon(store.release, lease)
                tasks.start_soon(partial(store.remove_ended, before=float("inf")))
                tasks.start_soon(store.create, RECORD, DRIVER)
            assert (await store.events("s")).events == ()

    run(body)


def test_a_cancelled_commit_is_there_or_not_and_can_be_repeated(run: Run, path: Path) -> None:
    async def body() -> None:
        async with open_sqlite(path) as store:
            lease = await store.create(RECORD, DRIVER)
            batch = Batch(after=0, events=(line("a"), line("b")))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.commit, lease, batch)
                await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            assert (await store.commit(lease, batch)).last_seq == 2
            assert [each.data["text"] for each in (await store.events("s")).events] == ["a", "b"]

    run(body)


def test_more_writes_than_may_be_under_way_wait_their_turn(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with open_sqlite(path) as store:
            started, go_on = threading.Event(), threading.Event()

            def hold(_: object) -> None:
                started.set()
                go_on.wait(30)

            groups: list[int] = []

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store._writer.run, hold)
                await anyio.to_thread.run_sync(started.wait)
                monkeypatch.setattr(store._writer, "_hand_over", counted(store._writer, groups))
                for _ in range(3_000):
                    tasks.start_soon(store._writer.run, lambda transaction: None)
                await anyio.wait_all_tasks_blocked()
                await anyio.lowlevel.checkpoint()  # what they have called for soon
                under_way = sum(groups)
                go_on.set()
            assert under_way == PENDING_LIMIT - 1  # and the one that holds
            assert sum(groups) == 3_000

    run(body)


def counted(writer: Writer, groups: list[int]) -> Callable[[], None]:
    hand_over = writer._hand_over

    def count_and_hand_over() -> None:
        groups.append(len(writer._fresh))
        hand_over()

    return count_and_hand_over


def test_closing_finishes_what_is_under_way_and_ends_the_thread(run: Run, path: Path) -> None:
    async def body() -> None:
        async with anyio.create_task_group() as tasks:
            async with open_sqlite(path) as store:
                lease = await store.create(RECORD, DRIVER)
                tasks.start_soon(store.commit, lease, Batch(after=0, events=(line("a"),)))
                await anyio.lowlevel.checkpoint()
        assert "optio journal writer" not in [thread.name for thread in threading.enumerate()]
        for call in (store.commit(lease, Batch(after=1)), store.snapshot("s")):
            with pytest.raises(StoreError, match="closed"):
                await call
        async with open_sqlite(path) as store:
            assert (await store.snapshot("s")).last_seq == 1

    run(body)


def test_an_error_in_the_block_comes_out_as_it_is(run: Run, path: Path) -> None:
    async def body() -> None:
        with pytest.raises(KeyError, match="mine"):
            async with open_sqlite(path):
                raise KeyError("mine")

    run(body)


def test_a_file_that_can_no_longer_be_read_is_told_to_those_who_wait(
    run: Run, path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(connection: sqlite3.Connection, since: int) -> dict[str, int]:
        raise sqlite3.OperationalError("disk I/O error")

    async def body() -> None:
        monkeypatch.setattr(reading, "changes_since", broken)
        async with open_sqlite(path, clock=clock) as store:
            await store.create(RECORD, DRIVER)
            with pytest.raises(StoreError, match=r"journal\.db: disk I/O error"):
                await store.news("s", 100)

    run(body)
