"""Functions that want to hear of every change of a state. What one of them raises harms nobody else."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

State = TypeVar("State")


class Listeners(Generic[State]):
    """Those who listen to one thing, in the order in which they came."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[State], None]] = []

    def add(self, listener: Callable[[State], None]) -> Callable[[], None]:
        """Call a function with every change of state from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def tell(self, state: State, *, about: str) -> None:
        """Call each of them. What one raises is told to whoever handles errors of callbacks in this event loop.

        Parameters:
            about: what is listened to, for messages.
        """
        for listener in list(self._listeners):
            try:
                listener(state)
            except Exception as error:
                told = {"message": f"{about}: a listener raised at {state!r}", "exception": error}
                asyncio.get_running_loop().call_exception_handler(told)
