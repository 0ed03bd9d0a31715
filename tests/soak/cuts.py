"""Cuts of the link while a writer appends: a real sshd behind relays that drop, reset and stall. No line may be lost.

    cuts.py [--cuts 10000] [--links 4] [--seed N]

Each link has a file of its own, which a host over SSH follows through it. A cut is counted when it hits a connection
that stands, at any moment of its life: while it is made, while a file is read, or while nothing comes.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import anyio
from world import telling, until

from optio_host.cursor import START
from optio_host.host import FileReset
from optio_host.lines import Line
from optio_host.testing.relay import Relay
from ssh_rig import config_for, connected, own_sshd
from sshd_rig import Sshd

WAYS = ("drop", "end", "reset at a byte", "stall and drop", "half open and drop")

PATIENCE = 60.0
"""Seconds after which a line is taken for lost: more than any deadline on the way."""


@dataclass
class Result:
    """What came of it.

    Attributes:
        cuts: by the way in which the link was cut.
        connections: that were made altogether.
        lines: that came.
        problems: the first line of each link that was lost, doubled or changed.
        seconds: how long it took.
        slowest: seconds from a cut, or the end of a stall, to the next line, at most.
    """

    cuts: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    lines: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0

    def __str__(self) -> str:
        each = ", ".join(f"{count} {way}" for way, count in sorted(self.cuts.items()))
        return (
            f"{self.cuts.total()} cuts ({each}), {self.connections} connections, {self.lines} lines, "
            f"{len(self.problems)} links on which a line was lost or doubled, {self.seconds:.0f} s; the next line came "
            f"at most {self.slowest:.1f} s after a cut"
        )


class CutLink:
    """One link, one file, one writer, one follower.

    Parameters:
        server: behind the relay.
        directory: holds the file.
        seed: of everything that is drawn by lot.
        cuts: how many there are to be.
        result: where it is noted down.
    """

    def __init__(self, server: Sshd, directory: Path, seed: int, cuts: int, result: Result) -> None:
        self._server = server
        self._log = directory / f"log-{seed}"
        self._dice = random.Random(seed)
        self._cuts = cuts
        self._result = result
        self._written = 0
        self._seen = 0
        self._news = anyio.Event()
        self._log.touch()

    async def run(self) -> None:
        async with Relay(self._server.port) as relay:
            config = config_for(self._server, port=relay.port, keepalive_interval=0.5, keepalive_count=1)
            async with connected(config, str(self._log) + " task") as host:
                async with aclosing(host.follow(str(self._log), START)) as lines, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._write)
                    tasks.start_soon(self._cut, relay, tasks.cancel_scope)
                    async for item, _ in lines:
                        if not isinstance(item, Line) or item.data != self._line(self._seen):
                            what = item if isinstance(item, FileReset) else item.data[:40]  # type: ignore[union-attr]
                            self._result.problems.append(f"{self._log.name}: line {self._seen} came as {what!r}")
                            break
                        self._seen += 1
                        self._news.set()
                        self._news = anyio.Event()
                    tasks.cancel_scope.cancel()
            self._result.connections += relay.accepted
        self._result.lines += self._seen

    def _line(self, number: int) -> bytes:
        return b"%d %s" % (number, b"x" * (number * 7919 % 3000))

    async def _write(self) -> None:
        with self._log.open("ab", buffering=0) as log:
            while True:
                for _ in range(self._dice.randrange(1, 10)):
                    whole = self._line(self._written) + b"\n"
                    half = self._dice.randrange(len(whole))
                    log.write(whole[:half])
                    if self._dice.random() < 0.2:
                        await anyio.sleep(0.005)
                    log.write(whole[half:])
                    self._written += 1
                if self._written > self._seen + 200:
                    await self._next_line()
                await anyio.sleep(self._dice.choice((0.0, 0.01, 0.05)))

    async def _next_line(self) -> None:
        await self._news.wait()

    async def _cut(self, relay: Relay, everything: anyio.CancelScope) -> None:
        while self._cuts:
            # While the connection is made, too, one time in four.
            if self._dice.random() < 0.75:
                with anyio.move_on_after(PATIENCE):
                    await self._next_line()
            await anyio.sleep(self._dice.choice((0.0, 0.0, 0.02, 0.1)))
            if not relay.open:
                await anyio.sleep(0.01)
                continue
            way = self._dice.choice(WAYS)
            match way:
                case "drop":
                    await relay.drop()
                case "end":
                    await relay.drop(hard=False)
                case "reset at a byte":
                    relay.reset_after(self._dice.choice((0, 1, 100, self._dice.randrange(30_000))))
                    before = relay.accepted
                    await until(lambda before=before: not relay.open or relay.accepted > before, 5)  # type: ignore[misc]
                case "stall and drop":
                    relay.stall()
                    await anyio.sleep(self._dice.uniform(0.01, 0.3))
                    relay.restore()
                    await relay.drop()
                case "half open and drop":
                    relay.stall(self._dice.choice(("to_target", "from_target")))
                    await anyio.sleep(self._dice.uniform(0.01, 0.3))
                    await relay.drop()
                    relay.restore()
            self._result.cuts[way] += 1
            self._cuts -= 1
            began = time.monotonic()
            seen = self._seen
            if self._dice.random() < 0.1:
                with anyio.move_on_after(PATIENCE):
                    while self._seen == seen:
                        await self._next_line()
                self._result.slowest = max(self._result.slowest, time.monotonic() - began)
        written = self._written
        with anyio.move_on_after(PATIENCE) as patience:
            while self._seen < written:
                await self._next_line()
        if patience.cancelled_caught:
            self._result.problems.append(f"{self._log.name}: {written - self._seen} lines never came")
        everything.cancel()


async def cut_again_and_again(server: Sshd, directory: Path, *, cuts: int, links: int, seed: int) -> Result:
    """So many cuts, shared out among so many links.

    Parameters:
        server: to go to.
        directory: for the files.
        cuts: how many, all links together.
        links: how many.
        seed: of the first link.
    """
    result, began = Result(), time.monotonic()
    async with telling(lambda: f"{result.cuts.total()} of {cuts} cuts, {len(result.problems)} problems"):
        async with anyio.create_task_group() as tasks:
            for number in range(links):
                share = cuts // links + (number < cuts % links)
                tasks.start_soon(CutLink(server, directory, seed + number, share, result).run)
    result.seconds = time.monotonic() - began
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=10_000)
    parser.add_argument("--links", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="optio-cuts-") as directory, own_sshd(Path(directory) / "sshd") as server:

        async def run() -> Result:
            return await cut_again_and_again(
                server, Path(directory), cuts=given.cuts, links=given.links, seed=given.seed
            )

        result = anyio.run(run)
    print(f"seed {given.seed}: {result}")
    for each in result.problems:
        print(f"  {each}")
    sys.exit(1 if result.problems else 0)


if __name__ == "__main__":
    main()
