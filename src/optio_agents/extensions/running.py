"""Functions that others hand in, run so that none of them holds up its driver: a plain one in a thread of its own."""

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from threading import Thread

import anyio

from ..protocol.callbacks import call

THREADS = 16
"""Plain functions that may run at once, those included that nobody waits for any more."""


class Threads:
    """Runs functions, so many plain ones at once."""

    def __init__(self) -> None:
        self._free = anyio.Semaphore(THREADS)

    async def run(self, function: Callable[..., object], *arguments: object, **named: object) -> object:
        """What the function returns. Raises what it raises.

        When this is cancelled, an async function is, too; a plain one goes on, and nobody hears of it.
        """
        target = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        bound = partial(function, *arguments, **named)
        if inspect.iscoroutinefunction(target):
            return await call(bound)
        result = await self._in_thread(bound)
        return await call(partial(_itself, result)) if inspect.isawaitable(result) else result

    async def _in_thread(self, function: Callable[[], object]) -> object:
        loop = asyncio.get_running_loop()
        result: asyncio.Future[object] = loop.create_future()
        context = contextvars.copy_context()

        def settle(value: object, error: BaseException | None) -> None:
            self._free.release()
            if result.done():
                return
            if error is None:
                result.set_result(value)
            else:
                # A future takes no StopIteration, and the end of the interpreter is not for this thread to ask for.
                ordinary = isinstance(error, Exception) and not isinstance(error, StopIteration)
                result.set_exception(error if ordinary else RuntimeError(f"{type(error).__name__} was raised"))

        def run() -> None:
            value, error = None, None
            try:
                value = context.run(function)
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(settle, value, error)

        await self._free.acquire()
        # Not one of a pool: a driver can end while a function hangs.
        Thread(target=run, name="a tool or a hook", daemon=True).start()
        return await result


async def _itself(value: Awaitable[object]) -> object:
    return await value
