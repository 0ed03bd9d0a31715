"""The lines that a person types at our terminal, read without a thread and without a change to the terminal."""

import os
import sys
import termios

import anyio

LOOK_AGAIN = 1.0
"""Seconds between two looks at whether we are in the foreground again."""

TOGETHER = 0.05
"""Seconds between two lines that are pasted, at most; nobody types that fast."""

LINE_LIMIT = 4096
"""Bytes that a terminal keeps of a line, at most (N_TTY of Linux)."""


class LineCut(Exception):
    """A line was longer than what a terminal keeps of one, and its rest is lost."""

    def __init__(self) -> None:
        super().__init__(f"a terminal keeps {LINE_LIMIT - 1} bytes of a line: the rest of this one is lost")


class Keyboard:
    """A terminal that lines are read from. It edits them itself, as it does for every program.

    Parameters:
        path: of the terminal. It is opened again: what is set on the new descriptor, others do not see.

    Attributes:
        gone: it was closed, and nothing more will ever be typed.

    Raises OSError when it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self._pasted: list[str | None] = []
        self._cut = False
        self.gone = False

    async def line(self) -> str | None:
        """The next line, without blanks around it; None when there is none: end of input, or a closed terminal.

        Raises LineCut.
        """
        typed = b""
        while not typed.endswith(b"\n"):
            await anyio.wait_readable(self._descriptor)
            await self.foreground()
            try:
                piece = os.read(self._descriptor, LINE_LIMIT)
            except BlockingIOError:
                continue
            except OSError:
                self.gone = True
                return None
            if not piece:
                self.gone = self._is_closed()
                return None
            typed += piece
        if len(typed) >= LINE_LIMIT:
            raise LineCut
        return typed.decode("utf-8", "replace").strip()

    async def paste(self) -> str | None:
        r"""The next lines that come together, as one text: pasted ones, or one that is typed; also one that ends with \
        and what follows. None as from `line`. Cancelled, it forgets no whole line. Raises LineCut, for all of them."""
        while True:
            last = self._pasted[-1] if self._pasted else ""
            goes_on = not self._pasted or (last is not None and last.endswith("\\"))
            with anyio.move_on_after(None if goes_on else TOGETHER):
                if last is not None:
                    try:
                        self._pasted.append(await self.line())
                    except LineCut:
                        self._pasted.append("")
                        self._cut = True
                    continue
            break
        lines = [each.removesuffix("\\") for each in self._pasted if each is not None]
        self._pasted = [None] if lines and last is None else []
        if self._cut:
            self._cut = False
            raise LineCut
        return "\n".join(lines) if lines else None

    async def foreground(self) -> None:
        """Wait until we may read from the terminal: it stops a job in the background that does."""
        while not self._ours():  # noqa: ASYNC110  a shell tells nobody
            await anyio.sleep(LOOK_AGAIN)

    def forget(self) -> None:
        """Throw away what was typed up to now, also an unfinished line: it was meant for something else."""
        if self._ours():
            try:
                termios.tcflush(self._descriptor, termios.TCIFLUSH)
            except termios.error:
                return  # it was closed, which the next reading will find

    def close(self) -> None:
        """Let go of the terminal."""
        anyio.notify_closing(self._descriptor)
        os.close(self._descriptor)

    def _is_closed(self) -> bool:
        # Read from, one that was closed is at its end, as one is where somebody has typed Ctrl-D.
        try:
            termios.tcgetattr(self._descriptor)
        except termios.error:
            return True
        return False

    def _ours(self) -> bool:
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return True  # not the terminal that controls us: there are no jobs on it


def keyboard() -> Keyboard | None:
    """Of the person who started this command; None when nobody could read a question, or type an answer."""
    try:
        return Keyboard(os.ttyname(0)) if os.isatty(0) and sys.stdout.isatty() else None
    except OSError:
        return None
