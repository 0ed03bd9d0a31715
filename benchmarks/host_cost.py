"""A thousand followed files: what they cost while nothing happens, and how soon a line of one of them is there."""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import published
from openssh import Place, far_side
from processes import megabytes, percent_of_processor, tree
from table import AtMost, Row, percentile
from tails import append, make_files, tails

PROGRAM = Path(__file__).with_name("followed_files.py")


async def local(quick: bool) -> list[Row]:
    """Many files of this machine: ours and the published package run the same program, by turns."""
    count = 20 if quick else 1000
    rounds = 1 if quick else 2
    costs: dict[str, list[_Cost]] = {"ours": [], "peer": []}
    pythons = {"ours": sys.executable} if quick else {"ours": sys.executable, "peer": published.python(published.HOST)}
    with tempfile.TemporaryDirectory(prefix="optio-bench-") as directory:
        idle = _cost(sys.executable, Path(directory) / "idle", 0, None, quick)
        for turn in range(rounds):
            for name, python in pythons.items():
                costs[name].append(_cost(python, Path(directory) / f"{name}{turn}", count, None, quick))
    return _rows(costs["ours"], costs["peer"], idle, f"{count:,} files, local", published.HOST, (2.5, 10, 70, 3))


async def many_over_ssh(quick: bool) -> list[Row]:
    """Many files of one host: ours with both ends of its connection, and one `ssh far tail -F` each."""
    count = 20 if quick else 1000
    _allow_many_descriptors()
    with far_side(sessions=2 * count) as place:
        idle = _cost(sys.executable, place.work / "idle", 0, place, quick)
        ours = _cost(sys.executable, place.work / "ours", count, place, quick)
        peer = _cost_of_tails(place, count, quick)
    return _rows([ours], [peer], idle, f"{count:,} files, one SSH host", "ssh far tail -F each", (None, 10, 120, 5))


@dataclass(frozen=True)
class _Cost:
    megabytes: float
    percent: float
    milliseconds: list[float]


def _rows(
    ours: list[_Cost],
    peer: list[_Cost],
    idle: _Cost,
    what: str,
    peer_is: str,
    targets: tuple[float | None, float, float, float],
) -> list[Row]:
    rows = []
    for percent, target in zip((50, 99), targets[:2], strict=True):
        if target is not None:
            figures = [
                percentile([took for cost in side for took in cost.milliseconds], percent) if side else None
                for side in (ours, peer)
            ]
            rows.append(_row(f"append to line, {what}, p{percent}", "ms", figures, peer_is, target, ""))
    memory = [median(cost.megabytes for cost in side) if side else None for side in (ours, peer)]
    rows.append(_row(f"idle, {what}, memory", "MB", memory, peer_is, targets[2], f"{idle.megabytes:.0f} without files"))
    percent_used = [median(cost.percent for cost in side) if side else None for side in (ours, peer)]
    note = f"of one processor, {idle.percent:.1f} without files"
    rows.append(_row(f"idle, {what}, CPU", "%", percent_used, peer_is, targets[3], note))
    return rows


def _row(what: str, unit: str, figures: list[float | None], peer_is: str, target: float, note: str) -> Row:
    ours, peer = figures
    assert ours is not None
    return Row(what, unit, ours, peer, peer_is, AtMost(target), note)


def _cost(python: str, directory: Path, count: int, place: Place | None, quick: bool) -> _Cost:
    """Run followed_files.py and look at it from outside."""
    make_files(directory, count)
    ssh = None
    if place is not None:
        config = place.config
        ssh = {"host": config.host, "user": config.user, "key_path": config.key_path, "port": config.port}
        ssh["host_key"] = place.server.known_hosts
    taskdir = directory.parent / "task"
    taskdir.mkdir(exist_ok=True)
    taskdir.chmod(0o777)
    task = json.dumps(
        {
            "files": str(directory),
            "count": count,
            "ssh": ssh,
            "taskdir": str(taskdir),
            "host_each": python != sys.executable,
        }
    )
    before = tree(place.server.pid) if place is not None else set()
    # The published host follows one file at a time, and what its program says when it ends is nobody's business here.
    stderr = None if python == sys.executable else subprocess.DEVNULL
    child = subprocess.Popen(
        [python, str(PROGRAM), task],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=directory,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        if child.stdout.readline() != "ready\n":
            raise RuntimeError(f"{PROGRAM.name} failed under {python}")
        time.sleep(0.2 if quick else 2)  # until it is idle
        pids = tree(child.pid)
        if place is not None:
            pids |= tree(place.server.pid) - before
        percent = percent_of_processor(pids, 0.5 if quick else 8)
        memory = megabytes(pids)
        took: list[float] = []
        if count:
            wanted = {"samples": 20 if quick else 500, "seconds": 2 if quick else 12}
            child.stdin.write(json.dumps(wanted) + "\n")
            child.stdin.flush()
            took = json.loads(child.stdout.readline())
    finally:
        child.stdin.close()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
    return _Cost(memory, percent, took)


def _cost_of_tails(place: Place, count: int, quick: bool) -> _Cost:
    directory = place.work / "tails"
    make_files(directory, count)
    # The connection that all share stands for ours, so it counts as well.
    master = next(pid for pid in tree(os.getpid()) - {os.getpid()} if _is_master(pid))
    files = [directory / str(n) for n in range(count)]
    with tails(place, files) as output:
        time.sleep(0.2 if quick else 2)
        pids = {master, *output.pids} | tree(place.server.pid) - {place.server.pid}
        percent = percent_of_processor(pids, 0.5 if quick else 8)
        memory = megabytes(pids)
        took = []
        end = time.monotonic() + (2 if quick else 12)
        while time.monotonic() < end and len(took) < (20 if quick else 500):
            begun = append(random.choice(files))
            output.line()
            took.append(1000 * (time.perf_counter() - begun))
            time.sleep(random.uniform(0, 0.01))
    return _Cost(memory, percent, took)


def _is_master(pid: int) -> bool:
    return b"\0-M\0-N\0" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _allow_many_descriptors() -> None:
    # A connection that a thousand programs share holds four descriptors for each.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536) if most > 0 else 65536, most))
