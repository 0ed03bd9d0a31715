"""`optio send`: say something to an agent."""

import click

from ..journal import Store
from .carry_out import carry_out
from .inbox import ask_driver
from .options import session_argument, store_option


@click.command()
@session_argument
@click.argument("text")
@store_option
def command(session: str, text: str, store_url: str | None) -> None:
    """Say something to the agent of a session. It waits its turn when the agent is busy.

    Exit status: 0 when it is on its way, 1 when it is not, 2 for a wrong ID.

    \b
    Examples:
      optio send 3f "Use the other database."
      optio send 3f "$(cat notes.md)"
    """

    async def send(store: Store) -> None:
        await ask_driver(store, await store.resolve(session), "send", {"text": text})

    carry_out(send, store_url)
