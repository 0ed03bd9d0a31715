"""`optio export`: a session as a file."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from ..journal import Store, export_lines
from ..redaction import Redactor
from .brief import print_json
from .carry_out import carry_out
from .options import json_option, session_argument, store_option


@click.command()
@session_argument
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), metavar="FILE")
@json_option
@store_option
def command(session: str, file: Path, as_json: bool, store_url: str | None) -> None:
    """Write everything that the journal holds of a session to FILE (- is stdout), as JSON lines.

    Secrets are left out: the values of variables set here whose names say KEY, TOKEN, SECRET, PASSWORD and the like,
    and what looks like a token. FILE is readable by you alone, and is replaced only when all of it has been written.

    \b
    Examples:
      optio export 3f session.jsonl
      optio export 3f - | gzip > session.jsonl.gz
    """

    async def export(store: Store) -> str:
        found = await store.resolve(session)
        with _replacing(file) as stream:
            async for text in export_lines(store, found, redact=Redactor.of_environment(os.environ)):
                stream.write(text + "\n")
        return found

    found = carry_out(export, store_url)
    if as_json and str(file) != "-":
        print_json({"id": found, "file": os.path.abspath(file)})


@contextmanager
def _replacing(file: Path) -> Iterator[TextIO]:
    if str(file) == "-":
        yield sys.stdout
        return
    handle, part = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as stream:
            yield stream
        os.replace(part, file)
    except BaseException:
        os.unlink(part)
        raise
