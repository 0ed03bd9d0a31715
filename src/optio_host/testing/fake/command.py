"""Commands on a fake host: run to their end, or launched and handed out. The same meaning as on a machine over SSH."""

from collections.abc import AsyncGenerator

import anyio

from ... import outcome as outcomes
from ...errors import LinkLost
from ...host import KILL_GRACE, RunResult
from ...limited import HeadTail
from ...lines import lines_of
from .link import Operation
from .machine import Machine
from .process import FakeProcess, Output


async def run_to_end(
    machine: Machine,
    operation: Operation,
    command: str,
    *,
    cwd: str,
    env: dict[str, str] | None,
    input: bytes | None,
    timeout: float | None,
    output_limit: int,
) -> RunResult:
    """See `optio_host.host.RunsCommands.run_command`. A link that breaks in the middle gives the outcome `Lost`."""
    out, err = HeadTail(output_limit), HeadTail(output_limit)
    process: FakeProcess | None = None
    outcome: outcomes.Outcome
    with machine.clock.move_on_after(timeout) as limit:
        try:
            await operation.carry(input or b"", lambda piece: None)
            await operation.reach()
            process = machine.start(command, cwd=cwd, env=env, input=input)
            if input:
                process.feed(input)
            process.feed_eof()
            outcome = await _to_the_end(operation, process, out, err)
            await operation.answer()
        except LinkLost as lost:
            outcome = outcomes.Lost(str(lost))
        except BaseException:
            if process is not None:
                with anyio.CancelScope(shield=True):
                    await end_tree(machine, process, grace=KILL_GRACE)
                    out.feed(process.stdout.take())
                    err.feed(process.stderr.take())
            raise
    if limit.cancelled_caught and timeout is not None:
        outcome = outcomes.TimedOut(timeout)
    return RunResult(out.text(), err.text(), outcomes.exit_code(outcome), outcome, out.dropped, err.dropped)


async def _to_the_end(operation: Operation, process: FakeProcess, out: HeadTail, err: HeadTail) -> outcomes.Outcome:
    while True:
        ended = process.outcome
        await operation.carry(process.stdout.take(), out.feed)
        await operation.carry(process.stderr.take(), err.feed)
        if ended is not None:
            return ended
        with operation.held():
            if process.outcome is None and not process.has_output:
                await process.news.wait()


async def end_tree(machine: Machine, process: FakeProcess, *, grace: float) -> None:
    """End a program by a second command, over a new connection if the old one is gone. Raises ConnectFailed."""
    while True:
        try:
            operation = await machine.link.begin("end_tree", process.command)
            await operation.reach()
            break
        except LinkLost:
            continue  # signals may be sent twice
    await process.end(grace=grace, clock=machine.clock)


class LaunchedProcess:
    """A launched program, seen over the connection it was launched on. What `ProcessHandle.pid_like` is."""

    def __init__(self, process: FakeProcess, operation: Operation) -> None:
        self.pid = process.pid
        self._process = process
        self._operation = operation

    async def wait(self) -> int:
        """Its exit code, negative for a signal. LinkLost when the connection broke: nobody knows how it ends."""
        with self._operation.held():
            outcome = await self._process.ended()
        return outcomes.exit_code(outcome)

    def lines(self, output: Output) -> AsyncGenerator[bytes]:
        """One of its streams as lines; raises LinkLost where the connection broke."""
        return lines_of(lambda: self._read(output))

    async def _read(self, output: Output) -> bytes:
        with self._operation.held():
            data = await output.read()
        came = bytearray()
        try:
            await self._operation.carry(data, came.extend)
        except LinkLost:
            if not came:
                raise
        return bytes(came)
