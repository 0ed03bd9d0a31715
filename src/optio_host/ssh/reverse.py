"""Reverse forwards: a port or socket of the host that leads to one on this machine.

The far listener belongs to one connection, and ends with it. So it is made again, at the same address, on the next one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from shlex import quote
from typing import Literal

import anyio
import asyncssh

from ..clock import Clock
from ..errors import ConnectFailed, HostError
from ..listeners import Listeners
from .forward import CLOSE_SECONDS, PAUSE_SECONDS, Address, Connections, Port, SocketPath, dial_here
from .link import Link
from .splice import End

LISTEN_SECONDS = 10.0
"""How long the host may take to answer whether it listens."""

RETRY_SECONDS = 1.0
"""Pause between two tries to listen again."""

REFUSED_SECONDS = 120.0
"""How long the host may refuse to listen again. It does until it has noticed that the old connection is gone."""


@dataclass(frozen=True, slots=True)
class ReverseState:
    """Whether a reverse forward works.

    Attributes:
        state: "lost": the link broke, and it is being made again; "failed": it could not be, and will not be;
            open another one.
        reason: why, for "lost" and "failed".
    """

    state: Literal["listening", "lost", "failed", "closed"]
    reason: str = ""


class _Refused(HostError):
    """The host answered, and does not listen."""


class ReverseForward:
    """A listener on the host that leads to an address of this machine. Made by `RemoteHost.open_reverse_forward`.

    Attributes:
        to: where it leads, as this machine sees it.
        listen: where it listens, as the host sees it, with the port that it got; the same for its whole life.
        state: whether it works.
    """

    def __init__(
        self, link: Link, to: Address, listen: Address, clock: Clock, on_close: "Callable[[ReverseForward], None]"
    ) -> None:
        self.to = to
        self.listen = listen
        self.state = ReverseState("lost", "it has not begun")
        self._link = link
        self._clock = clock
        self._on_close = on_close
        self._connections = Connections(partial(dial_here, to), clock)
        self._listener: asyncssh.SSHListener | None = None
        self._listeners: Listeners[ReverseState] = Listeners()
        self._scope = anyio.CancelScope()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str:
        """Why the latest connection that came was reset before it began; "" when it did begin."""
        return self._connections.problem

    def on_state(self, listener: Callable[[ReverseState], None]) -> Callable[[], None]:
        """Call a function with every change of state from now on; returns what ends that."""
        return self._listeners.add(listener)

    async def start(self) -> None:
        """Listen. ConnectFailed when there is no way to the host, HostError when it refuses."""
        connection = await self._listen()
        self._tell(ReverseState("listening"))
        self._keeper = asyncio.create_task(
            self._keep(connection), name=f"optio keeps the reverse forward {self.listen}"
        )

    async def close(self) -> None:
        """Stop listening and reset the connections. Calling it again does nothing."""
        self._scope.cancel()
        if self._keeper is not None:
            await asyncio.wait([self._keeper])
        try:
            if self._listener is not None:
                listener, self._listener = self._listener, None
                with anyio.move_on_after(CLOSE_SECONDS):
                    listener.close()
                    await listener.wait_closed()
                    await self._remove_socket()
        except HostError:
            pass  # the link broke: with it the listener is gone, and a socket without one is only a name
        finally:
            await self._connections.close()
        self._on_close(self)
        self._tell(ReverseState("closed"))

    async def _keep(self, connection: asyncssh.SSHClientConnection) -> None:
        with self._scope:
            while True:
                await connection.wait_closed()
                self._listener = None
                self._tell(ReverseState("lost", f"{self._link.target}: the connection ended"))
                again = await self._listen_again()
                if again is None:
                    return
                connection = again
                self._tell(ReverseState("listening"))

    async def _listen_again(self) -> asyncssh.SSHClientConnection | None:
        deadline: float | None = None
        while True:
            try:
                await self._remove_socket()
                return await self._listen()
            except (ConnectFailed, _Refused) as error:
                now = self._clock.monotonic()
                if isinstance(error, _Refused):
                    deadline = deadline or now + REFUSED_SECONDS
                    over = now >= deadline
                else:
                    over = error.final
                if over:
                    self._tell(ReverseState("failed", str(error)))
                    return None
                self._tell(ReverseState("lost", str(error)))
            except HostError as error:
                self._tell(ReverseState("failed", str(error)))
                return None
            await self._clock.sleep(RETRY_SECONDS)

    async def _listen(self) -> asyncssh.SSHClientConnection:
        while True:
            connection = await self._link.connection()
            # A request that is cancelled here would leave a listener over there that nobody knows of.
            with anyio.CancelScope(shield=True):
                try:
                    with anyio.fail_after(LISTEN_SECONDS):
                        self._listener = await self._request(connection)
                    break
                except TimeoutError:
                    reason = f"no answer for {LISTEN_SECONDS:g} s"
                except (asyncssh.ChannelListenError, asyncssh.Error, OSError):
                    reason = (
                        "the host refuses; is it taken, or forbidden by AllowTcpForwarding, PermitListen or the like?"
                    )
                with anyio.move_on_after(PAUSE_SECONDS):
                    await connection.wait_closed()
            if not connection.is_closed():
                raise _Refused(f"{self._link.target}: listening on {self.listen} there: {reason}")
            await self._clock.sleep(PAUSE_SECONDS)
        if isinstance(self.listen, Port):
            self.listen = replace(self.listen, number=self._listener.get_port())
        return connection

    async def _request(self, connection: asyncssh.SSHClientConnection) -> asyncssh.SSHListener:
        def accept(host: str, port: int) -> End:
            return self._connections.accept()

        match self.listen:
            case Port(number, host):
                return await connection.create_server(accept, host, number, encoding=None)
            case SocketPath(path):
                return await connection.create_unix_server(self._connections.accept, path, encoding=None)

    async def _remove_socket(self) -> None:
        """sshd leaves a unix socket behind, and does not listen where one is."""
        if isinstance(self.listen, SocketPath):
            path = quote(self.listen.path)
            async with self._link.channel(f"[ ! -S {path} ] || rm -f -- {path}", stdin=False) as channel:
                await channel.wait()

    def _tell(self, state: ReverseState) -> None:
        if state == self.state:
            return
        self.state = state
        self._listeners.tell(state, about=str(self.listen))


async def open_reverse_forward(
    link: Link, to: Address, listen: Address, clock: Clock, on_close: Callable[[ReverseForward], None]
) -> ReverseForward:
    """Listen on the host. ConnectFailed when there is no way to it, HostError when it refuses."""
    forward = ReverseForward(link, to, listen, clock, on_close)
    try:
        await forward.start()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await forward.close()
        raise
    return forward
