"""Nothing may be left behind: what this process holds before and after: tasks, children, descriptors, directories."""

import asyncio
import os
import tempfile
import threading
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
