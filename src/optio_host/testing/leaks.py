"""Nothing may be left behind: what this process holds before and after: tasks, children, descriptors, directories."""

import asyncio
import gc
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Footprint:
    """What this process holds at one moment."""

    children: frozenset[int]
    descriptors: frozenset[str]
    temporary: frozenset[str]
    threads: frozenset[str]

    def left_since(self, before: "Footprint") -> list[str]:
        """What is here now and was not before, a line each; empty when nothing was left."""
        return [
            *(f"child process {pid}" for pid in sorted(self.children - before.children)),
            *(f"open file {name}" for name in sorted(self.descriptors - before.descriptors)),
            *(f"temporary {name}" for name in sorted(self.temporary - before.temporary)),
            *(f"thread {name}" for name in sorted(self.threads - before.threads)),
        ]


def footprint() -> Footprint:
    """Look at this process now. On systems without /proc, children and descriptors are not seen."""
    return Footprint(_children(), _descriptors(), _temporary(), _threads())


def running_tasks() -> list[str]:
    """The asyncio tasks of the running loop besides the caller's own."""
    return [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]


class Watch:
    """Compares what this process holds with what it held when the watch was made."""

    PATIENCE = 2.0
    """Seconds that something which is just ending may take."""

    def __init__(self) -> None:
        self._before = footprint()
        self._tasks = _suspended_tasks()

    def left(self) -> list[str]:
        """What is here now and was not before, a line each, with the tasks of the running loop if there is one."""
        gc.collect()
        try:
            tasks = running_tasks()
        except RuntimeError:
            tasks = [repr(task) for task in _suspended_tasks() - self._tasks]
        of_loops = _descriptors_of_loops()
        held = [line for line in footprint().left_since(self._before) if not line.startswith(of_loops)]
        return [*held, *(f"task {task}" for task in tasks)]

    def left_in_the_end(self) -> list[str]:
        """The same, once all has ended that was about to."""
        deadline = time.monotonic() + self.PATIENCE
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left


def _suspended_tasks() -> "frozenset[asyncio.Task[object]]":
    """The tasks of event loops that stand still and could go on, as that of anyio's pytest plugin between two tests."""
    return frozenset(
        each
        for each in gc.get_objects()
        # Not isinstance: a dead weak reference among the objects would raise.
        if issubclass(type(each), asyncio.Task)
        and not each.done()
        and not each.get_loop().is_closed()
        and not each.get_loop().is_running()
        # The one with which anyio's plugin runs the tests themselves.
        and getattr(each.get_coro(), "__name__", "") != "_run_tests_and_fixtures"
    )


def _descriptors_of_loops() -> tuple[str, ...]:
    """How the lines about the sockets begin with which event loops wake themselves up; they go with their loop."""
    loops = [each for each in gc.get_objects() if issubclass(type(each), asyncio.BaseEventLoop)]
    sockets = [getattr(loop, name, None) for loop in loops for name in ("_ssock", "_csock")]
    return tuple(f"open file {each.fileno()} -> socket:" for each in sockets if each is not None)


def _children() -> frozenset[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(int(pid) for pid in task.read_text().split())
        except OSError:
            continue  # that thread has just ended
    return frozenset(found)


def _descriptors() -> frozenset[str]:
    found: set[str] = set()
    directory = Path("/proc/self/fd")
    for entry in os.listdir(directory) if directory.is_dir() else []:
        try:
            target = os.readlink(directory / entry)
        except OSError:
            continue  # the descriptor of this very listing
        if not target.startswith(("/dev/", "anon_inode:")):
            found.add(f"{entry} -> {target}")
    return frozenset(found)


def _temporary() -> frozenset[str]:
    return frozenset(name for name in os.listdir(tempfile.gettempdir()) if name.startswith(("optio", ".optio")))


def _threads() -> frozenset[str]:
    # Worker threads of the loop's pools are kept for reuse by design and end with the loop.
    pooled = ("AnyIO worker thread", "asyncio_", "ThreadPoolExecutor")
    return frozenset(thread.name for thread in threading.enumerate() if not thread.name.startswith(pooled))
