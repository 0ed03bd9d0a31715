"""A scripted program while it runs on a fake host.

It has no task: it goes on when the clock, its stdin or a signal lets it. So it needs no owner, and what it does comes
in the same order every time.
"""

import signal
from collections import deque
from collections.abc import Callable
from posixpath import join
from typing import assert_never

import anyio
import anyio.lowlevel

from ...clock import Clock
from ...outcome import Exited, Lost, Outcome, Signalled
from ..clock import ManualClock
from .script import (
    Append,
    Book,
    Die,
    Exit,
    Expect,
    ExpectEnd,
    Hang,
    RemoveFile,
    Stderr,
    Stdout,
    Step,
    Text,
    Wait,
    WriteFile,
)
from .tree import FileTree


class News:
    """Something has changed: who waits looks again."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def tell(self) -> None:
        """Wake everybody who waits."""
        self._event.set()
        self._event = anyio.Event()

    async def wait(self) -> None:
        """Return at the next change."""
        await self._event.wait()


class Output:
    """What a program wrote to one stream and nobody has read yet."""

    def __init__(self, news: News) -> None:
        self.unread = bytearray()
        self._news = news
        self.ended = False

    def feed(self, data: bytes) -> None:
        """The program writes."""
        self.unread += data
        self._news.tell()

    def take(self) -> bytes:
        """All that is there now."""
        data = bytes(self.unread)
        self.unread.clear()
        return data

    async def read(self) -> bytes:
        """The next bytes, b"" at the end."""
        while not self.unread and not self.ended:
            await self._news.wait()
        return self.take()


class Input:
    """The stdin of a scripted program, as `optio_host.host.ProcessInput`."""

    def __init__(self, process: "FakeProcess") -> None:
        self._process = process
        self._closed = False

    def write(self, data: bytes) -> None:
        """Hand bytes to the program."""
        if self._closed:
            raise BrokenPipeError("stdin of this process has been closed")
        self._process.feed(data)

    async def drain(self) -> None:
        """Return at once. BrokenPipeError when the program has ended."""
        await anyio.lowlevel.checkpoint()
        if self._process.outcome is not None:
            raise BrokenPipeError("the process no longer reads its stdin: it has ended")

    def close(self) -> None:
        """Give end of input."""
        self._closed = True
        self._process.feed_eof()

    async def wait_closed(self) -> None:
        """Return at once: end of input was given."""
        await anyio.lowlevel.checkpoint()


class FakeProcess:
    """A program that follows its steps.

    Parameters:
        command: what it was started with.
        steps: what it does.
        cwd: its working directory.
        merge_stderr: whether stderr goes where stdout goes.

    Attributes:
        pid: a number of its own.
        outcome: how it ended; None while it runs.
        news: tells of its output and of its end.
    """

    def __init__(
        self,
        pid: int,
        command: str,
        steps: tuple[Step, ...],
        *,
        cwd: str,
        merge_stderr: bool,
        book: Book,
        files: FileTree,
        clock: ManualClock,
    ) -> None:
        self.pid = pid
        self.command = command
        self.outcome: Outcome | None = None
        self.news = News()
        self.stdout = Output(self.news)
        self.stderr = self.stdout if merge_stderr else Output(self.news)
        self._steps = deque(steps)
        self._cwd = cwd
        self._book = book
        self._files = files
        self._clock = clock
        self._stdin = bytearray()
        self._stdin_ended = False
        self._call_off: Callable[[], None] | None = None

    @property
    def ignores_term(self) -> bool:
        """Whether TERM does nothing to it now."""
        return bool(self._steps) and self._steps[0] == Hang(ignores_term=True)

    @property
    def has_output(self) -> bool:
        """Whether it wrote what nobody has read yet."""
        return bool(self.stdout.unread or self.stderr.unread)

    @property
    def waits_for(self) -> str:
        """What of its script has not come to its stdin; empty when that is not what it waits for."""
        step = self._steps[0] if self._steps and self.outcome is None else None
        match step:
            case Expect(data):
                return repr(_bytes(data))
            case ExpectEnd():
                return "the end of its stdin"
            case _:
                return ""

    def start(self) -> None:
        """Do the first steps."""
        self._go_on()

    def feed(self, data: bytes) -> None:
        """Bytes come to its stdin."""
        if self.outcome is None:
            self._stdin += data
            self._go_on()

    def feed_eof(self) -> None:
        """Its stdin ends."""
        if self.outcome is None:
            self._stdin_ended = True
            self._go_on()

    def signal(self, number: int) -> None:
        """A signal comes."""
        if self.outcome is None and not (number == signal.SIGTERM and self.ignores_term):
            self._end(Signalled(number))

    def lose(self, reason: str) -> None:
        """It is gone with its machine."""
        if self.outcome is None:
            self._end(Lost(reason))

    async def ended(self) -> Outcome:
        """Wait for its end."""
        while self.outcome is None:
            await self.news.wait()
        return self.outcome

    async def end(self, *, grace: float, clock: Clock) -> None:
        """TERM, and KILL after `grace` seconds; 0: KILL at once."""
        if grace:
            self.signal(signal.SIGTERM)
            with clock.move_on_after(grace):
                await self.ended()
        self.signal(signal.SIGKILL)

    def _go_on(self) -> None:
        # While the clock holds it, what comes to stdin waits.
        while self.outcome is None and self._call_off is None:
            if not self._steps:
                self._end(Exited(0))
            elif self._take(self._steps[0]) and self.outcome is None:
                self._steps.popleft()
            else:
                return

    def _take(self, step: Step) -> bool:
        """Do a step; False when it is not done yet."""
        try:
            match step:
                case Stdout(data):
                    self.stdout.feed(_bytes(data))
                case Stderr(data):
                    self.stderr.feed(_bytes(data))
                case Append(path, data):
                    self._files.append(join(self._cwd, path), data)
                case WriteFile(path, data):
                    self._files.write(join(self._cwd, path), data)
                case RemoveFile(path):
                    self._files.remove(join(self._cwd, path))
                case Wait(seconds):
                    self._call_off = self._clock.call_at(self._clock.monotonic() + seconds, self._waited)
                    return False
                case Expect(data):
                    return self._read(_bytes(data))
                case ExpectEnd():
                    return self._read(None)
                case Exit(code):
                    self._end(Exited(code))
                case Die(number):
                    self._end(Signalled(number))
                case Hang():
                    return False
                case _:
                    assert_never(step)
        except OSError as error:
            # As most programs do: say so on stderr, and end.
            self.stderr.feed(f"{error.filename}: {error.strerror}\n".encode())
            self._end(Exited(1))
        return True

    def _waited(self) -> None:
        self._call_off = None
        self._steps.popleft()
        self._go_on()

    def _read(self, expected: bytes | None) -> bool:
        """Whether the expected bytes, or the end if None, have come."""
        came = bytes(self._stdin[: len(expected)] if expected is not None else self._stdin)
        if expected is not None and came == expected:
            del self._stdin[: len(expected)]
            return True
        if expected is not None and expected.startswith(came) and not self._stdin_ended:
            return False
        if expected is None and not came:
            return self._stdin_ended
        wanted = "the end of its stdin" if expected is None else repr(expected)
        ending = " and then the end" if self._stdin_ended else ""
        self._fail(f"{self.command!r} was to read {wanted}, and got {bytes(self._stdin)!r}{ending}")
        return False

    def _fail(self, problem: str) -> None:
        self._book.failed(problem)
        self.stderr.feed(f"{problem}\n".encode())
        self._end(Exited(1))

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if self._call_off is not None:
            self._call_off()
            self._call_off = None
        self.stdout.ended = self.stderr.ended = True
        self.news.tell()


def _bytes(data: Text) -> bytes:
    return data.encode() if isinstance(data, str) else data
