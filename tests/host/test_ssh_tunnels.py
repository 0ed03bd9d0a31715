"""Tunnels over a real sshd: what passes them, and what happens when an end or the link in between breaks."""

import asyncio
import hashlib
import random
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import asyncssh
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from optio_host.errors import HostError
from optio_host.ssh import forward as forwards
from optio_host.ssh import reverse
from optio_host.ssh.forward import Forward, Port, SocketPath
from optio_host.ssh.host import RemoteHost
from optio_host.ssh.reverse import ReverseForward, ReverseState
from optio_host.ssh.splice import End
from optio_host.testing.clock import ManualClock
from optio_host.testing.relay import Relay
from ssh_rig import config_for
from sshd_rig import Sshd, free_port, sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]
Serve = Callable[[SocketStream], Awaitable[object]]

BIG = random.Random(7).randbytes(10 * 1024 * 1024)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("server") / "sshd") as running:
        yield running


@asynccontextmanager
async def host_on(
    server: Sshd, *, port: int | None = None, clock: ManualClock | None = None
) -> AsyncIterator[RemoteHost]:
    config = config_for(server, port=port)
    host = RemoteHost(config, "/nowhere", clock=clock) if clock else RemoteHost(config, "/nowhere")
    try:
        await host.connect()
        yield host
    finally:
        with anyio.CancelScope(shield=True):
            await host.disconnect()


@asynccontextmanager
async def serving(serve: Serve, path: Path | None = None) -> AsyncIterator[int]:
    """A server of ours, on a port of 127.0.0.1 or a path; its port."""

    async def one(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError):
                await serve(stream)

    if path is None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    else:
        listener = await anyio.create_unix_listener(path)  # type: ignore[assignment]
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, one)
        yield int(listener.extra(SocketAttribute.local_port)) if path is None else 0
        group.cancel_scope.cancel()


async def echo(stream: SocketStream) -> None:
    async for chunk in stream:
        await stream.send(chunk)


async def everything(stream: ByteStream) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def asked(stream: ByteStream, data: bytes = b"are you there?") -> bytes:
    """What an echo sends back, without an end."""
    got = b""
    await stream.send(data)
    while len(got) < len(data):
        got += await stream.receive()
    return got


async def is_reset(stream: ByteStream) -> bool:
    with anyio.fail_after(10):
        try:
            await stream.receive()
        except anyio.BrokenResourceError as error:
            return isinstance(error.__cause__, ConnectionResetError)
        except anyio.EndOfStream:
            return False
    return False


async def cut(host: RemoteHost) -> None:
    """Break the connection that the link has."""
    (await host._link.connection()).abort()


def channels_of(forward: Forward) -> list[asyncssh.SSHTCPChannel[bytes]]:
    streams = [splice.second.stream for splice in forward._connections._splices]
    return [stream for stream in streams if isinstance(stream, asyncssh.SSHTCPChannel)]


async def until_it_is_free(taker: socket.socket, port: int) -> None:
    """Bind as soon as the server has noticed that the connection is gone; nobody tells us when."""
    with anyio.fail_after(10):
        while True:
            with suppress(OSError):
                taker.bind(("127.0.0.1", port))
                return
            await anyio.sleep(0.005)


async def until(forward: ReverseForward, state: str) -> ReverseState:
    with anyio.fail_after(20):
        reached = anyio.Event()
        off = forward.on_state(lambda new: reached.set() if new.state == state else None)
        if forward.state.state != state:
            await reached.wait()
        off()
    return forward.state


