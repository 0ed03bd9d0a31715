"""What one task has read for another, by the batch: item by item, the hops would cost more than all else."""

from typing import Generic, TypeVar

import anyio

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """What was read and is still to be taken. One task reads, one takes.

    Parameters:
        most: items that are enough, so that the reader waits.
        most_bytes: likewise of the bytes that they stand for. One item may always come, however large.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._items: list[Item] = []
        self._size = 0
        self._ended = False
        self._come = anyio.Event()
        self._taken = anyio.Event()

    def add(self, item: Item, size: int) -> bool:
        """Add one; whether that is enough for now, so that the reader must wait until it is `taken`."""
        if not self._items:
            self._come.set()
        self._items.append(item)
        self._size += size
        return len(self._items) >= self._most or self._size >= self._most_bytes

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._come.set()

    async def taken(self) -> None:
        """Return when there is room again."""
        self._taken = anyio.Event()
        await self._taken.wait()

    async def take(self) -> list[Item]:
        """What is there, once there is anything; nothing at the end."""
        if not self._items and not self._ended:
            self._come = anyio.Event()
            await self._come.wait()
        items, self._items, self._size = self._items, [], 0
        self._taken.set()
        return items
