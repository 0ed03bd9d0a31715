"""Time, as something that is handed in: the real clock here, one that a test moves by hand in `testing`."""

import time
from contextlib import AbstractContextManager
from typing import Protocol

import anyio


class Clock(Protocol):
    """What the rest of the code may know of time. All durations are seconds."""

    def time(self) -> float:
        """Seconds since the epoch, for records that people and other machines read. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment. Never goes back; for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds."""
        ...

    def move_on_after(self, seconds: float | None) -> AbstractContextManager[anyio.CancelScope]:
        """A scope whose body is cancelled after this many seconds; None: never. `cancelled_caught` tells."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on the machine's monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds."""
        await anyio.sleep(seconds)

    def move_on_after(self, seconds: float | None) -> AbstractContextManager[anyio.CancelScope]:
        """A scope that is cancelled after this many seconds."""
        return anyio.move_on_after(seconds)


SYSTEM_CLOCK = SystemClock()
