"""What a task author hands in: functions, plain or async, and how they are called."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

from optio_host.clock import Clock
from optio_host.host import Host

from ..context import HookContext
from ..errors import AgentsError

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

BodyCallback = Callable[[Host, HookContext], Awaitable[object] | object]
"""Runs the agent: `body(host, hook_ctx)`. `prepare` has the same form."""

HookCallback = Callable[[HookContext], Awaitable[object] | object]
"""`before_execute(hook_ctx)` and `after_execute(hook_ctx)`."""

DeliverableCallback = Callable[[HookContext, str, str], Awaitable[str | None] | str | None]
"""`on_deliverable(hook_ctx, path, text)`: path is relative to the deliverables directory.

It returns feedback for the agent; nothing, an empty text and "ok" accept the file.
"""

CallerMessageCallback = Callable[[HookContext, str, object], Awaitable[str | None] | str | None]
"""`on_caller_message(hook_ctx, keyword, data)`: data is the decoded JSON value. It returns an answer or None."""

UrlRewrite = Callable[[str], Awaitable[str] | str]
"""Turns an address that the agent wants opened into the one that the person can reach."""


async def call(callback: Callable[[*Arguments], object], *arguments: *Arguments) -> object:
    """Call a plain or an async function. A plain one runs on the event loop and must be quick.

    Raises what it raises; AgentsError when something inside it was cancelled, which nobody here had asked for.
    """
    try:
        result = callback(*arguments)
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError as error:
        if is_being_cancelled():
            raise
        # Passed on as it is, it would end the task that made the call without anybody noticing.
        name = getattr(callback, "__name__", type(callback).__name__)
        raise AgentsError(f"{name} was cancelled by something inside it") from error


def is_being_cancelled() -> bool:
    """Whether the current task is cancelled by who owns it, and not by something inside it."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def within(clock: Clock, seconds: float, awaitable: Awaitable[Result]) -> Result:
    """Await it for at most this many seconds; TimeoutError after that."""
    with clock.move_on_after(seconds):
        return await awaitable
    raise TimeoutError(f"no end after {seconds:g} s, the limit")
