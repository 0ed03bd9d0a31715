"""A run for its driver: what goes in exactly once, who may act, how it is known to have ended, and that it can be."""

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import which

import anyio
import pytest
from job_rig import (
    OVER_SSH,
    OWNER,
    Rig,
    alive,
    each_kind_of_rig,
    main_pid,
    rig_in,
    shells_here,
    supervisor_pid,
    tagged,
    until,
    until_stdout,
)

from optio_host import job_shell
from optio_host.errors import HostError
from optio_host.host import OUTPUT_LIMIT, RunResult
from optio_host.job import Job
from optio_host.job_errors import InputClosed, InputConflict, JobGone, NotOwner, StartFailed
from optio_host.job_shell import act
from optio_host.job_state import Ended, Owner, Process, Running, Unknown
from optio_host.job_stop import Gone
from optio_host.outcome import Exited, Lost, Signalled

Run = Callable[[Callable[[], Awaitable[object]]], None]

NEXT = replace(OWNER, generation=2)

ECHO = "while read -r line; do echo got $line; done; echo end"


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with rig_in(tmp_path, "sh") as rig:
        yield rig


@pytest.fixture(params=[*shells_here(), OVER_SSH])
def each_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Rig]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with each_kind_of_rig(tmp_path, request) as rig:
        yield rig


async def ended(job: Job) -> None:
    await job.close_stdin()
    await job.wait()


# What goes in


def test_a_repeated_append_is_done_once_and_a_partial_one_is_completed(run: Run, each_rig: Rig) -> None:
    async def body() -> None:
        job = await each_rig.start(ECHO)
        assert await job.append(0, b"one\n") == 4
        assert await job.append(0, b"one\n") == 4
        add_to(job.stdin_path, b"tw")  # a command that was cut in the middle of its writing
        assert await job.append(4, b"two\n") == 8
        assert await job.append(8, b"three\n") == 14
        assert await job.append(4, b"two\n") == 8  # an old one again, behind which others stand by now
        assert Path(job.stdin_path).read_bytes() == b"one\ntwo\nthree\n"
        await ended(job)
        assert Path(job.stdout_path).read_text() == "got one\ngot two\ngot three\nend\n"

    run(body)


def test_other_bytes_at_the_offset_are_a_conflict_and_stay(run: Run, each_rig: Rig) -> None:
    async def body() -> None:
        job = await each_rig.start(ECHO)
        await job.append(0, b"one\n")
        for offset, data in ((0, b"two\n"), (0, b"one\r\n"), (2, b"e!"), (5, b"gap\n")):
            with pytest.raises(InputConflict) as raised:
                await job.append(offset, data)
            assert (raised.value.offset, raised.value.size) == (offset, 4)
        assert Path(job.stdin_path).read_bytes() == b"one\n"
        await ended(job)
        assert Path(job.stdout_path).read_text() == "got one\nend\n"

    run(body)


def test_any_bytes_and_a_megabyte_arrive_as_they_are(run: Run, each_rig: Rig) -> None:
    async def body() -> None:
        job = await each_rig.start("exec cat")
        data = bytes(range(256)) + b"\0\n" * 500_000 + b"no line end"
        middle = await job.append(await job.append(0, data[:300]), data[300:])
        assert middle == len(data)
        await ended(job)
        assert Path(job.stdout_path).read_bytes() == data

    run(body)


def test_an_append_that_was_cut_before_all_of_it_came_changes_nothing(run: Run, each_rig: Rig) -> None:
    async def body() -> None:
        job = await each_rig.start(ECHO)
        owner = (OWNER.store, OWNER.session, OWNER.generation)
        answers = await act(
            each_rig.host, "append", *owner, 0, 8, "stdin", rundir=job.rundir, run=job.id, input=b"one\n"
        )
        assert answers == [("short", "4")]
        assert Path(job.stdin_path).read_bytes() == b""
        assert not [name for name in os.listdir(job.rundir) if name.startswith("!append")]
        await ended(job)

    run(body)


