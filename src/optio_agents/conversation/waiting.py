"""Somebody who waits for one value that may never come."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import anyio

Value = TypeVar("Value")


class Waiting(Generic[Value]):
    """One who waits."""

    def __init__(self) -> None:
        self._come = anyio.Event()
        self._value: Value | None = None
        self._error: Exception | None = None

    @contextmanager
    def among(self, others: dict[str, "Waiting[Value]"], name: str) -> Iterator["Waiting[Value]"]:
        """Be known by a name among those who wait, for as long as this is open."""
        others[name] = self
        try:
            yield self
        finally:
            del others[name]

    def set(self, value: Value) -> None:
        """It is here."""
        self._value = value
        self._come.set()

    def give_up(self, error: Exception) -> None:
        """It will not come, unless it is here already."""
        self._error = error
        self._come.set()

    async def value(self) -> Value:
        """The value, once it is here. Raises the error when it will not come."""
        await self._come.wait()
        if self._value is None:
            assert self._error is not None
            raise self._error
        return self._value
