"""One look at many runs: whatever is not as it was is told, of the run that it is about, and of no other."""

import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from host.job_rig import OWNER, Rig, shells_here, until
from optio_host.errors import HostError, LinkLost
from optio_host.host import RunResult
from optio_host.job import Job
from optio_host.job_errors import NotOwner
from optio_host.job_rounds import Known, Rounds
from optio_host.job_state import Owner
from optio_host.outcome import Exited, Lost, Outcome, Signalled
from optio_host.testing.clock import ManualClock
from optio_host.together import MOST, until_next

Run = Callable[[Callable[[], Awaitable[object]]], None]


async def known(job: Job, owner: str = str(OWNER)) -> Known:
    seen = await job.snapshot()
    return Known(job.rundir, job.id, owner, seen.main, seen.supervisor)


@pytest.mark.parametrize("shell", shells_here())
def test_what_has_changed_of_a_run_is_told_and_the_others_are_as_they_were(
    run: Run, tmp_path: Path, shell: str
) -> None:
    rig = Rig(tmp_path, shell)

    async def body() -> None:
        jobs = []
        for number in range(6):
            rig.rundir = str(tmp_path / "task" / "run" / f"it's {number}")
            jobs.append(await rig.start("exec sleep 300"))
        try:
            as_known = [await known(job) for job in jobs]
            rounds = Rounds(rig.host)
            assert all([await rounds.unchanged(each) for each in as_known])
            main, supervisor = as_known[0].main, as_known[1].supervisor
            assert main
            assert supervisor
            os.kill(supervisor.pid, signal.SIGKILL)
            os.kill(main.pid, signal.SIGKILL)
            await until(lambda: not alive(main.pid) and not alive(supervisor.pid), "the end of what was killed")
            shutil.rmtree(jobs[2].rundir)
            await Job.adopt(rig.host, jobs[3].rundir, Owner("store", "session", 2))
            told: list[object] = [None] * len(jobs)

            async def look(number: int) -> None:
                try:
                    told[number] = await rounds.unchanged(as_known[number])
                except NotOwner as error:
                    told[number] = error.owner

            async with anyio.create_task_group() as tasks:
                for number in range(len(jobs)):
                    tasks.start_soon(look, number)
            assert told == [False, False, False, "store session 2", True, True]
        finally:
            for job in jobs:
                job.owner = Owner("store", "session", 2 if job is jobs[3] else 1)
                adopted = Job(rig.host, job.rundir, job.id, job.owner, job._clock, watched=False)
                await adopted.stop(0)

    run(body)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


class Counting:
    """A host that answers every look, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.outcome = Exited(0)
        self.gate = anyio.Event()
        self.gate.set()

    async def run_command(self, command: str, *, input: bytes = b"", **options: object) -> RunResult:
        lines = input.decode().splitlines()
        self.asked.append(len(lines))
        await self.gate.wait()
        told = "".join(f"optio-job other {line.split()[0]}\n" for line in lines if "changed" in line)
        return RunResult(f"{told}optio-job looked {len(lines)}\n", "", 0, self.outcome)


def test_those_who_look_at_the_same_moment_share_one_command(run: Run) -> None:
    host = Counting()
    rounds = Rounds(host)

    async def body() -> None:
        found: dict[int, bool] = {}

        async def look(number: int) -> None:
            name = "changed" if number % 7 == 0 else "same"
            found[number] = await rounds.unchanged(Known(f"/{name}/{number}", "1"))

        async with anyio.create_task_group() as tasks:
            for number in range(MOST + 500):
                tasks.start_soon(look, number)
        assert host.asked == [MOST, 500]
        assert found == {number: number % 7 != 0 for number in range(MOST + 500)}

    run(body)


def test_a_timer_that_goes_off_a_nanosecond_early_does_not_make_everybody_ask_twice() -> None:
    clock = ManualClock()
    assert until_next(5, clock) == 5
    clock._passed = 12.0
    assert until_next(5, clock) == 3
    clock._passed = 15 - 1e-9
    assert 5 < until_next(5, clock) < 5.1


def test_one_who_is_cancelled_while_it_looks_for_all_takes_nobody_along(run: Run) -> None:
    host = Counting()
    host.gate = anyio.Event()
    rounds = Rounds(host)

    async def body() -> None:
        found = []

        async def look(scope: anyio.CancelScope) -> None:
            with scope:
                found.append(await rounds.unchanged(Known("/run", "1")))

        scopes = [anyio.CancelScope() for _ in range(3)]
        async with anyio.create_task_group() as tasks:
            for scope in scopes:
                tasks.start_soon(look, scope)
            await anyio.wait_all_tasks_blocked()
            scopes[0].cancel()
            await anyio.wait_all_tasks_blocked()
            host.gate.set()
        assert found == [True, True]
        assert host.asked == [3, 2]

    run(body)


@pytest.mark.parametrize(
    ("outcome", "why"), [(Lost("the link broke"), "the link broke"), (Signalled(signal.SIGINT), "it was interrupted")]
)
def test_a_host_that_does_not_answer_is_an_error_of_each_who_looked(run: Run, outcome: Outcome, why: str) -> None:
    """Nor does a command of this machine that a Ctrl-C met before it had a process group of its own."""
    host = Counting()
    host.outcome = outcome  # type: ignore[assignment]
    rounds = Rounds(host)

    async def body() -> None:
        errors: list[HostError] = []

        async def look() -> None:
            with pytest.raises(LinkLost, match=why) as caught:
                await rounds.unchanged(Known("/run", "1"))
            errors.append(caught.value)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(look)
        assert len(set(map(id, errors))) == 3
        assert host.asked == [3]

    run(body)


def test_a_run_with_a_name_that_no_line_can_carry_is_looked_at_by_itself(run: Run) -> None:
    host = Counting()

    async def body() -> None:
        assert not await Rounds(host).unchanged(Known("/a\nb", "1"))
        assert host.asked == []

    run(body)