def test_another_file_of_the_session_is_appended_to_in_the_same_way(run: Run, each_rig: Rig) -> None:
    async def body() -> None:
        job = await each_rig.start(ECHO)
        replies = Path(job.rundir).parent.parent / "replies"
        replies.touch()
        for _ in range(2):
            assert await job.append(0, b"one\n", spool="../../replies") == 4
        assert await job.append(4, b"two\n", spool="../../replies") == 8
        assert replies.read_bytes() == b"one\ntwo\n"
        with pytest.raises(InputConflict):
            await job.append(4, b"other\n", spool="../../replies")
        assert Path(job.stdin_path).read_bytes() == b""
        await ended(job)

    run(body)


def test_a_command_killed_in_the_middle_of_its_writing_is_completed_by_the_same_append(run: Run, each_rig: Rig) -> None:
    async def body() -> None:
        job = await each_rig.start("exec cat")
        await job.append(0, b"one\n")
        # The one that writes the new bytes writes some of them, and then its shell is killed.
        cut = 'head -c 2 "$3"; kill -KILL $PPID'
        each_rig.program("tail", f'case "$*" in "-c +1 "*) {cut} ;; *) exec {which("tail")} "$@" ;; esac')
        with pytest.raises(HostError, match="SIGKILL"):
            await job.append(4, b"two\n")
        assert Path(job.stdin_path).read_bytes() == b"one\ntw"
        each_rig.host.path = None
        assert await job.append(4, b"two\n") == 8
        await ended(job)
        assert Path(job.stdout_path).read_bytes() == b"one\ntwo\n"

    run(body)


