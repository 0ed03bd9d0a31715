"""Whoever looks at a session: shown what happens for as long as they look, and never able to hold up a driver."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVarTuple

import anyio

from ..events import Record
from ..session import OutputStream
from .view import View

PATIENCE = 2.0
"""Seconds that somebody who has stopped reading is given to take a last word."""

Arguments = TypeVarTuple("Arguments")


class Audience:
    """Passes on to a view, in a thread of its own; once that fails because nobody is there any more, nothing is shown.

    Parameters:
        view: how it is shown.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._gone = False
        self._shown = 0
        self._changed = anyio.Event()
        self._listens = anyio.Event()
        self._listens.set()

    async def show(self, records: list[Record]) -> None:
        """Show events; waits until they are taken. Together, since going to a thread costs more than showing one."""
        await self.tell_in_turn(self._show, records)
        self._shown = records[-1].seq
        self._changed.set()

    async def output(self, stream: OutputStream, text: str) -> None:
        """Show a line of the program's output; waits until it is taken."""
        await self.tell_in_turn(self._view.output, stream, text)

    async def caught_up(self, seq: int) -> None:
        """Return when the event of this number was shown; does not wait long, for it may not be one to be shown."""
        with anyio.move_on_after(PATIENCE):
            while self._shown < seq:
                self._changed = anyio.Event()
                await self._changed.wait()

    async def prompt(self, words: str, prompt: str) -> None:
        """Ask something, until `end_of_prompt`; waits until it is taken."""
        await self.tell(self._view.prompt, words, prompt)

    async def end_of_prompt(self) -> None:
        """Ask nothing any more; does not wait long."""
        with anyio.move_on_after(PATIENCE):
            await self.tell(self._view.end_of_prompt)

    @asynccontextmanager
    async def silenced(self) -> AsyncIterator[None]:
        """Leave the terminal to another program: what is to be shown waits, in the journal or in its file."""
        self._listens = anyio.Event()
        try:
            yield
        finally:
            self._listens.set()

    async def note(self, text: str) -> None:
        """Say something that is no event; does not wait long."""
        with anyio.move_on_after(PATIENCE):
            await self.tell(self._view.note, text)

    async def close(self) -> None:
        """Leave the terminal as it was; does not wait long."""
        with anyio.move_on_after(PATIENCE, shield=True):
            await self.tell(self._view.close)

    def _show(self, records: list[Record]) -> None:
        for record in records:
            self._view.show(record)

    async def tell_in_turn(self, words: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
        """The same as `tell`, once no other program has the terminal."""
        await self._listens.wait()
        await self.tell(words, *arguments)

    async def tell(self, words: Callable[[*Arguments], None], *arguments: *Arguments) -> None:
        """Call something that prints; waits until it is taken."""
        if self._gone:
            return
        try:
            # Abandoned: a thread that waits for a reader cannot be ended, and need not be.
            await anyio.to_thread.run_sync(partial(words, *arguments), abandon_on_cancel=True)
        except OSError:  # EPIPE from a pipe that nobody reads, EIO from a terminal that was closed, ENOSPC from a file
            self._gone = True
            # Python writes what is buffered once more when it exits; that must not fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
