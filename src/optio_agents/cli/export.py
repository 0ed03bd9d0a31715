"""`optio export`: a session as a file."""

import os
from typing import IO

import click

from ..journal import Store, export_lines
from ..redaction import Redactor
from .stores import carry_out, session_argument, store_option


@click.command()
@session_argument
@click.argument("file", type=click.File("w", encoding="utf-8", atomic=True), metavar="FILE")
@store_option
def command(session: str, file: IO[str], store_url: str | None) -> None:
    """Write everything that the journal holds of a session to FILE (- is stdout), as JSON lines. Secrets are left out.

    \b
    Examples:
      optio export 3f session.jsonl
      optio export 3f - | gzip > session.jsonl.gz
    """

    async def export(store: Store) -> None:
        found = await store.resolve(session)
        async for text in export_lines(store, found, redact=Redactor.of_environment(os.environ)):
            file.write(text + "\n")

    carry_out(export, store_url)
