"""`optio drive`: be the driver of a session, in the background."""

import signal
from contextlib import suppress

import anyio
import click

from optio_host.errors import HostError

from ..errors import LeaseLost, StoreError
from ..journal import SessionRecord, Store
from ..journal.lease import LEASE_TTL
from ..patient_store import PatientStore
from ..session import Session
from .brief import print_json, record_in_brief
from .carry_out import carry_out
from .driving import adopt_when_free
from .hosts import host_of
from .options import json_option, session_argument, store_option
from .visible import visible

PATIENCE = 2 * LEASE_TTL
"""Seconds to wait for a driver before this one to be gone. A host or a store that is away is waited for without an
end."""


@click.command()
@session_argument
@json_option
@store_option
def command(session: str, as_json: bool, store_url: str | None) -> None:
    """Drive a session to its end, without showing anything. `optio run --detach` starts this by itself.

    It waits a while for a driver that is there already, and exits without an error if that one stays; and for a host
    or a store that cannot be reached, until it can. TERM makes it let go of the session, which goes on.

    \b
    Example:
      nohup optio drive 3f &
    """

    async def drive(store: Store) -> SessionRecord:
        patient = PatientStore(store)
        found = await patient.resolve(session)
        await drive_session(store, found)
        return (await patient.snapshot(found)).record

    record = carry_out(drive, store_url)
    if as_json:
        print_json(record_in_brief(record))


async def drive_session(store: Store, session: str) -> None:
    """Drive it until it ends, or somebody else does, or TERM comes."""
    adopted: Session | None = None
    async with host_of((await PatientStore(store).snapshot(session)).record) as host:
        told = False

        async def away(error: HostError | StoreError) -> None:
            nonlocal told
            waiting.deadline = anyio.current_time() + PATIENCE  # that there is another driver is not known
            if not told:
                what = "host" if isinstance(error, HostError) else "journal"
                click.echo(
                    f"session {session}: its {what} cannot be reached; trying on: {visible(str(error))}", err=True
                )
            told = True

        with anyio.move_on_after(PATIENCE) as waiting:
            adopted = await adopt_when_free(host, store, session, away=away)
        if adopted is None:
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_leave_when_told, adopted)
            with suppress(LeaseLost):  # somebody else drives it now, which is as good
                await adopted.wait()
            tasks.cancel_scope.cancel()


async def _leave_when_told(session: Session) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        async for number in received:
            await session.leave(f"the driver was stopped by {signal.Signals(number).name}")
            return
