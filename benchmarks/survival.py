"""Draws what a session survives: the link to its host is cut, then its driver is killed, and no line is lost.

    python benchmarks/survival.py docs/survival.png             (make picture)
    python benchmarks/survival.py --quick /tmp/survival.png     a fifth of the time: shows that it works

A program on a real sshd, behind a relay that this script cuts, writes ten numbered lines a second to its log, each with
the time at which it was written. `optio run` drives it until it is killed with SIGKILL, `optio attach` after that. What
is drawn is when each line was written, and when it was in the journal. `ssh far tail -F` looks at the same log on a
connection of its own through the same relay, to show what a terminal sees.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import anyio

# The tests start sshd in the same way.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from optio_host.testing.relay import Relay
from ssh_rig import own_sshd
from sshd_rig import Sshd

LINES = 240
CUT, RESTORED, KILLED, ATTACHED = 5.0, 10.0, 14.0, 18.0
"""Seconds from the first line on."""

PROGRAM = """
n=0
while [ $n -lt $LINES ]; do
  n=$((n + 1))
  echo "STATUS: $((n * 100 / LINES))% line $n at $(date +%s.%N)" >> "$OPTIO_LOG"
  sleep 0.1
done
echo "DONE: $n lines" >> "$OPTIO_LOG"
"""

OPTIO = str(Path(sys.executable).parent / "optio")
PATIENCE = 60.0

Points = list[tuple[float, int]]
"""Times, and the numbers of the lines."""


@dataclass(frozen=True)
class Survived:
    """What was seen, in seconds from the first line on.

    Attributes:
        written: when the program wrote each line.
        committed: when each was in the journal, as often as it is there.
        seen: when `tail -F` over ssh printed each.
        outcome: how the session ended, in its own words.
    """

    written: Points
    committed: Points
    seen: Points
    outcome: str


async def survive(directory: Path, server: Sshd, scale: float) -> Survived:
    """One session, with what is done to it; all times are multiplied by `scale`."""
    env = {**os.environ, "HOME": str(directory), "XDG_STATE_HOME": str(directory / "here")}
    env.pop("OPTIO_STORE", None)
    async with Relay(server.port) as relay:
        config = configure(directory / ".ssh", server, relay.port)
        run = [OPTIO, "run", "--host", "far", "--env", f"LINES={int(LINES * scale)}", "--", "sh", "-c", PROGRAM]
        running = await anyio.open_process(run, env=env, stdout=subprocess.DEVNULL, stderr=None)
        processes = [running]
        try:
            record = await _first_line(env)
            look = f"tail -n +1 -F {record['taskdir']}/optio.log"
            tail = await anyio.open_process(["ssh", "-F", str(config), "far", look], env=env, stderr=subprocess.DEVNULL)
            processes.append(tail)
            begun = time.time()
            seen: list[tuple[float, bytes]] = []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_watch, tail, seen)
                await anyio.sleep(scale * CUT)
                await relay.drop()
                relay.stall()
                await anyio.sleep(scale * (RESTORED - CUT))
                relay.restore()
                await anyio.sleep(scale * (KILLED - RESTORED))
                running.kill()
                await anyio.sleep(scale * (ATTACHED - KILLED))
                with anyio.fail_after(PATIENCE):
                    await anyio.run_process([OPTIO, "attach", str(record["id"])], env=env)
                tasks.cancel_scope.cancel()
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                await process.aclose()
        events = await anyio.run_process([OPTIO, "logs", "--json", str(record["id"])], env=env)
        log = _log_of(record)
    written = [(float(at) - begun, int(number)) for number, at in re.findall(r"line (\d+) at (\S+)", log)]
    first = written[0][0]
    told = [json.loads(line) for line in events.stdout.splitlines()]
    return Survived(
        written=[(at - first, number) for at, number in written],
        committed=[
            (datetime.fromisoformat(each["time"]).timestamp() - begun - first, int(found[1]))
            for each in told
            if (found := re.search(r"line (\d+) at", json.dumps(each["data"])))
        ],
        seen=[(at - begun - first, int(number)) for at, text in seen for number in re.findall(rb"line (\d+) at", text)],
        outcome=str(told[-1]["data"]),
    )


def configure(directory: Path, server: Sshd, port: int) -> Path:
    """~/.ssh of whoever drives: `far` is the server by way of the relay."""
    directory.mkdir(mode=0o700)
    keys = Path(server.known_hosts).read_text().replace(f":{server.port} ", f":{port} ")
    (directory / "known_hosts").write_text(keys)
    (directory / "config").write_text(
        f"Host far\n  HostName 127.0.0.1\n  Port {port}\n  User {server.user}\n  IdentityFile {server.key}\n"
        f"  IdentityAgent none\n  UserKnownHostsFile {directory}/known_hosts\n"
    )
    return directory / "config"


async def _first_line(env: dict[str, str]) -> dict[str, object]:
    with anyio.fail_after(PATIENCE):
        while True:
            listed = await anyio.run_process([OPTIO, "ls", "--json"], env=env)
            for line in listed.stdout.splitlines():
                record = json.loads(line)
                if _log_of(record):
                    return dict(record)
            await anyio.sleep(0.05)


def _log_of(record: dict[str, object]) -> str:
    log = Path(str(record["taskdir"]), "optio.log")
    return log.read_text() if log.exists() else ""


async def _watch(process: anyio.abc.Process, seen: list[tuple[float, bytes]]) -> None:
    assert process.stdout is not None
    async for chunk in process.stdout:
        seen.append((time.time(), chunk))


def draw(path: str, survived: Survived, words: str, scale: float) -> None:
    """The picture, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context({"font.family": "DejaVu Sans", "font.size": 10, "axes.edgecolor": "#d5d9d6"}):
        figure, axes = pyplot.subplots(figsize=(11, 5.2))
        end = max(at for at, _ in survived.written) + 1
        top = len(survived.written)
        for begin, until, text in ((CUT, RESTORED, "the link is cut"), (KILLED, ATTACHED, "the driver is dead")):
            axes.axvspan(scale * begin, scale * until, color="#f1e3dc", linewidth=0)
            axes.text(scale * (begin + until) / 2, top * 1.03, text, ha="center", color="#b4534f")
        for points, colour, size, label in (
            (survived.written, "#c3c9cc", 26, "written by the program, on its host"),
            (survived.seen, "#e08e3c", 17, "seen by `ssh far tail -F`"),
            (survived.committed, "#2b6c8f", 4, "in the journal of the session"),
        ):
            axes.scatter(*zip(*points, strict=True), s=size, color=colour, label=label, linewidths=0)
        axes.set(xlim=(0, end), ylim=(0, top * 1.1), xlabel="seconds", ylabel="number of the line")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower right", frameon=False, markerscale=2)
        axes.set_title(words, loc="left", fontsize=11, pad=12)
        figure.tight_layout()
        figure.savefig(path, dpi=120, metadata={"Software": None})
        pyplot.close(figure)


def in_words(survived: Survived) -> str:
    """What became of the lines."""
    numbers = [number for _, number in survived.committed]
    lost = {number for _, number in survived.written} - set(numbers)
    twice = len(numbers) - len(set(numbers))
    return f"{len(survived.written)} lines written, {len(set(numbers))} in the journal: {len(lost)} lost, {twice} twice"


def main(arguments: Sequence[str]) -> int:
    *quick, path = arguments or ("-",)
    if path.startswith("-") or quick not in ([], ["--quick"]):
        print(__doc__)
        return 2
    scale = 0.2 if quick else 1
    with tempfile.TemporaryDirectory() as name, own_sshd(Path(name, "far")) as server:
        survived = anyio.run(survive, Path(name), server, scale)
    words = in_words(survived)
    draw(path, survived, words, scale)
    print(f"{words}; {len({number for _, number in survived.seen})} seen by tail -F over ssh; {survived.outcome}")
    return 0 if words.endswith(": 0 lost, 0 twice") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
