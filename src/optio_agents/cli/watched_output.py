"""What a program prints, for somebody who only watches: that it cannot be read ends nothing else."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio

from optio_host.cursor import START, Cursor
from optio_host.errors import ConnectFailed, FileRefused, HostError
from optio_host.host import Followed
from optio_host.lines import DEFAULT_LINE_LIMIT

if TYPE_CHECKING:
    from optio_host.open import AnyHost

TRY_AGAIN = 1.0
"""Seconds between two tries to read from a host that is away."""


async def watched_output(
    host: "AnyHost",
    path: str,
    cursor: Cursor = START,
    *,
    limit: int = DEFAULT_LINE_LIMIT,
    ended: anyio.Event,
    note: Callable[[str], Awaitable[None]],
) -> AsyncGenerator[tuple[Followed, Cursor]]:
    """The lines of a file behind a cursor, and what comes, until `ended` is set and all is read.

    Raises nothing of the host: `note` is told, once, that it is away, which is tried again, or why there is no more.
    """
    told = False
    while True:
        try:
            async with aclosing(host.follow(path, cursor, limit=limit, until=ended)) as lines:
                async for line, behind in lines:
                    yield line, behind
                    cursor = behind
            return
        except (HostError, OSError) as error:
            final = isinstance(error, FileRefused | OSError) or (isinstance(error, ConnectFailed) and error.final)
            if final or ended.is_set():
                await note(f"what the program prints cannot be shown any more: {error}")
                return
            if not told:
                await note(f"what the program prints cannot be shown now; trying on: {error}")
            told = True
            with anyio.move_on_after(TRY_AGAIN):
                await ended.wait()
