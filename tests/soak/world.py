"""Where an episode takes place: a real sshd behind a relay, two small disks, a store, and the command `optio`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from hiding import command_line, is_alive

from optio_host.testing.relay import Relay
from sshd_rig import Sshd, sshd

HERE = Path(__file__).resolve().parent
OPTIO = str(Path(sys.executable).parent / "optio")
PROGRAM = HERE / "scripted_program.py"

TELL_EVERY = 10.0
"""Seconds between two words about how far something long is."""

DISK = "48m"
"""Size of either disk: enough for an episode, and soon full."""


@dataclass
class Ran:
    """A command that was given.

    Attributes:
        code: exit status, negative for a signal; None while it runs.
        killed: by us, so that nothing follows from its status.
    """

    arguments: tuple[str, ...]
    out: Path
    err: Path
    pid: int = 0
    code: int | None = None
    killed: bool = False


class World:
    """Everything of one episode.

    Attributes:
        base: its directory.
        relay: the link to the host `far`.
        server: the sshd behind it.
        ran: every `optio` that was started.
        killed: processes that were ended by SIGKILL.
        disks: whether the disks are small ones of their own, which can be filled.
    """

    def __init__(self, base: Path, relay: Relay, server: Sshd, store: str, *, disks: bool) -> None:
        self.base = base
        self.relay = relay
        self.server = server
        self.disks = disks
        self.store = store or f"sqlite://{base}/near/optio/journal.db"
        self.ran: list[Ran] = []
        self.killed: set[int] = set()
        self.env = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(base / "home"),
            "XDG_STATE_HOME": str(base / "near"),
            "OPTIO_STORE": self.store,
            "OPTIO_POLICY": "none",
            "OPTIO_SOAK_COMMITS": str(base / "commits"),
            "PYTHONPATH": str(HERE / "noting"),
        }

    def state(self, place: str) -> Path:
        """Where sessions have their directories."""
        return self.base / ("far" if place == "far" else "near") / "optio"

    def disk(self, place: str) -> Path:
        return self.base / ("far" if place == "far" else "near")

    def prepare(self, *arguments: str) -> Ran:
        """A command that is about to be started."""
        number = len(self.ran)
        ran = Ran(arguments, self.base / "ran" / f"{number}.out", self.base / "ran" / f"{number}.err")
        self.ran.append(ran)
        return ran

    @asynccontextmanager
    async def started(self, ran: Ran, *, piped: bool = False) -> AsyncIterator[anyio.abc.Process]:
        """Start it; at the end of the block it is killed if it has not ended."""
        with ran.err.open("wb") as err, ran.out.open("wb") as out:
            process = await anyio.open_process(
                [OPTIO, *ran.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else out,
                stderr=err,
                env=self.env,
                cwd=self.base / "work",
                start_new_session=True,
            )
        ran.pid = process.pid
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    ran.killed = True
                    with suppress(ProcessLookupError):
                        process.kill()
                await process.aclose()
                ran.code = process.returncode

    async def optio(self, *arguments: str, within: float = 90) -> Ran:
        """Run a command to its end; one that takes longer is killed."""
        ran = self.prepare(*arguments)
        async with self.started(ran) as process:
            with anyio.move_on_after(within):
                ran.code = await process.wait()
        return ran

    def fill(self, place: str) -> None:
        """Leave no room on a disk."""
        with suppress(OSError):
            file = os.open(self.disk(place) / "full", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                for size in (1 << 20, 1 << 12, 1):
                    with suppress(OSError):
                        while True:
                            os.write(file, b"\0" * size)
            finally:
                os.close(file)

    def empty(self, place: str) -> None:
        """Make the room again."""
        (self.disk(place) / "full").unlink(missing_ok=True)

    def processes(self) -> dict[int, str]:
        """Everything alive that belongs here, by environment: drivers, supervisors, programs, readers."""
        mark = f"XDG_STATE_HOME={self.base}/".encode()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes() and is_alive(int(process.name)):
                    found[int(process.name)] = command_line(int(process.name))
            except OSError:
                continue  # it has just ended
        return found

    def signal_if_there(self, pid: int, number: int) -> None:
        """Send a signal to a process of this world."""
        if pid and pid in self.processes():
            if number == signal.SIGKILL:
                self.killed.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def problems(self) -> Iterator[str]:
        """What commands and drivers have said that nobody should ever read."""
        said = [
            (each.err, " ".join(("optio", *each.arguments)))
            for each in self.ran
            # Ctrl-C while Python itself still starts is Python's to tell.
            if not (each.killed and "KeyboardInterrupt" in each.err.read_text(errors="replace"))
        ]
        said += [(each, str(each.relative_to(self.base))) for each in self.base.glob("*/optio/*/driver.log")]
        uncaught = self.base / "commits-uncaught"
        said += [(uncaught, "what nobody caught")] * uncaught.exists()
        for path, what in said:
            text = path.read_text(errors="replace")
            if "Traceback" in text or "never retrieved" in text or "never awaited" in text:
                yield f"{what[:120]}: {text.strip()[-3000:]}"
        for ran in self.ran:
            if ran.code is not None and ran.code < 0 and not ran.killed and ran.pid not in self.killed:
                yield f"optio {' '.join(ran.arguments)[:120]} was ended by signal {-ran.code}"

    def commits(self) -> list[tuple[str, int, int, int]]:
        """What drivers have noted down: session, generation, process, event."""
        path = self.base / "commits"
        if not path.exists():
            return []
        found = [each.split() for each in path.read_text().split("\n")[:-1]]
        return [(session, int(generation), int(pid), int(seq)) for session, generation, pid, seq in found]


@asynccontextmanager
async def world(store: str = "", *, keep: bool = False, small: bool = True) -> AsyncIterator[World]:
    """One for an episode, with nothing left of it afterwards.

    Parameters:
        store: URL of its store; "": a SQLite file of its own.
        keep: its directory stays.
        small: the disks are small ones, which can be filled; where this user may mount them.
    """
    # Below no directory of this user alone: another user may log in.
    base = Path(tempfile.mkdtemp(prefix="optio-soak-", dir="/tmp"))
    base.chmod(0o755)
    try:
        for name in ("work", "ran", "notes", "home/.ssh", "home there", "near", "far"):
            (base / name).mkdir(parents=True, mode=0o700)
        with disk(base / "near", small=small) as near, disk(base / "far", small=small) as far:
            with sshd(base / "sshd", settings=f'SetEnv XDG_STATE_HOME={base}/far "HOME={base}/home there"') as server:
                async with Relay(server.port) as relay:
                    write_ssh_config(base / "home" / ".ssh", server, relay.port)
                    here = World(base, relay, server, store, disks=near and far)
                    try:
                        yield here
                    finally:
                        end_everything(here)
                        if keep:
                            keep_disks(base)
    finally:
        if not keep:
            shutil.rmtree(base)


def keep_disks(base: Path) -> None:
    """The disks go with the episode; what was on them stays."""
    for name in ("near", "far"):
        subprocess.run(["cp", "-a", base / name, base / f"{name} kept"], check=False)


@contextmanager
def disk(directory: Path, *, small: bool) -> Iterator[bool]:
    """A small disk at this directory, if one is wanted and may be mounted; whether there is one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "none", str(directory)]
    mounted = small and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", directory], check=True)


