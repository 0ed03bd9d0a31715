"""`optio cancel`: end a session, whoever drives it."""

from contextlib import suppress

import anyio
import click

from optio_host.errors import ConnectFailed

from ..errors import LeaseLost
from ..history import follow_history
from ..journal import SessionRecord, Store
from .brief import print_json, record_in_brief
from .carry_out import carry_out
from .driving import adopt_when_free, request_stop
from .hosts import host_of
from .options import json_option, session_argument, store_option
from .visible import visible

PATIENCE = 60.0
"""Seconds in which a session must have ended that was told to."""


@click.command()
@session_argument
@click.option("--force", is_flag=True, help="Kill at once, without the time to end by itself.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the timeline.")
@json_option
@store_option
def command(session: str, force: bool, reason: str, as_json: bool, store_url: str | None) -> None:
    """End a session: TERM to its program and everything that it started, then KILL. Waits until it is gone.

    A session that has ended stays as it is, which is no error.

    \b
    Examples:
      optio cancel 3f
      optio cancel 3f --force --reason "wrong branch"
    """

    async def cancel(store: Store) -> tuple[SessionRecord, bool]:
        found = await store.resolve(session)
        asked = await request_stop(store, found, reason, force=force)
        with anyio.move_on_after(PATIENCE if asked else 0):
            await _see_it_end(store, found)
        return (await store.snapshot(found)).record, asked

    record, asked = carry_out(cancel, store_url)
    if record.outcome is None or record.state != "ended":
        raise click.ClickException(
            f"session {record.id} was told to end and has not within {PATIENCE:g} s; `optio show {record.id}` says more"
        )
    if as_json:
        print_json(record_in_brief(record))
        return
    ended = record.outcome.outcome + (
        f": {visible(why)}" if (why := record.outcome.reason or record.outcome.summary) else ""
    )
    click.echo(ended if asked else f"session {record.id} had ended before: {ended}")


async def _see_it_end(store: Store, session: str) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_drive_if_nobody_does, store, session)
        async for _ in follow_history(store, session):
            pass
        tasks.cancel_scope.cancel()


async def _drive_if_nobody_does(store: Store, session: str) -> None:
    async with host_of((await store.snapshot(session)).record) as host:
        try:
            adopted = await adopt_when_free(host, store, session, without_callbacks=True)
        except ConnectFailed as error:
            raise click.ClickException(
                f"session {session} is told to end, but its host cannot be reached; whoever drives it next ends it, "
                f"as `optio attach {session}` does: {visible(str(error))}"
            ) from error
        if adopted is not None:
            with suppress(LeaseLost):  # whoever drives it now takes the request up
                await adopted.wait()
