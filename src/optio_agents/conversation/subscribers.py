"""Whoever listens to a conversation: each goes at a pace of its own, and none can hold up another, or the conversation.

What is published is one chain that all subscribers go along, so that an item costs the same for one as for ten; what
the slowest of them has taken is let go of.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from optio_host.clock import Clock
from optio_host.cursor import START, Cursor

from ..protocol.callbacks import call, is_being_cancelled

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


@dataclass(slots=True, eq=False)
class _Place(Generic[Item]):
    """A place in the chain.

    Attributes:
        number: how many items were published up to it.
        size: bytes of output that those stand for.
        cursor: behind the last of them.
        after: the item behind it, once there is one.
    """

    number: int
    size: int
    cursor: Cursor
    after: "_Published[Item] | None" = None


@dataclass(slots=True, eq=False)
class _Published(_Place[Item]):
    """An item in the chain, and the place behind it."""

    item: Item = field(kw_only=True)


class Subscription(Generic[Item]):
    """What one subscriber waits for. Calling it ends it; calling it again does nothing.

    Parameters:
        handler: called with each item.
        on_cut_off: called when it was too slow.
        at: where it begins.
        more: returns when something was published after this was called.

    Attributes:
        cut_off: set when it was too slow; items from before that still come.
        at: behind the last item that it has taken.
        ending: nothing more is added.
    """

    def __init__(
        self,
        handler: Callable[[Item], object],
        on_cut_off: Callable[[CutOff], object] | None,
        at: _Place[Item],
        more: Callable[[], Awaitable[object]],
    ) -> None:
        self.cut_off: CutOff | None = None
        self.at = at
        self.ending = False
        self._handler = handler
        self._on_cut_off = on_cut_off
        self._more = more
        self._scope = anyio.CancelScope()

    def __call__(self) -> None:
        """Get nothing more, from now on."""
        self.at = _Place(0, 0, START)
        self.ending = True
        self._scope.cancel()

    def cut(self) -> None:
        """It was too slow: nothing more is added."""
        # With links of its own: those of the chain would hold all that is published from now on.
        first: _Place[Item] = _Place(self.at.number, self.at.size, self.at.cursor)
        last, link = first, self.at.after
        while link is not None:
            last.after = _Published(link.number, link.size, link.cursor, item=link.item)
            last, link = last.after, link.after
        self.at = first
        self.cut_off = CutOff(last.cursor)
        self.ending = True

    async def run(self) -> None:
        """Hand over items, one after the other, to the last."""
        with self._scope:
            while True:
                await self._hand_over()
                if self.ending:
                    break
                await self._more()
            if self.cut_off is not None and self._on_cut_off is not None:
                try:
                    await call(self._on_cut_off, self.cut_off)
                except Exception:
                    _log.exception("a subscriber of a conversation failed")

    async def _hand_over(self) -> None:
        handler = self._handler
        while (published := self.at.after) is not None:
            self.at, item = published, published.item
            del published  # it would hold all that comes after it, for as long as the handler takes
            try:
                # Not by `call`: there are many items, and nearly all go to plain functions that return nothing.
                result = handler(item)
                if result is not None and inspect.isawaitable(result):
                    await result
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                    raise
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
        self._last: _Place[Item] = _Place(0, 0, START)
        self._more = anyio.Event()
        self._awaited = False
        # Nobody is too slow before so much is published.
        self._safe_number = 0
        self._safe_size = 0

    def subscribe(
        self, handler: Callable[[Item], object], on_cut_off: Callable[[CutOff], object] | None
    ) -> Subscription[Item]:
        """Hand every item from now on to a plain or async function, one at a time and in order."""
        subscription = Subscription(handler, on_cut_off, self._last, self._wait_for_more)
        if self._ended.is_set():
            subscription.ending = True
            return subscription
        self._subscriptions.append(subscription)
        if self._tasks is not None:
            self._tasks.start_soon(self._run, subscription)
        return subscription

    def publish(self, item: Item, size: int, cursor: Cursor) -> int:
        """Add an item for everybody, without waiting; how many were too slow and are cut off.

        Parameters:
            item: what is to be handed over.
            size: bytes of output that it stands for.
            cursor: behind it in the output.
        """
        if not self._subscriptions:
            return 0
        last = self._last
        cut = 0
        if last.number >= self._safe_number or last.size + size > self._safe_size:
            cut = self._cut_off_the_slow(size)
        self._last = last.after = _Published(last.number + 1, last.size + size, cursor, item=item)
        if self._awaited:
            self._wake()
        return cut

    def end(self) -> None:
        """Nothing more comes."""
        self._ended.set()
        for each in self._subscriptions:
            each.ending = True
        self._wake()

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

    def _cut_off_the_slow(self, size: int) -> int:
        """Cut off who has no room for an item of this size, and note how long the others will have room."""
        last = self._last
        cut = 0
        self._safe_number, self._safe_size = last.number + QUEUE_ITEMS, last.size + QUEUE_BYTES
        for each in self._subscriptions:
            if each.ending:
                continue
            number, waiting = last.number - each.at.number, last.size - each.at.size
            if number and (number >= QUEUE_ITEMS or waiting + size > QUEUE_BYTES):
                each.cut()
                cut += 1
            else:
                self._safe_number = min(self._safe_number, each.at.number + QUEUE_ITEMS)
                self._safe_size = min(self._safe_size, each.at.size + QUEUE_BYTES)
        return cut

    async def _wait_for_more(self) -> None:
        self._awaited = True
        await self._more.wait()

    def _wake(self) -> None:
        self._awaited = False
        more, self._more = self._more, anyio.Event()
        more.set()

    async def _run(self, subscription: Subscription[Item]) -> None:
        try:
            await subscription.run()
        finally:
            self._subscriptions.remove(subscription)
            self._one_less.set()
