"""Drive many durable sessions in this one process, and say what that costs. Run by `sessions_at_once.py`.

The first argument is JSON: `directory` is where everything goes, `count` how many sessions, `ssh` how to reach a host
over SSH (null is this machine), `idle` for how many seconds nothing happens, `samples` how many lines are timed, `ends`
how many sessions are ended by a DONE in their log; the others are killed. Says figures as JSON, a line for each step.
"""

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
from own_memory import peak_megabytes, resident_megabytes

from optio_agents import Session, open_store
from optio_agents.journal import Limits, Store

AT_ONCE = 16
"""Sessions that are being started at the same time."""
ENDING = 4
"""Sessions that are being ended at the same time."""
WAITING = ("sleep", "1000000")


def say(**figures: object) -> None:
    """A step is done."""
    print(json.dumps(figures), flush=True)


def processor_seconds() -> tuple[float, float]:
    """What this process has used, and what the commands have that it started and saw end."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime, theirs.ru_utime + theirs.ru_stime


async def start(host: Any, store: Store, task: dict[str, Any]) -> list[Session]:
    directory = Path(task["directory"])
    sessions: list[Session] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one() -> None:
        async with limiter:
            sessions.append(
                await Session.start(
                    host,
                    store,
                    WAITING,
                    cwd=str(directory),
                    deliverables=str(directory / "deliverables"),
                    state_dir=str(directory / "sessions"),
                    limits=Limits(grace=0),
                )
            )

    async with anyio.create_task_group() as tasks:
        for _ in range(task["count"]):
            tasks.start_soon(one)
    return sessions


async def latencies(store: Store, sessions: list[Session], samples: int) -> list[float]:
    """From an append to a session's log to its event in the journal, as a reader of the journal sees it; in ms."""
    took: list[float] = []
    for _ in range(samples):
        session = random.choice(sessions)
        change = (await store.snapshot(session.id)).change
        news = asyncio.ensure_future(store.news(session.id, change))
        await asyncio.sleep(random.uniform(0.005, 0.02))
        begun = append(session, b"STATUS: one more line\n")
        await asyncio.wait_for(news, 30)
        took.append(1000 * (time.perf_counter() - begun))
    return took


def append(session: Session, line: bytes) -> float:
    """Write to the log as its program would; when that was begun."""
    descriptor = os.open(f"{session.record.taskdir}/optio.log", os.O_WRONLY | os.O_APPEND)
    try:
        begun = time.perf_counter()
        os.write(descriptor, line)
        return begun
    finally:
        os.close(descriptor)


async def main() -> None:
    task = json.loads(sys.argv[1])
    directory = Path(task["directory"])
    outcomes: list[str] = []
    async with AsyncExitStack() as stack:
        if task["ssh"] is None:
            from optio_host import LocalHost

            host: Any = LocalHost(str(directory))
        else:
            from openssh import connected

            from optio_host.types import KnownHosts, SSHConfig

            settings = {**task["ssh"], "host_key": KnownHosts((task["ssh"]["host_key"],))}
            config = SSHConfig(**settings, config_files=(), agent=False, jump=())
            host = await stack.enter_async_context(connected(config, str(directory)))
        store = await stack.enter_async_context(open_store(f"sqlite://{directory}/journal.db"))
        say(step="connected", resident=resident_megabytes())
        begun = time.monotonic()
        used = sum(processor_seconds())
        sessions = await start(host, store, task)
        say(step="started", seconds=time.monotonic() - begun, processor=sum(processor_seconds()) - used)

        ended: dict[str, anyio.Event] = {session.id: anyio.Event() for session in sessions}

        async def drive(session: Session) -> None:
            outcome = await session.wait()
            outcomes.append("left" if outcome is None else f"{outcome.outcome}: {outcome.reason}")
            ended[session.id].set()

        async with anyio.create_task_group() as tasks:
            for session in sessions:
                tasks.start_soon(drive, session)
            await anyio.sleep(task["settle"])
            used_before, begun = processor_seconds(), time.monotonic()
            say(step="idle")
            await anyio.sleep(task["idle"])
            passed = time.monotonic() - begun
            used_now = processor_seconds()
            mine, theirs = (100 * (used_now[n] - used_before[n]) / passed for n in (0, 1))
            say(step="idled", driver=mine, commands=theirs, resident=resident_megabytes(), peak=peak_megabytes())
            say(step="timed", milliseconds=await latencies(store, sessions, task["samples"]))
            begun = time.monotonic()
            await end(sessions[: task["ends"]], ended)
            say(step="ended", seconds=time.monotonic() - begun, all=outcomes)
            tasks.cancel_scope.cancel()
    kill([session.record.rundir for session in sessions])


async def end(sessions: list[Session], ended: dict[str, anyio.Event]) -> None:
    """As if their programs had said DONE."""
    limiter = anyio.CapacityLimiter(ENDING)

    async def one(session: Session) -> None:
        async with limiter:
            append(session, b"DONE\n")
            await ended[session.id].wait()

    async with anyio.create_task_group() as tasks:
        for session in sessions:
            tasks.start_soon(one, session)


def kill(rundirs: list[str]) -> None:
    """Program and supervisor of each run that is left; the supervisor's own helper ends with them."""
    for rundir in rundirs:
        if os.path.exists(f"{rundir}/exit"):
            continue
        for name in ("supervisor", "pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(Path(rundir, name).read_text().split()[0]), signal.SIGKILL)


anyio.run(main)
