"""Making one connection: every step has its deadline, and every failure its host, step and remedy."""

import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import anyio
import asyncssh
import pytest
from anyio.abc import SocketAttribute, SocketStream

from optio_host.errors import AuthenticationRefused, ConnectFailed, HostKeyRefused
from optio_host.ssh.connect import connect
from optio_host.types import AcceptNew, InsecureAcceptAnyKey, KnownHosts, SSHConfig
from sshd_rig import Sshd, free_port, sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("server") / "sshd") as running:
        yield running


@pytest.fixture(scope="module")
def jump(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("jump") / "sshd") as running:
        yield running


def reached(server: Sshd) -> SSHConfig:
    known = KnownHosts((server.known_hosts,))
    return SSHConfig("127.0.0.1", server.user, server.key, server.port, known, jump=(), agent=False, config_files=())


def unreached(port: int, **changes: object) -> SSHConfig:
    config = SSHConfig("127.0.0.1", "someone", "", port, InsecureAcceptAnyKey(), (), agent=False, config_files=())
    return replace(config, **changes)  # type: ignore[arg-type]


async def failure(config: SSHConfig) -> ConnectFailed:
    began = time.monotonic()
    with pytest.raises(ConnectFailed) as caught:
        await connect(config)
    # Neither a step waited for the deadline of another, nor did closing what was made.
    assert time.monotonic() - began < 4
    return caught.value


