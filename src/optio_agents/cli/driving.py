"""Sessions and their drivers: becoming one, starting one in the background, asking one to end its session."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from optio_host.errors import ConnectFailed, HostError, LinkLost
from optio_host.job_errors import JobGone
from optio_host.paths import state_dir

from ..driver_identity import is_proved_dead, this_driver
from ..errors import LeaseHeld, SessionRefused, StoreAway, StoreBusy, StoreError
from ..extensions.files import load
from ..journal import SessionRecord, Snapshot, SourceDocument, Store
from ..session import Session
from .brief import process_in_words
from .hosts import is_local

if TYPE_CHECKING:
    from optio_host.open import AnyHost

    from ..extensions.given import ToolSource
    from ..extensions.hooks import Hook

TRY_AGAIN = 1.0
"""Seconds between two looks at whether the driver is still there."""


async def adopt_when_free(
    host: "AnyHost",
    store: Store,
    session: str,
    *,
    without_callbacks: bool = False,
    away: Callable[[HostError | StoreError], Awaitable[None]] | None = None,
) -> Session | None:
    """The session, as soon as nobody else drives it and its host answers; None when it has ended.

    Parameters:
        host: where it runs.
        store: where its journal is.
        session: its id.
        without_callbacks: whether it may go on without those that it was started with.
        away: told each time that the host or the store could not be reached, which is tried again; None: that is told
            to nobody, and a host to which there has been no way is not tried again.

    Raises CallbackMissing; ConnectFailed when trying again cannot help, or is not wished.
    """
    extensions: tuple[list[Hook], list[ToolSource]] | None = None
    while True:
        try:
            snapshot = await store.snapshot(session)
            sources = sources_of(snapshot.record)
            if is_free(snapshot):
                await host.connect()  # now, while no lease is held that others would have to wait for
                if extensions is None and not without_callbacks:
                    extensions = load(session, sources)  # only by who drives: it runs the files
            elif sources and snapshot.record.state != "ended":
                await anyio.sleep(TRY_AGAIN)
                continue
            hooks, tools = extensions or ([], [])
            without = without_callbacks or bool(sources and snapshot.record.state == "ended")
            return await Session.adopt(host, store, session, hooks=hooks, tools=tools, without_callbacks=without)
        except LeaseHeld:
            await anyio.sleep(TRY_AGAIN)
        except (ConnectFailed, LinkLost, StoreAway, StoreBusy) as error:
            if isinstance(error, ConnectFailed) and (error.final or away is None):
                raise
            if away is not None:
                await away(error)
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

    A session with callbacks cannot be driven by a process that does not have them, unless they are in files.
    """
    driver = snapshot.lease.driver
    mine = driver is not None and driver.pid == os.getpid()
    held_by_files = bool(sources_of(snapshot.record))
    open_to_us = snapshot.record.state != "ended" and (held_by_files or not snapshot.record.callbacks)
    return open_to_us and (mine or is_free(snapshot))


def sources_of(record: SessionRecord) -> tuple[SourceDocument, ...]:
    """The files that hold all callbacks of a session; (): there are none, or a program has them."""
    return record.conversation.sources if record.conversation is not None else ()


def is_free(snapshot: Snapshot) -> bool:
    """Whether the session goes on and has no driver, or one that is gone."""
    driver = snapshot.lease.driver
    held = driver is not None and snapshot.lease.is_held(time.time()) and not is_proved_dead(driver)
    return snapshot.record.state != "ended" and not held


def start_driver(record: SessionRecord, store_url: str) -> int:
    """Start `optio drive` in a session of its own, without a terminal, and return at once; its process id.

    What it has to say goes to driver.log in the directory of the session; for one on another host, in a directory of
    that name on this machine.
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


def driver_directory(record: SessionRecord) -> str:
    """Where on this machine the log of a session's drivers in the background is; "" when its id names no directory."""
    if is_local(record):
        return record.taskdir
    return os.path.join(state_dir(), record.id) if re.fullmatch(r"[A-Za-z0-9_-]+", record.id) else ""


def _open_log(record: SessionRecord) -> int:
    directory = driver_directory(record)
    try:
        if not is_local(record):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        return os.open(os.path.join(directory, "driver.log"), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    except OSError:
        return os.open(
            os.devnull, os.O_WRONLY
        )  # the directory was removed; the driver will note the end of the session
