"""`ssh far tail -F` as a peer: one for each file, all on one connection, all writing to one pipe."""

import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from openssh import Place

ARRIVAL = 20.0
"""Seconds in which a line must come."""


class Output:
    """What several programs write to one pipe, line by line."""

    def __init__(self, descriptor: int) -> None:
        self.pids: list[int] = []
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._rest = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(descriptor, selectors.EVENT_READ)

    def close(self) -> None:
        """Read no more."""
        self._selector.close()
        os.close(self._descriptor)

    def line(self) -> bytes:
        """The next line."""
        while not self._lines:
            if not self._selector.select(ARRIVAL):
                raise RuntimeError(f"tail -F: no line within {ARRIVAL:g} s")
            *self._lines, self._rest = (self._rest + os.read(self._descriptor, 65536)).split(b"\n")
        return self._lines.pop(0)


@contextmanager
def tails(place: Place, files: list[Path]) -> Iterator[Output]:
    """One `tail -F` over there for each file, after the first line of each has come."""
    with ExitStack() as stack:
        reading, writing = os.pipe()
        output = Output(reading)
        stack.callback(output.close)
        try:
            for path in files:
                command = place.ssh(f"exec tail -n +1 -F '{path}' 2>/dev/null")
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writing)
                stack.callback(process.wait)
                stack.callback(process.terminate)
                output.pids.append(process.pid)
                output.line()
        finally:
            os.close(writing)
        yield output


def make_files(directory: Path, count: int) -> None:
    """The files 0, 1, ... with one line each."""
    directory.mkdir()
    for n in range(count):
        (directory / str(n)).write_text("the first line\n")


def append(path: Path) -> float:
    """Append a line; when that was begun."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        begun = time.perf_counter()
        os.write(descriptor, b"one more line\n")
        return begun
    finally:
        os.close(descriptor)
