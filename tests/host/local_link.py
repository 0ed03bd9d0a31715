"""A link to this machine itself: the far side is a child process. It can be cut at any byte and be down for a while."""

import asyncio
import errno
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio

from optio_host.errors import ConnectFailed, LinkLost
from optio_host.ssh.channel import Channel


class LocalChannel:
    """What `Channel` is, for a shell here. Only what the reader needs of it.

    Parameters:
        process: the shell.
        budget: after how many bytes of its output the link breaks; None: it does not.
    """

    target = "here"
    said = "nothing that is kept"

    def __init__(self, process: asyncio.subprocess.Process, budget: int | None) -> None:
        self.process = process
        self.lost = asyncio.Event()
        self.received = 0
        self._budget = budget

    async def read(self) -> bytes:
        assert self.process.stdout is not None
        most = 32 * 1024 if self._budget is None else min(32 * 1024, self._budget - self.received)
        if most <= 0:
            self.cut()
        reading = asyncio.ensure_future(self.process.stdout.read(most))
        losing = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait([reading, losing], return_when=asyncio.FIRST_COMPLETED)
            if self.lost.is_set():
                raise LinkLost("here: cut")
            chunk = reading.result()
            self.received += len(chunk)
            return chunk
        finally:
            for each in (reading, losing):
                each.cancel()
            await asyncio.wait([reading, losing])

    async def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        if self.lost.is_set():
            raise LinkLost("here: cut")
        try:
            self.process.stdin.write(data)
            await self.process.stdin.drain()
        except ConnectionError:
            raise BrokenPipeError(errno.EPIPE, "here: it no longer reads") from None

    def cut(self) -> None:
        """As a connection that breaks: what is under way is gone, and sshd closes the pipes of the far side."""
        self.lost.set()
        self.process._transport.get_pipe_transport(0).abort()  # type: ignore[attr-defined]
        self.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]


class LocalLink:
    """What `Link` is, to this machine.

    Parameters:
        shell: what runs the scripts.
        path: the PATH over there; None: as here, with this Python first.

    Attributes:
        starts: how many channels there have been.
        was_connected: whether there has been one.
        ended: how each of those that are over ended: an exit code, negative for a signal.
        budgets: after how many bytes each of the next channels is cut.
        refusal: what connecting raises from now on.
        refused: how often it has done so.
        current: the channel that is open.
        opened: set while there is one.
    """

    target = "here"

    def __init__(self, shell: str = "sh", path: str | None = None) -> None:
        program, *arguments = shell.split()
        self._shell = [str(shutil.which(program)), *arguments]
        self._path = path or f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        self.starts = 0
        self.was_connected = False
        self.ended: list[int] = []
        self.budgets: Iterator[int] = iter(())
        self.refusal: ConnectFailed | None = None
        self.refused = 0
        self.current: LocalChannel | None = None
        self.opened = anyio.Event()
        self._up = anyio.Event()
        self._up.set()

    @asynccontextmanager
    async def channel(self, script: str) -> AsyncIterator[Channel]:
        if self.refusal:
            self.refused += 1
            raise self.refusal
        await self._up.wait()
        process = await asyncio.create_subprocess_exec(
            *self._shell,
            "-c",
            script,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": self._path},
        )
        self.current = channel = LocalChannel(process, next(self.budgets, None))
        self.starts += 1
        self.was_connected = True
        self.opened.set()
        try:
            yield channel  # type: ignore[misc]
        finally:
            self.current = None
            self.opened = anyio.Event()
            with anyio.CancelScope(shield=True):
                if not channel.lost.is_set() and process.returncode is None:
                    with anyio.move_on_after(0.3):
                        await process.wait()
                    if process.returncode is None:
                        process.kill()
                # A reader whose link was cut must end by itself.
                with anyio.fail_after(10):
                    self.ended.append(await process.wait())
                process._transport.close()  # type: ignore[attr-defined]

    @contextmanager
    def down(self) -> Iterator[None]:
        """The link is cut now, and does not come back before the end of the block."""
        self._up = anyio.Event()
        assert self.current is not None
        self.current.cut()
        try:
            yield
        finally:
            self._up.set()