@asynccontextmanager
async def listener(talk: Callable[[SocketStream], Awaitable[object]]) -> AsyncIterator[int]:
    """A TCP server of ours; its port."""

    async def serve(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await talk(stream)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as running:
        async with anyio.create_task_group() as group:
            group.start_soon(running.serve, serve)
            yield running.extra(SocketAttribute.local_port)
            group.cancel_scope.cancel()


async def silence(stream: SocketStream) -> None:
    while True:
        await stream.receive()


def test_a_login_to_a_real_server_runs_a_command_with_a_fast_cipher(server: Sshd, run: Run) -> None:
    async def body() -> None:
        lost: list[Exception | None] = []
        connection = await connect(reached(server), on_lost=lost.append)
        result = await connection.ssh.run("echo hello; echo $SSH_AUTH_SOCK $SSH_TTY $DISPLAY", encoding=None)
        assert (result.stdout, result.exit_status) == (b"hello\n\n", 0)
        assert connection.ssh.get_extra_info("send_cipher") == "aes128-gcm@openssh.com"
        assert connection.ssh.get_extra_info("recv_cipher") == "aes128-gcm@openssh.com"
        assert connection.ssh.get_extra_info("send_compression") == "none"
        assert connection.ssh.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert connection.label == f"{server.user}@127.0.0.1:{server.port}"
        connection.close()
        await connection.wait_closed()
        assert lost == [None]

    run(body)


def test_a_lost_connection_is_told_with_what_broke_it(server: Sshd, run: Run) -> None:
    async def body() -> None:
        lost: list[Exception | None] = []
        gone = anyio.Event()
        connection = await connect(reached(server), on_lost=lambda error: (lost.append(error), gone.set()))
        connection.ssh.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        with anyio.fail_after(5):
            await gone.wait()
        # A reset if the server was just sending.
        assert isinstance(lost[0], asyncssh.ConnectionLost | OSError)
        connection.close()
        await connection.wait_closed()
        assert len(lost) == 1

    run(body)


def test_a_link_that_swallows_everything_is_noticed_by_keepalive(server: Sshd, run: Run) -> None:
    async def body() -> None:
        swallowing = anyio.Event()

        async def relay(here: SocketStream) -> None:
            async def pass_on(source: SocketStream, sink: SocketStream) -> None:
                async for data in source:
                    if not swallowing.is_set():
                        await sink.send(data)

            async with await anyio.connect_tcp("127.0.0.1", server.port) as there, anyio.create_task_group() as group:
                group.start_soon(pass_on, there, here)
                await pass_on(here, there)
                group.cancel_scope.cancel()

        async with listener(relay) as port:
            lost: list[Exception | None] = []
            gone = anyio.Event()
            config = replace(
                reached(server), port=port, host_key=InsecureAcceptAnyKey(), keepalive_interval=0.25, keepalive_count=3
            )
            connection = await connect(config, on_lost=lambda error: (lost.append(error), gone.set()))
            swallowing.set()
            began = time.monotonic()
            with anyio.fail_after(10):
                await gone.wait()
            # interval * (count + 1) after the last byte, which is how 4 s and 3 make 16 s.
            assert 0.7 < time.monotonic() - began < 3
            assert isinstance(lost[0], asyncssh.ConnectionLost)
            connection.close()
            await connection.wait_closed()

    run(body)


def test_a_refused_port_says_so(run: Run) -> None:
    async def body() -> None:
        port = free_port()
        error = await failure(unreached(port))
        assert (error.host, error.step, error.final) == (f"someone@127.0.0.1:{port}", "connect", False)
        assert f"nothing listens on port {port}" in str(error)

    run(body)


def test_a_name_without_an_address_says_so(run: Run) -> None:
    async def body() -> None:
        error = await failure(unreached(22, host="no-such-host.invalid"))
        assert error.step == "name lookup"
        assert "'no-such-host.invalid' has no address" in str(error)

    run(body)


def test_a_host_that_accepts_and_says_nothing_fails_at_its_deadline(run: Run) -> None:
    async def body() -> None:
        async with listener(silence) as port:
            began = time.monotonic()
            error = await failure(unreached(port, connect_timeout=0.2))
            assert time.monotonic() - began < 2
        assert (error.step, error.final) == ("greeting", False)
        assert "no answer within 0.2 s" in str(error)

    run(body)


def test_a_host_that_falls_silent_in_the_key_exchange_fails_at_its_deadline(run: Run) -> None:
    async def body() -> None:
        async def greet(stream: SocketStream) -> None:
            await stream.send(b"SSH-2.0-OpenSSH_9.2\r\n")
            await silence(stream)

        async with listener(greet) as port:
            error = await failure(unreached(port, connect_timeout=0.2))
        assert error.step == "key exchange"

    run(body)


def test_a_host_that_never_decides_about_a_login_fails_at_its_deadline(run: Run) -> None:
    async def body() -> None:
        over, left = anyio.Event(), anyio.Event()

        class Undecided(asyncssh.SSHServer):
            async def begin_auth(self, username: str) -> bool:
                await over.wait()
                left.set()
                return True

        async with in_process(Undecided) as port:
            error = await failure(unreached(port, auth_timeout=0.2))
            over.set()
            await left.wait()
        assert error.step == "authentication"
        assert "no answer within 0.2 s" in str(error)

    run(body)


def test_a_web_server_on_the_port_is_no_ssh_server(run: Run) -> None:
    async def body() -> None:
        async def http(stream: SocketStream) -> None:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        async with listener(http) as port:
            error = await failure(unreached(port))
        assert error.step == "greeting"
        assert "another program listens on this port" in str(error)

    run(body)


@asynccontextmanager
async def in_process(
    factory: Callable[[], asyncssh.SSHServer] = asyncssh.SSHServer, version: str = "AsyncSSH"
) -> AsyncIterator[int]:
    """An SSH server in this process; its port."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    running = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[key], server_factory=factory, server_version=version, encoding=None
    )
    try:
        yield running.get_port()
    finally:
        running.close()
        await running.wait_closed()


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-\xff\xfe\r\n",
        b"SSH-1.5-old\r\n",
        b"\0" * 100_000,
        b"hello\r\n" * 10_000,
        b"SSH-2.0-x\r\n" + b"\xff" * 1000,
        b"SSH-2.0-x\r\n" + bytes(range(256)) * 10,
        b"SSH-2.0-x\x1b[0m\r\n\0\0\0\x0c\x04\x14" + b"a" * 30,
    ],
)
def test_whatever_a_server_sends_is_an_error_of_ours_without_control_characters(run: Run, sent: bytes) -> None:
    async def body() -> None:
        async def talk(stream: SocketStream) -> None:
            await stream.send(sent)
            await stream.receive()

        async with listener(talk) as port:
            error = await failure(unreached(port))
        assert error.step in ("greeting", "key exchange")
        assert str(error).isprintable()

    run(body)


@pytest.mark.parametrize("host", ["a..b", "x" * 300, "a b"])
def test_a_name_that_no_host_can_have_has_no_address(run: Run, host: str) -> None:
    async def body() -> None:
        error = await failure(unreached(22, host=host))
        assert error.step == "name lookup"

    run(body)


def test_a_port_that_resets_connections_is_no_ssh_server(run: Run) -> None:
    async def body() -> None:
        async def reset(stream: SocketStream) -> None:
            await stream.receive()
            linger = struct.pack("ii", 1, 0)
            stream.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        async with listener(reset) as port:
            error = await failure(unreached(port))
        assert error.step == "greeting"
        assert "another program listens on this port" in str(error)
        assert "reset" in str(error)

    run(body)


def test_a_windows_host_is_refused_with_a_clear_error_before_any_login(run: Run) -> None:
    async def body() -> None:
        asked: list[str] = []

        class Windows(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                asked.append(username)
                return True

        async with in_process(Windows, "OpenSSH_for_Windows_9.5") as port:
            error = await failure(unreached(port))
        assert error.final
        assert "Windows hosts are not supported" in str(error)

    run(body)


def test_a_cancelled_try_leaves_nothing(run: Run) -> None:
    async def body() -> None:
        accepted = anyio.Event()

        async def accept(stream: SocketStream) -> None:
            accepted.set()
            await silence(stream)

        async with listener(accept) as port:
            async with anyio.create_task_group() as group:
                group.start_soon(connect, unreached(port))
                await accepted.wait()
                group.cancel_scope.cancel()

    run(body)


def test_a_listener_that_accepts_no_more_connections_fails_at_its_deadline(run: Run) -> None:
    async def body() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            waiting = [socket.create_connection(("127.0.0.1", port), 1)]
            try:
                while True:
                    waiting.append(socket.create_connection(("127.0.0.1", port), 0.1))
            except OSError:
                pass
            error = await failure(unreached(port, connect_timeout=0.3))
            for client in waiting:
                client.close()
        assert error.step == "connect"
        assert "no answer within 0.3 s" in str(error)

    run(body)


def test_a_login_through_a_jump_host_verifies_both_and_closes_both(server: Sshd, jump: Sshd, run: Run) -> None:
    async def body() -> None:
        config = replace(reached(server), jump=(reached(jump),))
        connection = await connect(config)
        assert (await connection.ssh.run("echo there", encoding=None)).stdout == b"there\n"
        assert connection.ssh.get_extra_info("send_cipher") == "aes128-gcm@openssh.com"
        connection.close()
        await connection.wait_closed()

    run(body)


def test_a_jump_host_with_an_unknown_key_is_refused_by_its_own_name(server: Sshd, jump: Sshd, run: Run) -> None:
    async def body() -> None:
        stranger = replace(reached(jump), host_key=KnownHosts((server.known_hosts,)))
        error = await failure(replace(reached(server), host_key=InsecureAcceptAnyKey(), jump=(stranger,)))
        assert isinstance(error, HostKeyRefused)
        there = f"{server.user}@127.0.0.1"
        assert error.host == f"{there}:{jump.port} (jump host to {there}:{server.port})"

    run(body)


def test_a_host_behind_a_jump_host_is_verified_too(server: Sshd, jump: Sshd, run: Run) -> None:
    async def body() -> None:
        hidden = replace(reached(server), host_key=KnownHosts((jump.known_hosts,)), jump=(reached(jump),))
        error = await failure(hidden)
        assert isinstance(error, HostKeyRefused)
        assert error.host == f"{server.user}@127.0.0.1:{server.port}"

    run(body)


def test_a_port_refused_behind_a_jump_host_names_the_host_and_the_jump_host_as_what_said_so(
    jump: Sshd, run: Run
) -> None:
    async def body() -> None:
        port = free_port()
        error = await failure(unreached(port, jump=(reached(jump),)))
        assert (error.host, error.step) == (f"someone@127.0.0.1:{port}", "connect")
        assert "jump host" in str(error)
        assert "refused" in str(error)

    run(body)


def test_jump_hosts_of_a_configuration_are_taken_in_order_and_verified(
    server: Sshd, jump: Sshd, tmp_path: Path, run: Run
) -> None:
    async def body() -> None:
        known = tmp_path / "known"
        known.write_text(Path(server.known_hosts).read_text() + Path(jump.known_hosts).read_text())
        file = tmp_path / "config"
        file.write_text(
            f"Host target\n  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile {server.key}\n  ProxyJump way\n"
            f"Host way\n  HostName 127.0.0.1\n  Port {jump.port}\n  IdentityFile {jump.key}\n"
            f"Host *\n  User {server.user}\n  UserKnownHostsFile {known}\n  GlobalKnownHostsFile none\n"
        )
        connection = await connect(SSHConfig("target", "", "", port=0, agent=False, config_files=(str(file),)))
        assert (await connection.ssh.run("echo there", encoding=None)).stdout == b"there\n"
        connection.close()
        await connection.wait_closed()
        known.write_text(Path(server.known_hosts).read_text())
        error = await failure(SSHConfig("target", "", "", port=0, agent=False, config_files=(str(file),)))
        assert isinstance(error, HostKeyRefused)
        assert "jump host to" in error.host

    run(body)


def test_a_host_that_knows_none_of_the_keys_says_which_were_tried(server: Sshd, jump: Sshd, run: Run) -> None:
    async def body() -> None:
        error = await failure(replace(reached(server), key_path=jump.key))
        assert isinstance(error, AuthenticationRefused)
        assert error.final
        assert f"accepted none of: {jump.key} SHA256:" in str(error)
        assert "authorized_keys" in str(error)

    run(body)


def test_a_key_that_was_accepted_as_new_is_not_remembered_when_the_host_never_proved_it(
    tmp_path: Path, run: Run
) -> None:
    async def body() -> None:
        known = tmp_path / "known_hosts"

        async def greet(stream: SocketStream) -> None:
            await stream.send(b"SSH-2.0-OpenSSH_9.2\r\n")
            await stream.receive()

        async with listener(greet) as port:
            await failure(unreached(port, host_key=AcceptNew((str(known),))))
        assert not known.exists()

    run(body)
