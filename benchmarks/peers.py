"""What is left of a program on another host when the link is cut, its driver is killed, or it is ended: a table.

    python benchmarks/peers.py [NAME ...]

Ours beside what people use otherwise: plain ssh, tmux on the far side, and the published optio-agents. Each runs the
same program on a real sshd, behind a relay that this script cuts. It writes a numbered line every tenth of a second, to
its output and to the log, and has a child that left it with setsid. Every cell is what was seen, not what is promised.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.from_thread
import published
from survival import configure
from waiting import PATIENCE, becomes_true, until

# The tests start sshd in the same way.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from optio_host.testing.relay import Relay
from ssh_rig import own_sshd
from sshd_rig import Sshd

LINES = 100
"""Ten a second."""
AWAY = 3.0
"""Seconds that the link is cut, or nobody is there."""
GONE = 10.0
"""Seconds after which whatever is still there counts as left."""
OPTIO = str(Path(sys.executable).parent / "optio")

PROGRAM = """
setsid sleep {child} >/dev/null 2>&1 &
n=0
while [ $n -lt {lines} ]; do
  n=$((n + 1))
  echo "STATUS: line $n." >>"{log}"
  echo "$n" >>"{written}"
  echo "line $n."
  sleep 0.1
done
echo DONE >>"{log}"
"""

SEEN = "nothing happens: whoever watches has every line, once"
ALIVE_CUT = f"the link is cut for {AWAY:g} s: the program goes on"
SEEN_CUT = "whoever watches has every line, once, without doing anything"
ALIVE_KILLED = "the driver, or client, gets SIGKILL: the program goes on"
SEEN_KILLED = "whoever comes back has every line, once"
GONE_ENDED = "it is ended: nothing is left, not even a child that called setsid"


class Peer(ABC):
    """One way to run the program on the far host.

    Parameters:
        base: a directory for this run alone; with `ssh`, a configuration by which `far` is the server.
        server: behind the relay.
        port: of the relay.
    """

    name = ""
    log = "/dev/null"

    def __init__(self, base: Path, server: Sshd, port: int) -> None:
        self.base = base
        self.server = server
        self.port = port
        self.written = base / "written"
        self.child = f"{300 + time.time_ns() % 10**9 / 10**9:.9f}"
        """Seconds that the child sleeps, by which it is found."""
        self.env = {**os.environ, "HOME": str(base), "XDG_STATE_HOME": str(base / "here")}
        self.env.pop("OPTIO_STORE", None)
        self.processes: list[subprocess.Popen[bytes]] = []

    def program(self) -> str:
        return PROGRAM.format(child=self.child, lines=LINES, log=self.log, written=self.written)

    def popen(self, *words: str) -> subprocess.Popen[bytes]:
        """One more process that sees the program; what it prints is kept."""
        with (self.base / f"seen-{len(self.processes)}").open("wb") as seen, (self.base / "err").open("ab") as err:
            process = subprocess.Popen(words, env=self.env, stdin=subprocess.DEVNULL, stdout=seen, stderr=err)
        self.processes.append(process)
        return process

    def call(self, *words: str) -> str:
        return subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=PATIENCE, check=False).stdout

    def ssh(self, *words: str) -> list[str]:
        return ["ssh", "-F", str(self.base / ".ssh/config"), "far", *words]

    @abstractmethod
    def start(self) -> None:
        """Run the program, and watch it."""

    @abstractmethod
    def come_back(self) -> None:
        """Do what a person does who finds the driver, or the client, dead."""

    @abstractmethod
    def end(self) -> None:
        """End the program, as one does."""

    def seen(self) -> list[int]:
        """The numbers of the lines that whoever watched, or came back, has."""
        texts = [(self.base / f"seen-{number}").read_text() for number in range(len(self.processes))]
        return [int(number) for number in re.findall(r"line (\d+)\.", "".join(texts))]

    def has_every_line(self) -> bool:
        """Whether those are all that the program writes, in order, once."""
        return self.seen() == list(range(1, LINES + 1))

    def lines_written(self) -> int:
        return len(self.written.read_text().splitlines()) if self.written.exists() else 0

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


class Optio(Peer):
    name = "optio"
    log = "$OPTIO_LOG"

    def start(self) -> None:
        self.popen(OPTIO, "run", "--json", "--host", "far", "--", "sh", "-c", self.program())

    def session(self) -> str:
        return str(json.loads(self.call(OPTIO, "ls", "--all", "--json").splitlines()[0])["id"])

    def come_back(self) -> None:
        (self.base / "seen-0").write_text("")  # attach shows the session from its first line on
        self.popen(OPTIO, "attach", "--json", self.session())

    def end(self) -> None:
        self.call(OPTIO, "cancel", self.session())


class Ssh(Peer):
    name = "ssh far program"

    def start(self) -> None:
        self.popen(*self.ssh("sh", "-c", shlex.quote(self.program())))

    def come_back(self) -> None:
        """There is nothing to come back to: what was seen is all there is."""

    def end(self) -> None:
        self.processes[0].send_signal(signal.SIGINT)


class Tmux(Peer):
    name = "tmux on the far side"

    def _tmux(self, *words: str) -> list[str]:
        return self.ssh(shlex.join(["tmux", "-S", str(self.base / "tmux"), *words]))

    def start(self) -> None:
        # The shell behind it keeps the window, and with it what was printed.
        self.call(*self._tmux("new-session", "-d", "-s", "work", f"{self.program()}\nexec sleep 300"))
        self.env["TERM"] = "xterm"
        self.popen("ssh", "-tt", *self._tmux("attach", "-t", "work")[1:])

    def come_back(self) -> None:
        until(lambda: self.lines_written() == LINES)
        (self.base / "seen-0").write_text("")  # the screen of a terminal is no list of lines
        self.popen(*self._tmux("capture-pane", "-p", "-S", "-", "-t", "work"))

    def seen(self) -> list[int]:
        return sorted(set(super().seen()))  # what a terminal draws again is not there twice

    def end(self) -> None:
        self.call(*self._tmux("kill-server"))

    def close(self) -> None:
        self.call(*self._tmux("kill-server"))
        super().close()


class Published(Peer):
    name = published.AGENTS

    def program(self) -> str:
        self.log = str(self.base / "task/workdir/optio.log")
        return super().program()

    def start(self) -> None:
        task = {
            "user": self.server.user,
            "key": self.server.key,
            "port": self.port,
            "taskdir": str(self.base / "task"),
            "program": self.program(),
        }
        python = published.python(published.AGENTS)
        self.popen(python, str(Path(__file__).with_name("peers_driver.py")), json.dumps(task))

    def come_back(self) -> None:
        self.start()  # it has nothing else to offer

    def end(self) -> None:
        self.processes[0].terminate()


PEERS: dict[str, type[Peer]] = {peer.name.split("==")[0].split()[0]: peer for peer in (Optio, Ssh, Tmux, Published)}


def nothing_happens(peer: Peer, cut: Callable[[], None]) -> dict[str, bool]:
    peer.start()
    return {SEEN: becomes_true(peer.has_every_line)}


def link_is_cut(peer: Peer, cut: Callable[[], None]) -> dict[str, bool]:
    peer.start()
    until(lambda: peer.lines_written() >= 20)
    cut()
    alive = becomes_true(lambda: peer.lines_written() == LINES)
    return {ALIVE_CUT: alive, SEEN_CUT: alive and becomes_true(peer.has_every_line)}


def driver_is_killed(peer: Peer, cut: Callable[[], None]) -> dict[str, bool]:
    peer.start()
    until(lambda: peer.lines_written() >= 20)
    peer.processes[0].kill()
    peer.processes[0].wait()
    time.sleep(AWAY)
    before = peer.lines_written()
    time.sleep(1)
    alive = peer.lines_written() > before
    peer.come_back()
    return {ALIVE_KILLED: alive, SEEN_KILLED: becomes_true(peer.has_every_line)}


def it_is_ended(peer: Peer, cut: Callable[[], None]) -> dict[str, bool]:
    peer.start()
    until(lambda: peer.lines_written() >= 20)
    assert processes_of(peer), "the child is not there"
    peer.end()
    deadline = time.monotonic() + GONE
    while processes_of(peer) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {GONE_ENDED: not processes_of(peer)}


TRIALS = (nothing_happens, link_is_cut, driver_is_killed, it_is_ended)


@contextmanager
def relayed(server: Sshd) -> Iterator[tuple[int, Callable[[], None]]]:
    """The port of a relay to the server, and what cuts it for some seconds."""

    async def cut(relay: Relay) -> None:
        await relay.drop()
        relay.stall()
        await anyio.sleep(AWAY)
        await relay.drop()
        relay.restore()

    with anyio.from_thread.start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(Relay(server.port)) as relay:
            yield relay.port, lambda: portal.call(cut, relay)


def processes_of(peer: Peer) -> list[int]:
    """Those that have the mark of this run: the program and its children, on the far side and here."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if peer.child.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it has just ended
    return found


