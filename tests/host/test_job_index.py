"""The index of runs on a host: none is lost sight of, and nothing that runs is forgotten."""

import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from job_rig import OVER_SSH, Rig, each_kind_of_rig, main_pid, shells_here, tagged

from optio_host.errors import HostError
from optio_host.job_index import forget, jobs, reap, stop_orphan
from optio_host.job_state import Ended, Running, Unknown
from optio_host.job_stop import Gone
from optio_host.outcome import Exited

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture(params=[*shells_here(), OVER_SSH])
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Rig]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with each_kind_of_rig(tmp_path, request) as rig:
        yield rig


def test_a_host_without_runs_lists_none(run: Run, rig: Rig) -> None:
    async def body() -> None:
        assert await jobs(rig.host) == []
        assert await reap(rig.host) == ()
        await forget(rig.host, "unheard-of")

    run(body)


def test_every_run_is_listed_with_its_state_and_its_owner(run: Run, rig: Rig) -> None:
    async def body() -> None:
        first = await rig.start("exit 3")
        await first.wait()
        rig.rundir = str(rig.base / "task" / "run" / "it's\n2")
        second = await rig.start("read -r line")
        listed = {entry.id: entry for entry in await jobs(rig.host)}
        assert set(listed) == {first.id, second.id}
        assert listed[first.id].state == Ended(Exited(3))
        assert listed[second.id].state == Running(main_pid(second))
        assert listed[second.id].rundir == rig.rundir
        assert listed[second.id].owner == "store session 1"
        await second.close_stdin()
        await second.wait()

    run(body)


def test_a_run_whose_directory_was_removed_is_found_by_its_processes_and_ended(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("env -i setsid sleep 1000 & exec sleep 1001")
        shutil.rmtree(job.rundir)
        assert await reap(rig.host) == ()
        (entry,) = await jobs(rig.host)
        assert (entry.id, entry.rundir, entry.state) == (job.id, job.rundir, Unknown("directory gone"))
        assert len(entry.processes) == 2
        with pytest.raises(HostError, match="still running"):
            await forget(rig.host, job.id)
        assert await stop_orphan(rig.host, entry, grace=5) == Gone()
        assert tagged(job.id) == []
        assert await reap(rig.host) == (job.id,)
        assert await jobs(rig.host) == []

    run(body)


def test_a_directory_that_now_holds_another_run_does_not_pass_for_the_first(run: Run, rig: Rig) -> None:
    async def body() -> None:
        first = await rig.start("exec sleep 1000")
        shutil.rmtree(first.rundir)
        second = await rig.start("read -r line")
        listed = {entry.id: entry for entry in await jobs(rig.host)}
        assert listed[first.id].state == Unknown("directory gone")
        assert listed[second.id].state == Running(main_pid(second))
        assert await stop_orphan(rig.host, listed[first.id], grace=5) == Gone()
        assert await second.state() == Running(main_pid(second))
        assert await second.stop(5) == Gone()

    run(body)


def test_only_what_has_ended_is_removed(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("read -r line")
        for directory in (False, True):
            with pytest.raises(HostError, match="kept"):
                await forget(rig.host, job.id, directory=directory)
        (entry,) = await jobs(rig.host)
        with pytest.raises(HostError, match="adopt"):
            await stop_orphan(rig.host, entry)
        assert await job.stop(5) == Gone()
        with pytest.raises(HostError, match="directory is still there"):
            await forget(rig.host, job.id)
        await forget(rig.host, job.id, directory=True)
        assert not Path(job.rundir).exists()
        assert await jobs(rig.host) == []

    run(body)


def test_the_index_is_for_its_user_only(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exit 0")
        await job.wait()
        state = rig.base / "state"
        assert [path.stat().st_mode & 0o777 for path in (state / "optio", state / "optio" / "jobs")] == [0o700] * 2
        assert (state / "optio" / "jobs" / job.id).stat().st_mode & 0o777 == 0o600
        assert os.listdir(state / "optio" / "jobs") == [job.id]

    run(body)
