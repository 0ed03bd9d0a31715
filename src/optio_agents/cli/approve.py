"""`optio approve`: allow what an agent asks."""

import json

import click

from ..conversation.questions import tool_of
from ..journal import JsonObject, Store
from .carry_out import carry_out
from .inbox import ask_driver, find_question
from .options import store_option
from .said_by_agent import in_words
from .visible import visible


@click.command()
@click.argument("question", metavar="ID")
@click.option("--input", "edited", default="", metavar="JSON", help="Call the tool with this instead.")
@click.option("--always", is_flag=True, help="Also when the very same is asked again in this session.")
@store_option
def command(question: str, edited: str, always: bool, store_url: str | None) -> None:
    """Allow an agent to use a tool that it has asked for; ID is of the question, or as much of it as no other has.

    With --always, the same use is not asked about again in this session: the very same command, or for a tool that
    reads or writes a file the same file.

    Exit status: 0 when it is allowed, 1 when it was too late or nobody has taken it, 2 for a wrong ID.

    \b
    Examples:
      optio approve 5f3a
      optio approve 5f3a --always
      optio approve 5f3a --input '{"command": "make test"}'
    """
    data: JsonObject = {"always": True} if always else {}
    if edited:
        data["input"] = _object(edited)

    async def approve(store: Store) -> str:
        snapshot, found = await find_question(store, question)
        await ask_driver(store, snapshot.record.id, "approve", {"question": found.id, **data})
        tool, tool_input = tool_of(found)
        return f"allowed: {visible(tool)}: {visible(edited) if edited else in_words(tool_input)}"

    click.echo(carry_out(approve, store_url))


def _object(text: str) -> JsonObject:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--input is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError('--input is no JSON object, such as \'{"command": "make test"}\'')
    return value
