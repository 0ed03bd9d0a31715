"""Asking the driver of a session for something, from any other process, and being told what became of it."""

import anyio
import click

from ..driver_identity import this_driver
from ..journal import Command, JsonObject, Question, Receipt, Snapshot, Store
from .brief import process_in_words
from .driving import can_be_adopted, start_driver
from .visible import visible

PATIENCE = 20.0
"""Seconds in which a driver must have taken a command; it takes milliseconds, and longer if one has to be started."""


async def ask_driver(store: Store, session: str, kind: str, data: JsonObject) -> Receipt:
    """Put a command into the inbox of a session, and return what became of it. A session without a driver gets one.

    Raises click.ClickException when it was refused, or nobody has taken it in time.
    """
    command = await store.put(session, kind, data, sender=process_in_words(this_driver()))
    snapshot = await store.snapshot(session)
    if can_be_adopted(snapshot):
        start_driver(snapshot.record, store.secret_url)
    return await _receipt_in_time(store, session, command)


async def tell_driver(store: Store, session: str, kind: str, data: JsonObject) -> Receipt:
    """The same by a process that attends the session: that drives it itself as soon as nobody else does."""
    command = await store.put(session, kind, data, sender=process_in_words(this_driver()))
    return await _receipt_in_time(store, session, command)


async def _receipt_in_time(store: Store, session: str, command: Command) -> Receipt:
    with anyio.move_on_after(PATIENCE):
        receipt = await _receipt(store, session, command)
        if receipt.status == "refused":
            raise click.ClickException(visible(receipt.message))
        return receipt
    raise click.ClickException(
        f"no driver of session {session} has taken this within {PATIENCE:g} s; it stays in its inbox, and the next "
        "driver takes it"
    )


async def _receipt(store: Store, session: str, command: Command) -> Receipt:
    change = 0
    while command.receipt is None:
        change = await store.news(session, change)
        command = await store.command(session, command.number)
    return command.receipt


async def open_questions(store: Store) -> list[tuple[Snapshot, Question]]:
    """What the agents of all sessions wait to be told, with the session of each."""
    found = []
    for record in await store.sessions(states=("starting", "running", "idle")):
        if record.conversation is not None:
            snapshot = await store.snapshot(record.id)
            found += [(snapshot, each) for each in snapshot.questions if each.status == "open"]
    return found


async def find_question(store: Store, prefix: str) -> tuple[Snapshot, Question]:
    """The open question whose id begins like this. Raises click.UsageError when there is none, or are several."""
    found = [each for each in await open_questions(store) if each[1].id.startswith(prefix)]
    match found:
        case [only]:
            return only
        case []:
            raise click.UsageError(f"no open question has an id that begins with {prefix!r}; see: optio permissions")
        case _:
            ids = ", ".join(visible(question.id) for _, question in found[:10])
            raise click.UsageError(f"{prefix!r} names {len(found)} questions: {ids}; type more of the id")
