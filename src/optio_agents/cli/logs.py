"""`optio logs`: the events of a session."""

from contextlib import aclosing

import click

from ..history import follow_history, read_history
from ..journal import Store
from ..patient_store import PatientStore
from .carry_out import carry_out
from .options import json_option, session_argument, store_option
from .view import JsonView, PlainView


@click.command()
@session_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, to the end of the session.")
@click.option("--from", "first", type=click.IntRange(min=1), default=1, metavar="N", help="Begin with event number N.")
@click.option("-v", "--verbose", is_flag=True, help="Also lines that are no entries, and changes of driver.")
@json_option
@store_option
def command(session: str, follow: bool, first: int, verbose: bool, as_json: bool, store_url: str | None) -> None:
    """Print the events of a session. It is only read: nothing is driven, whatever becomes of this command.

    \b
    Examples:
      optio logs 3f
      optio logs 3f --follow --json --from 1200
    """

    async def logs(store: Store) -> None:
        found = await store.resolve(session)
        began = (await store.snapshot(found)).record.created
        view = JsonView() if as_json else PlainView(began, verbose=verbose, summary_follows=False)
        records = (
            follow_history(PatientStore(store), found, first - 1) if follow else read_history(store, found, first - 1)
        )
        async with aclosing(records):
            async for record in records:
                view.show(record)

    carry_out(logs, store_url)
