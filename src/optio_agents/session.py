"""One session: a program on a host, followed through its log until it has ended and nothing of it is left."""

import os
import posixpath
import shlex
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, assert_never

import anyio

from optio_host import outcome as process_outcome
from optio_host.clock import SYSTEM_CLOCK, Clock
from optio_host.errors import FileRefused, HostError
from optio_host.host import FileReset
from optio_host.lines import Line, LongLine
from optio_host.local.host import LocalHost
from optio_host.local.process import LocalProcess

from .errors import LogChannelLost
from .event_log import EventLog
from .events import (
    Attention,
    DeliverableLanded,
    DeliverableRefused,
    ErrorReported,
    Finished,
    LogReset,
    Notice,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    Source,
    Status,
    UnknownText,
)
from .landing import Landing
from .outcome import Cancelled, Closed, Done, Failed, Lost, SessionOutcome
from .protocol.channel import ChannelEvent, LogChannel
from .protocol.events import (
    AttentionEvent,
    BrowserEvent,
    CallerMessageEvent,
    ClientMessageEvent,
    DeliverableEvent,
    DoneEvent,
    ErrorEvent,
    OverlongLine,
    StatusEvent,
    UnknownLine,
)
from .protocol.replies import deliverable_accepted, deliverable_not_handled, deliverable_refused

OutputStream = Literal["stdout", "stderr"]
OUTPUT_STREAMS: tuple[OutputStream, ...] = ("stdout", "stderr")

GRACE = 10.0
"""Seconds that a program has to exit by itself after DONE or ERROR, and its left-over children after its own end."""

TERMINATE_GRACE = 5.0
"""Seconds between TERM and KILL."""

DELIVERABLE_LIMIT = 4 * 1024**3
"""The largest deliverable that is taken, in bytes."""


@dataclass(frozen=True)
class Limits:
    """What a session may use.

    Attributes:
        wall_time: seconds from its start to its end; None is no limit.
        grace: seconds that the program has to exit after DONE or ERROR.
        deliverable_bytes: the largest deliverable.
    """

    wall_time: float | None = None
    grace: float = GRACE
    deliverable_bytes: int = DELIVERABLE_LIMIT


@dataclass(frozen=True)
class Program:
    """What to run.

    Attributes:
        command: the program and its arguments.
        directory: absolute path of the directory it runs in.
        env: additions to its environment; the session adds the paths of its own files.
    """

    command: tuple[str, ...]
    directory: str
    env: Mapping[str, str] = field(default_factory=dict)


