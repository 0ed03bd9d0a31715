"""The machine that a session is replayed on: files in memory, paths that lead where they led, and the agent's run."""

import json
import posixpath
import shlex
import signal
from collections.abc import Callable, Mapping

import anyio

from optio_host.clock import Clock
from optio_host.host import OUTPUT_LIMIT, RunResult
from optio_host.job import Job
from optio_host.job_shell import MARK, farside
from optio_host.job_state import Ended, JobState, Owner, Process, Running, StopReason
from optio_host.job_stop import Gone, Proof
from optio_host.outcome import Exited, Outcome
from optio_host.testing.clock import ManualClock
from optio_host.testing.fake import FakeHost, Stdout

from ..permissions.mentions import plainly

RESOLVE = farside("act", "resolve")
"""What a command begins with that asks where paths lead."""

SIGNS = farside("processes", "act", "signs")
"""What one begins with that looks for signs of life."""

LIMIT = 1e9
"""Seconds on the clock of a replay: whoever waited for a person did so for as long as it took."""


class ReplayHost(FakeHost):
    """A machine in memory, on which every path leads where it led when the session was recorded.

    Parameters:
        taskdir: the directory of the session, as it was there.
        leads_to: where the paths of the question that is judged now lead, if it is elsewhere than they say.
    """

    def __init__(self, taskdir: str, leads_to: Callable[[], Mapping[str, str | None]]) -> None:
        super().__init__(taskdir, clock=ManualClock(jump_after=0, limit=LIMIT))
        self._leads_to = leads_to
        # Signs of life are looked for; a recording needs none.
        self.on(lambda command: command.startswith(SIGNS), Stdout(f"{MARK}looked\n"), repeat=True)

    async def run_command(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        input: bytes | None = None,
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> RunResult:
        """As on every host in memory; but where a path leads is known here."""
        if not command.startswith(RESOLVE):
            return await super().run_command(
                command, cwd=cwd, env=env, input=input, timeout=timeout, output_limit=output_limit
            )
        known, answers = self._leads_to(), ""
        for path in shlex.split(command.removeprefix(RESOLVE))[1::2]:
            to = known.get(path, plainly(path))
            answers += f"{MARK}path{' ' + to.encode('utf-8', 'surrogateescape').hex() if to else ''}\n"
        return RunResult(answers, "", 0, Exited(0))


class RecordedRun(Job):
    """The run of an agent that says what was recorded, when it is told to.

    Parameters:
        host: where it runs.
        rundir: its directory there.
        owner: who drives it.
        clock: time.

    Attributes:
        input_closed: set once it gets no more input, or is to end.
    """

    def __init__(self, host: ReplayHost, rundir: str, owner: Owner, clock: Clock) -> None:
        super().__init__(host, rundir, "replay", owner, clock)
        self.input_closed = anyio.Event()
        self._machine = host
        self._ended = anyio.Event()
        self._end = Ended(Exited(0))
        host.files.write(self.stdout_path, b"")

    def say(self, data: bytes) -> None:
        """It writes to its stdout."""
        self._machine.files.append(self.stdout_path, data)

    def end(self, outcome: Outcome, reason: StopReason = "none") -> None:
        """It ends; the first end counts."""
        if not self._ended.is_set():
            self._end = Ended(outcome, reason)
            self._ended.set()

    async def append(self, offset: int, data: bytes, *, spool: str = "stdin") -> int:
        """Send bytes to it: requests are carried out at once, all else is for whoever replays it."""
        self._machine.files.append(posixpath.join(self.rundir, spool), data)
        for line in data.splitlines() if spool == "stdin" else ():
            match json.loads(line):
                case {"type": "control_request", "request_id": str(request)}:
                    answer = {"subtype": "success", "request_id": request, "response": {}}
                    self.say(json.dumps({"type": "control_response", "response": answer}).encode() + b"\n")
        return offset + len(data)

    async def close_stdin(self) -> None:
        """Give end of input."""
        self.input_closed.set()

    async def seen(self) -> None:
        """Nobody looks."""

    async def state(self) -> JobState:
        """Whether it runs."""
        return self._end if self._ended.is_set() else Running(1)

    async def wait(self) -> Outcome:
        """How it ended, once it has."""
        await self._ended.wait()
        return self._end.outcome

    async def signal_tree(self, number: signal.Signals) -> tuple[Process, ...]:
        """End it."""
        self.input_closed.set()
        return ()

    async def stop(self, grace: float = 10.0) -> Proof:
        """End it; it is gone once whoever replays it has said how it ended."""
        self.input_closed.set()
        with self._clock.move_on_after(grace):
            await self._ended.wait()
        return Gone()
