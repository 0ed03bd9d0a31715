"""A driver of a session, as a program: it starts one that says much and tells when all is written down, or adopts it.

The argument is JSON: `directory`; `count` lines that the program has said; `adopt`: whether it is there already. Prints
"ready" once all of it is committed, then waits to be killed; or, having adopted it, the seconds of that as JSON.
"""

import json
import sys
import time
from pathlib import Path
from shlex import quote

import anyio

from optio_agents import Session
from optio_agents.journal.sqlite.store import open_sqlite
from optio_host import LocalHost

MORE = "STATUS: 99% one more"


async def main() -> None:
    task = json.loads(sys.argv[1])
    directory = Path(task["directory"])
    host = LocalHost(str(directory / "host"))
    async with open_sqlite(directory / "journal.db") as store:
        with anyio.fail_after(240):
            await (adopt if task["adopt"] else drive)(directory, host, store, task["count"])


async def drive(directory: Path, host: LocalHost, store, count: int) -> None:  # type: ignore[no-untyped-def]
    (directory / "cwd").mkdir()
    program = f'cat {quote(str(directory / "lines"))} >>"$OPTIO_LOG"; until [ -e more ]; do sleep 0.01; done; ' + (
        f'echo "{MORE}" >>"$OPTIO_LOG"; exec sleep 1000'
    )
    session = await Session.start(
        host,
        store,
        command=["sh", "-c", program],
        cwd=str(directory / "cwd"),
        deliverables=str(directory / "deliverables"),
        state_dir=str(directory / "state"),
        session_id="adopted",
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.wait)
        while (await store.snapshot(session.id)).last_seq < count:
            await anyio.sleep(0.02)
        await anyio.sleep(0.2)
        print("ready", flush=True)


async def adopt(directory: Path, host: LocalHost, store, count: int) -> None:  # type: ignore[no-untyped-def]
    begun = time.perf_counter()
    session = await Session.adopt(host, store, "adopted")
    adopted = time.perf_counter() - begun
    last = (await store.snapshot(session.id)).last_seq
    assert last >= count
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.wait)
        # It drives: what the program says next is committed.
        (directory / "cwd/more").touch()
        while (await store.snapshot(session.id)).last_seq <= last:
            await anyio.sleep(0.005)
        driving = time.perf_counter() - begun
        print(json.dumps({"adopted": adopted, "driving": driving}), flush=True)
        await session.kill()


anyio.run(main)
