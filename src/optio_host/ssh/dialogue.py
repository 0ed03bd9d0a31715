"""A command about files on the far side: the answers it gives line by line, and the bytes that go either way."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import anyio

from ..clock import Clock
from ..errors import FileRefused, HostError, LinkLost, TransferFailed
from ..job_shell import arguments, assignments, farside
from ..outcome import Lost, describe
from .channel import Channel
from .link import Link

STALLED = 60.0
"""Seconds without any progress after which a copy is given up."""

SLOWEST_DISK = 20_000_000
"""Bytes a second with which the far side is expected to read, hash and flush what it has; it is silent meanwhile."""

ABANDON_SECONDS = 2.0
"""How long the far side may take to clear up behind a copy that is given up, before it is ended."""

MARK = b"optio-file "
HELD_BACK = 256
"""Bytes at the end of a stream in which its last line stands, at least."""

PIECE = 256 * 1024
"""Bytes that are gathered from the link before they are handed on."""


class Dialogue:
    """A command of `farside/*.sh` that runs. Made by `open_dialogue`.

    Attributes:
        nonce: random: content cannot contain it by chance or on purpose.
        verdict: the words of the last line of a stream, once it was read.
    """

    def __init__(self, channel: Channel, what: str, nonce: str, clock: Clock) -> None:
        self.nonce = nonce
        self.verdict: list[str] = []
        self._channel = channel
        self._what = what
        self._clock = clock
        self._pending = b""

    async def answer(self, *, handled: int = 0) -> list[str]:
        """The words of the next answer.

        Parameters:
            handled: bytes that the far side may have to read or write before it answers.

        Raises TransferFailed when nothing comes for too long, LinkLost, HostError when it ended without an answer.
        """
        while True:
            line, end, rest = self._pending.partition(b"\n")
            if not end:
                came = await self._read_all(STALLED + handled / SLOWEST_DISK)
                if not came:
                    raise await self._unanswered()
                self._pending += b"".join(came)
            else:
                self._pending = rest
                if line.startswith(MARK):
                    return line.removeprefix(MARK).decode("ascii", "replace").split(" ")

    async def stream(self) -> AsyncGenerator[bytes]:
        """The bytes up to the last line, whose words are in `verdict` then; LinkLost when that line does not come."""
        pieces, self._pending = [self._pending], b""
        while came := await self._read_all(STALLED):
            pieces += came
            if sum(map(len, pieces)) >= PIECE:
                # Whole pieces are held back: what is cut would be copied once more.
                held = [pieces.pop()]
                while sum(map(len, held)) < HELD_BACK:
                    held.insert(0, pieces.pop())
                if pieces:
                    yield b"".join(pieces)
                pieces = held
        content, found, last = b"".join(pieces).rpartition(b"\n" + MARK + self.nonce.encode() + b" ")
        if not found:
            raise await self._unanswered()
        if content:
            yield content
        self.verdict = last.decode("ascii", "replace").split()

    async def write(self, data: bytes | memoryview) -> None:
        """Send bytes. BrokenPipeError when the far side takes no more: then its answer says why."""
        with self._clock.move_on_after(STALLED):
            await self._channel.write(data)
            return
        raise self._stalled(STALLED)

    @asynccontextmanager
    async def sending(self, data: bytes) -> AsyncIterator[None]:
        """Send bytes and the end of them while the block reads what comes back: each side may wait for the other."""

        async def send() -> None:
            await self._channel.write(data)
            self._channel.write_eof()

        task = asyncio.ensure_future(send())
        try:
            yield
        finally:
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task])
            # A link or a command that is gone is noticed by whoever reads.
            _ = task.cancelled() or task.exception()

    def write_eof(self) -> None:
        """End of what is sent."""
        self._channel.write_eof()

    async def abandon(self, last: bytes) -> None:
        """Send last words and the end of input, and give it a moment to clear up; also while this is cancelled."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(ABANDON_SECONDS), suppress(HostError, BrokenPipeError):
            await self._channel.write(last)
            self._channel.write_eof()
            await self._channel.wait()

    async def finish(self) -> None:
        """Wait until it has cleared up behind itself, which it does after its last answer."""
        with self._clock.move_on_after(STALLED):
            await self._channel.wait()

    async def reason(self) -> str:
        """ ": " and what programs over there said on stderr; empty if nothing. For messages."""
        await self.finish()
        with self._clock.move_on_after(STALLED):
            await self._channel.settled()
        said = " ".join(self._channel.said.split())[-500:]
        return f": {said}" if said else ""

    async def error_of(self, path: str, answer: list[str]) -> Exception:
        """The error behind an answer that refuses, for any command."""
        await self.finish()
        match answer:
            case ["missing"]:
                return FileNotFoundError(2, "No such file", path)
            case ["kind", kind]:
                name = {"fifo": "FIFO (named pipe)"}.get(kind, kind.replace("-", " "))
                shown = "something else" if kind == "something" else f"a {name}"
                return FileRefused(path, f"is {shown}, not a regular file")
            case ["directory"]:
                return FileRefused(path, "is a directory; name a file")
            case ["special"]:
                return FileRefused(path, "is no regular file and is not replaced; remove it first if that is meant")
            case ["unreadable"]:
                return FileRefused(path, "this user may not read it")
            case ["circle"]:
                return FileRefused(path, "its symbolic links lead in a circle")
            case ["outside"]:
                return FileRefused(path, "leads out of its directory")
            case ["exchanged"]:
                return FileRefused(path, "changed meanwhile: another file has its name now, or other content")
            case ["no-sha256", *_]:
                return TransferFailed(
                    f"{path}: nothing on the host computes SHA-256, so a copy cannot be verified; install openssl"
                )
            case ["full", free]:
                return TransferFailed(f"{path}: {self._what}: it is more than the {free} bytes of free space there")
            case ["failed"]:
                return TransferFailed(f"{path}: {self._what}{await self.reason()}")
            case ["link"]:
                return TransferFailed(f"{path}: {self._what}: it is a symbolic link; name what it leads to")
            case ["cut"]:
                return TransferFailed(f"{path}: {self._what}: not everything arrived; nothing was changed")
            case _:
                return HostError(f"{path}: {self._what}: the host answered {' '.join(answer)!r}{await self.reason()}")

    async def _read_all(self, seconds: float) -> list[bytes]:
        with self._clock.move_on_after(seconds):
            return await self._channel.read_all()
        raise self._stalled(seconds)

    def _stalled(self, seconds: float) -> TransferFailed:
        return TransferFailed(
            f"{self._channel.target}: {self._what}: nothing has moved for {seconds:.0f} s; is a disk stuck there, or "
            "is the path a FIFO?"
        )

    async def _unanswered(self) -> HostError:
        with self._clock.move_on_after(STALLED):
            outcome = await self._channel.wait()
            if isinstance(outcome, Lost):
                return LinkLost(f"{self._channel.target}: {self._what}: {outcome.reason}")
            return HostError(
                f"{self._channel.target}: {self._what}: the command there {describe(outcome)} without an answer"
                f"{await self.reason()}"
            )
        return self._stalled(STALLED)