class Session:
    """Runs a program once and tells everything that happens through `events`.

    Parameters:
        host: where it runs; its task directory becomes the session's.
        session_id: names it to people.
        program: what to run.
        landing: where deliverables land on this machine.
        limits: what it may use.
        clock: time, for tests.
    """

    def __init__(
        self,
        host: LocalHost,
        session_id: str,
        program: Program,
        landing: Landing,
        *,
        limits: Limits | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.id = session_id
        self.taskdir = host.taskdir
        self.events = EventLog(session_id, clock=clock)
        self.log_path = os.path.join(host.taskdir, "optio.log")
        self.deliverables_dir = os.path.join(host.taskdir, "deliverables")
        self.replies_path = os.path.join(host.taskdir, "replies")
        self.run_dir = os.path.join(host.taskdir, "run", "1")
        self._host = host
        self._program = program
        self.landing = landing
        self.delivered: dict[str, DeliverableLanded] = {}
        self._limits = limits or Limits()
        self._clock = clock
        self._outcome: SessionOutcome | None = None
        self._process: LocalProcess | None = None
        self._writing_ended = anyio.Event()
        self._decided = anyio.Event()
        self._patience = anyio.CancelScope()

    async def run(self) -> SessionOutcome:
        """Start the program, follow it to its end, and leave nothing of it running.

        Cancelling this call ends the program too. Raises OSError or HostError when nothing could be started.
        """
        self._prepare()
        process = await self._start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._limit_time)
                reader_done = anyio.Event()
                tasks.start_soon(self._follow_log, reader_done)
                await self._until_the_end(process)
                self._writing_ended.set()
                # What was announced before a cancel is not worth making a person wait for it.
                with self._clock.move_on_after(TERMINATE_GRACE if self._patience.cancel_called else None):
                    await reader_done.wait()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await process.end(grace=TERMINATE_GRACE, clock=self._clock)
        return self._end(process)

    async def output(self, stream: OutputStream) -> AsyncGenerator[Line | LongLine]:
        """The lines that the program writes to stdout or stderr, from the first on; ends when it has ended."""
        followed = self._host.follow(self.output_path(stream), until=self._writing_ended)
        async with aclosing(followed):
            async for line, _ in followed:
                if not isinstance(line, FileReset):
                    yield line

    def cancel(self, reason: str) -> None:
        """End the program now: TERM, then KILL after a while. An outcome that is fixed already stays."""
        self._decide(Cancelled(reason))
        self._patience.cancel()

    async def kill(self) -> None:
        """Give the program no more time: KILL to all of it."""
        if self._process is not None:
            await self._process.end(grace=0, clock=self._clock)

    def output_path(self, stream: OutputStream) -> str:
        """The file on the host that holds everything the program wrote to this stream."""
        return os.path.join(self.run_dir, stream)

    def _prepare(self) -> None:
        for directory in (self.taskdir, self.deliverables_dir, os.path.dirname(self.run_dir), self.run_dir):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        for path in (self.log_path, self.replies_path, *map(self.output_path, OUTPUT_STREAMS)):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    async def _start(self) -> LocalProcess:
        stdout, stderr = (shlex.quote(self.output_path(name)) for name in OUTPUT_STREAMS)
        handle = await self._host.launch_subprocess(
            f"exec {shlex.join(self._program.command)} >>{stdout} 2>>{stderr}",
            cwd=self._program.directory,
            env={
                **self._program.env,
                "OPTIO_LOG": self.log_path,
                "OPTIO_DELIVERABLES": self.deliverables_dir,
                "OPTIO_REPLIES": self.replies_path,
            },
        )
        assert isinstance(handle.pid_like, LocalProcess)
        self._process = handle.pid_like
        program = self._program
        self._say(SessionStarted(program.command, program.directory, str(self.landing.directory), self._host.taskdir))
        return self._process

    async def _until_the_end(self, process: LocalProcess) -> None:
        with self._patience:
            async with anyio.create_task_group() as either:

                async def decided() -> None:
                    await self._decided.wait()
                    either.cancel_scope.cancel()

                either.start_soon(decided)
                await process.wait()
                either.cancel_scope.cancel()
            with self._clock.move_on_after(self._limits.grace) as grace:
                await process.gone()
            if grace.cancelled_caught:
                self._say(Notice(_left_over(process, self._limits.grace)))
        with anyio.CancelScope(shield=True):
            await process.end(grace=TERMINATE_GRACE, clock=self._clock)

    async def _limit_time(self) -> None:
        if self._limits.wall_time is not None:
            await self._clock.sleep(self._limits.wall_time)
            self._decide(Failed(f"stopped after {self._limits.wall_time:g} s, its time limit"))
            self._patience.cancel()

    async def _follow_log(self, done: anyio.Event) -> None:
        channel = LogChannel(self._host, self.log_path)
        try:
            async with aclosing(channel.entries(until=self._writing_ended)) as entries:
                async for entry in entries:
                    await self._handle(entry.event)
        except LogChannelLost as error:
            self._decide(Failed(str(error)))
            self._patience.cancel()
        finally:
            done.set()

    async def _handle(self, event: ChannelEvent) -> None:
        match event:
            case StatusEvent(percent, message):
                self._say(Status(percent, message), "log")
            case AttentionEvent(reason):
                self._say(Attention(reason), "log")
            case DoneEvent(summary):
                self._say(Finished(summary), "log")
                self._decide(Done(summary))
            case ErrorEvent(message):
                self._say(ErrorReported(message), "log")
                self._decide(Failed(message or "the program reported ERROR"))
            case DeliverableEvent(path):
                await self._deliver(path)
            case UnknownLine(text):
                self._say(UnknownText(text), "log")
            case OverlongLine(size, head):
                self._say(UnknownText(head, size), "log")
            case FileReset(reason, dropped):
                self._say(LogReset(reason, dropped), "log")
            case BrowserEvent() | ClientMessageEvent() | CallerMessageEvent():
                raise AssertionError(f"{event}: its keyword is off in this session")
            case _:
                assert_never(event)

    async def _deliver(self, announced: str) -> None:
        name = self._name_of(announced)
        if name is None:
            self._refuse(announced, "it is not below the directory that OPTIO_DELIVERABLES names")
            return
        path = posixpath.join(self.deliverables_dir, name)
        try:
            landed = await self.landing.receive(
                name,
                self._host.stream_file(path, within=self.deliverables_dir, max_bytes=self._limits.deliverable_bytes),
            )
        except FileNotFoundError:
            self._refuse(name, "there is no such file")
        except FileRefused as error:
            self._refuse(name, error.reason)
        except (HostError, OSError) as error:
            self._say(Notice(f"deliverable {name} could not be stored: {error}"))
            self._reply(deliverable_not_handled(name, str(error)))
        else:
            self.delivered[name] = DeliverableLanded(landed.name, str(landed.path), landed.size, landed.sha256)
            self._say(self.delivered[name], "log")
            self._reply(deliverable_accepted(name, None))

    def _name_of(self, announced: str) -> str | None:
        """What an announced path is called below the deliverables directory; None when it is not there."""
        for directory in (self.taskdir, self.deliverables_dir):
            name = posixpath.relpath(posixpath.join(directory, announced), self.deliverables_dir)
            if name != "." and name != ".." and not name.startswith("../"):
                return name
        return None

    def _refuse(self, name: str, reason: str) -> None:
        self._say(DeliverableRefused(name, reason), "log")
        self._reply(deliverable_refused(name, reason))

    def _reply(self, line: str) -> None:
        try:
            with open(self.replies_path, "ab") as replies:
                replies.write(line.encode() + b"\n")
        except OSError as error:
            self._say(Notice(f"a reply could not be written to {self.replies_path}: {error}"))

    def _decide(self, outcome: SessionOutcome) -> None:
        if self._outcome is None:
            self._outcome = outcome
            self._decided.set()

    def _end(self, process: LocalProcess) -> SessionOutcome:
        returncode = process.returncode or 0
        ended = process_outcome.describe(process_outcome.from_returncode(returncode))
        outcome = self._outcome or Failed(f"the program ended without DONE or ERROR ({ended})")
        self._say(session_ended(outcome, returncode))
        return outcome

    def _say(self, event: SessionEvent, source: Source = "session") -> None:
        self.events.append(source, event)


def session_ended(outcome: SessionOutcome, exit_code: int | None) -> SessionEnded:
    """The last event of a session that ended this way."""
    match outcome:
        case Done(summary):
            return SessionEnded("done", None, summary, exit_code)
        case Failed(reason):
            return SessionEnded("failed", reason, None, exit_code)
        case Cancelled(reason):
            return SessionEnded("cancelled", reason, None, exit_code)
        case Lost(reason):
            return SessionEnded("lost", reason, None, exit_code)
        case Closed(reason):
            return SessionEnded("closed", reason, None, exit_code)
        case _:
            assert_never(outcome)


def _left_over(process: LocalProcess, grace: float) -> str:
    if process.returncode is None:
        return f"the program still runs {grace:g} s after it said that it was finished; stopping it"
    return f"processes that the program left behind still run {grace:g} s after its end; stopping them"
