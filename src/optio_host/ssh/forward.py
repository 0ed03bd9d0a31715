"""Forwards: a port or socket on this machine that leads to one of the host.

The listener is ours and not a connection's, so a local port stays the same however often the link breaks. What is
accepted while it is broken waits for it; what was under way when it broke is reset.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import anyio
import asyncssh

from ..clock import Clock
from ..errors import HostError
from .link import Link
from .splice import End, Splice

LOOPBACK = "127.0.0.1"

CONNECTIONS = 256
"""Connections of one forward at a time; a further one is reset."""

DIAL_SECONDS = 40.0
"""How long an accepted connection waits for the link to come back, and for the other side to take it; then it is reset.
A little longer than the link itself waits."""

CLOSE_SECONDS = 5.0
"""How long the far side may take to agree to the end of something."""

PAUSE_SECONDS = 0.05
"""How long a connection that refuses a channel is watched for whether it is about to end; and between two tries."""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port. ValueError if it can be none.

    Attributes:
        number: the port; 0, to listen on, is one that is free.
        host: name or address, as seen from where it is used.
    """

    number: int
    host: str = LOOPBACK

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 65535 or not self.host:
            raise ValueError(f"{self}: a port is a number from 0 to 65535 on a host that is named")

    def __str__(self) -> str:
        return f"{self.host}:{self.number}"


ANY_PORT = Port(0)
"""A free port of the loopback interface."""


@dataclass(frozen=True, slots=True)
class SocketPath:
    """A unix socket. ValueError if it can be none.

    Attributes:
        path: absolute path, 107 bytes at most.
    """

    path: str

    def __post_init__(self) -> None:
        # The length is that of sun_path in unix(7), without its final NUL.
        if not self.path.startswith("/") or "\0" in self.path or len(self.path.encode()) > 107:
            raise ValueError(f"{self.path!r}: the path of a unix socket is absolute and has at most 107 bytes")

    def __str__(self) -> str:
        return self.path


Address = Port | SocketPath


class Connections:
    """The connections that came to one listener, each joined to one that is made for it.

    Parameters:
        dial: makes it. Raises HostError or OSError when nobody takes it.
        clock: time, for tests.

    Attributes:
        problem: why the latest one was reset before it began; "" when it did begin.
    """

    def __init__(self, dial: Callable[[End], Awaitable[None]], clock: Clock) -> None:
        self.problem = ""
        self._dial = dial
        self._clock = clock
        self._splices: set[Splice] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._fewer = asyncio.Event()
        self._closed = False

    def accept(self) -> End:
        """The end for a connection that came."""
        return Splice(self._begin, self._end).first

    async def close(self) -> None:
        """Reset them all, and take no more."""
        self._closed = True
        for task in self._dialling:
            task.cancel()
        if self._dialling:
            await asyncio.wait(self._dialling)
        for splice in list(self._splices):
            splice.abort()
        with anyio.move_on_after(CLOSE_SECONDS):
            while self._splices:
                self._fewer.clear()
                await self._fewer.wait()

    def _begin(self, splice: Splice) -> None:
        if self._closed or len(self._splices) >= CONNECTIONS:
            self.problem = f"{CONNECTIONS} connections were open at the same time"
            splice.abort()
            return
        self._splices.add(splice)
        task = asyncio.create_task(self._join(splice), name="optio joins a forwarded connection")
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    def _end(self, splice: Splice) -> None:
        self._splices.discard(splice)
        self._fewer.set()

    async def _join(self, splice: Splice) -> None:
        try:
            with self._clock.move_on_after(DIAL_SECONDS) as limit:
                await self._dial(splice.second)
                self.problem = ""
            if limit.cancelled_caught:
                self.problem = f"nobody answered within {DIAL_SECONDS:g} s"
        except (HostError, OSError) as error:
            self.problem = str(error)
        finally:
            if splice.second.stream is None:
                splice.abort()