def test_after_the_end_of_input_only_what_was_sent_before_may_come_again(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(ECHO)
        await job.append(0, b"one\n")
        await job.close_stdin()
        await job.close_stdin()
        assert await job.append(0, b"one\n") == 4
        with pytest.raises(InputClosed):
            await job.append(4, b"two\n")
        assert await job.wait() == Exited(0)
        assert Path(job.stdout_path).read_text() == "got one\nend\n"

    run(body)


def test_a_lost_poke_is_made_good_by_the_next_driver(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(ECHO)
        add_to(job.stdin_path, b"one\n")  # as by a driver that died between its append and its poke
        await Job.adopt(rig.host, rig.rundir, NEXT)
        await until_stdout(job, "got one")
        await ended(await Job.adopt(rig.host, rig.rundir, NEXT))

    run(body)


def test_appending_to_a_program_that_does_not_read_never_waits(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exec sleep 1000")
        offset = 0
        for _ in range(4):
            offset = await job.append(offset, b"x" * 100_000)
        await job.close_stdin()
        assert await job.stop(5) == Gone()

    run(body)


def test_appending_to_a_program_that_has_ended_is_harmless(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exit 0")
        await job.wait()
        assert await job.append(0, b"late\n") == 5

    run(body)


def test_a_full_disk_at_an_append_is_said_and_the_same_append_completes_it(run: Run, small_disk: Rig) -> None:
    async def body() -> None:
        job = await small_disk.start("exec cat")
        fill = small_disk.base / "task" / "fill"
        fill_up(fill)
        data = b"x" * 300_000
        with pytest.raises(HostError, match="disk full"):
            await job.append(0, data)
        fill.unlink()
        assert await job.append(0, data) == len(data)
        await ended(job)
        assert Path(job.stdout_path).read_bytes() == data

    run(body)


def test_the_end_is_written_on_a_disk_that_has_become_full(run: Run, small_disk: Rig) -> None:
    async def body() -> None:
        job = await small_disk.start("read -r line; exit 9")
        pid = main_pid(job)
        fill_up(small_disk.base / "task" / "fill")
        os.kill(pid, signal.SIGTERM)
        assert await job.wait() == Signalled(15)

    run(body)


def test_a_start_on_a_full_disk_is_refused_and_runs_nothing(run: Run, small_disk: Rig) -> None:
    async def body() -> None:
        fill_up(small_disk.base / "task" / "fill")
        with pytest.raises(StartFailed):
            await small_disk.start(f"echo ran >{small_disk.base}/ran")
        assert not (small_disk.base / "ran").exists()

    run(body)


@pytest.fixture
def small_disk(rig: Rig) -> Iterator[Rig]:
    task = str(rig.base / "task")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", task], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    os.mkdir(rig.host.workdir)
    yield rig
    subprocess.run(["umount", "-l", task], check=True)


@contextmanager
def locked(path: str) -> Iterator[None]:
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def sleeping(*, stdin: str = "/dev/null") -> Iterator[subprocess.Popen[bytes]]:
    with open(stdin, "rb") as file:
        process = subprocess.Popen(["sleep", "1000"], stdin=file, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def add_to(path: str, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def fill_up(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


# Who may act


def test_a_driver_that_was_replaced_can_neither_append_nor_close_nor_signal(run: Run, each_rig: Rig) -> None:
    async def body() -> None:
        old = await each_rig.start(ECHO)
        new = await Job.adopt(each_rig.host, each_rig.rundir, NEXT)
        for attempt in (
            lambda: old.append(0, b"late\n"),
            old.close_stdin,
            old.seen,
            lambda: old.signal_tree(signal.SIGTERM),
            lambda: old.stop(0),
        ):
            with pytest.raises(NotOwner) as raised:
                await attempt()
            assert raised.value.owner == "store session 2"
        assert Path(old.stdin_path).read_bytes() == b""
        assert not Path(old.rundir, "stdin.eof").exists()
        assert await new.state() == await old.state() == Running(main_pid(new))
        await ended(new)
        assert await old.wait() == Exited(0)  # looking is free

    run(body)


@pytest.mark.parametrize(
    "other",
    [
        Owner("store", "session", 4),
        Owner("store", "session", 5),
        Owner("store", "other", 5),
        Owner("elsewhere", "session", 5),
        Owner("store", "other", 1),
    ],
)
def test_a_generation_that_is_not_higher_takes_nothing_over(run: Run, rig: Rig, other: Owner) -> None:
    async def body() -> None:
        owner = Owner("store", "session", 5)
        job = await rig.start(ECHO, owner=owner)
        if other == owner:
            again = await Job.adopt(rig.host, rig.rundir, other)  # the answer to the first may have been lost
            assert again.id == job.id
        else:
            with pytest.raises(NotOwner):
                await Job.adopt(rig.host, rig.rundir, other)
        await job.append(0, b"still mine\n")
        await ended(job)

    run(body)


def test_a_start_in_the_directory_of_another_owners_run_is_refused(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(ECHO)
        with pytest.raises(NotOwner):
            await rig.start("echo mine", owner=Owner("store", "other", 7))
        await ended(job)

    run(body)


def test_whoever_adopts_while_another_appends_sees_all_of_it_or_none(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exec cat")
        for generation in range(2, 8):
            base = Path(job.stdin_path).stat().st_size
            size_at_adoption: list[int] = []

            async def adopt(generation: int = generation, seen: list[int] = size_at_adoption) -> None:
                await Job.adopt(rig.host, rig.rundir, replace(OWNER, generation=generation))
                seen.append(Path(job.stdin_path).stat().st_size)

            async def append(old: Job, base: int = base) -> None:
                try:
                    await old.append(base, b"y" * 200_000)
                except NotOwner:
                    return

            old = await Job.adopt(rig.host, rig.rundir, replace(OWNER, generation=generation - 1))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(append, old)
                tasks.start_soon(adopt)
            assert size_at_adoption == [Path(job.stdin_path).stat().st_size]
        await ended(await Job.adopt(rig.host, rig.rundir, replace(OWNER, generation=7)))

    run(body)


def test_a_command_that_cannot_get_the_lock_gives_up_and_has_done_nothing(
    run: Run, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        job = await rig.start(ECHO)
        monkeypatch.setattr(job_shell, "COMMAND_TIMEOUT", 0.3)
        with locked(f"{job.rundir}/lock"):
            with pytest.raises(HostError, match="may be repeated"):
                await job.append(0, b"one\n")
        monkeypatch.setattr(job_shell, "COMMAND_TIMEOUT", 30)
        assert Path(job.stdin_path).read_bytes() == b""
        await job.append(0, b"one\n")
        await ended(job)
        assert Path(job.stdout_path).read_text() == "got one\nend\n"

    run(body)


@pytest.mark.parametrize("owner", [("", "s", 1), ("a b", "s", 1), ("s", "a\nb", 1), ("s", "é", 1), ("s", "s", 0)])
def test_an_owner_that_cannot_stand_on_one_line_is_refused(owner: tuple[str, str, int]) -> None:
    with pytest.raises(ValueError, match=r"word|generation"):
        Owner(*owner)


@pytest.mark.parametrize(
    ("rundir", "command", "cwd", "env"),
    [
        ("relative", "true", "/", {}),
        ("/run", "true", "relative", {}),
        ("/run", "tr\0ue", "/", {}),
        ("/run", "true", "/", {"A": "\0"}),
        ("/run", "true", "/", {"A B": ""}),
        ("/run", "true", "/", {"A=`id`": ""}),
        ("/run", "x" * 100_001, "/", {}),
    ],
)
def test_a_start_that_no_shell_could_carry_out_is_refused_before_anything_is_done(
    run: Run, rig: Rig, rundir: str, command: str, cwd: str, env: dict[str, str]
) -> None:
    async def body() -> None:
        with pytest.raises(ValueError, match=r"absolute|NUL|name|longer"):
            await Job.start(rig.host, rundir, command, cwd=cwd, owner=OWNER, env=env)

    run(body)


class NoisyHost:
    """A host whose login scripts print, and whose command may end badly."""

    def __init__(self, rig: Rig, exit_code: int = 0) -> None:
        self._host = rig.host
        self._exit_code = exit_code

    async def run_command(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        input: bytes | None = None,
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> RunResult:
        result = await self._host.run_command(command, cwd=cwd, env=env, input=input, timeout=timeout)
        return RunResult("Welcome!\nlost everything\n" + result.stdout, "motd", self._exit_code)


def test_noise_of_login_scripts_is_no_answer(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(ECHO)
        answers = await act(NoisyHost(rig), "look", rundir=job.rundir)
        assert ("owner", "store session 1") in answers
        await ended(job)

    run(body)


def test_a_command_that_did_not_end_well_is_not_taken_for_an_answer(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(ECHO)
        with pytest.raises(HostError, match="exited with status 3"):
            await act(NoisyHost(rig, 3), "look", rundir=job.rundir)
        await ended(job)

    run(body)


# How it is known to have ended


def test_a_rebooted_machine_is_told_from_a_running_program(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exec sleep 1000")
        for name in ("pid", "supervisor"):
            file = Path(job.rundir, name)
            file.write_text(" ".join([*file.read_text().split()[:-1], "another-boot"]) + "\n")
        assert await job.state() == Unknown("reboot")
        assert await job.wait() == Lost("the machine was restarted while the program ran")
        assert await job.stop(5) == Gone()  # the program is found by its tag all the same

    run(body)


def test_a_reused_pid_is_not_taken_for_the_program_and_not_killed(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exit 0")
        await job.wait()
        await until(lambda: tagged(job.id) == [], "the supervisor is gone")
        Path(job.rundir, "exit").unlink()
        with sleeping() as innocent:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            Path(job.rundir, "pid").write_text(f"{innocent.pid} {innocent.pid} 12345 {boot}\n")
            assert await job.state() == Unknown("pid reused")
            assert isinstance(await job.wait(), Lost)
            assert await job.signal_tree(signal.SIGKILL) == ()
            assert await job.stop(0) == Gone()
            assert innocent.poll() is None

    run(body)


def test_an_exit_file_beside_a_living_program_is_a_forgery(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(
            'read -r line; printf "exited 0\\nreason none\\nend\\n" >../run/1/exit; read -r line; exit 3'
        )
        await job.append(0, b"\n")
        await until(lambda: Path(job.rundir, "exit").exists(), "the forgery")
        assert await job.state() == Running(main_pid(job))
        await job.append(1, b"\n")
        await until(lambda: not alive(main_pid(job)), "the end of the program")
        assert await job.wait() == Exited(3)

    run(body)


def test_waiting_begun_before_and_after_the_end_gives_the_same(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("read -r line; exit 6")
        outcomes = []

        async def wait() -> None:
            outcomes.append(await job.wait())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await job.append(0, b"\n")
        assert [*outcomes, await job.wait()] == [Exited(6), Exited(6)]

    run(body)


def test_a_wait_that_is_cancelled_leaves_the_program_alone(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(ECHO)
        with anyio.move_on_after(0.2) as limit:
            await job.wait()
        assert limit.cancelled_caught
        assert await job.state() == Running(main_pid(job))
        await ended(job)

    run(body)


def test_a_run_directory_removed_by_hand_is_said_and_what_runs_is_still_stopped(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("setsid sleep 1000 & exec sleep 1001")
        shutil.rmtree(job.rundir)
        assert await job.state() == Unknown("directory gone")
        assert await job.wait() == Lost("the run directory was removed")
        with pytest.raises(JobGone):
            await job.append(0, b"x")
        with pytest.raises(JobGone):
            await Job.adopt(rig.host, rig.rundir, NEXT)
        assert len(tagged(job.id)) >= 2
        assert await job.stop(5) == Gone()
        assert tagged(job.id) == []

    run(body)


def test_a_start_that_broke_off_before_the_program_ran_never_runs_it_after_a_stop(run: Run, rig: Rig) -> None:
    async def body() -> None:
        # A shell that dies instead of supervising: as a crash between the claim and the pid file.
        broken = rig.base / "broken"
        broken.write_text('#!/bin/sh\ncase "$*" in *supervise*) exit 0 ;; esac\nexec sh "$@"\n')
        broken.chmod(0o755)
        rig.shell = str(broken)
        with pytest.raises(StartFailed):
            await rig.start("echo ran", env={"KEY": "secret"})
        job = await Job.adopt(rig.host, rig.rundir, NEXT)
        assert await job.state() == Unknown("never started")
        assert await job.wait() == Lost("the start broke off before the program ran")
        assert await job.stop() == Gone()
        never = Lost("it was stopped before the program was started")
        assert await job.state() == Ended(never)
        assert not Path(job.rundir, "env").exists()
        # The one that was only slow comes too late.
        late = await rig.host.run_command(f"sh ./supervise.sh supervise {job.rundir}", cwd=job.rundir)
        assert late.stdout == "void\n"
        assert Path(job.stdout_path).read_bytes() == b""
        assert await job.state() == Ended(never)

    run(body)


# That it can be ended


def test_a_program_that_ends_on_term_gets_it_once(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("trap 'echo term' TERM; echo ready; while [ ! -e done ]; do sleep 0.05; done; exit 2")
        await until_stdout(job, "ready")
        sent = await job.signal_tree(signal.SIGTERM)
        assert main_pid(job) in {process.pid for process in sent}
        await until_stdout(job, "term")
        Path(rig.host.workdir, "done").touch()
        assert await job.wait() == Exited(2)
        assert Path(job.stdout_path).read_text() == "ready\nterm\n"
        assert await job.stop() == Gone()

    run(body)


def test_a_program_that_ignores_term_is_killed_after_its_grace(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("trap '' TERM; echo ready; read -r line")
        await until_stdout(job, "ready")
        assert await job.stop(0.2) == Gone()
        assert await job.state() == Ended(Signalled(9))

    run(body)


def test_a_stopped_program_still_ends_on_term(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")
        await until_stdout(job, "ready")
        os.kill(main_pid(job), signal.SIGSTOP)
        assert await job.stop(20) == Gone()
        assert await job.wait() == Exited(5)

    run(body)


@pytest.mark.parametrize(
    "escape",
    [
        "setsid sleep 1000 &",
        "(env -i setsid sleep 1000 &)",  # its parent is gone: found by the files it holds
        "(setsid sleep 1000 9>&- >/dev/null 2>&1 &)",  # found by its environment
        "(env -i sleep 1000 9>&- >/dev/null 2>&1 &)",  # found by its group
        "env -i setsid sh -c 'sleep 1000; :' 9>&- >/dev/null 2>&1 &",  # found as a child of a child
    ],
)
def test_a_process_that_escapes_is_found_and_ended(run: Run, rig: Rig, escape: str) -> None:
    marker = "1000"

    async def body() -> None:
        job = await rig.start(f"trap '' TERM; {escape}\necho ready; read -r line")
        await until_stdout(job, "ready")
        await until(lambda: len(sleepers(marker, rig)) == 1, "the one that escapes runs")
        escaped = sleepers(marker, rig)[0]
        try:
            assert await job.stop(0.2) == Gone()
            assert not alive(escaped)
        finally:
            if alive(escaped):
                os.kill(escaped, signal.SIGKILL)

    run(body)


def sleepers(seconds: str, rig: Rig) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            here = os.readlink(entry / "cwd") == rig.host.workdir
        except OSError:
            continue
        if here and command == b"sleep\0" + seconds.encode() + b"\0":
            found.append(int(entry.name))
    return found


def test_a_reader_of_the_spools_is_not_taken_for_the_program(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exec sleep 1000")
        with sleeping(stdin=job.stdout_path) as reader:
            assert await job.stop(5) == Gone()
            assert reader.poll() is None

    run(body)


@pytest.mark.parametrize("forged", ["", ".*", "[0-9a-f]*"])
def test_a_run_without_a_name_or_with_a_forged_one_stops_no_other_run(run: Run, rig: Rig, forged: str) -> None:
    async def body() -> None:
        victim = await rig.start("exec sleep 1000")
        rig.rundir += "-other"
        job = await rig.start("exit 0")
        await job.wait()
        await until(lambda: tagged(job.id) == [], "the supervisor is gone")
        Path(job.rundir, "id").write_text(forged + "\n")
        adopted = await Job.adopt(rig.host, job.rundir, NEXT)
        assert adopted.id == ""
        assert await adopted.signal_tree(signal.SIGKILL) == ()
        await adopted.stop(0)
        assert await victim.state() == Running(main_pid(victim))
        assert await victim.stop(5) == Gone()

    run(body)


def test_stopping_twice_and_after_the_end_is_fine(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exec sleep 1000")
        assert await job.stop(5) == Gone()
        assert await job.stop(5) == Gone()
        assert await job.state() == Ended(Signalled(15))
        assert await job.signal_tree(signal.SIGINT) == ()

    run(body)


def test_a_killed_supervisors_run_can_be_stopped(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exec sleep 1000")
        os.kill(supervisor_pid(job), signal.SIGKILL)
        assert await job.stop(5) == Gone()
        assert await job.state() == Unknown("supervisor killed")
        assert tagged(job.id) == []

    run(body)


def test_one_run_below_another_is_not_ended_with_it(run: Run, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        outer = await rig.start("exec sleep 1000")
        monkeypatch.setenv("OPTIO_RUN", outer.id)  # as for a driver that runs inside of it
        rig.rundir += "-inner"
        inner = await rig.start("exec sleep 1000")
        monkeypatch.delenv("OPTIO_RUN")
        assert await outer.stop(5) == Gone()
        assert await inner.state() == Running(main_pid(inner))
        assert await inner.stop(5) == Gone()

    run(body)


def test_a_command_run_by_a_driver_inside_of_a_run_is_ended_with_it(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(
            'OPTIO_RUN="$OPTIO_RUN:inner" setsid sleep 1000 9>&- >/dev/null 2>&1 & echo ready; read -r x'
        )
        await until_stdout(job, "ready")
        await until(lambda: len(sleepers("1000", rig)) == 1, "it runs")
        assert await job.stop(5) == Gone()
        assert sleepers("1000", rig) == []

    run(body)


def test_processes_are_named(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("exec sleep 1000")
        pid = main_pid(job)
        start = Path(job.rundir, "pid").read_text().split()[2]
        await until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "it is sleep")
        assert await job.signal_tree(signal.SIGCONT) == (Process(pid, start, pid, "sleep"),)
        assert await job.stop(5) == Gone()

    run(body)