def tried(kind: type[Peer], server: Sshd) -> dict[str, bool]:
    """Every row of one peer."""
    rows: dict[str, bool] = {}
    for trial in TRIALS:
        with tempfile.TemporaryDirectory(prefix="optio-peers-") as name, relayed(server) as (port, cut):
            base = Path(name)
            configure(base / ".ssh", server, port)
            peer = kind(base, server, port)
            try:
                rows |= trial(peer, cut)
            finally:
                peer.close()
                for pid in processes_of(peer):
                    os.kill(pid, signal.SIGKILL)
                until(lambda peer=peer: not processes_of(peer))  # type: ignore[misc]
    return rows


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in PEERS]:
        print(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}\n\n{__doc__}", file=sys.stderr)
        return 2
    results = {}
    with (
        tempfile.TemporaryDirectory(prefix="optio-peers-") as name,
        own_sshd(Path(name), "Subsystem sftp internal-sftp") as server,
    ):
        for each in names or PEERS:
            print(f"{each} ...", file=sys.stderr, flush=True)
            results[PEERS[each].name] = tried(PEERS[each], server)
    print("| what happens | " + " | ".join(results) + " |")
    print("|---|" + "---|" * len(results))
    for row in next(iter(results.values())):
        print(f"| {row} | " + " | ".join("yes" if rows[row] else "no" for rows in results.values()) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
