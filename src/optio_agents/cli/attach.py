"""`optio attach`: come back to a session."""

import click

from ..journal import OutcomeDocument, Store
from .attend import attend
from .carry_out import carry_out, exit_status, leave_with
from .hosts import host_of
from .options import json_option, session_argument, store_option


@click.command()
@session_argument
@click.option(
    "--from",
    "first",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Begin with event number N. Default: with the first.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also show the program's output and lines that are no entries.")
@json_option
@store_option
def command(session: str, first: int, verbose: bool, as_json: bool, store_url: str | None) -> None:
    """Watch a session, live, to its end; and drive it when its driver is gone.

    The host that a session runs on is dialled when this command has to drive it, and for --verbose.

    Ctrl-C only ends the watching: the session goes on, driven by whoever drove it, or by a driver in the background.
    `optio cancel` ends a session. At a terminal, an agent's questions are asked here; Ctrl-D leaves one open.

    Exit status: the one that `optio run` would have had; 130 when the watching was ended before the session.

    \b
    Examples:
      optio attach 3f
      optio attach 3f --json --from 1200
    """

    async def watch(store: Store) -> OutcomeDocument | None:
        found = await store.resolve(session)
        async with host_of((await store.snapshot(found)).record) as host:
            return await attend(store, host, found, first=first, json=as_json, verbose=verbose, signals_cancel=False)

    leave_with(exit_status(carry_out(watch, store_url)))
