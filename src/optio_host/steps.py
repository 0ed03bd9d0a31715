"""Work in steps: a blocking generator in worker threads, and the next step under way while the last is made use of."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
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


async def ahead(step: Callable[[], Awaitable[Item]]) -> AsyncGenerator[Item]:
    """What a step gives, again and again until that is empty; the next one is under way while one is made use of."""
    coming = asyncio.ensure_future(step())
    try:
        while item := await coming:
            coming = asyncio.ensure_future(step())
            yield item
    finally:
        coming.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([coming])
        _ = coming.cancelled() or coming.exception()  # of a step that nobody wants any more


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
