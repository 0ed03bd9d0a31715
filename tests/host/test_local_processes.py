"""Commands and processes on this machine."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from optio_host.host import ProcessHandle, proc_wait
from optio_host.local.host import LocalHost
from optio_host.local.tree import ProcessSeen, Root, _look_proc, _look_ps, members
from optio_host.outcome import Exited, Signalled, TimedOut

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def host(taskdir: str) -> LocalHost:
    host = LocalHost(taskdir)
    os.makedirs(host.workdir)
    return host


async def first_line(lines: AsyncIterator[bytes]) -> bytes:
    return await anext(aiter(lines))


def alive(pid: int) -> bool:
    return any(not seen.zombie for seen in _look_proc([pid]))


def test_a_command_returns_output_and_exit_code_apart(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        result = await host.run_command("echo out; echo err >&2; exit 3")
        assert (result.stdout, result.stderr, result.exit_code, result.outcome) == ("out\n", "err\n", 3, Exited(3))

    run(body)


def test_a_command_runs_in_the_workdir_and_a_relative_cwd_is_below_it(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        os.mkdir(os.path.join(host.workdir, "sub"))
        assert (await host.run_command("pwd")).stdout.strip() == host.workdir
        assert (await host.run_command("pwd", cwd="sub")).stdout.strip() == os.path.join(host.workdir, "sub")
        assert (await host.run_command("pwd", cwd="/")).stdout.strip() == "/"
        with pytest.raises(FileNotFoundError):
            await host.run_command("pwd", cwd="missing")

    run(body)


def test_a_death_by_signal_is_told_from_an_exit(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        killed = await host.run_command("kill -TERM $$")
        assert (killed.exit_code, killed.outcome) == (-15, Signalled(15))
        assert (await host.run_command("exit 143")).outcome == Exited(143)

    run(body)


def test_a_byte_that_is_not_utf8_does_not_empty_the_output(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        assert (await host.run_command(r"printf 'a\377b'")).stdout == "a\ufffdb"

    run(body)


def test_endless_output_keeps_head_and_tail_and_counts_the_rest(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        result = await host.run_command("seq 1 1000000", output_limit=100)
        assert result.stdout.startswith("1\n2\n3\n")
        assert result.stdout.endswith("1000000\n")
        assert result.stdout_dropped == 6888896 - 100
        assert f"{result.stdout_dropped} bytes left out" in result.stdout

    run(body)


def test_input_larger_than_a_pipe_arrives_whole_and_an_unread_one_is_no_error(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        data = b"x" * 1_000_000
        assert (await host.run_command("wc -c", input=data)).stdout.strip() == "1000000"
        assert (await host.run_command("exit 0", input=data)).exit_code == 0
        assert (await host.run_command("cat")).stdout == ""

    run(body)


def test_a_background_child_that_holds_the_pipes_does_not_hold_up_the_command(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        result = await host.run_command("sleep 300 & echo $!")
        assert alive(int(result.stdout))
        os.kill(int(result.stdout), signal.SIGKILL)

    run(body)


def test_a_timeout_ends_the_whole_tree_and_keeps_what_was_written(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        result = await host.run_command("echo begun; sleep 300 & echo $!; wait", timeout=0.3)
        begun, pid = result.stdout.split()
        assert (begun, result.outcome, result.exit_code) == ("begun", TimedOut(0.3), 124)
        assert not alive(int(pid))

    run(body)


STUBBORN = """
trap '' TERM
sleep 300 & echo $!
setsid sh -c 'trap "" TERM; echo $$; sleep 300' &
(setsid sh -c 'echo $$; exec sleep 300' &)
nohup sh -c 'echo $$; sleep 300' 2>/dev/null &
wait
"""


async def stubborn_pids(handle: ProcessHandle) -> list[int]:
    lines = aiter(handle.stdout)
    return [int(await anext(lines)) for _ in range(4)]


@pytest.mark.parametrize("aggressive", [False, True])
def test_nothing_survives_a_termination(
    run: Run, host: LocalHost, monkeypatch: pytest.MonkeyPatch, aggressive: bool
) -> None:
    monkeypatch.setattr("optio_host.local.host.TERMINATE_GRACE", 0.2)

    async def body() -> None:
        handle = await host.launch_subprocess(STUBBORN)
        pids = await stubborn_pids(handle)
        assert all(alive(pid) for pid in pids)
        root: Root = handle.pid_like.root  # type: ignore[attr-defined]
        await host.terminate_subprocess(handle, aggressive=aggressive)
        assert not [pid for pid in pids if alive(pid)]
        assert members(root) == []
        await host.disconnect()

    run(body)


def test_cancelling_a_command_ends_its_grandchildren_too(
    run: Run, host: LocalHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optio_host.local.process.GRACE", 0.2)
    fifo = tmp_path / "pids"
    os.mkfifo(fifo)

    async def body() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.run_command, f"exec >{fifo}; {STUBBORN}")
            pids = [int(line) for line in (await anyio.to_thread.run_sync(read_four, fifo))]
            tasks.cancel_scope.cancel()
        assert not [pid for pid in pids if alive(pid)]

    def read_four(path: Path) -> list[str]:
        with path.open() as file:
            return [file.readline() for _ in range(4)]

    run(body)


def test_a_launched_process_is_talked_to_line_by_line(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        handle = await host.launch_subprocess("while read -r line; do echo got $line; done; echo -n end", stdin=True)
        assert handle.stdin
        lines = aiter(handle.stdout)
        for word in (b"one", b"two"):
            handle.stdin.write(word + b"\n")
            await handle.stdin.drain()
            assert await anext(lines) == b"got " + word + b"\n"
        handle.stdin.close()
        await handle.stdin.wait_closed()
        assert [line async for line in lines] == [b"end"]
        assert await proc_wait(handle) == 0

    run(body)


def test_stdout_and_stderr_are_merged_unless_asked_apart(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        merged = await host.launch_subprocess("echo out; echo err >&2")
        assert merged.stderr is None
        assert [line async for line in merged.stdout] == [b"out\n", b"err\n"]
        apart = await host.launch_subprocess("echo out; echo err >&2", merge_stderr=False)
        assert apart.stderr is not None
        assert [line async for line in apart.stdout] == [b"out\n"]
        assert [line async for line in apart.stderr] == [b"err\n"]
        assert [await proc_wait(merged), await proc_wait(apart)] == [0, 0]

    run(body)


def test_inherited_names_are_dropped_by_pattern_and_additions_win(
    run: Run, host: LocalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SECRET_A", "SECRET_B", "KEPT", "CHANGED"):
        monkeypatch.setenv(name, "inherited")

    async def body() -> None:
        handle = await host.launch_subprocess(
            "env", env={"CHANGED": "new", "SECRET_B": "given"}, env_remove=["SECRET_*"]
        )
        environment = [line.decode().rstrip("\n") async for line in handle.stdout]
        assert {"KEPT=inherited", "CHANGED=new", "SECRET_B=given"} <= set(environment)
        assert not any(line.startswith("SECRET_A=") for line in environment)
        await proc_wait(handle)

    run(body)


def test_a_process_that_stops_reading_is_a_broken_pipe_and_not_a_hang(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        handle = await host.launch_subprocess("exec <&-; echo closed; read -r x", stdin=True)
        assert handle.stdin
        assert await first_line(handle.stdout) == b"closed\n"
        handle.stdin.write(b"x" * 1_000_000)
        with pytest.raises(BrokenPipeError):
            await handle.stdin.drain()
        await host.terminate_subprocess(handle, aggressive=True)
        await host.disconnect()

    run(body)


def test_the_processes_seen_through_ps_are_those_seen_through_proc() -> None:
    def by_pid(seen: list[ProcessSeen]) -> dict[int, int]:
        return {each.pid: each.parent for each in seen}

    ours = os.getpid()
    assert by_pid(_look_ps([ours])) == by_pid(_look_proc([ours])) == {ours: os.getppid()}


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_ours() -> None:
    someone_else = Root(os.getpid(), "long before", "no-such-tag")
    assert members(someone_else) == []


def test_the_port_of_a_tunnel_on_this_machine_is_the_port_itself(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        assert await host.establish_tunnel(8080) == 8080

    run(body)


def test_the_task_directory_is_private_and_goes_when_it_is_cleaned_up(run: Run, taskdir: str) -> None:
    async def body() -> None:
        host = LocalHost(taskdir)
        await host.setup_workdir()
        await host.setup_workdir()
        assert [os.stat(path).st_mode & 0o777 for path in (host.taskdir, host.workdir)] == [0o700, 0o700]
        await host.cleanup_taskdir(aggressive=False)
        await host.cleanup_taskdir(aggressive=False)
        assert not os.path.exists(taskdir)

    run(body)
