"""Whoever listens to a conversation: each has a queue of its own, and none can hold up another, or the conversation."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from optio_host.clock import Clock
from optio_host.cursor import Cursor

from ..protocol.callbacks import call

_log = logging.getLogger(__name__)

Item = TypeVar("Item")

QUEUE_ITEMS = 10_000
"""Items that may wait for a subscriber."""

QUEUE_BYTES = 8 * 1024 * 1024
"""Bytes of output behind the items that may wait for it; one item may always wait, however large."""

LAST_ITEMS = 5.0
"""Seconds that a subscriber has, when a conversation has ended, to take what waits for it."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """A subscriber was too slow, and gets nothing more.

    Attributes:
        cursor: behind the last item that it gets: where to read on.
    """

    cursor: Cursor


class Subscription(Generic[Item]):
    """What one subscriber waits for. Calling it ends it; calling it again does nothing.

    Attributes:
        cut_off: set when it was too slow; items from before that still come.
    """

    def __init__(self, handler: Callable[[Item], object], on_cut_off: Callable[[CutOff], object] | None) -> None:
        self.cut_off: CutOff | None = None
        self._handler = handler
        self._on_cut_off = on_cut_off
        self._waiting: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._last: Cursor | None = None
        self._changed = anyio.Event()
        self._ending = False
        self._scope = anyio.CancelScope()

    def __call__(self) -> None:
        """Get nothing more, from now on."""
        self._waiting.clear()
        self.end()
        self._scope.cancel()

    def put(self, item: Item, size: int, cursor: Cursor) -> bool:
        """Add an item, without waiting; False when there is no room: then it was the last that could have been added.

        Parameters:
            item: what is to be handed over.
            size: bytes of output that it stands for.
            cursor: behind it in the output.
        """
        if self._ending:
            return True
        if self._waiting and (len(self._waiting) >= QUEUE_ITEMS or self._bytes + size > QUEUE_BYTES):
            assert self._last is not None
            self.cut_off = CutOff(self._last)
            self.end()
            return False
        self._waiting.append((item, size))
        self._bytes += size
        self._last = cursor
        self._changed.set()
        return True

    def end(self) -> None:
        """Nothing more is added."""
        self._ending = True
        self._changed.set()

    async def run(self) -> None:
        """Hand over items, one after the other, to the last."""
        with self._scope:
            while True:
                while self._waiting:
                    item, size = self._waiting.popleft()
                    self._bytes -= size
                    await self._hand_over(partial(self._handler, item))
                if self._ending:
                    break
                self._changed = anyio.Event()
                await self._changed.wait()
            if self.cut_off is not None and self._on_cut_off is not None:
                await self._hand_over(partial(self._on_cut_off, self.cut_off))

    async def _hand_over(self, handler: Callable[[], object]) -> None:
        try:
            await call(handler)
        except Exception:
            # Its next item comes all the same, and nobody else's is held up.
            _log.exception("a subscriber of a conversation failed")


class Subscribers(Generic[Item]):
    """All who want one kind of item."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._subscriptions: list[Subscription[Item]] = []
        self._tasks: TaskGroup | None = None
        self._ended = anyio.Event()
        self._one_less = anyio.Event()

    def subscribe(
        self, handler: Callable[[Item], object], on_cut_off: Callable[[CutOff], object] | None
    ) -> Subscription[Item]:
        """Hand every item from now on to a plain or async function, one at a time and in order."""
        subscription = Subscription(handler, on_cut_off)
        if self._ended.is_set():
            subscription.end()
            return subscription
        self._subscriptions.append(subscription)
        if self._tasks is not None:
            self._tasks.start_soon(self._run, subscription)
        return subscription

    def publish(self, item: Item, size: int, cursor: Cursor) -> int:
        """Add an item for everybody; how many were too slow and are cut off."""
        return sum(not each.put(item, size, cursor) for each in list(self._subscriptions))

    def end(self) -> None:
        """Nothing more comes."""
        self._ended.set()
        for each in self._subscriptions:
            each.end()

    async def run(self) -> None:
        """Until `end`, and until everybody has what waits for them, or was given time for it."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for each in self._subscriptions:
                tasks.start_soon(self._run, each)
            await self._ended.wait()
            with self._clock.move_on_after(LAST_ITEMS):
                while self._subscriptions:
                    self._one_less = anyio.Event()
                    await self._one_less.wait()
            tasks.cancel_scope.cancel()

    async def _run(self, subscription: Subscription[Item]) -> None:
        try:
            await subscription.run()
        finally:
            self._subscriptions.remove(subscription)
            self._one_less.set()
