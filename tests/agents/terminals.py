"""Real terminals with the command in them, and a person at each."""

import os
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any

import pytest
from optio_bench import OPTIO, PATIENCE, Bench


class Terminal:
    """A terminal of its own with the command in it, and a person at it."""

    def __init__(self, bench: Bench, *arguments: str) -> None:
        self.ours, self._theirs = os.openpty()
        termios.tcsetwinsize(self._theirs, (24, 80))
        self.before = termios.tcgetattr(self._theirs)
        # The first terminal that the leader of a session opens is its own.
        begin = ["sh", "-c", 'exec <"$0" >"$0" 2>&1; exec "$@"', os.ttyname(self._theirs)]
        self.process = subprocess.Popen(
            [*begin, OPTIO, *arguments], cwd=bench.cwd, env=bench.env, start_new_session=True
        )
        self.shown = ""
        self._read = 0
        self._open = True

    def until(self, text: str) -> str:
        """What is shown up to a text, behind what was waited for before, without colours."""
        deadline = time.monotonic() + PATIENCE
        while (at := self.shown.find(text, self._read)) < 0:
            assert select.select([self.ours], [], [], max(0.0, deadline - time.monotonic()))[0], self.shown
            self.shown += os.read(self.ours, 65536).decode()
        before, self._read = self.shown[self._read : at], at + len(text)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", before).replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def ended(self) -> int:
        """The exit status, once it has ended; the rest of what is shown is read meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.ours], [], [], 0.1)[0]:
                self.shown += os.read(self.ours, 65536).decode()
        while select.select([self.ours], [], [], 0)[0]:
            self.shown += os.read(self.ours, 65536).decode()
        return self.process.wait(timeout=PATIENCE)

    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    def hang_up(self) -> int:
        """Close it, as a window is closed, or a link lost; the exit status."""
        self._open = False
        os.close(self.ours)
        os.close(self._theirs)
        return self.process.wait(timeout=PATIENCE)

    def close(self) -> None:
        if not self._open:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.ended()
        os.close(self.ours)
        os.close(self._theirs)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for each in opened:
        each.close()
