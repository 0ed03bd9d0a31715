"""Lines of a log, from the file into the journal, by a durable session.

The argument is JSON: `directory`, which is empty, and `lines`, a file of so many (`count`) STATUS lines. Prints as JSON
the seconds until the last is on the disk, and those of the processor.
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


async def main() -> None:
    task = json.loads(sys.argv[1])
    directory = Path(task["directory"])
    (directory / "cwd").mkdir(parents=True)
    go = directory / "cwd/go"
    program = f'until [ -e go ]; do sleep 0.01; done; cat {quote(task["lines"])} >>"$OPTIO_LOG"; exec sleep 1000'
    host = LocalHost(str(directory / "host"))
    async with open_sqlite(directory / "journal.db") as store:
        session = await Session.start(
            host,
            store,
            command=["sh", "-c", program],
            cwd=str(directory / "cwd"),
            deliverables=str(directory / "deliverables"),
            state_dir=str(directory / "state"),
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.wait)
            try:
                with anyio.fail_after(120):
                    before = (await store.snapshot(session.id)).last_seq
                    await anyio.sleep(0.5)  # until it follows
                    begun, worked = time.perf_counter(), time.process_time()
                    go.touch()
                    while (last := (await store.snapshot(session.id)).last_seq) < before + task["count"]:
                        await anyio.sleep(0.005)
                    seconds, processor = time.perf_counter() - begun, time.process_time() - worked
                assert last == before + task["count"]
            finally:
                with anyio.move_on_after(10, shield=True):
                    await session.kill()
    print(json.dumps({"seconds": seconds, "cpu": processor}))


anyio.run(main)
