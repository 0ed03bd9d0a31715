"""What the hooks of a durable session get, beside what every hook gets."""

from collections import deque

import anyio

from optio_host.host import Host

from .context import HookContext
from .protocol.sender import SerialSender

KEPT_PROGRESS = 1000
"""How many reports of a hook may wait to be committed; the oldest are dropped beyond."""


class HookProgress:
    """The process context of a durable session: what hooks report waits here until it is committed."""

    def __init__(self) -> None:
        self.reported = anyio.Event()
        self._stopping = False
        self._waiting: deque[tuple[float | None, str | None]] = deque(maxlen=KEPT_PROGRESS)

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        """Report how far the hook is: 0 to 100, or None; and a text, or None."""
        self._waiting.append((percent, message))
        self.reported.set()

    def should_continue(self) -> bool:
        """Whether nobody has asked the session to stop."""
        return not self._stopping

    def stop(self) -> None:
        """From now on `should_continue` says no."""
        self._stopping = True

    def take(self) -> list[tuple[float | None, str | None]]:
        """What was reported since the last call."""
        taken = list(self._waiting)
        self._waiting.clear()
        self.reported = anyio.Event()
        return taken


class SessionHookContext(HookContext):
    """The context of one call of a hook.

    Attributes:
        event_id: the same whenever the hook is called again for the same line of the log.
        redelivered: it may have been called for it before, by a driver that died.
        lease_lost: set when another driver has taken over; the hook goes on, but what it returns is not used.
    """

    def __init__(
        self,
        progress: HookProgress,
        host: Host,
        sender: SerialSender,
        *,
        event_id: str,
        redelivered: bool,
        lease_lost: anyio.Event,
    ) -> None:
        super().__init__(progress, host, sender=sender)
        self.event_id = event_id
        self.redelivered = redelivered
        self.lease_lost = lease_lost
