"""Appending to runs often: one program on the host does the plain ones, where a command each would start six processes.

It does nothing that `append` in farside/act.sh does not, under the same lock and after the same comparison. What is not
plain it declines, and the command does it, or says what is wrong: only there stands what can be wrong.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import anyio

from .errors import HostError

PLAIN_BYTES = 64 * 1024
"""Bytes up to which an append is plain: it must not hold up those of other runs."""

ANSWER_SECONDS = 5.0
"""How long an answer may take, and the start of the program with it, before a command is tried instead."""


REST_SECONDS = 60.0
"""How long nothing is tried after the program took too long to start: each try would hold up an append again."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that a host has started, by what is needed of it.

    Attributes:
        write: bytes to its stdin.
        read: the next bytes of its stdout, b"" at their end.
        end: let go of it, which ends it, and return when it has ended.
    """

    write: Callable[[bytes], Awaitable[None]]
    read: Callable[[], Awaitable[bytes]]
    end: Callable[[], Awaitable[None]]


class QuickAppends:
    """The program of one host. It runs from the first append until nobody is `expected` to append any more.

    Parameters:
        begin: starts `farside/append.py`.
    """

    def __init__(self, begin: Callable[[], Awaitable[Program]]) -> None:
        self._begin = begin
        self._program: Program | None = None
        self._users = 0
        self._impossible = False
        self._ready = False
        self._resting_until = -math.inf
        self._count = 0
        self._lock = anyio.Lock()

    @asynccontextmanager
    async def expected(self) -> AsyncIterator[None]:
        """Somebody may append while the context lasts."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                await self._end()

    async def append(self, rundir: str, run: str, owner: str, offset: int, data: bytes, spool: str) -> bool:
        """Append, for `Job.append`. False where a command has to: it may have been done in part, or wholly."""
        if not self._users or self._impossible or not run or len(data) > PLAIN_BYTES:
            return False
        async with self._lock:
            if anyio.current_time() < self._resting_until:
                return False
            self._count += 1
            words = (rundir, owner, spool)
            directory, owned, file = (word.encode(errors="surrogateescape").hex() for word in words)
            request = f"{self._count} {len(data)} {offset} {directory} {run} {owned} {file}\n"
            appended = False
            try:
                with anyio.fail_after(ANSWER_SECONDS):
                    appended = await self._answer(request.encode() + data) == b"appended"
            except (HostError, OSError) as error:
                if isinstance(error, TimeoutError) and not self._ready:
                    self._resting_until = anyio.current_time() + REST_SECONDS
                await self._end()
            except BaseException:
                await self._end()  # its answer would be taken for the next one's
                raise
            return appended

    async def _answer(self, request: bytes) -> bytes:
        if self._program is None:
            self._ready = False
            self._program = await self._begin()
        with suppress(BrokenPipeError):  # it has ended: then it says no more, either
            await self._program.write(request)
        said = b""
        while True:
            chunk = await self._program.read()
            said += chunk
            if not chunk:
                # Where it cannot be started once it cannot be started again.
                self._impossible = not self._ready
                raise HostError("the program that appends has ended")
            self._ready = self._ready or b"ready\n" in said
            for line in said.split(b"\n")[:-1]:
                number, _, answer = line.partition(b" ")
                if number == b"%d" % self._count:
                    return answer

    async def _end(self) -> None:
        program, self._program = self._program, None
        if program is not None:
            with anyio.CancelScope(shield=True):
                await program.end()


@runtime_checkable
class AppendsQuickly(Protocol):
    """A host that has such a program."""

    @property
    def appends(self) -> QuickAppends:
        """The one of this host."""
        ...
