"""Commands over a link: run to their end, or launched and handed out. The same meaning as on this machine."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from shlex import quote

import anyio

from .. import outcome as outcomes
from ..clock import Clock
from ..errors import HostError, LinkLost
from ..host import KILL_GRACE, RunResult
from ..job_shell import exports
from ..limited import HeadTail
from .channel import Channel
from .link import Link

SHORT_INPUT = 64 * 1024
"""Bytes of input up to which a command may share a login with others, which nothing holds back there."""


async def run_command(
    link: Link,
    command: str,
    *,
    cwd: str,
    env: Mapping[str, str] | None,
    input: bytes | None,
    timeout: float | None,
    output_limit: int,
    clock: Clock,
) -> RunResult:
    """Run `/bin/sh -c command` to its end; see `optio_host.host.RunsCommands.run_command`.

    A link that breaks in the middle gives the outcome `Lost` with what had come until then; the command may go on over
    there. Raises ConnectFailed, FileNotFoundError for `cwd`, and ProcessesSurvived when its tree could not be ended.
    """
    out, err = HeadTail(output_limit), HeadTail(output_limit)
    outcome: outcomes.Outcome
    failed: HostError | OSError | None = None
    script = f"exec /bin/sh -c {quote(command)}"
    short = len(input or b"") <= SHORT_INPUT
    async with link.channel(
        script, cwd=cwd, env=env, stdin=input is not None, stream_stderr=True, short=short
    ) as channel:
        with clock.move_on_after(timeout) as limit:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_feed, channel, input)
                tasks.start_soon(_keep, channel.read, out)
                tasks.start_soon(_keep, channel.read_stderr, err)
                try:
                    outcome = await channel.wait()
                    await channel.settled()
                    if channel.cut is not None:
                        outcome = outcomes.Lost(channel.cut)
                except (HostError, OSError) as error:
                    failed = error  # raised from inside, it would come wrapped in a group
                tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed
        if limit.cancelled_caught and timeout is not None:
            await link.end_tree(channel, grace=KILL_GRACE)
            outcome = outcomes.TimedOut(timeout)
        for kept, rest in zip((out, err), channel.take(), strict=True):
            kept.feed(rest)
    return RunResult(out.text(), err.text(), outcomes.exit_code(outcome), outcome, out.dropped, err.dropped)


class RemoteProcess:
    """A command that was launched over a link. What `ProcessHandle.pid_like` is there.

    Parameters:
        channel: where it runs.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def wait(self) -> int:
        """Its exit code, negative for a signal. LinkLost when the link broke: nobody knows how it ends."""
        outcome = await self.channel.wait()
        if isinstance(outcome, outcomes.Lost):
            raise LinkLost(
                f"{self.channel.target}: the process may still run there, or has ended unseen: {outcome.reason}"
            )
        return outcomes.exit_code(outcome)


class RemoteInput:
    """The stdin of a launched command, as `optio_host.host.ProcessInput`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._closing = False

    def write(self, data: bytes) -> None:
        """Queue bytes; use `drain` after it."""
        if self._closing:
            raise BrokenPipeError("stdin of this process has been closed")
        self._channel.write_now(data)

    async def drain(self) -> None:
        """Return when little enough is queued. BrokenPipeError when it no longer reads, LinkLost."""
        await self._channel.drain()

    def close(self) -> None:
        """End of input behind what was queued. Calling it again does nothing."""
        self._closing = True
        self._channel.write_eof()

    async def wait_closed(self) -> None:
        """Return when what was queued is under way."""
        try:
            await self._channel.drain()
        except BrokenPipeError:
            return  # it has ended, and its stdin with it


async def launch(
    link: Link,
    command: str,
    *,
    cwd: str,
    env: Mapping[str, str] | None,
    env_remove: Sequence[str] | None,
    merge_stderr: bool,
    stdin: bool,
) -> Channel:
    """Start `/bin/sh -c command` and return; see `optio_host.Host.launch_subprocess`. The caller closes the channel."""
    script = _removal(env_remove or ())
    script += exports(env or {})
    script += "exec 2>&1\n" if merge_stderr else ""
    script += f"exec /bin/sh -c {quote(command)}"
    return await link.start(script, cwd=cwd, stdin=stdin, stream_stderr=True)


_PATTERN = re.compile(r"[A-Za-z0-9_*?\[\]!-]+\Z")


def _removal(patterns: Sequence[str]) -> str:
    """Shell text that drops the variables whose names match. A pattern with other characters matches no name."""
    usable = [pattern for pattern in patterns if _PATTERN.match(pattern)]
    if not usable:
        return ""
    # awk has the names apart from the values; whatever prints them together is misled by a line end in a value.
    names = "$(awk 'BEGIN { for (name in ENVIRON) if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/) print name }')"
    return f'for _name in {names}; do case $_name in OPTIO_RUN) ;; {"|".join(usable)}) unset "$_name" ;; esac; done\n'


async def _feed(channel: Channel, data: bytes | None) -> None:
    if data is None:
        return
    try:
        await channel.write(data)
    except (BrokenPipeError, LinkLost):
        return  # a command need not read all of its input; waiting for it tells
    channel.write_eof()


async def _keep(read: Callable[[], Awaitable[bytes]], kept: HeadTail) -> None:
    try:
        while chunk := await read():
            kept.feed(chunk)
    except (HostError, OSError):
        return  # waiting for the command tells
