"""A clock that stands still until a test moves it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio


class ManualClock:
    """Time that passes only in `advance`. Implements `optio_host.clock.Clock`.

    Parameters:
        start: what `time` says at first, in seconds since the epoch.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._passed = 0.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    @property
    def waiting(self) -> int:
        """How many sleeps and deadlines are still to come due."""
        return len(self._due)

    def time(self) -> float:
        """The start plus what has passed."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """What has passed."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Return when `advance` has moved time this far."""
        due = anyio.Event()
        entry = (self._passed + seconds, due.set)
        self._due.append(entry)
        try:
            await due.wait()
        finally:
            if entry in self._due:
                self._due.remove(entry)

    @contextmanager
    def move_on_after(self, seconds: float | None) -> Iterator[anyio.CancelScope]:
        """A scope that is cancelled when `advance` has moved time this far."""
        with anyio.CancelScope() as scope:
            if seconds is None:
                yield scope
                return
            entry = (self._passed + seconds, scope.cancel)
            self._due.append(entry)
            try:
                yield scope
            finally:
                if entry in self._due:
                    self._due.remove(entry)

    async def advance(self, seconds: float) -> None:
        """Let time pass; whatever came due has run its next steps when this returns."""
        end = self._passed + seconds
        while due := [entry for entry in self._due if entry[0] <= end]:
            entry = min(due, key=lambda each: each[0])
            self._due.remove(entry)
            self._passed = max(self._passed, entry[0])
            entry[1]()
            await anyio.wait_all_tasks_blocked()
        self._passed = end
        await anyio.wait_all_tasks_blocked()
