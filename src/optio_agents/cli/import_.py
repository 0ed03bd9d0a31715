"""`optio import`: a session from a file."""

import time
from typing import IO

import click

from ..driver_identity import this_driver
from ..events import SessionEnded
from ..journal import Batch, JsonObject, NewEvent, OutcomeDocument, SessionRecord, Store, import_lines
from .brief import print_json, record_in_brief
from .carry_out import carry_out
from .options import json_option, store_option


@click.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"), metavar="FILE")
@json_option
@store_option
def command(file: IO[str], as_json: bool, store_url: str | None) -> None:
    """Add a session that `optio export` wrote to FILE (- is stdin) to the journal, and print its ID.

    It is there to be read, not to be driven: one that was exported before its end ends here as lost.

    \b
    Examples:
      optio import session.jsonl
      gunzip < session.jsonl.gz | optio import -
    """

    async def bring(store: Store) -> SessionRecord:
        record = await import_lines(store, file)
        if record.state != "ended":
            await _end(store, record.id)
        return (await store.snapshot(record.id)).record

    record = carry_out(bring, store_url)
    if as_json:
        print_json(record_in_brief(record))
    else:
        click.echo(record.id)


async def _end(store: Store, session: str) -> None:
    """Close the copy: its program belongs to the journal that it came from, and may still run."""
    lease = await store.acquire(session, this_driver())
    snapshot = await store.snapshot(session)
    reason = "exported before its end; the journal that it came from says how it went on"
    ended: JsonObject = {"outcome": "lost", "reason": reason, "summary": None, "exit": None}
    await store.commit(
        lease,
        Batch(
            after=snapshot.last_seq,
            events=(NewEvent(SessionEnded.type, ended, time.time(), "session"),),
            record=snapshot.record.model_copy(
                update={"state": "ended", "outcome": OutcomeDocument(outcome="lost", reason=reason)}
            ),
        ),
    )
    await store.release(lease)
