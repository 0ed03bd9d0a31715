"""Repeating what may be repeated, for as long as a host cannot be reached."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from optio_host.clock import Clock
from optio_host.errors import ConnectFailed, LinkLost

RETRY_EVERY = 1.0
"""Seconds between two tries. The host paces its own connecting; this is for a link that breaks again and again."""

T = TypeVar("T")


async def until_reached(act: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """What `act` gives, once the host was there for it. It must do no harm to do it twice.

    Raises what it raises, but LinkLost and a ConnectFailed that is not final: the program goes on meanwhile, and so
    does the wish.
    """
    while True:
        try:
            return await act()
        except LinkLost:
            pass
        except ConnectFailed as error:
            if error.final:
                raise
        await clock.sleep(RETRY_EVERY)
