"""A driver for store.py, in the store that OPTIO_STORE names.

store_driver.py DIRECTORY fill EVENTS   starts a session, gives it so many events, and kills itself with SIGKILL
store_driver.py DIRECTORY adopt         adopts it, prints when that was done, and ends it
"""

import json
import os
import signal
import sys
import time

import anyio

from optio_agents.journal import Batch, NewEvent, open_store
from optio_agents.session import Session
from optio_host.local.host import LocalHost
from optio_host.paths import ensure_private_dir, state_dir

SESSION = "b3nch"
AT_ONCE = 1_000


async def fill(directory: str, events: int) -> None:
    ensure_private_dir(state_dir())
    async with open_store() as store:
        session = await Session.start(
            LocalHost(directory),
            store,
            ["sleep", "300"],
            cwd=directory,
            deliverables=f"{directory}/out",
            state_dir=state_dir(),
            session_id=SESSION,
        )
        last = (await store.snapshot(SESSION)).last_seq
        for begin in range(0, events, AT_ONCE):
            count = min(AT_ONCE, events - begin)
            line = [NewEvent("status", {"percent": None, "message": f"line {begin + n}"}, 1.0) for n in range(count)]
            last = (await store.commit(session.lease, Batch(after=last, events=tuple(line)))).last_seq
        os.kill(os.getpid(), signal.SIGKILL)


async def adopt(directory: str) -> None:
    async with open_store() as store:
        host = LocalHost(directory)
        session = await Session.adopt(host, store, SESSION)
        adopted = time.time()
        begun = time.perf_counter()
        last = (await store.snapshot(SESSION)).last_seq
        await store.events(SESSION, after=max(0, last - 1_000))
        page = time.perf_counter() - begun
        await store.put(SESSION, "cancel", {"force": True})
        await session.wait()
        print(json.dumps({"adopted": adopted, "page": page, "last_seq": last}))


if __name__ == "__main__":
    if sys.argv[2] == "fill":
        anyio.run(fill, sys.argv[1], int(sys.argv[3]))
    else:
        anyio.run(adopt, sys.argv[1])
