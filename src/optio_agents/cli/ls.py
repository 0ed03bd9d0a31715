"""`optio ls`: the sessions in the journal."""

import sys
import time

import click

from ..journal import SessionRecord, Store
from .brief import cost_in_words, driver_in_words, print_json, record_in_brief
from .carry_out import carry_out
from .options import json_option, store_option
from .visible import span, visible

DAY = 86_400


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also sessions that have ended more than a day ago.")
@json_option
@store_option
def command(everything: bool, as_json: bool, store_url: str | None) -> None:
    """List sessions, the latest last: how each stands, how long ago it was started, who drives it, and how it ended.

    With --json, all of them, however long ago they ended.

    \b
    Examples:
      optio ls
      optio ls --json | jq -r 'select(.outcome == "failed").id'
    """

    async def ls(store: Store) -> list[SessionRecord]:
        return await store.sessions()

    records = carry_out(ls, store_url)
    if as_json:
        for record in records:
            print_json(record_in_brief(record))
        return
    now = time.time()
    shown = [each for each in records if everything or each.state != "ended" or now - each.updated < DAY]
    if shown:
        _print_table(shown, now)
    if not records:
        click.echo("no sessions")
    elif len(shown) < len(records):
        # On stderr: what is on stdout is one line for each session.
        click.echo(f"{len(records) - len(shown)} that ended more than a day ago are not shown; --all does", err=True)


def _print_table(records: list[SessionRecord], now: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ID", "STATE", "AGENT", "HOST", "AGE", "COST", "DRIVER", "END"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for record in records:
        outcome = record.outcome
        table.add_row(
            visible(record.id),
            visible(outcome.outcome) if outcome and record.state == "ended" else record.state,
            visible(record.agent),
            visible(record.host),
            span(now - record.created),
            cost_in_words(record),
            visible(driver_in_words(record)),
            visible(outcome.reason or outcome.summary) if outcome else "",
        )
    # Into a pipe, nothing is cut off.
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 10_000).print(table)
