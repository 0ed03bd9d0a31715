"""Appending to a run often: the program that does the plain ones, and the command that does whatever is not plain."""

import fcntl
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from job_rig import OVER_SSH, OWNER, Rig, each_kind_of_rig

import optio_host.job as job_module
from optio_host import job_append, job_shell
from optio_host.job import Job
from optio_host.job_errors import InputClosed, InputConflict, JobGone, NotOwner
from optio_host.job_shell import Answers

Run = Callable[[Callable[[], Awaitable[object]]], None]

ECHO = "while read -r line; do echo got $line; done; echo end"


@pytest.fixture(params=["sh", OVER_SSH])
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Rig]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with each_kind_of_rig(tmp_path, request) as rig:
        yield rig


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that were run for a run; a test clears it."""
    names: list[str] = []

    async def act(host: object, call: str, *words: object, **more: object) -> Answers:
        names.append(call)
        return await job_shell.act(host, call, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(job_module, "act", act)
    return names


def programs(rig: Rig) -> set[int]:
    """The programs that append, below this process or the rig's sshd; others may test on this machine, too."""
    root = os.getpid() if rig.server is None else rig.server.pid
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if b"optio-append" in Path(entry.path, "cmdline").read_bytes() and is_below(int(entry.name), root):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def is_below(pid: int, root: int) -> bool:
    while pid > 1 and pid != root:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[:2]
        pid = 0 if state == "Z" else int(parent)
    return pid == root


@contextmanager
def locked(path: str) -> Iterator[None]:
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def ended(job: Job) -> None:
    await job.close_stdin()
    await job.wait()


def test_plain_appends_need_no_command_and_what_is_not_plain_is_done_or_refused_by_one(
    run: Run, rig: Rig, commands: list[str]
) -> None:
    async def body() -> None:
        job = await rig.start(ECHO)
        replies = Path(job.rundir).parent.parent / "replies"
        replies.touch()
        async with job.appending():
            assert await job.append(0, b"one\n") == 4
            assert await job.append(4, b"two\n") == 8
            assert await job.append(0, b"any\0bytes\xff\n", spool="../../replies") == 11
            assert commands == []
            assert await job.append(4, b"two\n") == 8  # there already
            Path(job.stdin_path).write_bytes(b"one\ntwo\nth")  # somebody was cut in the middle of writing it
            assert await job.append(8, b"three\n") == 14
            assert commands == ["append", "append"]
            for offset, data in ((0, b"other"), (15, b"gap\n")):
                with pytest.raises(InputConflict):
                    await job.append(offset, data)
            large = b"x" * job_append.PLAIN_BYTES + b"\n"
            await job.append(14, large)
            await ended(job)
            with pytest.raises(InputClosed):
                await job.append(14 + len(large), b"late\n")
        assert replies.read_bytes() == b"any\0bytes\xff\n"
        assert Path(job.stdin_path).read_bytes() == b"one\ntwo\nthree\n" + large
        assert Path(job.stdout_path).read_text().startswith("got one\ngot two\ngot three\ngot x")

    run(body)


def test_a_driver_that_was_replaced_is_refused_by_the_program_that_it_still_has(run: Run, rig: Rig) -> None:
    async def body() -> None:
        old = await rig.start(ECHO)
        async with old.appending():
            await old.append(0, b"one\n")
            new = await Job.adopt(rig.host, rig.rundir, replace(OWNER, generation=2))
            with pytest.raises(NotOwner):
                await old.append(4, b"late\n")
            assert await new.append(4, b"two\n") == 8
            await ended(new)
            assert Path(new.stdout_path).read_text() == "got one\ngot two\nend\n"
            os.rename(new.rundir, f"{new.rundir}-moved")
            with pytest.raises(JobGone):
                await new.append(8, b"gone\n")

    run(body)


def test_while_another_command_acts_on_the_run_the_program_waits_for_nothing(
    run: Run, rig: Rig, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        job, other = await rig.start(ECHO), await Job.start(
            rig.host, f"{rig.rundir}-2", ECHO, cwd=rig.host.workdir, owner=OWNER
        )  # fmt: skip
        monkeypatch.setattr(job_shell, "COMMAND_TIMEOUT", 0.5)
        async with job.appending():
            with locked(f"{job.rundir}/lock"):
                with pytest.raises(job_append.HostError, match="may be repeated"):
                    await job.append(0, b"one\n")
                assert commands == ["append"]
                await other.append(0, b"one\n")  # which the same program does
                assert commands == ["append"]
        monkeypatch.setattr(job_shell, "COMMAND_TIMEOUT", 30)
        for each in (job, other):
            await ended(each)

    run(body)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_a_program_that_dies_or_hangs_loses_nothing_and_is_replaced(
    run: Run, rig: Rig, commands: list[str], monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    monkeypatch.setattr(job_append, "ANSWER_SECONDS", 1.0)

    async def body() -> None:
        before = programs(rig)
        job = await rig.start(ECHO)
        async with job.appending():
            await job.append(0, b"one\n")
            [pid] = programs(rig) - before
            os.kill(pid, sent)
            assert await job.append(4, b"two\n") == 8
            assert commands == ["append"]
            if sent == signal.SIGSTOP and rig.server is not None:
                os.kill(pid, signal.SIGCONT)  # it finds the request that it was sent, and that others have done it
            assert await job.append(8, b"three\n") == 14
            assert commands == ["append"]
        await ended(job)
        assert Path(job.stdout_path).read_text() == "got one\ngot two\ngot three\nend\n"

    run(body)


def test_a_host_without_python_is_asked_for_it_once(
    run: Run, rig: Rig, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if rig.server is not None:
        monkeypatch.setattr("optio_host.ssh.host.python_program", lambda name: ("exec no-such-python", b""))
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    async def body() -> None:
        begun = []
        begin = rig.host.appends._begin

        async def counting() -> job_append.Program:
            begun.append(1)
            return await begin()

        monkeypatch.setattr(rig.host.appends, "_begin", counting)
        job = await rig.start(ECHO)
        async with job.appending():
            assert await job.append(0, b"one\n") == 4
            assert await job.append(4, b"two\n") == 8
        assert commands == ["append", "append"]
        assert len(begun) == 1
        await ended(job)

    run(body)


def test_where_the_program_is_slow_to_start_not_every_append_waits_for_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_append, "ANSWER_SECONDS", 0.05)
    begun: list[str] = []

    async def nothing() -> None:
        begun.append("ended")

    async def write(data: bytes) -> None:
        begun.append("asked")

    async def read() -> bytes:
        await anyio.sleep_forever()
        return b""

    async def begin() -> job_append.Program:
        begun.append("begun")
        return job_append.Program(write, read, nothing)

    async def body() -> None:
        appends = job_append.QuickAppends(begin)
        async with appends.expected():
            for _ in range(3):
                assert not await appends.append("/run", "1d", "store session 1", 0, b"one\n", "stdin")
        assert begun == ["begun", "asked", "ended"]

    run(body)


def test_the_program_is_there_from_the_first_append_to_the_last_who_may_append(run: Run, rig: Rig) -> None:
    async def body() -> None:
        before = programs(rig)
        job = await rig.start(ECHO)
        again = await Job.adopt(rig.host.at(rig.host.taskdir), rig.rundir, OWNER)
        async with job.appending():
            assert programs(rig) == before
            async with again.appending():
                await again.append(0, b"one\n")
                await job.append(4, b"two\n")
                assert len(programs(rig) - before) == 1
            assert len(programs(rig) - before) == 1
        await ended(job)

    run(body)
