"""Whoever looks at a session: shown what happens for as long as they look, and never able to hold up a driver."""

import os
import sys
from collections.abc import Callable
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

    async def show(self, records: list[Record]) -> None:
        """Show events; waits until they are taken. Together, since going to a thread costs more than showing one."""
        await self.tell(self._show, records)

    async def output(self, stream: OutputStream, text: str) -> None:
        """Show a line of the program's output; waits until it is taken."""
        await self.tell(self._view.output, stream, text)

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