@asynccontextmanager
async def open_dialogue(
    link: Link,
    clock: Clock,
    what: str,
    scripts: tuple[str, ...],
    call: str,
    *,
    stdin: bool = True,
    on_open: Callable[[Channel], None] = lambda channel: None,
) -> AsyncIterator[Dialogue]:
    """Run functions of `farside/` and talk to them. Leaving the block early ends them.

    Parameters:
        link: the way to the host.
        clock: for deadlines.
        what: what is going on, for messages: "cannot be read".
        scripts: names of files in `farside/`; files.sh comes first by itself.
        call: shell lines that call their functions.
        stdin: whether bytes are sent.
        on_open: given the channel, for whoever has to end it after the link broke.
    """
    nonce = secrets.token_hex(16)
    async with link.channel(farside("files", *scripts) + assignments(nonce=nonce) + call, stdin=stdin) as channel:
        on_open(channel)
        dialogue = Dialogue(channel, what, nonce, clock)
        yield dialogue
        await dialogue.finish()


async def ask(
    link: Link, clock: Clock, path: str, what: str, scripts: tuple[str, ...], call: str, *words: str
) -> list[str]:
    """One call and its answer; raises the error of `path` behind any that is not "done" or "at"."""
    async with open_dialogue(link, clock, what, scripts, arguments(call, *words), stdin=False) as dialogue:
        answer = await dialogue.answer()
        if answer[0] not in ("done", "at"):
            raise await dialogue.error_of(path, answer)
        return answer
