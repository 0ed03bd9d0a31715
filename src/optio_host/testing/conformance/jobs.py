"""Promises about runs (`optio_host.job.Job`) on a host that can hold them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

from ...cursor import START
from ...host import FileReset
from ...job import Job
from ...job_errors import InputClosed, InputConflict, NotOwner
from ...job_index import forget
from ...job_state import Ended, Owner, Running
from ...job_stop import Gone
from ...outcome import Exited, Signalled
from .ground import Ground, fails
from .trees import SECRET, STUBBORN, nothing_lives, pids_in, secret_is_in_no_process_list

OWNER = Owner("conformance", "session", 1)
NEXT = Owner("conformance", "session", 2)

ECHO = 'while IFS= read -r line; do printf "got %s\\n" "$line"; done; echo ended'


@asynccontextmanager
async def _job(ground: Ground, command: str, *, env: Mapping[str, str] | None = None) -> AsyncIterator[Job]:
    host = ground.job_host
    rundir = f"{ground.host.taskdir}/run's dir/1"
    job = await Job.start(host, rundir, command, cwd=ground.host.workdir, owner=OWNER, env=env)
    try:
        yield job
    finally:
        last = await Job.adopt(host, rundir, Owner("conformance", "session", 9))
        proof = await last.stop(grace=0.0)
        assert proof == Gone(), proof
        await forget(host, job.id, directory=True)


async def _lines(ground: Ground, path: str, count: int) -> list[bytes]:
    found: list[bytes] = []
    async with aclosing(ground.follower.follow(path, START)) as lines:
        async for line, _ in lines:
            assert not isinstance(line, FileReset)
            found.append(getattr(line, "data", b""))
            if len(found) == count:
                break
    return found


async def a_run_is_fed_and_read_by_files_and_its_end_is_known(ground: Ground) -> None:
    """What is appended arrives once, what it writes is followed, and how it ended is written down."""
    async with _job(ground, f"{ECHO}; echo warned >&2; exit 7") as job:
        assert isinstance(await job.state(), Running)
        offset = await job.append(0, b"one\n")
        assert await job.append(offset, b"'two' \xff\n") == 12
        assert await _lines(ground, job.stdout_path, 2) == [b"got one", b"got 'two' \xff"]
        await job.close_stdin()
        assert await job.wait() == Exited(7)
        assert await job.state() == Ended(Exited(7))
        assert await _lines(ground, job.stdout_path, 3) == [b"got one", b"got 'two' \xff", b"ended"]
        assert await _lines(ground, job.stderr_path, 1) == [b"warned"]
        await fails(InputClosed, job.append(12, b"late\n"))


async def a_repeated_append_is_done_once(ground: Ground) -> None:
    """The same bytes at the same offset again, as after a lost answer; other bytes there are a conflict."""
    async with _job(ground, ECHO) as job:
        for _ in range(2):
            assert await job.append(0, b"one\n") == 4
        await fails(InputConflict, job.append(0, b"two\n"))
        await fails(InputConflict, job.append(9, b"gap\n"))
        large = b"x" * 300_000 + b"\n"
        assert await job.append(4, large) == 300_005
        await job.close_stdin()
        assert await job.wait() == Exited(0)
        assert await _lines(ground, job.stdout_path, 3) == [b"got one", b"got " + large[:-1], b"ended"]


async def a_repeated_start_does_not_start_again(ground: Ground) -> None:
    """After a lost answer it gives the run that is there; another owner is refused."""
    async with _job(ground, "echo started >>starts; cat") as job:
        again = await Job.start(ground.job_host, job.rundir, "exit 1", cwd=ground.host.workdir, owner=OWNER)
        assert again.id == job.id
        other = Owner("conformance", "other", 1)
        start = Job.start(ground.job_host, job.rundir, "exit 1", cwd=ground.host.workdir, owner=other)
        await fails(NotOwner, start)
        await job.close_stdin()
        assert await job.wait() == Exited(0)
        assert await ground.far.read(ground.path("starts")) == b"started\n"


async def a_run_has_one_driver_at_a_time(ground: Ground) -> None:
    """The next one takes the run over as it is; the last one may do no more, and the program notices nothing."""
    async with _job(ground, ECHO) as job:
        offset = await job.append(0, b"one\n")
        state = await job.state()
        adopted = await Job.adopt(ground.job_host, job.rundir, NEXT)
        assert (adopted.id, await adopted.state()) == (job.id, state)
        await fails(NotOwner, job.append(offset, b"old\n"))
        await fails(NotOwner, job.stop())
        await fails(NotOwner, Job.adopt(ground.job_host, job.rundir, OWNER))
        await adopted.append(offset, b"two\n")
        assert await _lines(ground, job.stdout_path, 2) == [b"got one", b"got two"]
        await adopted.close_stdin()
        assert await job.wait() == Exited(0)


async def a_run_that_is_stopped_leaves_nothing(ground: Ground) -> None:
    """Also what ignores TERM, left its session or lost its parent: looked for again until it is proved gone."""
    async with _job(ground, f"{STUBBORN}\nwait; sleep 300") as job:
        pids = pids_in((b"\n".join(await _lines(ground, job.stdout_path, 4))).decode())
        assert await ground.alive(*pids) == pids
        assert await job.stop(grace=0.0) == Gone()
        await nothing_lives(ground, pids)
        assert await job.wait() == Signalled(9)
        assert await job.stop() == Gone()


async def how_a_run_ended_tells_a_signal_from_an_exit(ground: Ground) -> None:
    """143 is an exit status, TERM is a signal."""
    for command, outcome in (("exit 143", Exited(143)), ("kill -TERM $$", Signalled(15)), ("exit 255", Exited(255))):
        async with _job(ground, command) as job:
            assert await job.wait() == outcome


async def the_environment_of_a_run_is_in_no_process_list_and_no_file(ground: Ground) -> None:
    """It arrives, and once the program has it, it is not on the disk any more."""
    async with _job(ground, 'printf "%s\\n" "$SECRET"; cat', env={"SECRET": SECRET}) as job:
        assert await _lines(ground, job.stdout_path, 1) == [SECRET.encode()]
        await secret_is_in_no_process_list(ground)
        left = await ground.far.names(job.rundir)
        for name in set(left) - {"stdout", "in", "poke"}:
            if name in ("env", "settings", "command", "supervise.sh", "stdin", "stderr"):
                assert SECRET.encode() not in await ground.far.read(f"{job.rundir}/{name}"), name
        assert "env" not in left
        assert await ground.far.mode(job.rundir) == 0o700


PROMISES = (
    a_run_is_fed_and_read_by_files_and_its_end_is_known,
    a_repeated_append_is_done_once,
    a_repeated_start_does_not_start_again,
    a_run_has_one_driver_at_a_time,
    a_run_that_is_stopped_leaves_nothing,
    how_a_run_ended_tells_a_signal_from_an_exit,
    the_environment_of_a_run_is_in_no_process_list_and_no_file,
)
