"""`optio interrupt`: stop what an agent is doing."""

import click

from ..journal import Store
from .carry_out import carry_out
from .inbox import ask_driver
from .options import session_argument, store_option


@click.command()
@session_argument
@store_option
def command(session: str, store_url: str | None) -> None:
    """Stop the turn that the agent of a session is in. The session goes on, and waits for what it is told next.

    Exit status: 0 when the agent was told, 1 when it was not, 2 for a wrong ID.

    \b
    Example:
      optio interrupt 3f && optio send 3f "First look at the log."
    """

    async def interrupt(store: Store) -> None:
        await ask_driver(store, await store.resolve(session), "interrupt", {})

    carry_out(interrupt, store_url)