def write_ssh_config(directory: Path, server: Sshd, port: int) -> None:
    """`far` is the server, by the relay."""
    (directory / "config").write_text(
        f"Host far\n  HostName 127.0.0.1\n  Port {port}\n  User {server.user}\n  IdentityFile {server.key}\n"
        "  IdentityAgent none\n"
    )
    known = Path(server.known_hosts).read_text()
    (directory / "known_hosts").write_text(known.replace(f":{server.port} ", f":{port} "))


def end_everything(here: World) -> None:
    """Nothing of an episode outlives it, whatever came of it."""
    for pid in here.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while here.processes() and time.monotonic() < deadline:
        time.sleep(0.05)


async def until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it has come to hold within this time. For what tells nobody that it has happened."""
    deadline = time.monotonic() + seconds
    while True:
        if holds() or time.monotonic() > deadline:
            return holds()
        await anyio.sleep(0.05)


@asynccontextmanager
async def telling(how_far: Callable[[], str]) -> AsyncIterator[None]:
    """Say every now and then how far the block is, on stderr."""

    async def tell() -> None:
        while True:
            await anyio.sleep(TELL_EVERY)
            print(f"  {how_far()}", file=sys.stderr)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tell)
        yield
        tasks.cancel_scope.cancel()


def notes_of(directory: Path) -> list[dict[str, object]]:
    """What a scripted program has written down; a line that it could not finish is none."""
    path = directory / "done"
    return [json.loads(each) for each in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []
