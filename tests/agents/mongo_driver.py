"""A driver on a machine of its own, as far as anybody can tell: a program, for the tests of journals in MongoDB.

    mongo_driver.py ROOT NAME STORE_URL [--start]

It drives the session below ROOT whenever nobody else does, until the session has ended, and starts it first if it is
told to. NAME is the name of the machine. OPTIO_TEST_SSHD names the host that the session runs on, as for
crash_driver.py. Below ROOT, `wrote` has a line for every commit and every append to the program's files that was
carried out: who did it, in which generation, and the numbers of the events or the place in the file.
"""

import argparse
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from crash_driver import machine

from optio_agents import drive, driver_identity
from optio_agents.delivery import DeliverableHook
from optio_agents.errors import LeaseHeld, LeaseLost, SessionRefused, StoreAway
from optio_agents.hooks import SessionHookContext
from optio_agents.journal import Batch, Deliverable, Driver, Lease, SessionRecord
from optio_agents.journal.batch import Committed
from optio_agents.journal.mongo.store import MongoStore, open_mongo
from optio_agents.journal.mongo.url import Place, place_of
from optio_agents.patient_store import PatientStore
from optio_agents.session import Session
from optio_host.job import Job
from optio_host.job_errors import JobGone, NotOwner

SESSION = "5e55105"
EVERY = 50
"""Lines of the program between two deliverables."""
TTL = 2.0
"""Seconds of a lease here, so that nobody has to wait for long."""
RENEW_EVERY = 0.5
STORE_PATIENCE = 1.0

PROGRAM = f"""
log() {{ printf '%s\\n' "$1" >>"$OPTIO_LOG"; }}
i=0 files=0
until [ -e go ]; do
    log "STATUS: line $i."; i=$((i + 1)); sleep 0.04
    [ $((i % {EVERY})) = 0 ] || continue
    files=$((files + 1)); echo "file $i" >"$OPTIO_DELIVERABLES/$i"; log "DELIVERABLE: $i"
done
until [ "$(wc -l <"$OPTIO_REPLIES")" -ge $files ]; do sleep 0.05; done
log DONE
"""


class ShortLeases(PatientStore):
    """The store, with leases that soon run out, and a note of what was written."""

    def __init__(self, store: MongoStore, note: "Note") -> None:
        super().__init__(store)
        self._mongo = store
        self._note = note

    async def create(self, record: SessionRecord, driver: Driver, *, ttl: float = TTL) -> Lease:
        return await self._mongo.create(record, driver, ttl=TTL)

    async def acquire(self, session: str, driver: Driver, *, ttl: float = TTL, taking_over: int | None = None) -> Lease:
        return await self._mongo.acquire(session, driver, ttl=TTL, taking_over=taking_over)

    async def renew(self, lease: Lease, *, ttl: float = TTL) -> None:
        await self._mongo.renew(lease, ttl=TTL)

    async def commit(self, lease: Lease, batch: Batch) -> Committed:
        committed = await self._mongo.commit(lease, batch)
        count = len(batch.events)
        self._note.down("commit", lease.generation, committed.last_seq - count + 1, committed.last_seq)
        return committed


class Note:
    """A line for everything that this process has written."""

    def __init__(self, root: Path, name: str) -> None:
        self._name = f"{name} {os.getpid()}"
        self._file = os.open(root / "wrote", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def down(self, what: str, generation: int, first: int, last: int) -> None:
        os.write(self._file, (json.dumps([what, self._name, generation, first, last]) + "\n").encode())


def note_appends(note: Note) -> None:
    """Note down what arrives on the host, too."""
    append = Job.append

    async def noted(job: Job, offset: int, data: bytes, *, spool: str = "stdin") -> int:
        arrived = await append(job, offset, data, spool=spool)
        note.down("append", job.owner.generation, offset, offset + len(data))
        return arrived

    Job.append = noted  # type: ignore[method-assign]


async def drive_to_the_end(root: Path, url: str, note: Note, start: bool) -> None:
    async def handle(hook_ctx: SessionHookContext, deliverable: Deliverable) -> str:
        return f"noted {deliverable.name}"

    host = machine(root)
    async with opened(place_of(url)) as mongo:
        store = ShortLeases(mongo, note)
        session = await begin(root, host, store, handle) if start else None
        while True:
            try:
                session = session or await Session.adopt(host, store, SESSION, on_deliverable=handle)
                await session.wait()
                break
            except (LeaseHeld, LeaseLost, StoreAway, NotOwner):
                session = None
                await anyio.sleep(0.3)
            except (SessionRefused, JobGone):
                break
    await host.disconnect()


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[MongoStore]:
    """The store, once it is there."""
    async with AsyncExitStack() as stack:
        while True:
            try:
                store = await stack.enter_async_context(open_mongo(place, patience=STORE_PATIENCE))
                break
            except StoreAway:
                continue
        yield store


async def begin(root: Path, host: object, store: ShortLeases, handle: DeliverableHook) -> Session:
    return await Session.start(
        host,  # type: ignore[arg-type]
        store,
        ["sh", "-c", PROGRAM],
        cwd=str(root),
        deliverables=str(root / "out"),
        state_dir=str(root / "state"),
        session_id=SESSION,
        on_deliverable=handle,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("name")
    parser.add_argument("url")
    parser.add_argument("--start", action="store_true")
    arguments = parser.parse_args()
    # Two machines: nobody can look at the processes of the other one.
    driver_identity.platform.node = lambda: arguments.name  # type: ignore[attr-defined]
    driver_identity._boot_id = lambda: f"boot of {arguments.name}"
    setattr(drive, "RENEW_EVERY", RENEW_EVERY)  # noqa: B010
    note = Note(arguments.root, arguments.name)
    note_appends(note)
    anyio.run(drive_to_the_end, arguments.root.resolve(), arguments.url, note, arguments.start)


if __name__ == "__main__":
    main()
