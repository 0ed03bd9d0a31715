"""`optio deny`: do not allow what an agent asks."""

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
@click.option("-m", "--message", default="", metavar="TEXT", help="Why; the agent is told.")
@click.option("--stop", is_flag=True, help="End its turn, too: it waits for what it is told next.")
@store_option
def command(question: str, message: str, stop: bool, store_url: str | None) -> None:
    """Do not allow an agent to use a tool that it has asked for; it goes on, and knows.

    With --stop its turn ends instead, without the reason being read: `optio send` tells it what to do.

    Exit status: 0 when it is denied, 1 when it was too late or nobody has taken it, 2 for a wrong ID.

    \b
    Examples:
      optio deny 5f3a
      optio deny 5f3a --message "Not on this branch; make a new one."
      optio deny 5f3a --stop && optio send 9k2m "Leave the database alone."
    """

    async def deny(store: Store) -> str:
        snapshot, found = await find_question(store, question)
        data: JsonObject = {"question": found.id, "message": message, **({"stop": True} if stop else {})}
        await ask_driver(store, snapshot.record.id, "deny", data)
        tool, tool_input = tool_of(found)
        return f"{'denied and stopped' if stop else 'denied'}: {visible(tool)}: {in_words(tool_input)}"

    click.echo(carry_out(deny, store_url))
