"""From a command to what it does: an open store, errors as one-line messages, and exit codes."""

import os
from collections.abc import Awaitable, Callable
from typing import Never, TypeVar

import anyio
import click

from optio_host.errors import HostError

from ..errors import AgentsError, SessionAmbiguous, SessionUnknown
from ..journal import OutcomeDocument, Store, open_store
from .visible import visible

Result = TypeVar("Result")


def carry_out(body: Callable[[Store], Awaitable[Result]], url: str | None) -> Result:
    """Do something with an open store. What goes wrong becomes a message: exit 2 for a wrong id, 1 for all else."""

    async def with_store() -> Result:
        async with open_store(url) as store:
            return await body(store)

    return carry_out_here(with_store)


def carry_out_here(body: Callable[[], Awaitable[Result]]) -> Result:
    """The same for what needs no store."""
    try:
        return anyio.run(body)
    except Exception as raised:
        errors = _parts(raised)
        for error in errors:
            if isinstance(error, BrokenPipeError | click.ClickException):
                raise error from raised
        if not all(isinstance(error, AgentsError | HostError | OSError) for error in errors):
            raise
        message = visible("; ".join(map(str, errors)))
        if isinstance(errors[0], SessionUnknown | SessionAmbiguous):
            raise click.UsageError(message) from raised
        raise click.ClickException(message) from raised


def _parts(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [part for each in error.exceptions for part in _parts(each)]
    return [error]


def exit_status(outcome: OutcomeDocument | None) -> int:
    """What a command exits with that has watched a session to its end; None: it went away before."""
    return (
        130 if outcome is None else {"done": 0, "closed": 0, "failed": 1, "lost": 3, "cancelled": 130}[outcome.outcome]
    )


def leave_with(status: int) -> Never:
    """End this process now. Everything was printed that could be."""
    # Not sys.exit: it would wait for a thread that waits, perhaps for ever, for somebody to read what we print.
    os._exit(status)
