"""Filling a session's directory before its program starts: the lease is kept, and what fails starts nothing."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest
from session_rig import SessionRig, session_rig

from optio_agents.errors import LeaseLost
from optio_agents.filling import Fill
from optio_agents.journal import Driver
from optio_agents.journal.lease import LEASE_TTL, RENEW_EVERY
from optio_host.errors import TransferFailed
from optio_host.job_errors import StartFailed

Run = Callable[[Callable[[], Awaitable[object]]], None]
COMMAND = ("sh", "-c", 'cat filled; touch ran; echo DONE >> "$OPTIO_LOG"')
OTHER = Driver(id="other", hostname="elsewhere", pid=1)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionRig]:
    with session_rig(tmp_path, monkeypatch) as rig:
        yield rig


async def start(rig: SessionRig, fill: Fill) -> None:
    directory = rig.base / "sessions" / "one" / "workdir"
    session = await rig.start(*COMMAND, cwd=str(directory), make_cwd=True, fill=fill, session_id="one")
    await session.wait()


def test_a_program_finds_what_its_directory_was_filled_with(run: Run, rig: SessionRig) -> None:
    async def fill(cwd: str) -> None:
        await anyio.Path(cwd, "filled").write_text("yes")

    async def body() -> None:
        await start(rig, fill)
        [record] = await rig.store.sessions()
        assert record.outcome is not None
        assert record.outcome.outcome == "done"
        assert await anyio.Path(record.rundir, "stdout").read_text() == "yes"

    run(body)


def test_a_directory_that_cannot_be_filled_starts_nothing_and_says_why(run: Run, rig: SessionRig) -> None:
    async def fill(cwd: str) -> None:
        raise TransferFailed("the disk is full")

    async def body() -> None:
        with pytest.raises(StartFailed, match="could not be filled, and nothing was started: the disk is full"):
            await start(rig, fill)
        [record] = await rig.store.sessions()
        assert record.outcome is not None
        assert (record.state, record.driver, record.outcome.outcome) == ("ended", None, "failed")
        assert "the disk is full" in record.outcome.reason
        assert not Path(record.rundir).exists()

    run(body)


def test_a_filling_that_is_interrupted_starts_nothing_and_the_session_has_ended(run: Run, rig: SessionRig) -> None:
    async def body() -> None:
        async with anyio.create_task_group() as tasks:

            async def fill(cwd: str) -> None:
                tasks.cancel_scope.cancel()
                await anyio.sleep_forever()

            tasks.start_soon(start, rig, fill)
        [record] = await rig.store.sessions()
        assert record.outcome is not None
        assert (record.state, record.driver, record.outcome.outcome) == ("ended", None, "cancelled")
        assert not Path(record.rundir).exists()

    run(body)


def test_the_lease_is_kept_while_a_directory_is_filled_for_longer_than_it_lasts(run: Run, rig: SessionRig) -> None:
    async def fill(cwd: str) -> None:
        for _ in range(5):
            rig.clock.skip(RENEW_EVERY)
            await anyio.wait_all_tasks_blocked()
        assert (await rig.store.snapshot("one")).lease.is_held(rig.clock.time())
        await anyio.Path(cwd, "filled").write_text("yes")

    assert 5 * RENEW_EVERY > LEASE_TTL

    async def body() -> None:
        await start(rig, fill)

    run(body)


def test_a_driver_that_lost_its_lease_meanwhile_starts_nothing(run: Run, rig: SessionRig) -> None:
    async def fill(cwd: str) -> None:
        lease = (await rig.store.snapshot("one")).lease
        taken = await rig.store.acquire("one", OTHER, taking_over=lease.generation)
        rig.clock.skip(RENEW_EVERY)
        await anyio.wait_all_tasks_blocked()
        await rig.store.release(taken)
        await anyio.sleep_forever()

    async def body() -> None:
        with pytest.raises(LeaseLost):
            await start(rig, fill)
        [record] = await rig.store.sessions()
        assert record.state == "starting"
        assert not Path(record.rundir).exists()

    run(body)
