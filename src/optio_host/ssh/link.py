"""The way to one host: commands in sessions of their own, or through a shared shell, and the proof of their end."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import asyncssh

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import HostError, ProcessesSurvived
from ..host import KILL_GRACE, LinkState
from ..job_shell import farside
from ..types import SSHConfig
from .channel import Channel
from .pool import Pool
from .shell import SharedShell

KILL_SECONDS = 30.0
"""How long the ending of a command's tree may take, making a connection for it included."""

LONGEST_PAUSE = 0.25
"""Seconds between two looks for a command that is being ended, at most; a look itself costs some 50 ms."""


class Link:
    """The way to one host. Nothing is opened before it is used.

    Parameters:
        config: how to reach it.
        clock: time, for tests.
    """

    def __init__(self, config: SSHConfig, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._pool = Pool(config, clock)
        self._shell = SharedShell(self._pool)

    @property
    def target(self) -> str:
        """The host, for messages: "user@host:port" once there was a connection."""
        return self._pool.target

    @property
    def was_connected(self) -> bool:
        """Whether there has ever been a connection: then the way there is known to be right."""
        return self._pool.was_connected

    def on_state(self, listener: Callable[[LinkState], None]) -> Callable[[], None]:
        """Call a function with every change of state from now on; returns what ends that."""
        return self._pool.on_state(listener)

    async def connection(self) -> asyncssh.SSHClientConnection:
        """A live connection, for forwards, which need no session. Raises ConnectFailed."""
        return await self._pool.connection()

    def reopen(self) -> None:
        """Let connections be made again after `close`."""
        self._pool.reopen()

    async def close(self) -> None:
        """Close every connection. Commands that still run over there go on; their channels raise LinkLost."""
        await self._pool.close()
        await self._shell.close()

    @asynccontextmanager
    async def channel(
        self,
        script: str | bytes,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bool = True,
        stream_stderr: bool = False,
        short: bool = False,
    ) -> AsyncIterator[Channel]:
        """Let /bin/sh on the far side do something, in a session of its own; leaving the block while it runs ends it.

        Parameters:
            script: what it does: shell text, sent by stdin and never on a command line. What is written afterwards is
                the script's own stdin.
            cwd: absolute directory; None: where the login begins.
            env: additions to the environment of the login.
            stdin: whether it has one; else it is empty.
            stream_stderr: whether stderr is read with `read_stderr`; else a little of it is kept for messages.
            short: that little is written to it (64 KiB): then it needs no login of its own where those are slow.

        Raises ConnectFailed when there is no way to the host, ValueError for what no shell can take.
        """
        channel = await self.start(script, cwd=cwd, env=env, stdin=stdin, stream_stderr=stream_stderr, short=short)
        try:
            yield channel
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    if not channel.ended:
                        await self.end_tree(channel, grace=KILL_GRACE)
                finally:
                    await channel.close()

    async def start(
        self,
        script: str | bytes,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bool = True,
        stream_stderr: bool = False,
        short: bool = False,
        urgent: bool = False,
    ) -> Channel:
        """As `channel`, for a command that outlives the block it is started in: the caller closes the channel.

        An urgent one has a session also when all are in use.
        """
        text = script.encode(errors="surrogateescape") if isinstance(script, str) else script
        if short:
            channel = await self._shell.open(stream_stderr=stream_stderr)
        else:
            channel = await self._pool.open(stream_stderr=stream_stderr, urgent=urgent)
        try:
            channel.send_script(text, cwd=cwd, env=env or {}, stdin=stdin)
        except BrokenPipeError as error:
            await channel.close()
            raise HostError(
                f"{self.target}: a session ended before anything was sent to it; may this account run commands there?"
            ) from error
        except BaseException:
            await channel.close()
            raise
        return channel

    async def end_tree(self, channel: Channel, *, grace: float) -> None:
        """End a command with all its children by a second command: TERM, KILL after `grace` seconds, and look again.

        sshd does not pass signals on for root, and closing a channel ends nothing. Raises ProcessesSurvived with what
        is still there, HostError when nobody can say.
        """
        process = channel.process
        words = (process.pid, process.group, process.started) if process else ("", "", "")
        call = f"end_tree {channel.tag} '{_pauses(grace)}' " + " ".join(f"'{word}'" for word in words)
        said = b""
        with anyio.move_on_after(KILL_SECONDS + grace):
            killer = await self.start(farside("processes", "end") + call, stdin=False, urgent=True)
            try:
                while chunk := await killer.read():
                    said += chunk
            finally:
                await killer.close()
        *survivors, end = said.split() or [b""]
        if end != b"optio-end":
            raise HostError(
                f"{self.target}: a command was to be ended, and nobody can say whether it was; it may still run"
            )
        if survivors:
            raise ProcessesSurvived(f"{self.target}: a command that was ended", tuple(map(int, survivors)))


def _pauses(seconds: float) -> str:
    """Pauses for `end.sh`, doubling up to LONGEST_PAUSE, that take so long together."""
    pauses, pause = [], 0.02
    while seconds > 0:
        pauses.append(f"{min(pause, seconds):.2f}")
        seconds -= pause + 0.05
        pause = min(pause * 2, LONGEST_PAUSE)
    return " ".join(pauses)
