"""What is left when a driver is killed while its agent waits for an answer: ours beside claude-agent-sdk.

    python benchmarks/killed_driver.py

The agent is the real Claude Code, its model a script on loopback: it wants to run one command, for which it has to ask.
As soon as it has asked, its driver gets SIGKILL. Five seconds later somebody comes back: with `optio approve` for ours,
with a new client that resumes the agent's session for the peer. Nobody says anything new to the agent.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import published
from waiting import becomes_true, until

# The tests run the same program in the same way.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "agents"))
from claude_rig import ClaudeRig, claude_rig
from model_api import Say, bash

SCRIPT = {"write": [bash("echo hi > out.txt"), Say("That was it.")]}
PROMPT = "SCENARIO:write"
AWAY = 5.0
"""Seconds until somebody comes back."""

OPTIO = str(Path(sys.executable).parent / "optio")
PEER = str(Path(__file__).with_name("killed_driver_peer.py"))


def ours(claude: ClaudeRig) -> dict[str, str]:
    env = {**os.environ, "XDG_STATE_HOME": str(claude.home / "state")}
    env.pop("OPTIO_STORE", None)

    def optio(*arguments: str) -> str:
        command = [OPTIO, *arguments]
        return subprocess.run(command, env=env, cwd=claude.cwd, capture_output=True, text=True, check=True).stdout

    def questions() -> list[dict[str, str]]:
        return [json.loads(line) for line in optio("permissions", "--json").splitlines()]

    passed_on = [word for name, value in claude.env.items() for word in ("--env", f"{name}={value}")]
    command = [
        OPTIO,
        "run",
        "--agent",
        "claude",
        "--executable",
        claude.program,
        "--policy",
        "none",
        *passed_on,
        PROMPT,
    ]
    driver = subprocess.Popen(
        command, env=env, cwd=claude.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    question = until(questions)[0]
    kill(driver)
    alive = still_there(claude, driver.pid)
    found = question in questions()
    optio("approve", question["id"])
    written = becomes_true((claude.cwd / "out.txt").exists)
    optio("cancel", question["session"])
    return outcome(alive, found, written)


def peer(claude: ClaudeRig) -> dict[str, str]:
    task = {"program": claude.program, "env": claude.env, "cwd": str(claude.cwd)}
    python = published.python(published.CLAUDE)
    with peer_driver(python, {**task, "prompt": PROMPT}) as (driver, said):
        session = until(lambda: next((each["session"] for each in said() if "session" in each), None))
        until(lambda: any("asked" in each for each in said()))
        kill(driver)
    alive = still_there(claude, driver.pid)
    with peer_driver(python, {**task, "resume": session}) as (driver, said):
        until(lambda: any("connected" in each for each in said()))
        asked = becomes_true(lambda: any("asked" in each for each in said()))
        kill(driver)
    return outcome(alive, asked, (claude.cwd / "out.txt").exists())


def outcome(alive: bool, asked: bool, written: bool) -> dict[str, str]:
    words = {True: "yes", False: "no"}
    return {
        f"the agent is alive {AWAY:g} s after the kill": words[alive],
        "whoever comes back finds its question": words[asked],
        "once it is answered, the tool has run": words[written],
    }


@contextmanager
def peer_driver(
    python: str, task: dict[str, object]
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], list[dict[str, str]]]]]:
    with tempfile.NamedTemporaryFile() as output:
        driver = subprocess.Popen([python, PEER, json.dumps(task)], stdout=output, stderr=subprocess.DEVNULL)
        try:
            yield driver, lambda: [json.loads(line) for line in Path(output.name).read_text().splitlines()]
        finally:
            kill(driver)


def kill(driver: subprocess.Popen[bytes]) -> None:
    driver.kill()
    driver.wait()


def still_there(claude: ClaudeRig, but: int) -> bool:
    """Whether the agent runs when somebody comes back."""
    time.sleep(AWAY)
    return bool(agents(claude))


def agents(claude: ClaudeRig) -> list[int]:
    """The processes of the agent, by the home directory that only it has."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")[0]
            if (
                command == claude.program.encode()
                and f"HOME={claude.home}\0".encode() in (process / "environ").read_bytes()
            ):
                found.append(int(process.name))
        except OSError:
            continue  # it has just ended
    return found


def main() -> int:
    results = {}
    for name, side in (("optio", ours), (published.CLAUDE, peer)):
        with tempfile.TemporaryDirectory() as base, claude_rig(Path(base), SCRIPT) as claude:
            try:
                results[name] = side(claude)
            finally:
                for pid in agents(claude):
                    os.kill(pid, signal.SIGKILL)
                until(lambda: not agents(claude))
    print("| the driver is killed while its agent waits for an answer | " + " | ".join(results) + " |")
    print("|---|" + "---|" * len(results))
    for row in next(iter(results.values())):
        print(f"| {row} | " + " | ".join(result[row] for result in results.values()) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
