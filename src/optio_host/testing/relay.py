"""A TCP relay on loopback that breaks connections in the ways networks do, when a test says so."""

import asyncio
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

import anyio
from anyio.abc import TaskGroup

from ..clock import SYSTEM_CLOCK, Clock

Way = Literal["to_target", "from_target"]
"""One direction of a connection: from the client to the target, or back."""

BOTH_WAYS: tuple[Way, ...] = ("to_target", "from_target")

CHUNK = 64 * 1024
"""Bytes held for one direction of a connection at most, besides what the kernel holds."""

PIECES_PER_SECOND = 10
"""Into how many pieces a slow connection cuts what passes in a second."""

LOOPBACK = "127.0.0.1"

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Relay:
    """Forwards the connections made to its port to a target port, until it is told to do worse.

        async with Relay(sshd_port) as relay:
            ...  # connect to 127.0.0.1, relay.port
            await relay.drop()

    Every fault applies to all its connections. `restore` ends all faults.

    Parameters:
        target: TCP port of 127.0.0.1 to forward to.
        clock: time for `slow`.

    Attributes:
        port: where it listens, on 127.0.0.1; stays the same for its whole life.
        accepted: connections that were ever taken.
        forwarded: bytes handed on so far, both directions together.
    """

    def __init__(self, target: int, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.port = 0
        self.accepted = 0
        self.forwarded = 0
        self._target = target
        self._clock = clock
        self._connections: list[_Connection] = []
        self._gates: dict[Way, anyio.Event] = {way: _set_event() for way in BOTH_WAYS}
        self._reset_after: int | None = None
        self._bytes_per_second: float | None = None
        self._latency = 0.0

    @property
    def open(self) -> int:
        """Connections that stand now."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        self._socket = _bound(0)
        self.port = int(self._socket.getsockname()[1])
        self._tasks: TaskGroup = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection and stop listening."""
        self._tasks.cancel_scope.cancel()
        try:
            # The block's own error is not handed in: it would come out wrapped into a group.
            await self._tasks.__aexit__(None, None, None)
        finally:
            self._socket.close()

    async def drop(self, *, hard: bool = True) -> None:
        """Cut every connection; new ones are taken as before. hard: by RST; otherwise both ends see an orderly end."""
        cut = list(self._connections)
        self._cut(hard=hard)
        for connection in cut:
            await connection.closed.wait()

    def stall(self, *ways: Way) -> None:
        """Forward nothing any more, neither bytes nor an end, as a network does that loses every packet.

        What is sent meanwhile is kept as far as the kernel's buffers go, and arrives after `restore`.

        Parameters:
            ways: the directions; both if none is named. One alone makes a half-open connection.
        """
        for way in ways or BOTH_WAYS:
            if self._gates[way].is_set():
                self._gates[way] = anyio.Event()

    def slow(self, *, bytes_per_second: float | None = None, latency: float = 0.0) -> None:
        """Forward slowly, in both directions.

        Parameters:
            bytes_per_second: for each direction of each connection; None: as fast as it goes.
            latency: seconds that what has been read is held back; what arrives meanwhile is held after that.
        """
        self._bytes_per_second = bytes_per_second
        self._latency = latency

    def reset_after(self, count: int) -> None:
        """Forward `count` more bytes, both directions together, then cut every connection by RST; once."""
        self._reset_after = count
        if count == 0:
            self._reset()

    async def refuse(self) -> None:
        """Refuse new connections, as a machine does where nothing listens; those that stand go on."""
        if not self._listening.cancel_called:
            self._listening.cancel()
            await self._stopped.wait()
            self._socket.close()
            # Bound but not listening: nobody else gets the port meanwhile.
            self._socket = _bound(self.port)

    def restore(self) -> None:
        """Forward and accept again as at the beginning. Connections that were cut stay cut."""
        for gate in self._gates.values():
            gate.set()
        self._reset_after = None
        self.slow()
        if self._listening.cancel_called:
            self._listen()

    def _listen(self) -> None:
        self._socket.listen(64)
        self._listening = anyio.CancelScope()
        self._stopped = anyio.Event()
        self._tasks.start_soon(self._accept, self._socket, self._listening, self._stopped)

    async def _accept(self, listener: socket.socket, scope: anyio.CancelScope, stopped: anyio.Event) -> None:
        loop = asyncio.get_running_loop()
        try:
            with scope:
                while True:
                    client, _ = await loop.sock_accept(listener)
                    self.accepted += 1
                    connection = _Connection(client)
                    self._connections.append(connection)
                    self._tasks.start_soon(self._serve, connection)
        finally:
            stopped.set()

    async def _serve(self, connection: "_Connection") -> None:
        try:
            with connection.scope:
                await asyncio.get_running_loop().sock_connect(connection.target, (LOOPBACK, self._target))
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._pump, connection, connection.client, connection.target, "to_target")
                    tasks.start_soon(self._pump, connection, connection.target, connection.client, "from_target")
        except OSError:
            connection.hard = True  # the target does not take connections
        finally:
            self._connections.remove(connection)
            connection.close()

    async def _pump(self, connection: "_Connection", source: socket.socket, sink: socket.socket, way: Way) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._gates[way].wait()
                chunk = await loop.sock_recv(source, CHUNK)
                if self._latency:
                    await self._clock.sleep(self._latency)
                # Also what was on its way when the stall began does not arrive.
                await self._gates[way].wait()
                if not chunk:
                    with suppress(OSError):  # the other end is gone altogether; its own direction says so
                        sink.shutdown(socket.SHUT_WR)
                    return
                await self._forward(chunk, sink)
        except ConnectionError:
            connection.cut(hard=True)

    async def _forward(self, chunk: bytes, sink: socket.socket) -> None:
        while chunk:
            piece = chunk
            if self._bytes_per_second is not None:
                piece = chunk[: max(1, int(self._bytes_per_second / PIECES_PER_SECOND))]
                await self._clock.sleep(len(piece) / self._bytes_per_second)
            if self._reset_after is not None:
                piece = piece[: self._reset_after]
                self._reset_after -= len(piece)
            await asyncio.get_running_loop().sock_sendall(sink, piece)
            self.forwarded += len(piece)
            chunk = chunk[len(piece) :]
            if self._reset_after == 0:
                self._reset()
                return

    def _reset(self) -> None:
        self._reset_after = None
        self._cut(hard=True)

    def _cut(self, *, hard: bool) -> None:
        for connection in self._connections:
            connection.cut(hard=hard)


class _Connection:
    """One connection: its two sockets, and the scope in which they are served."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.target = socket.socket()
        self.scope = anyio.CancelScope()
        self.closed = anyio.Event()
        self.hard = False
        for each in (self.client, self.target):
            each.setblocking(False)
            # Without it, Nagle's algorithm and delayed acknowledgements add 40 ms to small messages.
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def cut(self, *, hard: bool) -> None:
        self.hard = self.hard or hard
        self.scope.cancel()

    def close(self) -> None:
        for each in (self.client, self.target):
            with suppress(OSError):  # it is no longer connected
                if self.hard:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                else:
                    each.shutdown(socket.SHUT_WR)
                    # A socket that is closed with unread bytes in it sends a RST.
                    while each.recv(CHUNK):
                        pass
            each.close()
        self.closed.set()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    return bound


def _set_event() -> anyio.Event:
    event = anyio.Event()
    event.set()
    return event
