"""One command on the far side of a link, and its bytes.

sshd makes every command the first process of a session of its own (measured with OpenSSH 9.2), which is what ends it.
"""

import asyncio
import errno
import re
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from signal import Signals

import anyio
import asyncssh

from ..errors import HostError, LinkLost
from ..limited import HeadTail
from ..outcome import Exited, Lost, Signalled, describe, from_returncode
from .noise import NoiseCut
from .opening import opening
from .pipe import Pipe

BUFFERED = 4 * 1024 * 1024
"""Bytes of output that are held while nobody reads; then the far side has to wait."""

PIECE = 128 * 1024
"""Bytes that are queued in asyncssh at once. It takes packet after packet from the front of what is queued, and moves
the rest each time: with 1 MiB at once a copy has half the speed (measured with 2.24)."""

KEPT_STDERR = 16 * 1024
"""Bytes of stderr that are kept for messages where it is not read as a stream."""

QUIET_SECONDS = 0.25
"""How long after the exit of a command its output must be quiet to be complete, where a process that it left behind
holds the streams open. Otherwise the end of the streams tells, at once."""

ANSWER_SECONDS = 20.0
"""How long the host may take to answer when it is asked whether all has come."""

SETTLE_SECONDS = 10.0
"""How long after the exit of a command its output is waited for at most: what was left behind may write for ever."""

CLOSE_SECONDS = 5.0
"""How long the host may take to agree that a channel is closed. Its slot there is free only then."""


@dataclass(frozen=True, slots=True)
class FarProcess:
    """The first process of a channel as it was when it began.

    Attributes:
        pid: its process id there, which is its session's too.
        group: its process group; empty where the host cannot say.
        started: start time as the kernel counts it; tells it from a later process with its number.
    """

    pid: int
    group: str
    started: str


class _Stream:
    def __init__(self, marker: bytes) -> None:
        self.cut = NoiseCut(marker)
        self.chunks: deque[bytes] = deque()
        self.size = 0
        self.ended = False
        self.changed = asyncio.Event()

    def feed(self, chunk: bytes) -> None:
        chunk = self.cut.feed(chunk)
        if chunk:
            self.chunks.append(chunk)
            self.size += len(chunk)
        self.changed.set()

    def end(self) -> None:
        self.ended = True
        self.changed.set()


