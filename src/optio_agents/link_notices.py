"""What the timeline says of the link to a host: that it broke, and that it is back."""

from collections import deque
from collections.abc import Awaitable, Callable

import anyio

from optio_host.host import LinkState, ReportsLink

from .events import Notice

KEPT = 16
"""Changes of the link that may wait for the journal; of more, the oldest are not worth telling."""


async def note_link(host: object, say: Callable[[Notice], Awaitable[None]]) -> None:
    """Say when the link breaks and when it is back, as long as the session lasts. Of a host without a link, nothing."""
    if not isinstance(host, ReportsLink):
        return
    changes: deque[LinkState] = deque(maxlen=KEPT)
    changed = anyio.Event()

    def take(state: LinkState) -> None:
        if state.state in ("lost", "connected"):
            changes.append(state)
            changed.set()

    unsubscribe = host.on_state(take)
    lost = False
    try:
        while True:
            await changed.wait()
            changed = anyio.Event()
            while changes:
                state = changes.popleft()
                if state.state == "lost":
                    lost = True
                    await say(Notice(f"the link to the host broke ({state.reason}); the program goes on meanwhile"))
                elif lost:
                    lost = False
                    await say(Notice("the link to the host is back"))
    finally:
        unsubscribe()
