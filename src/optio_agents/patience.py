"""Repeating what may be repeated, for as long as a host or the store cannot be reached."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from optio_host.clock import Clock
from optio_host.errors import ConnectFailed, LinkLost

from .errors import StoreAway, StoreBusy

_log = logging.getLogger(__name__)

RETRY_EVERY = 1.0
"""Seconds between two tries. Hosts and stores pace their own connecting; this is for what breaks again and again."""

T = TypeVar("T")


async def until_reached(act: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """What `act` gives, once the host or the store was there for it. It must do no harm to do it twice.

    Raises what it raises, but LinkLost, StoreAway, StoreBusy and a ConnectFailed that is not final: the program goes on
    meanwhile, and so does the wish.
    """
    told = False
    while True:
        try:
            return await act()
        except LinkLost:
            pass
        except (StoreAway, StoreBusy) as error:
            if not told:  # that a host is away stands in the journal; that the journal is away can stand nowhere else
                _log.warning("waiting: %s", error)
            told = True
        except ConnectFailed as error:
            if error.final:
                raise
        await clock.sleep(RETRY_EVERY)
