"""Where a promise is tried: a host on a task directory of its own, and the way to its far side."""

import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar, cast
from unittest import SkipTest

import anyio

from ...host import FollowsFiles, Host, RunsCommands, StreamsFiles
from ...job import JobHost
from .far_side import FarSide, ThroughCommands

MakeHost = Callable[[], AbstractAsyncContextManager[Host]]
"""Gives a connected host on a task directory that does not exist yet, and disconnects it at the end."""

Item = TypeVar("Item")

DEADLINE = 60.0
"""Seconds in which a promise must have been kept; one that hangs is broken."""


class NotOffered(SkipTest):
    """The host does not offer what the promise is about. pytest and unittest count it as a test left out."""


class Ground:
    """A host and what can be asked of it.

    Parameters:
        host: connected, with its workdir set up.
        far: how to look at its files from the other side.
        machine: whether its commands are run by a real /bin/sh.

    Attributes:
        host: for promises about what every host has.
        far: the other side.
        left: whether the promise has cleaned up by itself and disconnected.
    """

    def __init__(self, host: Host, far: FarSide, *, machine: bool) -> None:
        self.host = host
        self.far = far
        self.left = False
        self._machine = machine

    def path(self, name: str) -> str:
        """An absolute path in the workdir."""
        return f"{self.host.workdir}/{name}"

    @property
    def machine(self) -> Host:
        """The host, if its commands are run by a real /bin/sh and its processes are real."""
        if not self._machine:
            raise NotOffered("a real shell and real processes")
        return self.host

    @property
    def runner(self) -> RunsCommands:
        """The host, if its `run_command` takes input, a time-out and a limit of output."""
        host = self.machine
        if not {"input", "timeout", "output_limit"} <= set(inspect.signature(host.run_command).parameters):
            raise NotOffered("run_command with input, timeout and output_limit")
        return cast(RunsCommands, host)

    @property
    def follower(self) -> FollowsFiles:
        """The host, if it follows files from a position."""
        if not isinstance(self.host, FollowsFiles):
            raise NotOffered("follow (FollowsFiles)")
        return self.host

    @property
    def streamer(self) -> StreamsFiles:
        """The host, if it streams files."""
        if not isinstance(self.host, StreamsFiles):
            raise NotOffered("stream_file (StreamsFiles)")
        return self.host

    @property
    def job_host(self) -> JobHost:
        """The host, if it can hold runs."""
        _ = self.runner, self.follower
        return cast(JobHost, self.host)

    async def alive(self, *pids: int) -> list[int]:
        """Which of these processes of the host still live; a zombie does not."""
        look = (
            "for p in {}; do if [ -d /proc/self ]; then s=$(sed 's/.*) //' /proc/$p/stat 2>/dev/null); "
            'else s=$(ps -o stat= -p "$p"); fi; case $s in Z*|X*|"") ;; *) echo "$p";; esac; done'
        )
        found = await self.machine.run_command(look.format(" ".join(map(str, pids))), cwd="/")
        return [int(pid) for pid in found.stdout.split()]


@asynccontextmanager
async def ground(
    make_host: MakeHost, *, far: Callable[[Host], FarSide] = ThroughCommands, machine: bool = True
) -> AsyncIterator[Ground]:
    """A ground for one promise; its task directory is removed at the end."""
    async with make_host() as host:
        await host.setup_workdir()
        where = Ground(host, far(host), machine=machine)
        try:
            yield where
        finally:
            if not where.left:
                await host.cleanup_taskdir(aggressive=True)


async def fails(
    expected: type[BaseException] | tuple[type[BaseException], ...], call: Awaitable[object]
) -> BaseException:
    """The error that a call ends with; AssertionError if it does not."""
    try:
        result = await call
    except expected as error:
        return error
    raise AssertionError(f"{expected} was expected, and {result!r} came")


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    """Everything."""
    return b"".join([chunk async for chunk in chunks])


async def take(items: AsyncIterator[Item], count: int) -> list[Item]:
    """The next so many, or fewer when it ends before."""
    found: list[Item] = []
    while len(found) < count:
        try:
            found.append(await anext(items))
        except StopAsyncIteration:
            break
    return found


async def until(holds: Callable[[], Awaitable[bool]], what: str, seconds: float = 10.0) -> None:
    """Return when it holds, for what tells nobody that it has happened; AssertionError after `seconds`."""
    with anyio.move_on_after(seconds):
        for _ in range(math.ceil(seconds / 0.01)):
            if await holds():
                return
            await anyio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")