def test_ten_megabytes_pass_both_ways_at_once_intact(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with serving(echo) as there, host_on(server) as host:
            async with await anyio.connect_tcp("127.0.0.1", await host.establish_tunnel(there)) as stream:

                async def send() -> None:
                    await stream.send(BIG)
                    await stream.send_eof()

                async with anyio.create_task_group() as group:
                    group.start_soon(send)
                    got = await everything(stream)
                assert hashlib.sha256(got).digest() == hashlib.sha256(BIG).digest()

    run(body)


def test_the_end_of_what_we_say_does_not_cut_the_answer(server: Sshd, run: Run) -> None:
    async def answer(stream: SocketStream) -> None:
        question = await everything(stream)
        await stream.send(question + BIG)

    async def body() -> None:
        async with serving(answer) as there, host_on(server) as host:
            async with await anyio.connect_tcp("127.0.0.1", await host.establish_tunnel(there)) as stream:
                await stream.send(b"question")
                await stream.send_eof()
                assert await everything(stream) == b"question" + BIG

    run(body)


def test_the_end_of_what_the_host_says_does_not_cut_what_we_say(server: Sshd, run: Run) -> None:
    heard: list[bytes] = []
    done = anyio.Event()

    async def listen(stream: SocketStream) -> None:
        await stream.send(b"go on")
        await stream.send_eof()
        heard.append(await everything(stream))
        done.set()

    async def body() -> None:
        async with serving(listen) as there, host_on(server) as host:
            async with await anyio.connect_tcp("127.0.0.1", await host.establish_tunnel(there)) as stream:
                assert await everything(stream) == b"go on"
                await stream.send(BIG)
                await stream.send_eof()
                await done.wait()
        assert heard == [BIG]

    run(body)


def test_an_answer_is_whole_though_its_end_came_while_nobody_read(server: Sshd, run: Run, tmp_path: Path) -> None:
    answer = BIG[: 1024 * 1024]  # more than a unix socket takes, less than what the channel holds

    async def say(stream: SocketStream) -> None:
        await everything(stream)
        await stream.send(answer)

    async def body() -> None:
        here = str(tmp_path / "here")
        async with serving(say) as there, host_on(server) as host:
            forward = await host.open_forward(Port(there), listen=SocketPath(here))
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_UNIX) as client:
                client.setblocking(False)
                client.connect(here)
                client.shutdown(socket.SHUT_WR)
                with anyio.fail_after(10):
                    while not any(chan._recv_state == "close_pending" for chan in channels_of(forward)):  # noqa: ASYNC110
                        await anyio.sleep(0.005)  # the library tells nobody that the channel is about to close
                got = b""
                while chunk := await loop.sock_recv(client, 4096):  # little at a time, so that much is under way
                    got += chunk
                assert got == answer

    run(body)


def test_twenty_connections_at_once_do_not_take_from_the_sessions(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with serving(echo) as there, host_on(server) as host:
            port = await host.establish_tunnel(there)
            streams = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(20)]
            answers = [await asked(stream, b"%d" % n * 1000) for n, stream in enumerate(streams)]
            assert answers == [b"%d" % n * 1000 for n in range(20)]
            assert (await host.run_command("echo hi", cwd="/")).stdout == "hi\n"
            for stream in streams:
                await stream.aclose()

    run(body)


def test_a_reader_that_reads_nothing_stops_the_sender(server: Sshd, run: Run) -> None:
    sent = 0
    stalled = anyio.Event()

    async def pour(stream: SocketStream) -> None:
        nonlocal sent
        for _ in range(1024):  # 64 MiB, far more than what the sockets and the channel hold
            with anyio.move_on_after(1) as limit:
                await stream.send(bytes(65536))
            if limit.cancelled_caught:
                break
            sent += 65536
        stalled.set()

    async def body() -> None:
        async with serving(pour) as there, host_on(server) as host:
            async with await anyio.connect_tcp("127.0.0.1", await host.establish_tunnel(there)) as stream:
                await stalled.wait()
                assert sent < 48 * 1024 * 1024
                assert len(await everything(stream)) >= sent

    run(body)


