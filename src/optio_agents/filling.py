"""Filling the directory of a session before its program starts, which may take longer than a lease lasts."""

from collections.abc import Awaitable, Callable

import anyio

from optio_host.clock import Clock
from optio_host.errors import HostError
from optio_host.job_errors import StartFailed

from .errors import JournalError
from .journal import Lease, Store
from .journal.lease import RENEW_EVERY

Fill = Callable[[str], Awaitable[None]]
"""Called with the working directory on the host; puts there what the program needs."""


async def fill_directory(fill: Fill, cwd: str, store: Store, lease: Lease, clock: Clock) -> None:
    """Let a directory be filled, and keep the lease meanwhile.

    Raises StartFailed when it could not be filled; LeaseLost, StoreError.
    """
    failed: Exception | None = None

    async def keep_lease() -> None:
        nonlocal failed
        try:
            while True:
                await clock.sleep(RENEW_EVERY)
                await store.renew(lease)
        except JournalError as error:
            failed = error
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_lease)
        try:
            await fill(cwd)
        except (HostError, OSError) as error:
            failed = StartFailed(f"{cwd}: the directory could not be filled, and nothing was started: {error}")
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
