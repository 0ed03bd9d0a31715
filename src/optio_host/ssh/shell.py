"""Commands through one long-lived process on the host, where a login of their own costs too much.

The process is `farside/commands.py`; its frames become the same calls on a `Channel` that asyncssh makes. On a host
whose rc files take 100 ms this is 20 times as fast as a session each, and it needs one session for all of them.
"""

import asyncio

import anyio

from ..errors import HostError, LinkLost
from ..python_program import python_program
from .channel import Channel
from .pool import Pool

SLOW_LOGIN = 0.04
"""Seconds that the quickest login must take for commands to share one: where login shells are quick, a session each
costs some 4 ms; 100 ms of rc files are common (measured)."""

READY_SECONDS = 20.0
"""How long the process may take to begin."""

COMMANDS = 64
"""Commands that run through it at once; further ones take a session of their own."""

KINDS: dict[bytes, int | None] = {b"out": None, b"err": 1}
"""Frames with output, and the data type that SSH gives it."""


class Shell:
    """Runs commands through one process. Made by `begin_shell`.

    Attributes:
        lost: why it is of no use any more; None while it is.
    """

    def __init__(self, channel: Channel) -> None:
        self.lost: str | None = None
        self._channel = channel
        self._commands: dict[bytes, Channel] = {}
        self._count = 0
        self._pending = b""

    @property
    def free(self) -> bool:
        """It can take one more command."""
        return self.lost is None and len(self._commands) < COMMANDS

    def open(self, command: Channel) -> None:
        """Give a channel a shell to talk to. Raises LinkLost, and nothing was begun."""
        self._count += 1
        name = b"%d" % self._count
        self._send(b"open %s\n" % name)
        self._commands[name] = command
        command.connection_made(_Pipe(self, name))

    async def run(self) -> None:
        """Hand on what comes, until the process or the link ends."""
        reason = "the far side's shell ended"
        try:
            while chunk := await self._channel.read():
                self._take(chunk)
            reason += f": {self._channel.said}" if self._channel.said else ""
        except HostError as error:
            reason = str(error)
        except (ValueError, IndexError):
            reason = "the far side's shell spoke nonsense"
        finally:
            self.lost = reason
            commands, self._commands = self._commands, {}
            for command in commands.values():
                command.connection_lost(LinkLost(reason))

    def _take(self, chunk: bytes) -> None:
        self._pending += chunk
        while True:
            line, end, rest = self._pending.partition(b"\n")
            if not end:
                return
            kind, name, *words = line.split()
            command = self._commands.get(name)
            if kind in KINDS:
                size = int(words[0])
                if len(rest) < size:
                    return
                if command is not None:
                    command.data_received(rest[:size], KINDS[kind])
                rest = rest[size:]
            elif command is not None and kind == b"exit":
                command.exited(int(words[0]))
            elif command is not None:
                del self._commands[name]
                command.eof_received()
                command.connection_lost(None)
            self._pending = rest

    def _send(self, frame: bytes) -> None:
        if self.lost is not None:
            raise LinkLost(f"{self._channel.target}: {self.lost}")
        self._channel.write_now(frame)

    def send(self, verb: bytes, name: bytes, data: bytes | None = None) -> None:
        """A frame about a command that is still there; else nothing."""
        if name in self._commands and self.lost is None:
            self._channel.write_now(
                b"%s %s\n" % (verb, name) if data is None else b"%s %s %d\n%s" % (verb, name, len(data), data)
            )

    def forget(self, name: bytes) -> None:
        """Let go of a command."""
        self.send(b"close", name)
        command = self._commands.pop(name, None)
        if command is not None:
            command.connection_lost(None)


class _Pipe:
    """What a `Channel` writes to, as an asyncssh channel is."""

    def __init__(self, shell: Shell, name: bytes) -> None:
        self._shell = shell
        self._name = name

    def write(self, data: bytes) -> None:
        self._shell.send(b"in", self._name, data)

    def write_eof(self) -> None:
        self._shell.send(b"eof", self._name)

    def pause_reading(self) -> None:
        self._shell.send(b"pause", self._name)

    def resume_reading(self) -> None:
        self._shell.send(b"resume", self._name)

    def is_closing(self) -> bool:
        return self._shell.lost is not None

    def abort(self) -> None:
        self._shell.forget(self._name)


async def begin_shell(channel: Channel, source: bytes) -> Shell:
    """Begin to use a channel on which `python_program("commands")` was started; then `Shell.run` must run.

    Raises HostError when there is no python3 to run it, LinkLost.
    """
    await channel.write(source)
    said = b""
    with anyio.move_on_after(READY_SECONDS):
        while not said.endswith(b"\n"):
            chunk = await channel.read()
            if not chunk:
                break
            said += chunk
    if said != b"ready\n":
        raise HostError(f"{channel.target}: a shell for many commands did not begin: {channel.said or said!r}")
    return Shell(channel)


class SharedShell:
    """The one `Shell` of a link: begun when a login turns out to be slow, begun anew when it was lost.

    Parameters:
        pool: where it gets its session, and every command that it does not take.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = anyio.Lock()
        self._shell: Shell | None = None
        self._channel: Channel | None = None
        self._task: asyncio.Task[None] | None = None
        self._impossible = False

    async def open(self, *, stream_stderr: bool) -> Channel:
        """A channel for a command of which little is written to; raises what `Pool.open` raises."""
        if self._pool.login_seconds >= SLOW_LOGIN and not self._impossible:
            async with self._lock:
                if self._shell is None or self._shell.lost is not None:
                    await self.close()
                    await self._begin()
            if self._shell is not None and self._shell.free:
                channel = Channel(self._pool.target, stream_stderr=stream_stderr, on_close=lambda channel: None)
                self._shell.open(channel)
                return channel
        return await self._pool.open(stream_stderr=stream_stderr)

    async def close(self) -> None:
        """End it; commands that run in it lose their streams."""
        self._shell = None
        if self._channel is not None:
            await self._channel.close()
        if self._task is not None:
            await self._task
        self._channel = self._task = None

    async def _begin(self) -> None:
        program, source = python_program("commands")
        channel = await self._pool.open(stream_stderr=False)
        try:
            channel.send_script(program.encode(), cwd=None, env={}, stdin=True)
            shell = await begin_shell(channel, source)
        except HostError as error:
            await channel.close()
            if isinstance(error, LinkLost):
                raise
            self._impossible = True
            return
        except BaseException:
            await channel.close()
            raise
        self._shell, self._channel = shell, channel
        self._task = asyncio.create_task(shell.run(), name=f"optio shell on {self._pool.target}")
