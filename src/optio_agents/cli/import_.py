"""`optio import`: a session from a file."""

from typing import IO

import click

from ..journal import SessionRecord, Store, import_lines
from .stores import carry_out, store_option


@click.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"), metavar="FILE")
@store_option
def command(file: IO[str], store_url: str | None) -> None:
    """Add a session that `optio export` wrote to FILE (- is stdin) to the journal: to be read, not to be driven.

    \b
    Example:
      optio import session.jsonl
    """

    async def bring(store: Store) -> SessionRecord:
        return await import_lines(store, file)

    click.echo(carry_out(bring, store_url).id)
