"""Who waits for a change in the store, in this process."""

import asyncio
from collections.abc import Mapping


class News:
    """Wakes everybody who waits for a change to a session, or to any (None).

    Belongs to one event loop. Knows only changes that were `told`; what happened before is for the store to look up.
    """

    def __init__(self) -> None:
        self._waiting: dict[str | None, set[asyncio.Future[int]]] = {}
        self._somebody = asyncio.Event()

    def expect(self, session: str | None) -> asyncio.Future[int]:
        """A future of the number of the next change; hand it to `forget` in the end, whatever became of it."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(session, set()).add(future)
        self._somebody.set()
        return future

    def forget(self, session: str | None, future: asyncio.Future[int]) -> None:
        """Take back an `expect`."""
        if future.done() and not future.cancelled():
            future.exception()  # whoever waited may have failed before it; asyncio would report that nobody looked
        waiting = self._waiting[session]
        waiting.remove(future)
        if not waiting:
            del self._waiting[session]
        if not self._waiting:
            self._somebody.clear()

    def tell(self, changes: Mapping[str, int]) -> None:
        """Say which sessions have changed, and the number of each change."""
        if not self._waiting or not changes:
            return
        for session, change in changes.items():
            self._wake(session, change)
        self._wake(None, max(changes.values()))

    def fail(self, error: Exception) -> None:
        """Raise an error wherever anybody waits."""
        for waiting in self._waiting.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(error)

    def waited_for(self) -> set[str | None]:
        """The sessions that anybody waits for."""
        return set(self._waiting)

    async def until_somebody_waits(self) -> None:
        """Return at once when anybody waits, else when somebody does."""
        await self._somebody.wait()

    def _wake(self, session: str | None, change: int) -> None:
        for future in self._waiting.get(session, ()):
            if not future.done():
                future.set_result(change)
