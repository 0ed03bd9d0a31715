"""Child processes of this one: started in a session of their own, waited for without a thread, ended as a tree."""

import asyncio
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import anyio

from .. import outcome as outcomes
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import ProcessesSurvived
from ..host import KILL_GRACE, RunResult
from ..limited import HeadTail
from .pipes import PipeReader, PipeWriter
from .tree import RUN_TAG, Root, end_tree, identify, members

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of a command where the environment has none."""


def child_environment(
    env: Mapping[str, str] | None, env_remove: Sequence[str] | None = None
) -> tuple[dict[str, str], str]:
    """The environment of a new child: inherited, less what `env_remove` matches (glob patterns), plus `env`.

    Returns it with the tag that was put into it.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not any(fnmatchcase(name, pattern) for pattern in env_remove or ())
    }
    tag = secrets.token_hex(8)
    outer = os.environ.get(RUN_TAG)
    environment = {"PATH": DEFAULT_PATH, **inherited, **(env or {})}
    environment[RUN_TAG] = f"{outer}:{tag}" if outer else tag
    return environment, tag


class LocalProcess:
    """A running or ended child. What `ProcessHandle.pid_like` is on this machine.

    Attributes:
        pid: its process id, which is also its session and process group.
        root: what `end_tree` needs.
        returncode: None while it runs; then its exit status, or the negative number of the signal that ended it.
    """

    def __init__(self, child: "subprocess.Popen[bytes]", tag: str) -> None:
        self._child = child
        self._ended = asyncio.Event()
        self._pidfd: int | None = None
        self.pid = child.pid
        self.root: Root = identify(child.pid, tag)
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(child.pid)
            asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._child.returncode

    async def wait(self) -> int:
        """Its exit code once it has ended, whoever still holds its pipes."""
        if self._child.returncode is None and self._pidfd is None:
            await anyio.to_thread.run_sync(self._child.wait, abandon_on_cancel=True)
        elif self._child.returncode is None:
            await self._ended.wait()
        assert self._child.returncode is not None
        return self._child.returncode

    async def gone(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Return when it and everything that it started have ended by themselves."""
        await self.wait()
        pause = 0.01
        while await anyio.to_thread.run_sync(members, self.root):
            await clock.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def end(self, *, grace: float, clock: Clock = SYSTEM_CLOCK) -> None:
        """End it and all its children; see `end_tree`. ProcessesSurvived if that cannot be done."""
        survivors = await end_tree(self.root, grace=grace, clock=clock)
        if survivors:
            raise ProcessesSurvived(f"the tree of process {self.pid}", survivors)
        with anyio.CancelScope(shield=True):
            await self.wait()

    def _reap(self) -> None:
        if self._child.poll() is not None and self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
            self._ended.set()


def start(
    command: str,
    *,
    cwd: str,
    env: Mapping[str, str] | None = None,
    env_remove: Sequence[str] | None = None,
    stdin: bool = False,
    merge_stderr: bool = False,
) -> "Child":
    """Start `/bin/sh -c command` in a session of its own.

    Parameters:
        cwd: absolute directory.
        env: additions to the inherited environment.
        env_remove: glob patterns of inherited names to drop.
        stdin: whether its stdin is a pipe; otherwise it is empty.
        merge_stderr: whether stderr goes where stdout goes.

    Raises FileNotFoundError or NotADirectoryError for `cwd`, OSError when no process can be made.
    """
    environment, tag = child_environment(env, env_remove)
    child = subprocess.Popen(
        ["/bin/sh", "-c", command],
        bufsize=0,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge_stderr else subprocess.PIPE,
        cwd=cwd,
        env=environment,
        start_new_session=True,
    )
    return Child(LocalProcess(child, tag), child)


class Child:
    """A child with the ends of its pipes."""

    def __init__(self, process: LocalProcess, child: "subprocess.Popen[bytes]") -> None:
        self.process = process
        assert child.stdout is not None
        self.stdin = PipeWriter(child.stdin) if child.stdin else None
        self.stdout = PipeReader(child.stdout)
        self.stderr = PipeReader(child.stderr) if child.stderr else None

    def close(self) -> None:
        """Let go of the pipes; what the child still writes fails there with EPIPE."""
        if self.stdin:
            self.stdin.abandon()
        for reader in (self.stdout, self.stderr):
            if reader:
                reader.close()


async def run_to_end(
    child: Child, *, input: bytes | None, timeout: float | None, output_limit: int, clock: Clock
) -> RunResult:
    """Feed a child, keep what it writes within limits, and return when it has ended.

    Its own end counts: a background process that it left may hold the pipes open, and is neither waited for nor ended.
    After `timeout` seconds, or when the caller is cancelled, its whole tree is ended first.
    """
    out, err = HeadTail(output_limit), HeadTail(output_limit)
    outcome: outcomes.Outcome
    try:
        with clock.move_on_after(timeout) as limit:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_feed, child.stdin, input)
                tasks.start_soon(_keep, child.stdout, out)
                tasks.start_soon(_keep, child.stderr, err)
                await child.process.wait()
                tasks.cancel_scope.cancel()
    finally:
        if child.process.returncode is None:
            await child.process.end(grace=KILL_GRACE, clock=clock)
        # What it wrote before its end is in the pipes by now; this never waits for whoever else holds them.
        _keep_rest(child.stdout, out)
        _keep_rest(child.stderr, err)
        child.close()
    returncode = await child.process.wait()
    if limit.cancelled_caught and timeout is not None:
        outcome = outcomes.TimedOut(timeout)
    else:
        outcome = outcomes.from_returncode(returncode)
    return RunResult(out.text(), err.text(), outcomes.exit_code(outcome), outcome, out.dropped, err.dropped)


async def _feed(stdin: PipeWriter | None, data: bytes | None) -> None:
    if stdin is None:
        return
    try:
        stdin.write(data or b"")
        await stdin.drain()
    except BrokenPipeError:
        return  # a command need not read all of its input; its exit status tells
    finally:
        stdin.close()


async def _keep(reader: PipeReader | None, kept: HeadTail) -> None:
    if reader is not None:
        while (chunk := await reader.read()) != b"":
            kept.feed(chunk)


def _keep_rest(reader: PipeReader | None, kept: HeadTail) -> None:
    while reader is not None and (chunk := reader.read_now()):
        kept.feed(chunk)
