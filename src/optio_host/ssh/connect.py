"""One connection to a host: made step by step, each with a deadline, and every failure with its step and remedy."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

import anyio
import anyio.to_thread
import asyncssh

from ..types import SSHConfig
from .attempt import Attempt
from .client_keys import client_keys
from .host_keys import judge
from .target import Target, resolve

CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
"""The first was measured 1.3 to 2.5 times as fast as the one that the library and OpenSSH would agree on."""

UNSENT_BYTES = 128 * 1024
"""What the kernel keeps of one connection beyond what is under way. Measured at 32 kB/s: behind the usual megabytes a
keepalive came too late, and a copy cut itself off after 20 s."""

CLOSE_DEADLINE = 5.0
"""Seconds for what was said on a connection to end before it is dropped."""


class Connection:
    """An SSH connection, with those to the hosts on the way.

    Attributes:
        ssh: the connection to the host itself.
        label: "user@host:port", as it was decided.
        room: set while little waits to be sent. What is written at other times only makes answers come later, those to
            the questions whether the host is there among them.
    """

    def __init__(
        self,
        label: str,
        ssh: asyncssh.SSHClientConnection,
        hops: list[asyncssh.SSHClientConnection],
        room: asyncio.Event,
    ) -> None:
        self.label = label
        self.room = room
        self.ssh = ssh
        self._all = [ssh, *reversed(hops)]

    def close(self) -> None:
        """Begin to close everything. Calling it again does nothing."""
        for connection in self._all:
            connection.close()

    def abort(self) -> None:
        """Drop everything at once, without a word to the other ends."""
        for connection in self._all:
            connection.abort()

    async def wait_closed(self) -> None:
        """Return when everything is closed; what does not close within CLOSE_DEADLINE is dropped."""
        await _closed(self._all)


async def connect(config: SSHConfig, *, on_lost: Callable[[Exception | None], None] | None = None) -> Connection:
    """Connect to a host and log in, over its jump hosts, each verified by its own rule.

    Parameters:
        config: how to reach it.
        on_lost: called once when the connection ends: with None if it was closed here, else with what broke it.

    Raises ConnectFailed: HostKeyRefused and AuthenticationRefused for what these say, each naming the host it was
    about, the step, and what to do. `final` says that trying again cannot help.
    """
    target = await anyio.to_thread.run_sync(resolve, config)
    made: list[asyncssh.SSHClientConnection] = []
    try:
        for hop in target.hops:
            made.append(await _log_in(hop, made[-1] if made else None, None, is_jump_host=True))
        room = asyncio.Event()
        room.set()

        def lost(error: Exception | None) -> None:
            room.set()  # whoever waits for it is told by what they wrote to
            if on_lost is not None:
                on_lost(error)

        ssh = await _log_in(target, made[-1] if made else None, lost, is_jump_host=False)
        # The library passes over this: it queues whatever the other side has said that it can take, two megabytes.
        ssh.pause_writing, ssh.resume_writing = room.clear, room.set  # type: ignore[method-assign]
        _keep_queues_short([*made, ssh])
    except BaseException:
        for connection in made:
            connection.close()
        with anyio.CancelScope(shield=True):
            await _closed(made[::-1])
        raise
    return Connection(target.label, ssh, made, room)


def _keep_queues_short(connections: list[asyncssh.SSHClientConnection]) -> None:
    for connection in connections:
        tcp = connection.get_extra_info("socket")
        if tcp is not None and (option := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
            with suppress(OSError):
                tcp.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)


async def _closed(connections: list[asyncssh.SSHClientConnection]) -> None:
    for connection in connections:
        with anyio.move_on_after(CLOSE_DEADLINE) as scope:
            await connection.wait_closed()
        if scope.cancelled_caught:
            connection.abort()
            await connection.wait_closed()


async def _log_in(
    target: Target,
    tunnel: asyncssh.SSHClientConnection | None,
    on_lost: Callable[[Exception | None], None] | None,
    *,
    is_jump_host: bool,
) -> asyncssh.SSHClientConnection:
    judged = await judge(target)
    async with client_keys(target) as keys:
        scope = anyio.CancelScope(deadline=anyio.current_time() + target.config.connect_timeout)
        attempt = Attempt(target, judged, keys, scope, is_jump_host=is_jump_host)
        try:
            with scope:
                ssh = await _dial(attempt, tunnel)
            if scope.cancelled_caught:
                raise attempt.too_late()
            await judged.remember()
            if attempt.is_over:
                raise attempt.explain(asyncssh.ConnectionLost("the connection was closed at once"))
        except (OSError, asyncssh.Error, ValueError) as error:
            await _dropped(attempt)
            raise attempt.explain(error) from error
        except BaseException:
            await _dropped(attempt)
            raise
    attempt.on_lost = on_lost
    return ssh


async def _dial(attempt: Attempt, tunnel: asyncssh.SSHClientConnection | None) -> asyncssh.SSHClientConnection:
    target, config = attempt.target, attempt.target.config
    return await asyncssh.connect(
        target.host,
        target.port,
        client_factory=lambda: attempt,
        config=None,  # everything of it that counts was read before; the library would run `Match exec`
        tunnel=tunnel or (),
        family=target.family,
        local_addr=(target.bind_address, 0) if target.bind_address and tunnel is None else (),
        username=target.user,
        # Nothing is trusted by itself: the library asks the judge about every key that is not revoked.
        known_hosts=([], [], attempt.judge.revoked()),
        host_key_alias=target.certified_as,
        server_host_key_algs=attempt.judge.algorithms(),
        x509_trusted_certs=None,
        x509_trusted_cert_paths=[],
        client_keys=None,  # they are asked for one by one
        agent_path=None,
        agent_forwarding=False,
        gss_host=None,
        public_key_auth=True,
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        preferred_auth=["publickey"],
        encryption_algs=list(CIPHERS),
        compression_algs=["none"],
        connect_timeout=None,  # the scope around this has the deadline of each step
        login_timeout=0,
        keepalive_interval=config.keepalive_interval,
        keepalive_count_max=config.keepalive_count,
    )


async def _dropped(attempt: Attempt) -> None:
    """Let go of a connection that is not to be: at once, and without a word to the other end."""
    if attempt.connection is not None:
        attempt.connection.abort()
        with anyio.CancelScope(shield=True):
            await attempt.connection.wait_closed()