def test_a_port_that_refuses_resets_the_client_and_says_why(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with host_on(server) as host:
            nobody = free_port()
            forward = await host.open_forward(Port(nobody))
            assert isinstance(forward.listen, Port)
            async with await anyio.connect_tcp("127.0.0.1", forward.listen.number) as stream:
                assert await is_reset(stream)
            assert f"127.0.0.1:{nobody}" in forward.problem
            assert "refused" in forward.problem

    run(body)


def test_asking_again_gives_the_same_port_on_loopback(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with host_on(server) as host:
            ports: list[int] = []

            async def ask() -> None:
                ports.append(await host.establish_tunnel(4711))

            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(ask)
            assert len(set(ports)) == 1
            assert await host.at("/elsewhere").establish_tunnel(4711) == ports[0]
            assert await host.establish_tunnel(4712) != ports[0]
            with socket.socket() as other:
                other.bind(("127.0.0.2", ports[0]))  # taken if it listened on every address

    run(body)


def test_a_cut_resets_what_is_under_way_and_the_next_goes_through_the_same_port(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with serving(echo) as there, host_on(server) as host:
            port = await host.establish_tunnel(there)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                assert await asked(stream) == b"are you there?"
                await cut(host)
                assert await is_reset(stream)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                assert await asked(stream) == b"are you there?"

    run(body)


def test_who_connects_at_the_moment_of_a_cut_gets_through(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with serving(echo) as there, host_on(server) as host:
            port = await host.establish_tunnel(there)
            for _ in range(5):
                connection = await host._link.connection()
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    connection.abort()
                    with suppress(anyio.BrokenResourceError):  # it was through already
                        assert await asked(stream) == b"are you there?"

    run(body)


def test_a_connection_that_breaks_before_it_leads_anywhere_is_replaced(
    server: Sshd, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with serving(echo) as there, host_on(server) as host:
            port = await host.establish_tunnel(there)
            broken = [await host._link.connection()]
            live = host._link.connection

            async def connection() -> asyncssh.SSHClientConnection:
                if not broken:
                    return await live()
                broken[0].abort()
                return broken.pop()

            monkeypatch.setattr(host._link, "connection", connection)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                assert await asked(stream) == b"are you there?"

    run(body)


def test_a_channel_that_the_library_forgets_to_close_is_reset(
    server: Sshd, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful:
        """As asyncssh does when a connection ends between the host's answer and its own next step."""

        async def create_connection(self, factory: Callable[[], End], *_: object, **__: object) -> None:
            factory().connection_made(self)
            raise AssertionError

        def resume_reading(self) -> None: ...

    async def body() -> None:
        async with host_on(server) as host:
            port = await host.establish_tunnel(4711)

            async def connection() -> Forgetful:
                return Forgetful()

            monkeypatch.setattr(host._link, "connection", connection)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                assert await is_reset(stream)
            monkeypatch.undo()

    run(body)


def test_who_connects_while_the_link_is_down_waits_for_it(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with serving(echo) as there, Relay(server.port) as relay, host_on(server, port=relay.port) as host:
            port = await host.establish_tunnel(there)
            retrying = anyio.Event()
            host.on_state(lambda new: retrying.set() if new.state == "failed" else None)
            await relay.refuse()
            await relay.drop()
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await retrying.wait()
                relay.restore()
                assert await asked(stream) == b"are you there?"

    run(body)


def test_who_connects_while_the_link_stays_down_is_reset(server: Sshd, run: Run) -> None:
    async def body() -> None:
        clock = ManualClock(jump_after=0.02)
        async with Relay(server.port) as relay, host_on(server, port=relay.port, clock=clock) as host:
            forward = await host.open_forward(Port(4711))
            assert isinstance(forward.listen, Port)
            await relay.refuse()
            await relay.drop()
            async with await anyio.connect_tcp("127.0.0.1", forward.listen.number) as stream:
                assert await is_reset(stream)
            assert "refused" in forward.problem

    run(body)


def test_a_host_that_does_not_answer_in_time_gets_no_forgotten_connection(server: Sshd, run: Run) -> None:
    async def body() -> None:
        clock = ManualClock(jump_after=0.3)
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            full.setblocking(False)
            there = full.getsockname()[1]
            async with host_on(server, clock=clock) as host:
                with socket.socket() as filler:
                    filler.connect(("127.0.0.1", there))  # the next ones get no answer, until it is accepted
                    forward = await host.open_forward(Port(there))
                    assert isinstance(forward.listen, Port)
                    async with await anyio.connect_tcp("127.0.0.1", forward.listen.number) as stream:
                        assert await is_reset(stream)
                    assert "nobody answered" in forward.problem
                    full.accept()[0].close()
                    await anyio.wait_readable(full)
                    late, _ = full.accept()
                    with late:
                        late.setblocking(False)
                        await anyio.wait_readable(late)
                        assert late.recv(1) == b""

    run(body)


def test_connections_are_bounded(server: Sshd, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwards, "CONNECTIONS", 2)

    async def body() -> None:
        async with serving(echo) as there, host_on(server) as host:
            port = await host.establish_tunnel(there)
            async with await anyio.connect_tcp("127.0.0.1", port) as first:
                async with await anyio.connect_tcp("127.0.0.1", port) as second:
                    assert await asked(first) == await asked(second)
                    async with await anyio.connect_tcp("127.0.0.1", port) as third:
                        assert await is_reset(third)
                    assert await asked(first) == b"are you there?"

    run(body)


def test_unix_sockets_here_and_there(server: Sshd, run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        there, here = tmp_path / "there", tmp_path / "here"
        async with serving(echo, there), host_on(server) as host:
            forward = await host.open_forward(SocketPath(str(there)), listen=SocketPath(str(here)))
            assert stat.S_IMODE(here.stat().st_mode) == 0o600
            async with await anyio.connect_unix(here) as stream:
                assert await asked(stream, b"x" * 100_000) == b"x" * 100_000
                await stream.send_eof()
                assert await everything(stream) == b""
            with pytest.raises(OSError, match="in use"):
                await host.open_forward(SocketPath(str(there)), listen=SocketPath(str(here)))
            assert here.exists()
            await forward.close()
            assert not here.exists()

    run(body)


def test_a_reverse_forward_leads_from_the_host_to_here(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with serving(echo) as here, host_on(server) as host:
            forward = await host.open_reverse_forward(Port(here))
            assert isinstance(forward.listen, Port)
            there = forward.listen.number
            async with await anyio.connect_tcp("127.0.0.1", there) as stream:

                async def send() -> None:
                    await stream.send(BIG)
                    await stream.send_eof()

                async with anyio.create_task_group() as group:
                    group.start_soon(send)
                    assert await everything(stream) == BIG
            with socket.socket() as other:
                other.bind(("127.0.0.2", there))  # taken if it listened on every address
            await forward.close()
            assert forward.state.state == "closed"
            with pytest.raises(OSError, match=r"."):
                await anyio.connect_tcp("127.0.0.1", there)

    run(body)


def test_a_reverse_forward_to_nobody_ends_and_says_why(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with host_on(server) as host:
            forward = await host.open_reverse_forward(Port(free_port()))
            assert isinstance(forward.listen, Port)
            async with await anyio.connect_tcp("127.0.0.1", forward.listen.number) as stream:
                with anyio.fail_after(10), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
            assert "refused" in forward.problem.lower() or "Connect call failed" in forward.problem

    run(body)


def test_a_reverse_forward_survives_a_cut_on_the_same_port(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with serving(echo) as here, host_on(server) as host:
            forward = await host.open_reverse_forward(Port(here))
            first = forward.listen
            assert isinstance(first, Port)
            for _ in range(2):
                async with await anyio.connect_tcp("127.0.0.1", first.number) as stream:
                    assert await asked(stream) == b"are you there?"
                    lost = anyio.Event()
                    off = forward.on_state(lambda new, lost=lost: lost.set() if new.state == "lost" else None)
                    await cut(host)
                    await lost.wait()
                    off()
                    await until(forward, "listening")
                    assert forward.listen == first
                    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                        await stream.receive()
            async with await anyio.connect_tcp("127.0.0.1", first.number) as stream:
                assert await asked(stream) == b"are you there?"

    run(body)


def test_a_reverse_unix_socket_survives_a_cut_and_is_removed_at_the_end(server: Sshd, run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        there = tmp_path / "it's there"
        async with serving(echo) as here, host_on(server) as host:
            forward = await host.open_reverse_forward(Port(here), listen=SocketPath(str(there)))
            assert stat.S_IMODE(there.stat().st_mode) & 0o077 == 0
            for _ in range(2):
                async with await anyio.connect_unix(there) as stream:
                    assert await asked(stream) == b"are you there?"
                lost = anyio.Event()
                off = forward.on_state(lambda new, lost=lost: lost.set() if new.state == "lost" else None)
                await cut(host)
                await lost.wait()
                off()
                await until(forward, "listening")
            async with await anyio.connect_unix(there) as stream:
                assert await asked(stream) == b"are you there?"
            await forward.close()
            assert not there.exists()

    run(body)


def test_a_reverse_forward_does_not_take_what_is_there(server: Sshd, run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        there = tmp_path / "there"
        async with serving(echo) as taken, serving(echo, there), host_on(server) as host:
            for listen in (Port(taken), SocketPath(str(there))):
                with pytest.raises(HostError, match=r"listening on .* is it taken"):
                    await host.open_reverse_forward(Port(1), listen=listen)
            async with await anyio.connect_unix(there) as stream:
                assert await asked(stream) == b"are you there?"

    run(body)


def test_a_reverse_port_that_somebody_took_meanwhile_is_a_visible_failure(
    server: Sshd, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reverse, "REFUSED_SECONDS", 5.0)

    async def body() -> None:
        clock = ManualClock(jump_after=0.05)
        async with Relay(server.port) as relay, host_on(server, port=relay.port, clock=clock) as host:
            forward = await host.open_reverse_forward(Port(1))
            states: list[str] = []
            forward.on_state(lambda new: states.append(new.state))
            assert isinstance(forward.listen, Port)
            await relay.refuse()
            await relay.drop()
            with socket.socket() as thief:
                thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                await until_it_is_free(thief, forward.listen.number)
                thief.listen()
                relay.restore()
                failed = await until(forward, "failed")
            assert f"127.0.0.1:{forward.listen.number}" in failed.reason
            assert states[0] == "lost"
            assert states[-1] == "failed"

    run(body)


def test_a_server_that_forbids_forwards_is_an_error_that_says_so(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        settings = "AllowTcpForwarding no\nAllowStreamLocalForwarding no"
        with sshd(tmp_path / "strict", settings=settings) as server:
            async with serving(echo) as port, host_on(server) as host:
                with pytest.raises(HostError, match="AllowTcpForwarding"):
                    await host.open_reverse_forward(Port(port))
                forward = await host.open_forward(Port(port))
                assert isinstance(forward.listen, Port)
                async with await anyio.connect_tcp("127.0.0.1", forward.listen.number) as stream:
                    assert await is_reset(stream)
                assert "AllowTcpForwarding" in forward.problem

    run(body)


def test_disconnecting_resets_what_is_under_way_and_listens_no_more(server: Sshd, run: Run) -> None:
    async def body() -> None:
        async with serving(echo) as served:
            async with host_on(server) as host:
                other = host.at("/elsewhere")
                forward = await other.open_forward(Port(served))
                back = await other.open_reverse_forward(Port(served))
                assert isinstance(forward.listen, Port)
                assert isinstance(back.listen, Port)
                await other.disconnect()
                first = await anyio.connect_tcp("127.0.0.1", forward.listen.number)
                second = await anyio.connect_tcp("127.0.0.1", back.listen.number)
                async with first, second:
                    assert await asked(first) == await asked(second)
                    await host.disconnect()
                    assert await is_reset(first)
                    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                        await second.receive()
                for listen in (forward.listen, back.listen):
                    with pytest.raises(OSError, match=r"."):
                        await anyio.connect_tcp("127.0.0.1", listen.number)

    run(body)


@pytest.mark.parametrize("number", [-1, 65536])
def test_what_can_be_no_port_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="65535"):
        Port(number)


@pytest.mark.parametrize("path", ["relative", "/a\0b", "/" + "x" * 107])
def test_what_can_be_no_socket_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        SocketPath(path)
