"""`optio ls`: the sessions in the journal."""

import json

import click

from ..journal import SessionRecord, Store
from .stores import carry_out, json_option, record_in_brief, store_option
from .visible import ago, visible


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also sessions that have ended more than a day ago.")
@json_option
@store_option
def command(everything: bool, as_json: bool, store_url: str | None) -> None:
    """List sessions, the latest last.

    \b
    Examples:
      optio ls
      optio ls --all --json | jq -r 'select(.outcome == "failed").id'
    """

    async def ls(store: Store) -> list[SessionRecord]:
        return await store.sessions()

    records = carry_out(ls, store_url)
    if as_json:
        for record in records:
            click.echo(json.dumps(record_in_brief(record), ensure_ascii=False))
        return
    _print_table(records, everything)


def _print_table(records: list[SessionRecord], everything: bool) -> None:
    import time

    from rich.console import Console
    from rich.table import Table

    now = time.time()
    shown = [each for each in records if everything or each.state != "ended" or now - each.updated < 86_400]
    if not shown:
        click.echo("no sessions" if not records else "no sessions of today; --all shows those that ended before")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ID", "STATE", "AGENT", "HOST", "AGE", "DRIVER", "WHY"):
        table.add_column(heading, overflow="ellipsis", no_wrap=heading != "WHY")
    for record in shown:
        brief = record_in_brief(record)
        table.add_row(
            record.id,
            str(brief["outcome"] or record.state),
            visible(record.agent),
            visible(record.host),
            ago(now - record.created),
            visible(str(brief["driver"] or "-")),
            visible(str(brief["reason"] or "")),
        )
    Console(highlight=False, markup=False).print(table)
