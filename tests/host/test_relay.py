"""The relay that tests break connections with: each fault is what it says, and nothing is left."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from optio_host.testing.clock import ManualClock
from optio_host.testing.relay import Relay

Run = Callable[[Callable[[], Awaitable[object]]], None]


class Target:
    """A server whose ends of the connections a test holds in its hand."""

    def __init__(self) -> None:
        self.port = 0
        self._send, self._receive = anyio.create_memory_object_stream[SocketStream](8)

    async def next(self) -> SocketStream:
        return await self._receive.receive()

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            await self._send.send(stream)
            await anyio.sleep_forever()


@asynccontextmanager
async def target() -> AsyncIterator[Target]:
    server = Target()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server.port = listener.extra(SocketAttribute.local_port)
    async with listener, server._send, server._receive, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.serve)
        yield server
        tasks.cancel_scope.cancel()


async def connect(relay: Relay) -> SocketStream:
    return await anyio.connect_tcp("127.0.0.1", relay.port)


async def receive_exactly(stream: SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive(count - len(data))
    return data


def test_bytes_and_ends_pass_both_ways(run: Run) -> None:
    async def body() -> None:
        async with target() as server, Relay(server.port) as relay, await connect(relay) as client:
            end = await server.next()
            await client.send(b"there")
            assert await receive_exactly(end, 5) == b"there"
            await client.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await end.receive()
            await end.send(b"and back")
            assert await receive_exactly(client, 8) == b"and back"
            assert (relay.accepted, relay.open, relay.forwarded) == (1, 1, 13)

    run(body)


def test_small_messages_are_not_held_back(run: Run) -> None:
    async def body() -> None:
        async with target() as server, Relay(server.port) as relay, await connect(relay):
            [connection] = relay._connections
            for each in (connection.client, connection.target):
                assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            await server.next()

    run(body)


@pytest.mark.parametrize(("hard", "error"), [(True, anyio.BrokenResourceError), (False, anyio.EndOfStream)])
def test_a_drop_is_a_reset_or_an_orderly_end_and_new_connections_are_taken(
    run: Run, hard: bool, error: type[Exception]
) -> None:
    async def body() -> None:
        async with target() as server, Relay(server.port) as relay:
            async with await connect(relay) as client:
                end = await server.next()
                await end.send(b"x")
                await receive_exactly(client, 1)
                await relay.drop(hard=hard)
                assert relay.open == 0
                for each in (client, end):
                    with pytest.raises(error):
                        await each.receive()
            async with await connect(relay) as client:
                await (await server.next()).send(b"again")
                assert await receive_exactly(client, 5) == b"again"

    run(body)


def test_a_stalled_connection_takes_bytes_and_delivers_them_when_it_is_restored(run: Run) -> None:
    async def body() -> None:
        async with target() as server, Relay(server.port) as relay, await connect(relay) as client:
            end = await server.next()
            relay.stall()
            for each in (client, end):
                await each.send(b"held")
                await each.send_eof()
            await anyio.wait_all_tasks_blocked()
            assert relay.forwarded == 0
            relay.restore()
            for each in (client, end):
                assert await receive_exactly(each, 4) == b"held"
                with pytest.raises(anyio.EndOfStream):
                    await each.receive()

    run(body)


def test_half_open_means_that_one_way_still_works(run: Run) -> None:
    async def body() -> None:
        async with target() as server, Relay(server.port) as relay, await connect(relay) as client:
            end = await server.next()
            relay.stall("to_target")
            await client.send(b"lost for now")
            await end.send(b"heard")
            assert await receive_exactly(client, 5) == b"heard"
            assert relay.forwarded == 5

    run(body)


def test_a_stalled_connection_pushes_back_and_does_not_grow(run: Run) -> None:
    async def body() -> None:
        async with target() as server, Relay(server.port) as relay, await connect(relay) as client:
            await server.next()
            relay.stall("to_target")
            with anyio.move_on_after(0.3) as stopped:
                while True:
                    await client.send(bytes(1_000_000))
            assert stopped.cancelled_caught
            assert relay.forwarded == 0

    run(body)


def test_a_reset_comes_after_exactly_so_many_bytes_and_once(run: Run) -> None:
    async def body() -> None:
        async with target() as server, Relay(server.port) as relay:
            async with await connect(relay) as client:
                end = await server.next()
                relay.reset_after(5)
                await client.send(b"1234567")
                assert await receive_exactly(end, 5) == b"12345"
                with pytest.raises(anyio.BrokenResourceError):
                    await client.receive()
                with pytest.raises(anyio.BrokenResourceError):
                    await end.receive()
            async with await connect(relay) as client:
                await client.send(b"1234567")
                assert await receive_exactly(await server.next(), 7) == b"1234567"

    run(body)


def test_refused_means_refused_and_what_stands_goes_on(run: Run) -> None:
    async def body() -> None:
        async with target() as server, Relay(server.port) as relay, await connect(relay) as client:
            end = await server.next()
            port = relay.port
            await relay.refuse()
            await relay.refuse()
            with pytest.raises(OSError, match="connect"):
                await connect(relay)
            await client.send(b"still here")
            assert await receive_exactly(end, 10) == b"still here"
            relay.restore()
            relay.restore()
            async with await connect(relay):
                await server.next()
            assert (relay.port, relay.accepted) == (port, 2)

    run(body)


def test_a_target_where_nobody_listens_resets_the_client(run: Run) -> None:
    async def body() -> None:
        async with target() as server:
            port = server.port
        async with Relay(port) as relay, await connect(relay) as client:
            with pytest.raises(anyio.BrokenResourceError):
                await client.receive()

    run(body)


def test_a_reset_of_one_end_reaches_the_other(run: Run) -> None:
    async def body() -> None:
        async with target() as server, Relay(server.port) as relay, await connect(relay) as client:
            end = await server.next()
            raw = client.extra(SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client._transport.abort()  # type: ignore[attr-defined]
            with pytest.raises(anyio.BrokenResourceError):
                await end.receive()

    run(body)


def test_latency_and_rate_are_those_of_the_clock(run: Run, clock: ManualClock) -> None:
    async def passes(relay: Relay, count: int) -> float:
        """Seconds of the clock until this many bytes have been forwarded."""
        begin = clock.monotonic()
        while relay.forwarded < count:
            # What the kernel still has to deliver takes real time, in which the clock stands still.
            await anyio.wait_all_tasks_blocked()
            if clock.waiting:
                await clock.advance(0.1)
        return clock.monotonic() - begin

    async def body() -> None:
        async with target() as server, Relay(server.port, clock=clock) as relay, await connect(relay) as client:
            await server.next()
            relay.slow(latency=3)
            await client.send(b"x")
            assert 3 <= await passes(relay, 1) < 3.2
            relay.slow(bytes_per_second=100)
            await client.send(bytes(30))
            assert 0.3 <= await passes(relay, 31) < 0.5

    run(body)


def test_an_error_in_the_block_comes_out_as_it_is(run: Run) -> None:
    async def body() -> None:
        with pytest.raises(ZeroDivisionError):
            async with Relay(1) as relay, await connect(relay):
                raise ZeroDivisionError
        with anyio.CancelScope() as scope:
            async with Relay(1):
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught

    run(body)
