"""Deadlines and memory, measured on real drivers behind a real sshd: how soon a link is missed, how soon it is back,
and how much a driver takes whatever it is given.

    bounds.py [noticed] [memory] [owners]
"""

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import anyio
from world import Ran, World, world

from optio_agents.journal import Store, open_store

MIB = 1024

PATIENCE = 300.0
"""Seconds after which something that was to happen will not."""

COUNTS = (
    'i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo "STATUS: line $i." >>"$OPTIO_LOG"; sleep 0.1; done; sleep 600'
)
SAYS_MUCH = """
import os
log = open(os.environ["OPTIO_LOG"], "ab")
if "{what}" == "output":
    for _ in range(1024):
        os.write(1, (b"x" * 65_535 + b"\\n") * 16)
if "{what}" == "line":
    log.write(b"STATUS: " + b"x" * 100_000_000 + b"\\n")
if "{what}" == "events":
    for number in range(200_000):
        log.write(b"STATUS: line %d, and some more words that take room\\n" % number)
log.write(b"DONE\\n")
"""


async def start(here: World, *command: str, place: str = "far") -> str:
    """A session in the background; its id."""
    host = ["--host", "far"] if place == "far" else []
    where = ["--in", str(here.base / "work"), "--deliverables", str(here.base / "landed")]
    ran = await here.optio("run", "--detach", "--json", *host, *where, "--", *command)
    assert ran.code == 0, ran.err.read_text()
    return str(json.loads(ran.out.read_text())["id"])


async def event(store: Store, session: str, kind: str, words: str = "", *, since: float = 0.0) -> None:
    """Return when there is an event of this type, with these words in it, that is not older than this."""
    after, change = 0, 0
    with anyio.fail_after(PATIENCE):
        while True:
            page = await store.events(session, after=after)
            for each in page.events:
                after = each.seq
                if each.type == kind and words in str(each.data) and each.time > since:
                    return
            if after >= page.last_seq:
                change = await store.news(session, change)


async def noticed() -> AsyncIterator[str]:
    """How soon a black hole is noticed, and how soon the next line comes when it is none any more."""
    missed, back = [], []
    async with world() as here, open_store(here.store) as store:
        session = await start(here, "sh", "-c", COUNTS.format(count=5_000))
        await event(store, session, "status")
        for _ in range(5):
            here.relay.stall()
            began = time.time()
            await event(store, session, "notice", "broke", since=began)
            missed.append(time.time() - began)
            await anyio.sleep(5)  # it tries to come back meanwhile, and is somewhere in between
            began = time.time()
            here.relay.restore()
            await event(store, session, "status", since=began)
            back.append(time.time() - began)
        await here.optio("cancel", session)
    yield f"a black hole was noticed after {said(missed)} s (5 times, defaults)"
    yield f"the next line came {said(back)} s after the link was back (5 times)"


def said(times: list[float]) -> str:
    return f"{min(times):.1f} to {max(times):.1f}, median {statistics.median(times):.1f},"


def peak(pid: int) -> int:
    """Most memory that a process has held so far, in KiB; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(each.split()[1]) for each in lines if each.startswith("VmHWM:")), 0)


async def memory() -> AsyncIterator[str]:
    """How much more than when it has nothing to do a driver takes that somebody watches with -v."""
    async with world(small=False) as here:
        idle = await most(here, "nothing")
        yield f"a driver over ssh with nothing to do takes {idle / MIB:.0f} MiB"
        for what, words in {
            "output": "1 GiB of output, shown",
            "line": "a line of 100 MB in the log",
            "events": "200,000 events and a reader that never reads",
        }.items():
            taken = await most(here, what)
            yield f"{words}: {(taken - idle) / MIB:.0f} MiB more"


async def most(here: World, what: str) -> int:
    """Peak of `optio run` while a program says this much."""
    watched = [] if what == "events" else ["-v"]
    program = SAYS_MUCH.format(what=what)
    ran: Ran = here.prepare(
        "run", *watched, "--host", "far", "--deliverables", str(here.base / what), "--", "python3", "-c", program
    )
    highest = 0
    async with here.started(ran, piped=what == "events") as process:
        if what == "events":
            async with open_store(here.store) as store:
                known = {each.id for each in await store.sessions()}
                await until_async(lambda: any_new(store, known), 60)
                [session] = [each.id for each in await store.sessions() if each.id not in known]
                await event(store, session, "session.ended")
                return peak(process.pid)
        while process.returncode is None:
            highest = max(highest, peak(process.pid))
            with anyio.move_on_after(0.02):
                await process.wait()
    assert ran.code == 0, ran.err.read_text()
    return highest


async def any_new(store: Store, known: set[str]) -> bool:
    return any(each.id not in known for each in await store.sessions())


async def until_async(holds: Callable[[], Awaitable[bool]], seconds: float) -> None:
    with anyio.fail_after(seconds):
        while not await holds():  # noqa: ASYNC110 - a store of another process tells nobody of new sessions
            await anyio.sleep(0.05)


async def owners() -> AsyncIterator[str]:
    """Eight drivers want one session for a minute, while those who have it are paused and killed."""
    async with world() as here, open_store(here.store) as store:
        session = await start(here, "sh", "-c", COUNTS.format(count=100_000), place="here")
        killed = paused = 0
        async with anyio.create_task_group() as tasks:

            async def drive() -> None:
                while True:
                    await here.optio("drive", session)
                    await anyio.sleep(0.1)  # it has been told that another one drives

            for _ in range(8):
                tasks.start_soon(drive)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                await anyio.sleep(1)
                driver = (await store.snapshot(session)).lease.driver
                if driver is None or driver.pid not in here.processes():
                    continue
                if (killed + paused) % 4 == 3:
                    os.kill(driver.pid, signal.SIGSTOP)
                    paused += 1
                    await anyio.sleep(17)
                    here.signal_if_there(driver.pid, signal.SIGCONT)
                else:
                    here.signal_if_there(driver.pid, signal.SIGKILL)
                    killed += 1
            tasks.cancel_scope.cancel()
        await here.optio("cancel", session)
        writers: dict[int, set[int]] = {}
        for _, generation, pid, _ in here.commits():
            writers.setdefault(generation, set()).add(pid)
        events = (await store.events(session)).events
        texts = [each.data["message"] for each in events if each.type == "status"]
        broken = [generation for generation, pids in writers.items() if len(pids) > 1]
        in_order = texts == [f"line {number}." for number in range(1, len(texts) + 1)]
        yield (
            f"8 drivers of one session, {killed} killed and {paused} paused: {len(writers)} generations that wrote, "
            f"{len(broken)} of them with more than one writer; lines {'once and in order' if in_order else 'NOT so'}"
        )


async def show(lines: AsyncIterator[str]) -> None:
    async for line in lines:
        print(line, flush=True)


def main() -> None:
    known = {each.__name__: each for each in (noticed, memory, owners)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", metavar="|".join(known), help="which; all if none is named")
    for name in parser.parse_args().what or known:
        anyio.run(show, known[name]())


if __name__ == "__main__":
    main()
