"""Commands over SSH, each through a session of its own and through a shared shell: the same meaning both ways."""

import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from job_rig import until

from optio_host.errors import HostError, LinkLost
from optio_host.host import proc_wait
from optio_host.outcome import Exited, Lost, Signalled, TimedOut
from optio_host.ssh import shell
from optio_host.ssh.host import RemoteHost
from optio_host.testing.relay import Relay
from optio_host.testing.ssh_server import SSHServer
from ssh_rig import config_for, connected, own_sshd
from sshd_rig import Sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def server(sshd_here: Sshd) -> Sshd:
    return sshd_here


@pytest.fixture(params=["a session each", "a shared shell"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(shell, "SLOW_LOGIN", 1000.0 if request.param == "a session each" else 0.0)
    return str(request.param)


def tagged(mark: str) -> list[str]:
    """Living processes on this machine, which is the far side too, with a word in their command line."""
    listing = subprocess.run(["ps", "axww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True)
    return [line for line in listing.stdout.splitlines() if mark in line and " Z" not in line]


def test_every_end_of_a_command_is_told_as_it_was(run: Run, server: Sshd, taskdir: str, way: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            ends = {
                "exit 0": Exited(0),
                "exit 255": Exited(255),
                "exit 143": Exited(143),
                "kill -TERM $$": Signalled(15),
                "kill -KILL $$": Signalled(9),
                "kill -USR1 $$": Signalled(10),
                "if": Exited(2),
                "no-such-program-here": Exited(127),
            }
            for command, outcome in ends.items():
                assert (await host.run_command(command)).outcome == outcome, command

    run(body)


def test_output_comes_byte_for_byte_and_stderr_apart(run: Run, server: Sshd, taskdir: str, way: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            result = await host.run_command("printf 'a\\377b'; printf 'warned' >&2")
            assert (result.stdout, result.stderr) == ("a\ufffdb", "warned")
            assert (await host.run_command("cat", input=bytes(range(256)) * 9)).stdout.encode()[:5] == bytes(range(5))
            assert (await host.run_command("wc -c", input=b"x" * 300_000)).stdout.strip() == "300000"
            long = await host.run_command("head -c 3000000 /dev/zero | tr '\\0' x")
            assert len(long.stdout) == 3_000_000
            cut = await host.run_command("head -c 50000 /dev/zero | tr '\\0' x", output_limit=1000)
            assert cut.stdout_dropped == 49_000

    run(body)


def test_a_command_without_input_finds_its_stdin_at_the_end(run: Run, server: Sshd, taskdir: str, way: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            assert (await host.run_command("cat; echo over", timeout=20)).stdout == "over\n"

    run(body)


def test_a_command_that_does_not_read_its_input_ends_all_the_same(
    run: Run, server: Sshd, taskdir: str, way: str
) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            for size in (1000, 60_000, 5_000_000):
                assert (await host.run_command("exit 3", input=b"x" * size, timeout=20)).outcome == Exited(3)

    run(body)


def test_variables_arrive_whole_and_show_in_no_list_of_processes(
    run: Run, server: Sshd, taskdir: str, way: str
) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            value = "s3cr3t 'quoted' \"twice\"\nand $more `things`\\"
            result = await host.run_command('printf %s "$KEY" >key; ps axwwo args >list', env={"KEY": value})
            assert result.outcome == Exited(0)
            assert Path(host.workdir, "key").read_text() == value
            assert "s3cr3t" not in Path(host.workdir, "list").read_text()
            with pytest.raises(ValueError, match="not a name"):
                await host.run_command("true", env={"A B": "1"})
            with pytest.raises(ValueError, match="not a name"):
                await host.launch_subprocess("true", env={"A B": "1"})

    run(body)


def test_commands_run_in_the_workdir_or_where_they_are_told(run: Run, server: Sshd, taskdir: str, way: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            odd = "-a 'b\"\n$c"
            os.makedirs(os.path.join(host.workdir, odd))
            assert (await host.run_command("pwd")).stdout == f"{os.path.realpath(host.workdir)}\n"
            assert (await host.run_command("pwd -P", cwd=odd)).stdout.endswith(f"/{odd}\n")
            assert (await host.run_command("pwd", cwd="/")).stdout == "/\n"
            with pytest.raises(FileNotFoundError, match="no such directory"):
                await host.run_command("pwd", cwd="nowhere")

    run(body)


def test_a_time_out_ends_grandchildren_in_sessions_of_their_own_that_ignore_term(
    run: Run, server: Sshd, taskdir: str, way: str
) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            mark = f"31{os.getpid()}7"
            command = f"setsid sleep {mark} & nohup sleep {mark} >/dev/null & trap '' TERM; echo begun; sleep {mark}"
            result = await host.run_command(command, timeout=0.5)
            assert result.outcome == TimedOut(0.5)
            assert result.stdout == "begun\n"
            assert not tagged(f"sleep {mark}")

    run(body)


def test_a_cancelled_command_leaves_nothing(run: Run, server: Sshd, taskdir: str, way: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            await host.run_command("true")
            mark = f"32{os.getpid()}7"
            for _ in range(3):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(host.run_command, f"setsid sleep {mark} & sleep {mark}")
                    await until(lambda: len(tagged(f"sleep {mark}")) >= 2, "both run")
                    tasks.cancel_scope.cancel()
                assert not tagged(f"sleep {mark}")

    run(body)


def test_a_process_left_behind_is_neither_waited_for_nor_ended(run: Run, server: Sshd, taskdir: str, way: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            mark = f"33{os.getpid()}7"
            with anyio.fail_after(15):
                result = await host.run_command(f"echo said; sleep {mark} & echo $!")
            said, pid = result.stdout.split()
            assert said == "said"
            os.kill(int(pid), 9)

    run(body)


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_link_lost_in_the_middle_is_lost_with_its_partial_output(
    run: Run, server: Sshd, taskdir: str, way: str, how: str
) -> None:
    async def body() -> None:
        async with Relay(server.port) as relay, connected(config_for(server, port=relay.port), taskdir) as host:
            await host.run_command("true")
            results = []

            async def command() -> None:
                results.append(await host.run_command("echo begun; touch here; sleep 60"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(command)
                await until(lambda: os.path.exists(os.path.join(host.workdir, "here")), "it runs")
                await host.run_command("true")  # its answer comes behind what the first one wrote
                await relay.drop(hard=how == "reset")
            assert isinstance(results[0].outcome, Lost)
            assert (results[0].stdout, results[0].exit_code) == ("begun\n", 255)
            # The next command finds a new link by itself.
            assert (await host.run_command("echo again")).stdout == "again\n"
            assert (await host.run_command("pkill -f '^sleep 60$' || :")).outcome == Exited(0)

    run(body)


def test_a_black_hole_is_noticed_by_itself(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        async with Relay(server.port) as relay:
            quick = config_for(server, port=relay.port, keepalive_interval=0.5, keepalive_count=2)
            async with connected(quick, taskdir) as host:
                states: list[str] = []
                host.on_state(lambda state: states.append(state.state))
                results = []

                async def command() -> None:
                    results.append(await host.run_command("echo begun; touch here; exec sleep 8"))

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(command)
                    await until(lambda: os.path.exists(os.path.join(host.workdir, "here")), "it runs")
                    relay.stall()
                assert isinstance(results[0].outcome, Lost)
                assert states == ["lost"]
                relay.restore()
                assert (await host.run_command("echo back")).stdout == "back\n"

    run(body)


def test_many_who_find_the_link_broken_make_one_new_connection(run: Run, tmp_path: Path, taskdir: str) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path / "server", max_sessions=100) as server:
            async with connected(config_for(server), taskdir) as host:
                assert server.connections == 1
                await server.drop()
                async with anyio.create_task_group() as tasks:
                    for _ in range(6):
                        tasks.start_soon(host.run_command, "true")
                assert server.connections == 2

    run(body)


def test_a_host_that_allows_one_session_serves_eight_commands_at_once(run: Run, tmp_path: Path, taskdir: str) -> None:
    async def body() -> None:
        with own_sshd(tmp_path / "sshd", "MaxSessions 1") as server:
            async with connected(config_for(server), taskdir) as host:
                results = []

                async def command() -> None:
                    results.append((await host.run_command("sleep 0.1; echo x")).stdout)

                async with anyio.create_task_group() as tasks:
                    for _ in range(8):
                        tasks.start_soon(command)
                assert results == ["x\n"] * 8

    run(body)


def test_forty_commands_at_once_never_meet_a_refused_channel(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            results = []

            async def command() -> None:
                results.append((await host.run_command("echo x")).stdout)

            async with anyio.create_task_group() as tasks:
                for _ in range(40):
                    tasks.start_soon(command)
            assert results == ["x\n"] * 40

    run(body)


def test_what_rc_files_print_is_no_output_of_a_command(run: Run, tmp_path: Path, taskdir: str) -> None:
    async def body() -> None:
        noise = "printf 'Welcome\\n\\377no line end'; echo noise >&2"
        async with SSHServer(tmp_path / "server", rc=noise, banner="be good\n") as server:
            async with connected(config_for(server), taskdir) as host:
                result = await host.run_command("echo out; echo err >&2; exit 4")
                assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 4)

    run(body)


def test_an_rc_file_that_exits_is_named_as_the_cause(run: Run, tmp_path: Path, taskdir: str) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path / "server", rc="echo who are you; exit 1") as server:
            host = RemoteHost(config_for(server), taskdir)
            with pytest.raises(HostError, match=r"login shell.*rc file.*who are you"):
                await host.run_command("true", cwd="/")
            await host.disconnect()

    run(body)


def test_slow_logins_are_shared_and_quick_ones_are_not(run: Run, tmp_path: Path, taskdir: str) -> None:
    async def body() -> None:
        for rc, logins in (("sleep 0.1", 3), ("", 12)):
            async with SSHServer(tmp_path / f"server{logins}", rc=rc) as server:
                async with connected(config_for(server), taskdir) as host:
                    for _ in range(11):
                        assert (await host.run_command("echo x")).stdout == "x\n"
                    assert len(server.commands) <= logins

    run(body)


def test_a_slow_host_without_python_takes_a_session_for_each_command(
    run: Run, tmp_path: Path, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        monkeypatch.setattr(shell, "SLOW_LOGIN", 0.0)
        (tmp_path / "bin").mkdir()
        for name in ("sh", "mkdir", "cat"):
            os.symlink(f"/bin/{name}", tmp_path / "bin" / name)
        async with SSHServer(tmp_path / "server", rc=f"PATH={tmp_path}/bin") as server:
            async with connected(config_for(server), taskdir) as host:
                for _ in range(3):
                    assert (await host.run_command("echo x")).stdout == "x\n"

    run(body)


def test_a_shared_shell_that_is_killed_loses_its_commands_and_no_later_one(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        monkeypatch.setattr(shell, "SLOW_LOGIN", 0.0)
        async with connected(config_for(server), taskdir) as host:
            parent = (await host.run_command("echo $PPID")).stdout.strip()
            results = []

            async def command() -> None:
                results.append(await host.run_command("echo begun; touch here; exec sleep 5"))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(command)
                await until(lambda: os.path.exists(os.path.join(host.workdir, "here")), "it runs")
                await host.run_command("true")  # its answer comes behind what the first one wrote
                os.kill(int(parent), 9)
            assert isinstance(results[0].outcome, Lost)
            assert results[0].stdout == "begun\n"
            assert (await host.run_command("echo x")).stdout == "x\n"

    run(body)


def test_a_launched_process_is_read_fed_and_ended(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            mark = f"34{os.getpid()}7"
            handle = await host.launch_subprocess(
                f"echo $KEPT$DROPPED; cat; echo err >&2; setsid sleep {mark}",
                env={"KEPT": "kept"},
                merge_stderr=False,
                stdin=True,
            )
            assert handle.stdin is not None
            assert handle.stderr is not None
            handle.stdin.write(b"one\ntwo")
            await handle.stdin.drain()
            handle.stdin.close()
            await handle.stdin.wait_closed()
            lines = aiter(handle.stdout)
            assert [await anext(lines) for _ in range(2)] == [b"kept\n", b"one\n"]
            assert await anext(aiter(handle.stderr)) == b"err\n"
            await until(lambda: bool(tagged(f"sleep {mark}")), "it runs")
            await host.terminate_subprocess(handle, aggressive=False)
            assert not tagged(f"sleep {mark}")
            assert await proc_wait(handle) == -15

    run(body)


def test_inherited_names_are_dropped_by_pattern(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            handle = await host.launch_subprocess("echo $SSH_CLIENT$SSH_CONNECTION-$HOME", env_remove=["SSH_*", "H?ME"])
            assert [line async for line in handle.stdout] == [b"-\n"]
            assert await proc_wait(handle) == 0

    run(body)


def test_a_launched_process_whose_link_breaks_has_no_exit_code(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        async with Relay(server.port) as relay, connected(config_for(server, port=relay.port), taskdir) as host:
            handle = await host.launch_subprocess("echo pid $$; exec sleep 60")
            lines = aiter(handle.stdout)
            pid = int((await anext(lines)).split()[1])
            await relay.drop()
            with pytest.raises(LinkLost):
                await anext(lines)
            with pytest.raises(LinkLost, match="may still run"):
                await proc_wait(handle)
            os.kill(pid, 0)  # nobody has signalled it
            await host.terminate_subprocess(handle, aggressive=True)
            assert not tagged(f"{pid} ")  # the dead one may wait for its parent

    run(body)


def test_three_hundred_megabytes_of_output_stay_small_here(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            before = _resident()
            result = await host.run_command("head -c 300000000 /dev/zero", output_limit=1_000_000)
            assert result.stdout_dropped == 299_000_000
            assert _resident() - before < 64 * 1024 * 1024

    run(body)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_output_that_is_read_late_is_whole_although_the_process_has_ended(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            await host.run_command("true")
            handle = await host.launch_subprocess("head -c 9000000 /dev/zero | tr '\\0' x; echo; echo end; touch ended")
            await until(lambda: os.path.exists(os.path.join(host.workdir, "ended")), "nearly all of it is under way")
            await anyio.wait_all_tasks_blocked()
            lines = [line async for line in handle.stdout]
            assert sum(map(len, lines)) == 9_000_005
            assert lines[-1] == b"end\n"
            assert await proc_wait(handle) == 0

    run(body)


def test_a_host_that_was_disconnected_can_be_connected_again(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        host = RemoteHost(config_for(server), taskdir)
        for _ in range(2):
            await host.connect()
            assert (await host.run_command("echo x", cwd="/")).stdout == "x\n"
            await host.disconnect()
            with pytest.raises(HostError, match="was disconnected"):
                await host.run_command("echo x", cwd="/")

    run(body)
