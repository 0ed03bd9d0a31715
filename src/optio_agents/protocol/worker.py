"""A bounded queue in front of a slow callback: one item at a time, in order, and one answer to each."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

Item = TypeVar("Item")


class Worker(Generic[Item]):
    """Takes items from its queue and has each of them answered.

    Parameters:
        bound: how many items may wait.
        answer: works on one item and returns what the agent is told, or None; may be cancelled at any await.
        not_answered: what the agent is told of an item that will not be worked on, from the item and the reason.
        say: tells the agent.
    """

    def __init__(
        self,
        bound: int,
        *,
        answer: Callable[[Item], Awaitable[str | None]],
        not_answered: Callable[[Item, str], str],
        say: Callable[[str], Awaitable[object]],
    ) -> None:
        self._put, self._take = anyio.create_memory_object_stream[Item](bound)
        self._answer = answer
        self._not_answered = not_answered
        self._say = say
        self._given_up: str | None = None
        self._working = anyio.CancelScope()
        self.finished = anyio.Event()

    def put_nowait(self, item: Item) -> bool:
        """Queue an item; False when the queue is full."""
        try:
            self._put.send_nowait(item)
        except anyio.WouldBlock:
            return False
        return True

    async def put(self, item: Item) -> None:
        """Queue an item, waiting for room."""
        await self._put.send(item)

    def close(self) -> None:
        """No more items come; `finished` is set when those that wait have their answers."""
        self._put.close()

    def give_up(self, reason: str) -> None:
        """Stop what is being worked on; it and all that waits gets the reason as its answer."""
        if self._given_up is None:
            self._given_up = reason
            self._working.cancel()

    async def run(self) -> None:
        """Work until closed and empty."""
        try:
            async for item in self._take:
                reply = await self._reply_to(item)
                if reply is not None:
                    await self._say(reply)
        finally:
            self.finished.set()

    def discard(self) -> None:
        """Let go of the queue and of what may still be in it, whether it ever ran or not."""
        self._put.close()
        self._take.close()

    async def _reply_to(self, item: Item) -> str | None:
        with anyio.CancelScope() as self._working:
            if self._given_up is None:
                return await self._answer(item)
        return self._not_answered(item, self._given_up or "the session ended")
