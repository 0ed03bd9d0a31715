"""The SSH server that tests run behaves as OpenSSH does, and misbehaves when told to."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import asyncssh
import pytest
from anyio.abc import SocketAttribute
from job_rig import until

from optio_host.local.tree import _look_proc
from optio_host.testing.relay import Relay
from optio_host.testing.ssh_server import SSHServer

Run = Callable[[Callable[[], Awaitable[object]]], None]


@asynccontextmanager
async def login(
    server: SSHServer, *, port: int | None = None, keepalive: float = 0
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    known_hosts = (
        asyncssh.import_known_hosts(Path(server.known_hosts).read_text().replace(f":{server.port}", f":{port}"))
        if port
        else server.known_hosts
    )
    connection = await asyncssh.connect(
        server.host, port or server.port, username=server.user, client_keys=[server.key_path], known_hosts=known_hosts,
        config=None, agent_path=None, keepalive_interval=keepalive, keepalive_count_max=1,
    )  # fmt: skip
    async with connection:
        yield connection


async def execute(
    connection: asyncssh.SSHClientConnection, command: str, **options: object
) -> asyncssh.SSHCompletedProcess:
    return await connection.run(command, encoding=None, **options)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    return any(not seen.zombie for seen in _look_proc([pid]))


def test_bytes_status_and_streams_come_back_apart(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path) as server, login(server) as connection:
            done = await execute(connection, r"cat; printf 'a\377' ; echo err >&2; exit 255", input=b"in\xff")
            assert (done.stdout, done.stderr, done.exit_status) == (b"in\xffa\xff", b"err\n", 255)
            killed = await execute(connection, "kill -TERM $$")
            assert (killed.exit_status, killed.returncode) == (-1, -15)
            assert server.commands[1] == "kill -TERM $$"
            assert server.connections == 1

    run(body)


def test_only_the_key_of_this_server_is_let_in(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path) as server:
            stranger = asyncssh.generate_private_key("ssh-ed25519")
            with pytest.raises(asyncssh.PermissionDenied):
                await asyncssh.connect(
                    server.host, server.port, username=server.user, client_keys=[stranger], config=None,
                    known_hosts=server.known_hosts, agent_path=None,
                )  # fmt: skip
            assert server.connections == 0

    run(body)


def test_a_command_sees_nothing_of_this_process(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY_HERE", "1")

    async def body() -> None:
        async with SSHServer(tmp_path) as server, login(server) as connection:
            done = await execute(connection, "env; pwd")
            assert isinstance(done.stdout, bytes)
            assert b"ONLY_HERE" not in done.stdout
            assert done.stdout.endswith(f"{server.home}\n".encode())

    run(body)


def test_a_megabyte_goes_both_ways_with_back_pressure(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path) as server, login(server) as connection:
            data = os.urandom(4_000_000)
            assert (await execute(connection, "cat", input=data)).stdout == data
            process = await connection.create_process("head -c 50000000 /dev/zero", encoding=None)
            await anyio.wait_all_tasks_blocked()
            total = 0
            while chunk := await process.stdout.read(1_000_000):
                total += len(chunk)
            assert total == 50_000_000

    run(body)


def test_the_exit_is_told_although_a_child_holds_the_streams(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path) as server, login(server) as connection:
            process = await connection.create_process("sleep 300 & echo $!; exit 3", encoding=None)
            pid = int(await process.stdout.read(100))
            await until(lambda: process.exit_status is not None, "an exit status")
            assert (process.exit_status, process.stdout.at_eof(), alive(pid)) == (3, False, True)
            os.kill(pid, signal.SIGKILL)
            await process.wait_closed()

    run(body)


def test_a_broken_connection_leaves_the_command_running_and_the_end_of_the_server_does_not(
    run: Run, tmp_path: Path
) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path) as server:
            async with login(server) as connection:
                process = await connection.create_process(
                    "sleep 300 & echo $!; setsid sleep 300 & echo $!; trap '' TERM PIPE; echo $$; cat; wait",
                    encoding=None,
                )
                pids = []
                while len(pids) < 3:
                    pids += [int(word) for word in (await process.stdout.read(100)).split()]
                await server.drop()
            assert all(alive(pid) for pid in pids)
        assert not any(alive(pid) for pid in pids)

    run(body)


def test_a_command_that_cleared_its_environment_is_killed_at_the_end(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path) as server, login(server) as connection:
            process = await connection.create_process("echo $$; exec env -i sleep 300", encoding=None)
            pid = int(await process.stdout.read(100))
        assert not alive(pid)

    run(body)


def test_what_a_finished_command_left_is_killed_at_the_end(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path) as server, login(server) as connection:
            done = await execute(connection, "setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $!")
            pid = int(done.stdout or b"")
            assert alive(pid)
        assert not alive(pid)

    run(body)


def test_noise_a_slow_and_an_exiting_rc_file(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path, rc="echo noise; echo more >&2") as server, login(server) as connection:
            done = await execute(connection, "echo real")
            assert (done.stdout, done.stderr) == (b"noise\nreal\n", b"more\n")
            server.rc = "exit 7"
            done = await execute(connection, "echo real")
            assert (done.stdout, done.exit_status) == (b"", 7)

    run(body)


def test_a_banner_is_shown(run: Run, tmp_path: Path) -> None:
    seen: list[str] = []

    class Client(asyncssh.SSHClient):
        def auth_banner_received(self, msg: str, lang: str) -> None:
            seen.append(msg)

    async def body() -> None:
        async with SSHServer(tmp_path, banner="Authorized use only\n") as server:
            connection, _ = await asyncssh.create_connection(
                Client, server.host, server.port, username=server.user, client_keys=[server.key_path], config=None,
                known_hosts=server.known_hosts, agent_path=None,
            )  # fmt: skip
            async with connection:
                assert seen == ["Authorized use only\n"]

    run(body)


def test_one_session_more_than_allowed_is_refused_until_one_is_closed(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path, max_sessions=2) as server, login(server) as connection:
            both = [await connection.create_process("cat", encoding=None) for _ in range(2)]
            with pytest.raises(asyncssh.ChannelOpenError, match="open failed"):
                await connection.create_process("cat", encoding=None)
            both[0].stdin.write_eof()
            await both[0].wait()
            assert (await execute(connection, "echo again")).stdout == b"again\n"
            both[1].stdin.write_eof()
            await both[1].wait()

    run(body)


def test_forwards_in_both_directions_of_ports_and_sockets(run: Run, tmp_path: Path) -> None:
    async def echo(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    async def echoes(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"

    async def body() -> None:
        async with (
            SSHServer(tmp_path / "server") as server,
            login(server) as connection,
            anyio.create_task_group() as tasks,
        ):
            tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
            unix = await anyio.create_unix_listener(short / "there")
            port = tcp.extra(SocketAttribute.local_port)
            for listener in (tcp, unix):
                tasks.start_soon(listener.serve, echo)
            async with tcp, unix:
                local = await connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", port)
                await echoes(await anyio.connect_tcp("127.0.0.1", local.get_port()))
                remote = await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", port)
                await echoes(await anyio.connect_tcp("127.0.0.1", remote.get_port()))
                sockets = await connection.forward_local_path(str(short / "here"), str(short / "there"))
                await echoes(await anyio.connect_unix(short / "here"))
                reverse = await connection.forward_remote_path(str(short / "back"), str(short / "there"))
                await echoes(await anyio.connect_unix(short / "back"))
                for each in (local, remote, sockets, reverse):
                    each.close()
                    await each.wait_closed()
                tasks.cancel_scope.cancel()

    # The path of a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        short = Path(directory)
        run(body)


@pytest.mark.parametrize("answers", [True, False])
def test_keepalive_is_answered_or_not(run: Run, tmp_path: Path, answers: bool) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path, answers_keepalive=answers) as server:
            async with login(server, keepalive=0.05) as connection:
                with anyio.move_on_after(0.5 if answers else 10) as waited:
                    await connection.wait_closed()
                assert waited.cancelled_caught is answers

    run(body)


def test_it_can_be_reached_through_a_relay_that_breaks(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with SSHServer(tmp_path) as server, Relay(server.port) as relay:
            async with login(server, port=relay.port) as connection:
                process = await connection.create_process("echo begun; cat", encoding=None)
                assert await process.stdout.read(100) == b"begun\n"
                await relay.drop()
                assert (await process.wait()).exit_status is None

    run(body)
