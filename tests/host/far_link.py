"""A far side for file transfers that is a shell on this machine, and a link to it that breaks where a test wants it."""

import asyncio
import errno
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import anyio

from optio_host.errors import LinkLost
from optio_host.outcome import Exited, Lost, Signalled, from_returncode


class FarChannel:
    """What `Channel` is, for a shell here.

    Parameters:
        process: the shell.
        budget: after how many bytes of its input the link breaks; None: it does not.
    """

    target = "far"

    def __init__(self, process: asyncio.subprocess.Process, budget: int | None) -> None:
        self.process = process
        self.said = ""
        self._budget = budget
        self.taken = 0
        self._lost = asyncio.Event()
        self._stderr = asyncio.ensure_future(self._gather())

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None

    async def read_all(self) -> list[bytes]:
        assert self.process.stdout
        reading = asyncio.ensure_future(self.process.stdout.read(32 * 1024))
        losing = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait([reading, losing], return_when=asyncio.FIRST_COMPLETED)
            if self._lost.is_set():
                raise LinkLost("far: cut")
            return [came] if (came := reading.result()) else []
        finally:
            for each in (reading, losing):
                each.cancel()
            await asyncio.wait([reading, losing])

    async def write(self, data: bytes | memoryview) -> None:
        assert self.process.stdin
        if self._lost.is_set():
            raise LinkLost("far: cut")
        if self._budget is not None:
            data = data[: self._budget]
            self._budget -= len(data)
        self.taken += len(data)
        try:
            self.process.stdin.write(bytes(data))
            await self.process.stdin.drain()
        except ConnectionError:
            raise BrokenPipeError(errno.EPIPE, "far: it no longer reads") from None
        if self._budget == 0:
            self.process.stdin.close()
            self._lost.set()
            raise LinkLost("far: cut")

    def write_eof(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()

    async def wait(self) -> Exited | Signalled | Lost:
        if self._lost.is_set():
            return Lost("cut")
        return from_returncode(await self.process.wait())

    async def settled(self) -> None:
        await self._stderr

    async def _gather(self) -> None:
        assert self.process.stderr
        self.said = (await self.process.stderr.read()).decode(errors="replace").strip()

    async def close(self) -> None:
        if self._lost.is_set():
            # A shell whose link was cut must end by itself.
            with anyio.fail_after(10):
                await self.process.wait()
        elif self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            with anyio.fail_after(10):
                await self.process.wait()
        await self._stderr
        self.process._transport.close()  # type: ignore[attr-defined]


class FarLink:
    """What `Link` is, for transfers.

    Parameters:
        shell: what runs the scripts.
        path: the PATH over there.

    Attributes:
        budgets: after how many bytes of input each of the next channels breaks.
        scripts: what was run.
        taken: bytes of input that each channel took.
        before_script: what the shell does first, such as standing in for a program.
        edited: what is replaced in each script, and by what.
        on_cut: called where `Link` ends what a lost channel left running.
    """

    target = "far"

    def __init__(self, shell: str = "sh", path: str | None = None) -> None:
        program, *words = shell.split()
        self._shell = [str(shutil.which(program)), *words]
        self._path = path or os.environ["PATH"]
        self.budgets: list[int | None] = []
        self.scripts: list[str] = []
        self.taken: list[int] = []
        self.before_script = ""
        self.edited = ("", "")
        self.on_cut: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def channel(
        self, script: str, *, env: Mapping[str, str] | None = None, stdin: bool = True
    ) -> AsyncIterator[FarChannel]:
        self.scripts.append(script)
        process = await asyncio.create_subprocess_exec(
            *self._shell,
            "-c",
            self.before_script + script.replace(*self.edited),
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": self._path, **(env or {})},
            start_new_session=True,
        )
        channel = FarChannel(process, self.budgets.pop(0) if self.budgets else None)
        try:
            yield channel
        finally:
            self.taken.append(channel.taken)
            with anyio.CancelScope(shield=True):
                await channel.close()

    async def end_tree(self, channel: FarChannel, *, grace: float) -> None:
        self.on_cut()
