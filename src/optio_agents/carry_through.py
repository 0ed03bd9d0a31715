"""Steps that come to their end although whoever waits for them gives up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import anyio

from .errors import StoreAway

_log = logging.getLogger(__name__)

T = TypeVar("T")


class CarriedThrough:
    """Runs steps that change what is known and commit it: given up in the middle, the two would part.

    A step that nobody waits for any more goes on, until `end`.
    """

    def __init__(self) -> None:
        self._steps: dict[asyncio.Task[object], anyio.CancelScope] = {}

    async def run(self, step: Callable[[], Awaitable[T]]) -> T:
        """What the step gives, or raises; StoreAway when `end` came before. Cancelling this ends only the waiting."""
        scope = anyio.CancelScope()

        async def whole() -> T:
            with scope:
                return await step()
            raise StoreAway("the session was let go of before its journal took this, which may come yet")

        task = asyncio.create_task(whole())
        self._steps[task] = scope
        task.add_done_callback(self._steps.pop)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    async def end(self) -> None:
        """Give up what is still under way: the driver goes, and what it knows goes with it."""
        with anyio.CancelScope(shield=True):
            for scope in self._steps.values():
                scope.cancel()
            if self._steps:
                await asyncio.wait(list(self._steps))


class _Carries(Protocol):
    _steps: CarriedThrough


P = ParamSpec("P")
S = TypeVar("S", bound=_Carries)


def carried_through(
    method: Callable[Concatenate[S, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], Coroutine[object, object, T]]:
    """A method that is one step of the object's `_steps`."""

    @wraps(method)
    async def carried(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._steps.run(partial(method, self, *args, **kwargs))

    return carried


def _log_failure(task: "asyncio.Task[T]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("what nobody waits for any more could not be written down: %s", error)
