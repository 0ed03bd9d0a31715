"""The connections to one host: opened when needed, shared, bounded, and made again when they break.

Nothing in here repeats what may have acted: a session that the host refused is opened elsewhere, before anything was
said on it; a session that broke is left to whoever used it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import anyio
import asyncssh

from ..clock import Clock
from ..errors import ConnectFailed, HostError
from ..host import LinkState
from ..listeners import Listeners
from ..types import SSHConfig
from .channel import Channel
from .connect import Connection, connect
from .opening import BOOTSTRAP

SESSIONS = 6
"""Sessions on one connection. OpenSSH allows 10 and frees one only after this side has seen its end; at 8 to 10 in
flight it refuses some at random (measured with 9.2)."""

SPARE = 2
"""Sessions on one connection beyond those, for what must not wait for a free one: ending what the others run."""

CONNECTIONS = 8
"""Connections at most; further sessions wait for a free one."""

OPEN_SECONDS = 20.0
"""How long the opening of a session may take."""

RETRY_SECONDS = 1.0
"""Pause between two tries to connect again."""

QUICK_TRY = 3.0
"""Seconds for the steps of three in four tries to connect again: into a network that swallows packets, TCP repeats its
first one after 1, 3 and 7 s, and would still wait when the link is back. The fourth has the time that was configured,
for a host that is slow."""

RECONNECT_SECONDS = 30.0
"""How long a session waits for a link that broke to come back before it gives up with ConnectFailed."""

WINDOW = 8 * 1024 * 1024
"""Bytes that may be under way to this side in one session."""

REFUSALS = 3
"""How often a host may refuse the only session of a connection before that is what it does."""


class _Pooled:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.used = 0
        self.limit = SESSIONS

    def free(self, urgent: bool) -> bool:
        # A host that has refused one allows no more than that.
        return self.used < self.limit + (SPARE if urgent and self.limit == SESSIONS else 0)


class Pool:
    """All connections of a `Link`. Nothing is opened before it is used.

    Parameters:
        config: how to reach the host.
        clock: time, for tests.

    Attributes:
        target: the host, for messages: "user@host:port" once there was a connection.
        login_seconds: how long a command took to begin, the quickest of them; 0 before there was one.
    """

    def __init__(self, config: SSHConfig, clock: Clock) -> None:
        self.target = f"{config.user}@{config.host}" if config.user else config.host
        self.login_seconds = 0.0
        self._config = config
        self._clock = clock
        self._pool: list[_Pooled] = []
        self._dropped: list[Connection] = []
        self._abandoned: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None
        self._listeners: Listeners[LinkState] = Listeners()
        self._was_connected = False
        self._tries = 0
        self._closed = False

    @property
    def was_connected(self) -> bool:
        """Whether there has ever been a connection: then the way there is known to be right."""
        return self._was_connected

    def on_state(self, listener: Callable[[LinkState], None]) -> Callable[[], None]:
        """Call a function with every change of state from now on; returns what ends that."""
        return self._listeners.add(listener)

    async def connection(self) -> asyncssh.SSHClientConnection:
        """A live connection, for what needs no session. Raises ConnectFailed."""
        return (await self._any(lambda pooled: True)).connection.ssh

    def reopen(self) -> None:
        """Let connections be made again after `close`."""
        self._closed = False

    async def close(self) -> None:
        """Close every connection. What runs over there goes on."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            if self._connecting is not None:
                self._connecting.cancel()
                await asyncio.wait([self._connecting])
            was_connected = bool(self._pool)
            for pooled in list(self._pool):
                self._drop(pooled, "closed here")
            await self._forget_dropped()
            if self._abandoned:
                await asyncio.wait(self._abandoned)
        if was_connected:
            self._tell(LinkState("closed"))

    async def _forget_dropped(self) -> None:
        dropped, self._dropped = self._dropped, []
        async with anyio.create_task_group() as tasks:
            for connection in dropped:
                tasks.start_soon(connection.wait_closed)

    async def open(self, *, stream_stderr: bool, urgent: bool = False) -> Channel:
        """A session in which the host waits for a script. The caller closes it. Raises ConnectFailed, HostError.

        An urgent one need not wait until another one has ended.
        """
        refused = 0
        while True:
            pooled = await self._any(lambda each: each.free(urgent))
            try:
                return await self._open_on(pooled, stream_stderr)
            except Exception as error:
                # Nothing was sent yet, so it may be tried elsewhere. Of a connection that ends meanwhile asyncssh 2.24
                # raises whatever its next step stumbles over, an AssertionError among it.
                if pooled not in self._pool:
                    continue
                if isinstance(error, asyncssh.ChannelOpenError):
                    # A host may allow fewer sessions than most do.
                    pooled.limit = max(1, pooled.used)
                    refused += pooled.used == 0
                    if refused <= REFUSALS:
                        continue
                    raise HostError(
                        f"{self.target}: session: the host refuses every one ({error.reason}); "
                        "look at MaxSessions and the account's restrictions there"
                    ) from error
                if not isinstance(error, asyncssh.Error | OSError):
                    raise
                self._drop(pooled, str(error))

    async def _open_on(self, pooled: _Pooled, stream_stderr: bool) -> Channel:
        channel = Channel(
            self.target,
            stream_stderr=stream_stderr,
            on_close=partial(self._release, pooled),
            round_trip=partial(_round_trip, pooled.connection.ssh),
            room=pooled.connection.room,
        )
        pooled.used += 1
        opening = asyncio.create_task(self._request(pooled, channel), name=f"optio opens a session on {self.target}")
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # A session whose opening is cancelled would stay open over there, and take its place among the few that
            # a connection has. So it is opened, and then closed.
            task = asyncio.create_task(_close_once_open(opening, channel))
            self._abandoned.add(task)
            task.add_done_callback(self._abandoned.discard)
            raise
        return channel

    async def _request(self, pooled: _Pooled, channel: Channel) -> None:
        try:
            with anyio.fail_after(OPEN_SECONDS):
                await pooled.connection.ssh.create_session(lambda: channel, BOOTSTRAP, encoding=None, window=WINDOW)
        except BaseException as error:
            if isinstance(error, TimeoutError):
                self._drop(pooled, f"no answer to the opening of a session for {OPEN_SECONDS:g} s")
            with anyio.CancelScope(shield=True):
                await channel.close()  # its shell waits for the script, and ends with the channel
            raise

    async def _any(self, wanted: Callable[[_Pooled], bool]) -> _Pooled:
        """A connection that is `wanted`; made if there is none, waited for if there are enough."""
        patient = self._was_connected
        deadline = self._clock.monotonic() + RECONNECT_SECONDS
        while True:
            if self._closed:
                raise HostError(f"{self.target}: this host was disconnected; connect a new one")
            for pooled in self._pool:
                if wanted(pooled):
                    return pooled
            self._freed.clear()
            refused = False
            try:
                if len(self._pool) < CONNECTIONS:
                    await self._connect_once()
                    continue
            except ConnectFailed as error:
                if not self._pool:
                    if error.final or not patient or self._clock.monotonic() >= deadline:
                        raise
                    await self._clock.sleep(RETRY_SECONDS)
                    continue
                refused = not error.final
            # There are connections, and no more of them are to be had now: wait for one of their sessions to end.
            with self._clock.move_on_after(RETRY_SECONDS if refused else None):
                await self._freed.wait()

    async def _connect_once(self) -> None:
        """One more connection. Whoever wants one meanwhile waits for the same try, and a caller that gives up does not
        take it from the others."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name=f"optio connects to {self.target}")
            self._connecting.add_done_callback(self._connect_done)
        connecting = self._connecting
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            if not connecting.cancelled():
                raise
            raise HostError(f"{self.target}: this host was disconnected while it was connected to") from None

    def _connect_done(self, task: "asyncio.Task[None]") -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # it is raised to those who wait; there may be none left

    async def _connect(self) -> None:
        await self._forget_dropped()
        if not self._pool:
            self._tell(LinkState("reconnecting" if self._was_connected else "connecting"))
        lost: list[str] = []
        made: list[_Pooled] = []

        def on_lost(error: Exception | None) -> None:
            lost.append(str(error) if error else "the host closed the connection")
            for pooled in made:
                self._drop(pooled, lost[-1])

        try:
            config = self._config
            if self._was_connected and self._tries % 4 < 3:
                config = replace(config, connect_timeout=min(QUICK_TRY, config.connect_timeout))
            self._tries += 1
            connection = await connect(config, on_lost=on_lost)
            self._tries = 0
        except ConnectFailed as error:
            if not self._pool:
                self._tell(LinkState("failed", str(error)))
            raise
        self._was_connected = True
        self.target = connection.label
        made.append(_Pooled(connection))
        self._pool += made
        if lost:
            self._drop(made[0], lost[-1])
        elif len(self._pool) == 1:
            self._tell(LinkState("connected"))

    def _drop(self, pooled: _Pooled, reason: str) -> None:
        if pooled not in self._pool:
            return
        self._pool.remove(pooled)
        if not self._closed:
            pooled.connection.abort()  # an orderly end would wait for a link that is dead
        pooled.connection.close()
        self._dropped.append(pooled.connection)
        self._freed.set()
        if not self._pool and not self._closed:
            self._tell(LinkState("lost", reason))

    def _release(self, pooled: _Pooled, channel: Channel) -> None:
        pooled.used -= 1
        if channel.begun_after is not None:
            self.login_seconds = min(self.login_seconds or channel.begun_after, channel.begun_after)
        self._freed.set()

    def _tell(self, state: LinkState) -> None:
        self._listeners.tell(state, about=self.target)


async def _round_trip(connection: asyncssh.SSHClientConnection) -> None:
    # The library has no public way to ask for an answer. This takes no session, and whatever the host says to it comes
    # behind all that it said before: nobody can listen at a directory.
    with suppress(asyncssh.Error, OSError):
        await connection.open_unix_connection("/", encoding=None)


async def _close_once_open(opening: "asyncio.Task[None]", channel: Channel) -> None:
    await asyncio.wait([opening])
    if not opening.cancelled() and opening.exception() is None:
        await channel.close()
