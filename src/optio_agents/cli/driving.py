"""Sessions and their drivers: becoming one, starting one in the background, asking one to end its session."""

import os
import subprocess
import sys
import time

import anyio

from optio_host.job_errors import JobGone
from optio_host.local.host import LocalHost
from optio_host.paths import state_dir

from ..driver_identity import is_proved_dead, this_driver
from ..errors import LeaseHeld, SessionRefused
from ..journal import SessionRecord, Snapshot, Store
from ..session import Session
from .brief import process_in_words

LOCAL = "local"
"""What this machine is called in the list of sessions."""

TRY_AGAIN = 1.0
"""Seconds between two looks at whether the driver is still there."""


def here() -> LocalHost:
    """This machine, for sessions that name their directories by absolute paths."""
    return LocalHost(state_dir())


async def adopt_when_free(
    host: LocalHost, store: Store, session: str, *, without_callbacks: bool = False
) -> Session | None:
    """The session, as soon as nobody else drives it; None when it has ended. Raises CallbackMissing."""
    while True:
        try:
            return await Session.adopt(host, store, session, without_callbacks=without_callbacks)
        except LeaseHeld:
            await anyio.sleep(TRY_AGAIN)
        except (SessionRefused, JobGone):
            return None  # in either case its end is in the journal


async def request_stop(store: Store, session: str, reason: str, *, force: bool = False) -> bool:
    """Ask whoever drives the session, now or next, to end it; False when it has ended."""
    me = process_in_words(this_driver())
    try:
        await store.put(session, "cancel", {"force": force, "reason": reason}, sender=me)
    except SessionRefused:
        if (await store.snapshot(session)).record.state == "ended":
            return False
        raise
    return True


def can_be_adopted(snapshot: Snapshot) -> bool:
    """Whether a driver in the background may be started: the session goes on, and no other process drives it.

    A session with callbacks cannot be driven by a process that does not have them.
    """
    record, lease = snapshot.record, snapshot.lease
    driver = lease.driver
    mine = driver is not None and driver.pid == os.getpid()
    held = driver is not None and lease.is_held(time.time()) and not is_proved_dead(driver)
    return record.state != "ended" and not record.callbacks and (mine or not held)


def start_driver(record: SessionRecord, store_url: str) -> int:
    """Start `optio drive` in a session of its own, without a terminal, and return at once; its process id.

    What it has to say goes to driver.log beside the log of the session.
    """
    log = _open_log(record)
    try:
        driver = subprocess.Popen(
            [sys.executable, "-m", "optio_agents.cli", "drive", record.id],
            # In the environment and not as an argument: a URL may hold a password, and arguments show in ps.
            env={**os.environ, "OPTIO_STORE": store_url},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(log)
    # It is not waited for: it outlives this process, and init reaps it.
    driver.returncode = 0
    return driver.pid


def _open_log(record: SessionRecord) -> int:
    try:
        return os.open(os.path.join(record.taskdir, "driver.log"), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    except OSError:
        return os.open(
            os.devnull, os.O_WRONLY
        )  # the directory was removed; the driver will note the end of the session
