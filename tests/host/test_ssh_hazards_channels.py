"""Hazards of the channels to an SSH host: few sessions, each given back, and whoever cancels or disconnects."""

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from job_rig import alive, content, until

from optio_host.errors import ConnectFailed, HostError
from optio_host.host import LinkState, proc_wait
from optio_host.outcome import Lost, Outcome, TimedOut
from optio_host.ssh import channel as channels
from optio_host.ssh.connect import Connection, connect
from optio_host.ssh.host import RemoteHost
from optio_host.testing.relay import Relay
from ssh_rig import config_for, connected, own_sshd
from sshd_rig import Sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def server(sshd_here: Sshd) -> Sshd:
    return sshd_here


# Sessions: few on a connection, and each is given back


@pytest.mark.usefixtures("a_session_each")
def test_processes_that_ended_hold_no_session(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optio_host.ssh.pool.CONNECTIONS", 1)

    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            for _ in range(8):
                assert await proc_wait(await host.launch_subprocess("exit 3")) == 3
            assert (await host.run_command("echo more")).stdout == "more\n"

    run(body)


def test_commands_are_ended_also_when_they_have_every_session(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optio_host.ssh.pool.CONNECTIONS", 1)
    monkeypatch.setattr("optio_host.ssh.pool.SESSIONS", 2)

    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            ended: list[Outcome | None] = []

            async def command() -> None:
                ended.append((await host.run_command("exec sleep 300", cwd="/", timeout=1)).outcome)

            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(command)
            assert all(isinstance(each, TimedOut) for each in ended)
            assert len(ended) == 2

    run(body)


def test_a_further_connection_that_is_refused_once_is_tried_again(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optio_host.ssh.pool.SESSIONS", 1)
    monkeypatch.setattr("optio_host.ssh.pool.RETRY_SECONDS", 0.05)
    tries = 0

    async def counted(*arguments: Any, **named: Any) -> Connection:
        nonlocal tries
        tries += 1
        return await connect(*arguments, **named)

    monkeypatch.setattr("optio_host.ssh.pool.connect", counted)

    async def body() -> None:
        async with Relay(server.port) as relay, connected(config_for(server, port=relay.port), taskdir) as host:
            process = await host.launch_subprocess("exec sleep 300", cwd="/")
            await relay.refuse()
            said: list[str] = []

            async def command() -> None:
                said.append((await host.run_command("echo there", cwd="/")).stdout)

            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(command)
                    await until(lambda: tries > 2, "it was refused more than once")
                    assert not said
                    relay.restore()
            assert said == ["there\n"]
            await host.terminate_subprocess(process, aggressive=True)

    run(body)


def test_a_link_that_is_slow_is_given_no_more_until_what_waits_has_left(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Connection] = []

    async def noted(*arguments: Any, **named: Any) -> Connection:
        made.append(await connect(*arguments, **named))
        return made[-1]

    monkeypatch.setattr("optio_host.ssh.pool.connect", noted)

    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            target = os.path.join(taskdir, "large")
            told: list[float | None] = []
            copied = anyio.Event()

            def full_at_once(percent: float | None, message: str | None) -> None:
                if not told:
                    made[0].ssh.pause_writing()  # as the library is told when what it has queued does not leave
                told.append(percent)

            async def put() -> None:
                await host.put_file_to_host(bytes(20_000_000), target, progress_cb=full_at_once)
                copied.set()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(put)
                await until(lambda: bool(told), "the copy has begun")
                await anyio.wait_all_tasks_blocked()
                assert not copied.is_set()
                assert len(told) < 3
                made[0].ssh.resume_writing()
            assert os.path.getsize(target) == 20_000_000

    run(body)


@pytest.mark.usefixtures("a_session_each")
def test_a_command_that_is_cancelled_before_its_session_is_open_holds_none(
    run: Run, tmp_path: Path, taskdir: str
) -> None:
    async def body() -> None:
        with own_sshd(tmp_path / "sshd", "MaxSessions 1") as server:
            async with Relay(server.port) as relay:
                async with connected(config_for(server, port=relay.port), taskdir) as host:
                    relay.stall("from_target")
                    with anyio.move_on_after(0.1):
                        await host.run_command("true")
                    relay.restore()
                    assert (await host.run_command("echo there")).stdout == "there\n"
                    assert relay.accepted <= 2

    run(body)


@pytest.mark.usefixtures("a_session_each")
def test_a_command_that_is_cancelled_before_it_began_never_begins(
    run: Run, tmp_path: Path, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not pwd.getpwuid(os.getuid()).pw_shell.endswith("bash"):
        pytest.skip("needs bash as login shell of this user")
    monkeypatch.setattr(channels, "CLOSE_SECONDS", 0.3)

    async def body() -> None:
        with own_sshd(tmp_path / "sshd") as server:
            async with connected(config_for(server), taskdir) as host:
                # The next login waits, those after it do not.
                gate, waits = tmp_path / "gate", tmp_path / "waits"
                os.mkfifo(gate)
                rc = f"if mkdir {waits} 2>/dev/null; then echo $$ >{waits}/pid; read -r _ <{gate}; fi\n"
                Path(server.directory, "home", ".bashrc").write_text(rc)
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(host.run_command, f"touch {tmp_path}/ran")
                        await until(lambda: bool(content(waits / "pid")), "its login waits")
                        scope.cancel()
                opened = os.open(gate, os.O_RDWR)
                os.write(opened, b"go on\n")
                await until(lambda: not alive(int(content(waits / "pid"))), "the login has ended")
                os.close(opened)
                assert not (tmp_path / "ran").exists()

    run(body)


# Whoever listens or disconnects


def test_a_listener_that_raises_breaks_neither_the_link_nor_other_listeners(
    run: Run, server: Sshd, taskdir: str
) -> None:
    async def body() -> None:
        async with Relay(server.port) as relay, connected(config_for(server, port=relay.port), taskdir) as host:
            raised: list[str] = []
            told: list[str] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: raised.append(str(context["exception"])))

            def bad(state: LinkState) -> None:
                raise RuntimeError(state.state)

            host.on_state(bad)
            host.on_state(lambda state: told.append(state.state))
            await relay.drop()
            await until(lambda: told == ["lost"], "it is noticed")
            assert (await host.run_command("echo on")).stdout == "on\n"
            assert told == raised == ["lost", "reconnecting", "connected"]

    run(body)


@pytest.mark.usefixtures("a_session_each")
def test_a_disconnect_that_is_cancelled_leaves_nothing(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        host = RemoteHost(config_for(server), taskdir)
        await host.connect()
        await host.launch_subprocess("exec sleep 1", cwd="/")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await host.disconnect()

    run(body)


def test_commands_while_the_host_is_disconnected_end_and_leave_nothing(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        ends: list[object] = []
        async with connected(config_for(server), taskdir) as host:
            other = host.at(taskdir + "/other")

            async def command(number: int) -> None:
                try:
                    ends.append((await (host, other)[number % 2].run_command("exec sleep 1", cwd="/")).outcome)
                except HostError as error:
                    ends.append(error)

            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(command, number)
                await anyio.wait_all_tasks_blocked()
                await host.disconnect()
            await other.disconnect()
        assert len(ends) == 20
        assert all(isinstance(end, Lost | HostError) for end in ends), ends

    run(body)


# The way to the host


def test_a_host_that_says_much_before_the_login_is_no_trouble(run: Run, tmp_path: Path, taskdir: str) -> None:
    (tmp_path / "banner").write_text("Be good.\n" * 200)

    async def body() -> None:
        with own_sshd(tmp_path / "sshd", f"Banner {tmp_path}/banner") as server:
            async with connected(config_for(server), taskdir) as host:
                assert (await host.run_command("echo out")).stdout == "out\n"

    run(body)


def test_a_command_while_no_way_leads_to_the_host_says_why(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        async with Relay(server.port) as relay:
            config = config_for(server, port=relay.port)
        host = RemoteHost(config, taskdir)
        errors = []

        async def command() -> None:
            try:
                await host.run_command("true")
            except ConnectFailed as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(command)
        assert len(errors) == 10
        assert "refused" in str(errors[0])
        await host.disconnect()

    run(body)
