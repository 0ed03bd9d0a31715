"""What processes cost: the memory of a tree, and the time it was given by the processors. Reads /proc."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from table import LeftOut


def tree(root: int) -> set[int]:
    """A process and all that descend from it."""
    if not Path("/proc/self/stat").exists():
        raise LeftOut("memory and processor time are read from /proc, which is not here")
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, new = set(), [root]
    while new:
        pid = new.pop()
        found.add(pid)
        new += children.get(pid, [])
    return found


def megabytes(pids: Iterable[int]) -> float:
    """Memory that is really there, shared pages counted once: PSS, or RSS where PSS may not be read."""
    return sum(map(_kilobytes, pids)) / 1024


def percent_of_processor(pids: Iterable[int], seconds: float) -> float:
    """Processor time of processes that live, over the next seconds; 100 is one processor."""
    watched = list(pids)
    before, begun = _nanoseconds(watched), time.monotonic()
    time.sleep(seconds)
    return 100 * (_nanoseconds(watched) - before) / 1e9 / (time.monotonic() - begun)


def _kilobytes(pid: int) -> int:
    for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(field):
                return int(line.split()[1])
    return 0


def _nanoseconds(pids: Iterable[int]) -> int:
    # Ticks of /proc/PID/stat are rounded down for each process, and a thousand of them may use none.
    return sum(
        int(file.read_text().split()[0]) for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []
