"""Many durable sessions that one process drives at once: what they cost while nothing happens, and how they end.

    python benchmarks/sessions_at_once.py [local | ssh ...] [--sessions 1000] [--idle 30] [--quick] [--json FILE]

The agents only wait. Measured are the driving process and, apart from it, the commands that it has the host run; over
SSH also both ends of the connection. docs/scale.md holds what came out, and what the next limit is.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from openssh import Place, far_side
from processes import megabytes, tree
from table import AtMost, LeftOut, Row, circumstances, percentile, save, text_of

PROGRAM = Path(__file__).with_name("sessions_driven.py")
ENDS = 16
"""Sessions that are ended, at most: each end is a search through every process of the host, several times."""

MEMORY, PROCESSOR, LATENCY = {"local": 70, "ssh": 120}, {"local": 3, "ssh": 5}, 10
"""Megabytes, percent of a processor, milliseconds (p99), for 1,000 sessions."""


def measure(count: int, idle: float, samples: int, directory: Path, place: Place | None) -> list[Row]:
    """Start, wait, time, end."""
    where = "local" if place is None else "ssh"
    ssh = None
    if place is not None:
        config = place.config
        ssh = {"host": config.host, "user": config.user, "key_path": config.key_path, "port": config.port}
        ssh["host_key"] = place.server.known_hosts
    ends = min(count, ENDS)
    settle = 2 if idle < 5 else 10
    task = {"directory": str(directory), "count": count, "ssh": ssh, "idle": idle, "samples": samples, "settle": settle}
    task["ends"] = ends
    # The agents are no children of this process, and the driver says by itself what its commands have cost.
    environment = {**os.environ, "XDG_STATE_HOME": str(directory / "state")}
    said: dict[str, dict[str, object]] = {}
    far = 0.0
    pss = 0.0
    with subprocess.Popen(
        [sys.executable, PROGRAM, json.dumps(task)], stdout=subprocess.PIPE, text=True, env=environment
    ) as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            step = json.loads(line)
            said[step["step"]] = step
            print(f"  {where}: {line.strip()[:100]}", file=sys.stderr, flush=True)
            if step["step"] == "idle" and place is not None:
                far = _used(place)
            if step["step"] == "idled":
                pss = megabytes([driver.pid])
                far = 100 * (_used(place) - far) / idle if place is not None else 0.0
    if driver.returncode != 0 or "ended" not in said:
        raise RuntimeError(f"{PROGRAM.name} failed")
    if said["ended"]["all"] != ["done: "] * ends:
        raise RuntimeError(f"not every session ended with DONE, or others did: {said['ended']['all']}")
    what = f"{count:,} sessions, {'local' if place is None else 'one sshd'}"
    took = said["timed"]["milliseconds"]
    assert isinstance(took, list)
    started, idled = said["started"], said["idled"]
    empty = f"{said['connected']['resident']:.0f} before the first"
    rows = [
        Row(f"{what}, start of all", "s", _float(started["seconds"]), None, "", AtMost(count / 10), ""),
        Row(f"{what}, memory of the driver", "MB", pss, None, "", AtMost(MEMORY[where]), empty),
        Row(
            f"{what}, idle, driver", "%", _float(idled["driver"]), None, "", AtMost(PROCESSOR[where]), "of a processor"
        ),
        Row(f"{what}, idle, its commands", "%", _float(idled["commands"]), None, "", AtMost(PROCESSOR[where]), ""),
    ]
    if place is not None:
        rows.append(Row(f"{what}, idle, sshd and commands", "%", far, None, "", AtMost(PROCESSOR[where]), ""))
    rows += [
        Row(f"{what}, append to committed, p50", "ms", percentile(took, 50), None, "", AtMost(LATENCY), ""),
        Row(f"{what}, append to committed, p99", "ms", percentile(took, 99), None, "", AtMost(LATENCY), ""),
        Row(f"{what}, end of one", "s", _float(said["ended"]["seconds"]) / ends, None, "", AtMost(0.1), "4 at a time"),
    ]
    return rows


def _float(value: object) -> float:
    assert isinstance(value, float)
    return value


def _used(place: Place) -> float:
    """Processor seconds of the server and of all that it has run, also of what has ended."""
    ticks = 0
    for pid in tree(place.server.pid):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure what is asked for, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where", nargs="*", choices=["local", "ssh", []], help="none: both")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--idle", type=float, default=30, help="seconds")
    parser.add_argument("--quick", action="store_true", help="8 sessions: shows that it works")
    parser.add_argument("--json", help="save the figures there, too")
    chosen = parser.parse_args()
    count, idle, samples = (8, 1.0, 5) if chosen.quick else (chosen.sessions, chosen.idle, 500)
    _allow_many_descriptors()
    about, rows, left_out = circumstances(), list[Row](), dict[str, str]()
    for where in chosen.where or ["local", "ssh"]:
        try:
            if where == "local":
                with tempfile.TemporaryDirectory(prefix="optio-bench-") as directory:
                    rows += measure(count, idle, samples, Path(directory), None)
            else:
                with far_side() as place:
                    rows += measure(count, idle, samples, place.work, place)
        except LeftOut as error:
            left_out[where] = str(error)
    print("\n".join(f"{name}: {value}" for name, value in about.items()))
    print(text_of(rows))
    for where, why in left_out.items():
        print(f"left out: {where}: {why}")
    if chosen.json:
        save(chosen.json, about, rows, left_out)
    return 0


def _allow_many_descriptors() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536) if most > 0 else 65536, most))


if __name__ == "__main__":
    sys.exit(main())
