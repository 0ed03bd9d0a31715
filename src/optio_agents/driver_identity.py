"""Which process drives a session, and whether that process can be proved dead from here."""

import os
import platform
import secrets
import subprocess
import sys
from pathlib import Path

from .journal.documents import Driver


def this_driver() -> Driver:
    """A driver that is this process; every call makes another one, with an id of its own."""
    pid = os.getpid()
    return Driver(
        id=secrets.token_hex(8),
        hostname=platform.node(),
        pid=pid,
        start_time=_start_time(pid) or "",
        boot_id=_boot_id(),
    )


def is_proved_dead(driver: Driver) -> bool:
    """Whether the process is certainly gone: it ran on this machine, and is not there any more.

    A driver of another machine, or one that noted down too little of itself, is never proved dead: its lease runs out.
    """
    if driver.hostname != platform.node() or not driver.boot_id or not driver.start_time:
        return False
    if driver.boot_id != _boot_id():
        return True
    return _start_time(driver.pid) != driver.start_time


def _start_time(pid: int) -> str | None:
    """When a process started, in the kernel's own words; None when it is not there, or only as a zombie."""
    if sys.platform != "linux":
        listing = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC0"},
        )
        state, _, started = listing.stdout.strip().partition(" ")
        return None if not started or state.startswith("Z") else started.strip()
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # Fields as in proc_pid_stat(5), counted behind the last ")": state 3, starttime 22.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else fields[19]


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        found = subprocess.run(
            ["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False, timeout=10
        )
        return found.stdout.strip()
