"""The ends of a child's pipes that this process holds: reading as chunks and lines, writing with back-pressure."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import IO

import anyio

from ..lines import lines_of

CHUNK = 64 * 1024


class PipeReader:
    """The reading end of a pipe; owns the file."""

    def __init__(self, pipe: IO[bytes]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipe = pipe

    def read_now(self) -> bytes | None:
        """What is in the pipe at this moment: b"" at end of input, None when nothing is there yet."""
        if self._pipe.closed:
            return b""
        try:
            return os.read(self._pipe.fileno(), CHUNK)
        except BlockingIOError:
            return None

    async def read(self) -> bytes:
        """The next bytes, b"" at end of input."""
        while (chunk := self.read_now()) is None:
            await anyio.wait_readable(self._pipe)
        return chunk

    async def lines(self) -> AsyncIterator[bytes]:
        """Everything as lines with their line ends (the last one may have none); closes the pipe at the end."""
        try:
            async with aclosing(lines_of(self.read)) as lines:
                async for line in lines:
                    yield line
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the pipe; a writer at the other end gets EPIPE from now on."""
        if not self._pipe.closed:
            anyio.notify_closing(self._pipe)
            self._pipe.close()


class PipeWriter:
    """The writing end of a pipe, as `optio_host.host.ProcessInput`; owns the file."""

    def __init__(self, pipe: IO[bytes]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipe = pipe
        self._descriptor = pipe.fileno()
        self._queued = bytearray()
        self._closing = False
        self._broken: OSError | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = asyncio.Event()

    def write(self, data: bytes) -> None:
        """Queue bytes; use `drain` after it, or memory grows with what the process does not read."""
        if self._closing:
            raise BrokenPipeError("stdin of this process has been closed")
        if self._broken is None:
            self._queued += data
            self._flush()

    async def drain(self) -> None:
        """Return when all that was queued is in the pipe. BrokenPipeError when the process no longer reads."""
        await self._idle.wait()
        if self._broken is not None:
            raise BrokenPipeError(f"the process no longer reads its stdin: {self._broken}") from self._broken

    def close(self) -> None:
        """End of input once what was queued is written. Calling it again does nothing."""
        self._closing = True
        if self._idle.is_set():
            self._release()

    async def wait_closed(self) -> None:
        """Return when end of input was given."""
        await self._closed.wait()

    def abandon(self) -> None:
        """Close at once, dropping what the process has not read."""
        self._closing = True
        self._queued.clear()
        self._flush()

    def _flush(self) -> None:
        try:
            while self._queued:
                del self._queued[: os.write(self._descriptor, self._queued[:CHUNK])]
        except BlockingIOError:
            if self._idle.is_set():
                self._idle.clear()
                asyncio.get_running_loop().add_writer(self._descriptor, self._flush)
            return
        except OSError as error:
            self._broken = error
            self._queued.clear()
        if not self._idle.is_set():
            asyncio.get_running_loop().remove_writer(self._descriptor)
            self._idle.set()
        if self._closing:
            self._release()

    def _release(self) -> None:
        if not self._closed.is_set():
            self._pipe.close()
            self._closed.set()
