"""`optio drive`: be the driver of a session, in the background."""

import signal
from contextlib import suppress

import anyio
import click

from optio_host.job_errors import JobGone

from ..errors import LeaseHeld, LeaseLost, SessionRefused
from ..journal import Store
from ..journal.lease import LEASE_TTL
from ..session import Session
from .stores import carry_out, here, session_argument, store_option

PATIENCE = 2 * LEASE_TTL
"""Seconds to wait for a driver before this one to be gone."""


@click.command()
@session_argument
@store_option
def command(session: str, store_url: str | None) -> None:
    """Drive a session to its end, without showing anything. `optio run --detach` starts this by itself.

    It waits a while for a driver that is there already, and exits without an error if that one stays. TERM makes it let
    go of the session, which goes on.

    \b
    Example:
      nohup optio drive 3f &
    """

    async def drive(store: Store) -> None:
        found = await store.resolve(session)
        with anyio.move_on_after(PATIENCE):
            while True:
                try:
                    await _drive(await Session.adopt(here(), store, found))
                except LeaseHeld:
                    await anyio.sleep(1)
                    continue
                except (SessionRefused, JobGone):
                    pass  # it has ended
                return

    carry_out(drive, store_url)


async def _drive(session: Session) -> None:
    async with anyio.create_task_group() as tasks:

        async def obey() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
                async for number in received:
                    await session.leave(f"the driver was stopped by {signal.Signals(number).name}")
                    return

        tasks.start_soon(obey)
        with suppress(LeaseLost):  # somebody else drives it now, which is as good
            await session.wait()
        tasks.cancel_scope.cancel()
