"""Ending a process with everything it started, and looking again until it is proved gone.

A child may have left the process group (setsid), lost its parent (a double fork) or ignore TERM. Members are therefore
found in three ways: by the session that was made for the process, by descent, and on Linux by the tag that every
process started here carries in its environment. A process that leaves the session, outlives its parent and clears its
environment is not found.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio

from ..clock import SYSTEM_CLOCK, Clock

RUN_TAG = "OPTIO_RUN"
"""Environment variable that marks every process of a run. Nested runs are joined by ":", so that ending the outer one
finds the inner ones too."""

KILL_PATIENCE = 5.0
"""Seconds in which a killed process must be gone. Only one stuck in the kernel needs longer."""


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    """One process at one look. `started` tells a process from a later one with the same number."""

    pid: int
    parent: int
    session: int
    started: str
    zombie: bool


@dataclass(frozen=True, slots=True)
class Root:
    """The process a tree hangs on: first of its own session, marked with a tag of its own."""

    pid: int
    started: str
    tag: str


def identify(pid: int, tag: str) -> Root:
    """Note down a process that was just started, so that it can be told from a later one with its number."""
    return Root(pid, next((seen.started for seen in _look([pid])), ""), tag)


def members(root: Root) -> list[ProcessSeen]:
    """Every living process of the tree that can be found now, the root among them."""
    seen = {process.pid: process for process in _look()}
    at_root = seen.get(root.pid)
    reused = at_root is not None and at_root.started != root.started
    found = {
        process.pid
        for process in seen.values()
        if (not reused and root.pid in (process.pid, process.session)) or _is_tagged(process.pid, root.tag)
    }
    found -= {os.getpid()}
    while children := {each.pid for each in seen.values() if each.parent in found} - found:
        found |= children
    return [seen[pid] for pid in sorted(found) if not seen[pid].zombie]


async def end_tree(root: Root, *, grace: float, clock: Clock = SYSTEM_CLOCK) -> tuple[int, ...]:
    """TERM to the whole tree, KILL to what is left after `grace` seconds (0: at once); then look again.

    Returns the process ids that are still there KILL_PATIENCE seconds after the first KILL: empty when proved gone.
    A cancellation does not stop it: once begun, an end is carried through.
    """
    left: tuple[int, ...] = ()
    with anyio.CancelScope(shield=True):
        if grace > 0:
            await _signal_until_gone(root, signal.SIGTERM, clock, grace, once=True)
        left = await _signal_until_gone(root, signal.SIGKILL, clock, KILL_PATIENCE, once=False)
    return left


async def _signal_until_gone(
    root: Root, number: signal.Signals, clock: Clock, patience: float, *, once: bool
) -> tuple[int, ...]:
    deadline = clock.monotonic() + patience
    told: set[tuple[int, str]] = set()
    pause = 0.005
    while True:
        left = await anyio.to_thread.run_sync(members, root)
        for process in left:
            # A process that was forked after the last look gets its signal too, but TERM only one each.
            if not once or (process.pid, process.started) not in told:
                told.add((process.pid, process.started))
                _signal(process, number)
        if not left or clock.monotonic() >= deadline:
            return tuple(process.pid for process in left)
        await clock.sleep(pause)
        pause = min(pause * 2, 0.1)


def _signal(process: ProcessSeen, number: signal.Signals) -> None:
    now = next(iter(_look([process.pid])), None)
    if now is None or now.started != process.started:
        return
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        return  # it has changed its user; it stays in the list of survivors


def _is_tagged(pid: int, tag: str) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    prefix = f"{RUN_TAG}=".encode()
    return any(
        tag.encode() in entry[len(prefix) :].split(b":")
        for entry in environment.split(b"\0")
        if entry.startswith(prefix)
    )


def _look_proc(pids: list[int] | None = None) -> list[ProcessSeen]:
    seen = []
    for pid in pids if pids is not None else [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            continue
        # The command name stands in parentheses and may hold anything, so fields are counted behind the last ")".
        # Fields as in proc_pid_stat(5): state 3, ppid 4, session 6, starttime 22.
        fields = stat[stat.rindex(")") + 2 :].split()
        seen.append(ProcessSeen(pid, int(fields[1]), int(fields[3]), fields[19], fields[0] in "ZX"))
    return seen


def _look_ps(pids: list[int] | None = None) -> list[ProcessSeen]:
    # "sess" is no number on macOS; the group of a session's first process serves instead.
    listing = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart="],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC0"},
    )
    seen = []
    for line in listing.stdout.splitlines():
        pid, parent, group, state, started = line.split(None, 4)
        if pids is None or int(pid) in pids:
            seen.append(ProcessSeen(int(pid), int(parent), int(group), started.strip(), state.startswith("Z")))
    return seen


_look: Callable[..., list[ProcessSeen]] = _look_proc if sys.platform == "linux" else _look_ps
