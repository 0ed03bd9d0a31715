"""Cancels of programs whose children do everything to survive: here, over SSH as this user, and as a plain one.

    cancels.py [--cancels 1000] [--kind here|ssh|"ssh as a user"] [--at-once 8]

Each starts a session, waits until every process of it runs, cancels, and looks for survivors on the machine.
"""

import argparse
import getpass
import itertools
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import anyio
from hiding import CHILDREN, script, sleeping
from world import telling, until

from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session
from optio_host.local.host import LocalHost
from ssh_rig import HereOverSsh, config_for
from sshd_rig import Sshd, plain_user, sshd

KINDS = ("here", "ssh", "ssh as a user")
"""Where it runs; `ssh` is as this user, which is root in CI."""

SOON = 60.0
"""Seconds in which everything of a program must run, on a machine that does much else."""

_marks = itertools.count(1)


@dataclass
class Result:
    """What came of it.

    Attributes:
        cancels: how many there were.
        processes: that slept when they were cancelled.
        survivors: a line for each process that was there when the session had ended.
        problems: what else was not as it should be.
        seconds: how long it took.
        times: seconds from each cancel until nothing was found any more.
    """

    cancels: int = 0
    processes: int = 0
    survivors: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        late = sum(each > 7 for each in self.times)
        return (
            f"{self.cancels} cancels of {self.processes} hiding processes: {len(self.survivors)} survivors, "
            f"{len(self.problems)} problems; gone after {max(self.times, default=0):.1f} s at most, {late} times after "
            f"more than 7 s; {self.seconds:.0f} s"
        )


@contextmanager
def place(kind: str) -> Iterator[tuple[Path, Sshd | None]]:
    """A directory of whoever runs the programs, and the server to go to."""
    # Not below a directory of this user alone.
    directory = Path(tempfile.mkdtemp(prefix="optio-cancels-", dir="/tmp"))
    before = os.environ.get("XDG_STATE_HOME")
    try:
        directory.chmod(0o755)
        user = plain_user() if kind == "ssh as a user" else getpass.getuser()
        base, home = directory / "base", directory / "home"
        for each in (base, home):
            each.mkdir()
            shutil.chown(each, user)
        os.environ["XDG_STATE_HOME"] = str(base / "state")
        if kind == "here":
            yield base, None
        else:
            with sshd(directory / "sshd", user=user, settings=f"SetEnv HOME={home}") as server:
                yield base, server
    finally:
        os.environ.pop("XDG_STATE_HOME", None)
        if before is not None:
            os.environ["XDG_STATE_HOME"] = before
        shutil.rmtree(directory)


@asynccontextmanager
async def host_at(base: Path, server: Sshd | None) -> AsyncIterator[LocalHost | HereOverSsh]:
    if server is None:
        yield LocalHost(str(base))
        return
    host = HereOverSsh(config_for(server), str(base))
    try:
        await host.connect()
        yield host
    finally:
        await host.disconnect()


async def cancel_again_and_again(
    base: Path, server: Sshd | None, *, cancels: int, at_once: int, seed: int = 1
) -> Result:
    """So many sessions, so many of them at once, over one connection for every four."""
    result, began = Result(), time.monotonic()
    numbers = iter(range(cancels))

    async def some() -> None:
        async with host_at(base, server) as host:
            async with anyio.create_task_group() as tasks:
                for _ in range(min(4, at_once)):
                    tasks.start_soon(several, host)

    async def several(host: LocalHost | HereOverSsh) -> None:
        for number in numbers:
            await cancel_one(host, base, random.Random(f"{seed} {number}"), result)

    async with telling(lambda: f"{result.cancels} of {cancels} cancels, {len(result.survivors)} survivors"):
        async with anyio.create_task_group() as tasks:
            for _ in range(max(1, at_once // 4)):
                tasks.start_soon(some)
    result.seconds = time.monotonic() - began
    return result


async def cancel_one(host: LocalHost | HereOverSsh, base: Path, dice: random.Random, result: Result) -> None:
    # All six in one of two programs, else some.
    names = tuple(CHILDREN) if dice.random() < 0.5 else tuple(dice.sample(list(CHILDREN), dice.randrange(1, 5)))
    mark = f"7{os.getpid():07}.{next(_marks):07}"
    children, count = script(mark, *names)
    own = dice.choice(("wait; sleep 300", "trap '' TERM; while :; do sleep 300; done", "exec sleep 300"))
    store = MemoryStore()
    session = await Session.start(
        host,
        store,
        ["sh", "-c", f'{children}\necho begun >>"$OPTIO_LOG"\n{own}'],
        cwd=str(base),
        deliverables=str(base / "out"),
        state_dir=str(base / "sessions"),
    )

    async def cancel() -> None:
        await until(lambda: len(sleeping(mark)) >= count, SOON)
        result.processes += len(sleeping(mark))
        asked = time.monotonic()
        await session.cancel("enough")
        if await until(lambda: not sleeping(mark), SOON):
            result.times.append(time.monotonic() - asked)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        outcome = await session.wait()
        # The session says that it has ended: from here on nothing may be found, not even for a moment.
        result.survivors += [f"{each} ({', '.join(names)}; {own})" for each in sleeping(mark)]
    if outcome is None or outcome.outcome not in ("cancelled", "failed"):
        result.problems.append(f"a session that was cancelled is {outcome}")
    result.cancels += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cancels", type=int, default=1_000)
    parser.add_argument("--kind", choices=KINDS, help="only this one")
    parser.add_argument("--at-once", type=int, default=8)
    given = parser.parse_args()
    failed = False
    for kind in [given.kind] if given.kind else KINDS:
        with place(kind) as (base, server):

            async def run(base: Path = base, server: Sshd | None = server) -> Result:
                return await cancel_again_and_again(base, server, cancels=given.cancels, at_once=given.at_once)

            result = anyio.run(run)
        print(f"{kind}: {result}", flush=True)
        for each in (*result.survivors, *result.problems):
            print(f"  {each}")
        failed = failed or bool(result.survivors or result.problems)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
