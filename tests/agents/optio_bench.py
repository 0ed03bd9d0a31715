"""The real command `optio`, as a person or a script meets it: real processes, real files, a state directory."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

OPTIO = str(Path(sys.executable).parent / "optio")

LOG = 'say() { echo "$1" >> "$OPTIO_LOG"; }; hand() { cat > "$OPTIO_DELIVERABLES/$1"; say "DELIVERABLE: $1"; };'
REPLY = 'until [ -s "$OPTIO_REPLIES" ]; do :; done;'
GO = "until [ -e go ]; do sleep 0.05; done;"
"""Waits for `Bench.go`."""

PATIENCE = 30.0
"""Seconds in which another process must have done something."""

Event = dict[str, Any]
T = TypeVar("T")


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[Event]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def record(self) -> dict[str, Any]:
        """What was printed, when it is one JSON value."""
        [record] = self.events
        return record

    def data(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["type"] == kind]

    @property
    def ended(self) -> dict[str, Any]:
        assert self.events[-1]["type"] == "session.ended"
        return self.data("session.ended")[0]


class Bench:
    """A directory to run in, with a state directory beside it."""

    def __init__(self, directory: Path) -> None:
        self.cwd = directory / "work"
        self.cwd.mkdir()
        self.state = directory / "state" / "optio"
        self.env = {**os.environ, "XDG_STATE_HOME": str(directory / "state"), "TERM": "xterm"}
        for name in ("OPTIO_RUN", "OPTIO_STORE", "COLUMNS"):
            self.env.pop(name, None)
        # What an agent asks is asked here, unless a test is about the policy.
        self.env["OPTIO_POLICY"] = "none"
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, **env: str) -> Ran:
        done = subprocess.run(
            [OPTIO, *arguments], cwd=self.cwd, env={**self.env, **env}, capture_output=True, text=True, timeout=60
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def script(self, script: str, *options: str) -> Ran:
        """Run a shell script with --json."""
        return self.run("run", "--json", *options, "--", "sh", "-c", script)

    def detached(self, script: str, *options: str) -> str:
        """Run a shell script in the background; the id of the session."""
        ran = self.run("run", "--detach", *options, "--", "sh", "-c", script)
        assert (ran.code, ran.err) == (0, "")
        return ran.out.strip()

    def start(self, script: str, *options: str) -> "subprocess.Popen[str]":
        return self.start_optio("run", "--json", *options, "--", "sh", "-c", script)

    def start_optio(self, *arguments: str, **env: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [OPTIO, *arguments],
            cwd=self.cwd,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def go(self) -> None:
        """Let a program go on that waits with GO."""
        (self.cwd / "go").touch()

    def record(self, session: str) -> dict[str, Any]:
        """What `show --json` says of a session."""
        return self.run("show", session, "--json").record

    def driver(self, session: str) -> int:
        """The pid of its driver, once a living one is there."""

        def living() -> int:
            driver = self.record(session)["driver"]
            return driver["pid"] if driver and driver["alive"] else 0

        return wait_for(living, f"a driver of {session}")

    def everything(self) -> dict[int, str]:
        """The command line, by pid, of everything alive that was started with our state directory."""
        mark = f"XDG_STATE_HOME={self.env['XDG_STATE_HOME']}\0".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes() and " Z " not in (process / "stat").read_text():
                    found[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue  # it has just ended
        return found

    def close(self) -> None:
        """Fails when something is left running; nothing is, afterwards."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            if process.stdout and not process.stdout.closed:
                rest_of(process)
        left, killed = self.everything(), list[str]()
        for pid in left:  # a driver that has written the end of its session is about to exit
            wait_until_dead(pid)
        for pid in self.everything():
            os.kill(pid, signal.SIGKILL)
            wait_until_dead(pid)
            killed.append(left.get(pid, str(pid)))
        assert not killed, f"left running: {killed}"


def wait_until_dead(pid: int) -> None:
    """Until a process that need not be our child has ended, or for as long as it may take."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([handle], [], [], PATIENCE)
    os.close(handle)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def wait_for(look: Callable[[], T], what: str) -> T:
    """What a look gives, as soon as that is something. Each look takes a process: there is no need to pause."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if seen := look():
            return seen
    raise AssertionError(f"waited {PATIENCE:g} s in vain for {what}")


def read_until(process: "subprocess.Popen[str]", wanted: str) -> list[str]:
    """The lines of its output up to the first one with this text."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            return lines
    raise AssertionError(f"it ended before {wanted!r}: {lines} {rest_of(process)}")


def rest_of(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What else it prints to stdout and stderr, until it has ended.

    Not `communicate`: that passes over what reading line by line has left in the buffer.
    """
    assert process.stdout
    assert process.stderr
    out, err = process.stdout.read(), process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    process.wait(timeout=PATIENCE)
    return out, err
