"""Blocking work as a generator, run a step at a time in worker threads."""

import threading
from collections.abc import AsyncGenerator, Generator
from typing import Generic, TypeVar

import anyio

Item = TypeVar("Item")


async def in_threads(blocking: Generator[Item, None, None]) -> AsyncGenerator[Item]:
    """Every item of a blocking generator. Between two items it can be cancelled or closed; its `finally` runs then."""
    steps = _Steps(blocking)
    try:
        while item := await anyio.to_thread.run_sync(steps.next):
            yield item[0]
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(steps.close)


class _Steps(Generic[Item]):
    # asyncio's own cancel ends the wait for a thread that is still inside a step; the lock makes close wait for it.
    def __init__(self, blocking: Generator[Item, None, None]) -> None:
        self._blocking = blocking
        self._lock = threading.Lock()

    def next(self) -> tuple[Item] | None:
        with self._lock:
            try:
                return (next(self._blocking),)
            except StopIteration:  # cannot cross an await
                return None

    def close(self) -> None:
        with self._lock:
            self._blocking.close()
