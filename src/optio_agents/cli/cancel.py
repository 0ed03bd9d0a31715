"""`optio cancel`: end a session, whoever drives it."""

import os
import socket

import anyio
import click

from optio_host.job_errors import JobGone

from ..errors import LeaseHeld, SessionRefused
from ..history import follow_history
from ..journal import OutcomeDocument, Store
from ..session import Session
from .stores import carry_out, here, session_argument, store_option

PATIENCE = 60.0
"""Seconds in which a session must have ended that was told to."""


@click.command()
@session_argument
@click.option("--force", is_flag=True, help="Kill at once, without the time to end by itself.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the timeline.")
@store_option
def command(session: str, force: bool, reason: str, store_url: str | None) -> None:
    """End a session: TERM to its program and everything that it started, then KILL. Waits until it is gone.

    \b
    Examples:
      optio cancel 3f
      optio cancel 3f --force --reason "wrong branch"
    """

    async def cancel(store: Store) -> OutcomeDocument | None:
        found = await store.resolve(session)
        sender = f"pid {os.getpid()} on {socket.gethostname()}"
        try:
            await store.put(found, "cancel", {"force": force, "reason": reason}, sender=sender)
        except SessionRefused:
            return None
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_drive_if_nobody_does, store, found)
                async for _ in follow_history(store, found):
                    pass
                tasks.cancel_scope.cancel()
        return (await store.snapshot(found)).record.outcome

    outcome = carry_out(cancel, store_url)
    if outcome is None:
        click.echo(f"session {session} had ended before")
    else:
        click.echo(f"{outcome.outcome}: {outcome.reason or outcome.summary}")


async def _drive_if_nobody_does(store: Store, session: str) -> None:
    while True:
        try:
            adopted = await Session.adopt(here(), store, session, without_callbacks=True)
        except LeaseHeld:
            await anyio.sleep(1)
            continue
        except (SessionRefused, JobGone):
            return
        await adopted.wait()
        return