class FarDial:
    """Makes connections to one address as the host sees it, over whichever connection of the link is live."""

    def __init__(self, link: Link, to: Address, clock: Clock) -> None:
        self._link = link
        self._to = to
        self._clock = clock
        self._opening: set[asyncio.Task[None]] = set()

    async def __call__(self, end: End) -> None:
        """Make one, for this end. HostError when the host refuses it."""
        while True:
            connection = await self._link.connection()
            task = asyncio.create_task(self._open(connection, end), name="optio opens a forwarded connection")
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
            try:
                # A channel whose opening is cancelled here would stay open over there. So it goes on, and `end` closes
                # it when nobody waits for it any more.
                await asyncio.shield(task)
                return
            except (asyncssh.Error, OSError) as error:
                with anyio.move_on_after(PAUSE_SECONDS):
                    await connection.wait_closed()
                if not connection.is_closed():
                    raise HostError(f"{self._link.target}: connecting to {self._to} there: {_reason(error)}") from error
            # The link broke before a byte was sent, so another connection may be tried.
            await self._clock.sleep(PAUSE_SECONDS)

    async def close(self) -> None:
        """Return when nothing is being opened any more."""
        if self._opening:
            await asyncio.wait(self._opening, timeout=CLOSE_SECONDS)
        for task in self._opening:
            task.cancel()
        if self._opening:
            await asyncio.wait(self._opening)

    async def _open(self, connection: asyncssh.SSHClientConnection, end: End) -> None:
        try:
            match self._to:
                case Port(number, host):
                    await connection.create_connection(lambda: end, host, number, encoding=None)
                case SocketPath(path):
                    await connection.create_unix_connection(lambda: end, path, encoding=None)
        except (AssertionError, AttributeError) as error:
            # asyncssh 2.24, when the connection ends in the moment between the host's answer and this: it hands over
            # a channel that is closed already, and nobody is told.
            broken = ConnectionAbortedError("the connection ended")
            if end.stream is None:
                raise broken from error
            end.connection_lost(broken)


def _reason(error: asyncssh.Error | OSError) -> str:
    if isinstance(error, asyncssh.ChannelOpenError) and error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return "its SSH server forbids it; look at AllowTcpForwarding, AllowStreamLocalForwarding and PermitOpen there"
    return error.reason if isinstance(error, asyncssh.Error) else str(error)


async def dial_here(to: Address, end: End) -> None:
    """Connect to an address of this machine. OSError when nobody is there."""
    loop = asyncio.get_running_loop()
    match to:
        case Port(number, host):
            await loop.create_connection(lambda: end, host, number)
        case SocketPath(path):
            await loop.create_unix_connection(lambda: end, path)


class Forward:
    """A listener on this machine that leads to an address of the host. Made by `RemoteHost.open_forward`.

    Attributes:
        to: where it leads, as the host sees it.
        listen: where it listens, with the port that it got.
    """

    def __init__(
        self,
        link: Link,
        to: Address,
        listener: socket.socket,
        listen: Address,
        clock: Clock,
        on_close: "Callable[[Forward], None]",
    ) -> None:
        self.to = to
        self.listen = listen
        self._listener = listener
        self._on_close = on_close
        self._dial = FarDial(link, to, clock)
        self._connections = Connections(self._dial, clock)
        self._server: asyncio.Server | None = None
        self._inode = os.stat(listen.path).st_ino if isinstance(listen, SocketPath) else 0

    @property
    def problem(self) -> str:
        """Why the latest connection to it was reset before it began; "" when it did begin."""
        return self._connections.problem

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        make = loop.create_server if isinstance(self.listen, Port) else loop.create_unix_server
        self._server = await make(self._connections.accept, sock=self._listener)

    async def close(self) -> None:
        """Stop listening and reset the connections. Calling it again does nothing."""
        if isinstance(self.listen, SocketPath):
            with suppress(FileNotFoundError):
                if os.stat(self.listen.path).st_ino == self._inode:
                    os.unlink(self.listen.path)
        if self._server is None:
            self._listener.close()
        else:
            self._server.close()
        await self._connections.close()
        await self._dial.close()
        if self._server is not None:
            await self._server.wait_closed()
        self._on_close(self)


async def open_forward(
    link: Link, to: Address, listen: Address, clock: Clock, on_close: Callable[[Forward], None]
) -> Forward:
    """Listen on this machine. OSError when that address is taken or not ours."""
    listener, listen = await _bound(listen)
    forward = Forward(link, to, listener, listen, clock, on_close)
    try:
        await forward.start()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await forward.close()
        raise
    return forward


async def _bound(listen: Address) -> tuple[socket.socket, Address]:
    match listen:
        case Port(number, host):
            found = await asyncio.get_running_loop().getaddrinfo(host, number, type=socket.SOCK_STREAM)
            family, kind, protocol, _, address = found[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
            except BaseException:
                listener.close()
                raise
            return listener, Port(int(listener.getsockname()[1]), host)
        case SocketPath(path):
            listener = socket.socket(socket.AF_UNIX)
            try:
                listener.bind(path)
                os.chmod(path, 0o600)  # nobody can connect before it listens
            except BaseException:
                listener.close()
                raise
            return listener, listen