class Channel(asyncssh.SSHClientSession[bytes]):
    """A command that runs over there. Made by `Link.channel`.

    Attributes:
        tag: what every process of it carries in its environment, in OPTIO_RUN.
        target: the host, for messages.
        begun_after: seconds until its first process was there; None before that.
        cut: why some of the output of a command whose end is known may be missing; None if none is.

    Parameters:
        target: the host, for messages.
        stream_stderr: whether stderr is read; else a little of it is kept.
        on_close: called once when it is closed.
        room: set while its connection may be given more to send; None: always.
        round_trip: asks the host for anything and returns when the answer is there, or the link has ended.
    """

    def __init__(
        self,
        target: str,
        *,
        stream_stderr: bool,
        on_close: Callable[["Channel"], None],
        round_trip: Callable[[], Awaitable[None]] | None = None,
        room: asyncio.Event | None = None,
    ) -> None:
        self.target = target
        self.cut: str | None = None
        self._round_trip = round_trip
        self._room = room
        self._on_close: Callable[[Channel], None] | None = on_close
        self.tag = secrets.token_hex(8)
        self._marker = f"optio-{secrets.token_hex(8)} "
        self._channel: Pipe | None = None
        self._stdout = _Stream(self._marker.encode())
        self._stderr = _Stream(self._marker.encode())
        self._kept = None if stream_stderr else HeadTail(KEPT_STDERR)
        self._outcome: Exited | Signalled | Lost | None = None
        self._lost: str | None = None
        self._ended = asyncio.Event()
        self._closed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._made = self._last_data = asyncio.get_running_loop().time()
        self.begun_after: float | None = None
        self._cwd: str | None = None

    # What asyncssh calls.

    def connection_made(self, chan: Pipe) -> None:
        """asyncssh: the channel is open."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """asyncssh: bytes of stdout, or of stderr if there is a data type."""
        self._last_data = asyncio.get_running_loop().time()
        if datatype is None:
            self._stdout.feed(data)
            if self.begun_after is None and self._stdout.cut.line is not None:
                self.begun_after = self._last_data - self._made
        elif self._kept is not None:
            self._kept.feed(self._stderr.cut.feed(data))
        else:
            self._stderr.feed(data)
        if not self._paused and self._channel and self._stdout.size + self._stderr.size > BUFFERED:
            self._paused = True
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        """asyncssh: no more output; the channel stays open for the exit status."""
        self._stdout.end()
        self._stderr.end()
        return True

    def exit_status_received(self, status: int) -> None:
        """asyncssh: it exited."""
        self.exited(status)

    def exited(self, returncode: int) -> None:
        """It has ended: its exit status, or the negative number of the signal that ended it."""
        self._outcome = from_returncode(returncode)
        self._ended.set()

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """asyncssh: a signal ended it: one of RFC 4254, section 6.10, NAME@DOMAIN, or one with a number in its name."""
        name = signal.partition("@")[0]
        digits = re.search(r"[1-9]\d*", name)
        number = Signals.__members__.get(f"SIG{name}") or (int(digits.group()) if digits else None)
        if number is not None:
            self.exited(-number)
            return
        # OpenSSH has no name for one outside of RFC 4254, such as SIGBUS.
        self._outcome = Lost("a signal ended it, and the host does not say which")
        self._ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncssh: the channel is closed, in order or because the link broke."""
        if self._outcome is None:
            self._lost = str(exc) if exc else "the host closed the channel without saying how the command ended"
        elif exc is not None and not self._stdout.ended:
            self.cut = f"{exc}; some of its output may be missing, of its end is known: {describe(self._outcome)}"
        self._stdout.end()
        self._stderr.end()
        self._writable.set()
        self._ended.set()
        self._closed.set()
        self._let_go()

    def pause_writing(self) -> None:
        """asyncssh: enough is queued."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """asyncssh: more may be queued."""
        self._writable.set()

    # What we call.

    def send_script(self, script: bytes, *, cwd: str | None, env: Mapping[str, str], stdin: bool) -> None:
        """Hand over what is to be done; the first thing that is written."""
        assert self._channel is not None
        self._cwd = cwd
        self._channel.write(opening(self._marker, self.tag, script, cwd=cwd, env=env, stdin=stdin))
        if not stdin:
            self._channel.write_eof()

    @property
    def process(self) -> FarProcess | None:
        """Its first process; None before it has begun."""
        line = self._stdout.cut.line or b""
        pid = line.partition(b" ")[0]
        if not pid.isdigit():
            return None
        # Fields as in proc_pid_stat(5), counted behind the name: 3 is the group, 20 the start time.
        fields = line.rpartition(b") ")[2].split()
        group, started = (fields[2].decode(), fields[19].decode()) if len(fields) > 19 else ("", "")
        return FarProcess(int(pid), group, started)

    @property
    def ended(self) -> bool:
        """Its first process has ended, or nobody can say any more."""
        return self._ended.is_set()

    @property
    def said(self) -> str:
        """What is kept of its stderr, where it is not a stream; for messages."""
        return self._kept.text().strip() if self._kept else ""

    async def read(self) -> bytes:
        """The next bytes of stdout, b"" at its end. LinkLost when the link broke; FileNotFoundError for the cwd."""
        return await self._read(self._stdout)

    async def read_stderr(self) -> bytes:
        """Likewise of stderr, for a channel that streams it."""
        return await self._read(self._stderr)

    def take(self) -> tuple[bytes, bytes]:
        """What has come of stdout and stderr and was not read, without waiting."""
        taken = b"".join(self._stdout.chunks), b"".join(self._stderr.chunks)
        for stream in (self._stdout, self._stderr):
            stream.chunks.clear()
            stream.size = 0
        return taken

    async def read_all(self) -> list[bytes]:
        """All bytes of stdout that have come, in the pieces in which they came, none at its end; raises as `read`."""
        return await self._read_some(self._stdout, most=None)

    async def _read(self, stream: _Stream) -> bytes:
        return b"".join(await self._read_some(stream, most=1))

    async def _read_some(self, stream: _Stream, most: int | None) -> list[bytes]:
        while not stream.chunks:
            if stream.ended:
                self._check_begun()
                if self._lost is not None:
                    raise LinkLost(f"{self.target}: {self._lost}; nobody knows whether the command went on")
                return []
            stream.changed.clear()
            await stream.changed.wait()
        chunks = [stream.chunks.popleft() for _ in range(most or len(stream.chunks))]
        stream.size -= sum(map(len, chunks))
        if self._paused and self._channel and self._stdout.size + self._stderr.size < BUFFERED // 2:
            self._paused = False
            self._channel.resume_reading()
        return chunks

    async def write(self, data: bytes | memoryview) -> None:
        """Send bytes to its stdin, waiting while too much is queued.

        Raises BrokenPipeError when it has ended or closed its stdin, LinkLost.
        """
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            await self.drain()
            self.write_now(view[start : start + PIECE])

    def write_now(self, data: bytes | memoryview) -> None:
        """Queue bytes for its stdin, however many there are; raises as `write` does."""
        self._check_writable()
        assert self._channel is not None
        self._channel.write(bytes(data))

    async def drain(self) -> None:
        """Return when little enough is queued; raises as `write` does."""
        await self._writable.wait()
        if self._room is not None:
            await self._room.wait()
        self._check_writable()

    def _check_writable(self) -> None:
        if self._lost is not None:
            raise LinkLost(f"{self.target}: {self._lost}; nobody knows how much of the input arrived")
        if self._channel is None or self._channel.is_closing() or self._closed.is_set():
            raise BrokenPipeError(errno.EPIPE, f"{self.target}: the command no longer reads its stdin")

    def write_eof(self) -> None:
        """Give end of input behind what was written. Again is fine."""
        if self._channel is not None and not self._closed.is_set():
            self._channel.write_eof()

    async def wait(self) -> Exited | Signalled | Lost:
        """How its first process ended; whoever else holds the streams is not waited for.

        Raises FileNotFoundError when `cwd` was not there; HostError when a login script ended before it began.
        """
        await self._ended.wait()
        if self._outcome is not None:
            with anyio.move_on_after(QUIET_SECONDS):
                await self._line_or_end()
            if self._stdout.cut.line is None and not self._stdout.ended:
                await self._hear_all()
            if self.cut is not None and self._stdout.cut.line is None:
                return Lost(self.cut)
            self._check_begun()
            return self._outcome
        return Lost(self._lost or "the link was closed")

    async def _line_or_end(self) -> None:
        while self._stdout.cut.line is None and not self._stdout.ended:
            self._stdout.changed.clear()
            await self._stdout.changed.wait()

    async def _hear_all(self) -> None:
        """Return when what the host has sent until now has come: a link that is held up is quiet too."""
        if self._round_trip is None:
            return
        with anyio.move_on_after(ANSWER_SECONDS) as limit:
            await self._round_trip()
        if limit.cancelled_caught:
            self.cut = f"no answer for {ANSWER_SECONDS:g} s after the command ended; some of its output may be missing"

    async def settled(self) -> None:
        """Return when all that its first process wrote before its end has come, or `cut` says that it cannot."""
        loop = asyncio.get_running_loop()
        self._last_data = loop.time()
        enough = loop.time() + SETTLE_SECONDS
        while not (self._stdout.ended and self._stderr.ended):
            left = self._last_data + QUIET_SECONDS - loop.time()
            if left > 0 and loop.time() < enough:
                with anyio.move_on_after(left):
                    await self._closed.wait()
                continue
            heard = self._last_data
            await self._hear_all()
            if self._last_data == heard or loop.time() >= enough:
                return

    async def close(self) -> None:
        """Let go of it; what runs over there is not ended by this. Again is fine."""
        if self._channel is not None and not self._closed.is_set():
            self._channel.abort()
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_SECONDS):
                await self._closed.wait()
        self._let_go()

    def _let_go(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close(self)

    def _check_begun(self) -> None:
        line = self._stdout.cut.line
        if line is None and self._lost is None:
            noise = self._stdout.cut.noise.decode("utf-8", "replace").strip()[-500:]
            how = describe(self._outcome) if self._outcome else "ended"
            raise HostError(
                f"{self.target}: login shell: it {how} before it ran anything; does an rc file of that user exit, "
                f"or is the account's shell no POSIX shell? It said: {(self.said or noise or 'nothing')!r}"
            )
        if line == b"nodir":
            raise FileNotFoundError(errno.ENOENT, f"{self.target}: no such directory to run in", self._cwd)
