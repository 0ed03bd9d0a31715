"""What each entry of the log sets in motion in the published driver."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar, assert_never
from urllib.parse import urlsplit

import anyio

from optio_host.clock import Clock
from optio_host.host import FileReset

from ..errors import SessionFailed
from ..outcome import Done, Failed
from ..process_context import CallsForAttention, OpensBrowsers, ProcessContext, TakesClientMessages, tell
from .callbacks import UrlRewrite, call, within
from .channel import ChannelEvent
from .events import (
    AttentionEvent,
    BrowserEvent,
    CallerMessageEvent,
    ClientMessageEvent,
    DeliverableEvent,
    DoneEvent,
    ErrorEvent,
    OverlongLine,
    StatusEvent,
    UnknownLine,
)
from .limits import DriverLimits
from .worker import Worker

Item = TypeVar("Item")

NO_REASON = "agent reported ERROR"
"""The published reason of an ERROR without a text."""

SHOWN = 200
"""How many characters of an over-long line are shown."""


def end_of(event: ChannelEvent) -> Done | SessionFailed | None:
    """The end that an event brings about, if it does."""
    match event:
        case DoneEvent(summary):
            return Done(summary)
        case ErrorEvent(message):
            return SessionFailed(Failed(message or NO_REASON))
        case _:
            return None


class Dispatcher:
    """Acts on one event after the other.

    Parameters:
        ctx: the process context.
        deliverables: takes announced paths.
        messages: takes caller messages; None when they are off.
        rewrite: applied to addresses.
        finish: told of an end.
        while_waiting: wrapped around everything that may take long.
    """

    def __init__(
        self,
        ctx: ProcessContext,
        *,
        deliverables: Worker[str],
        messages: Worker[CallerMessageEvent] | None,
        rewrite: UrlRewrite | None,
        finish: Callable[[Done | SessionFailed], None],
        while_waiting: Callable[[], AbstractAsyncContextManager[None]],
        clock: Clock,
        limits: DriverLimits,
    ) -> None:
        self._ctx = ctx
        self._deliverables = deliverables
        self._messages = messages
        self._rewrite = rewrite
        self._finish = finish
        self._while_waiting = while_waiting
        self._clock = clock
        self._limits = limits
        self._asking = anyio.CancelScope()
        self._given_up = False

    def give_up(self) -> None:
        """Wait no longer for the process context, now and from now on."""
        self._given_up = True
        self._asking.cancel()

    async def dispatch(self, event: ChannelEvent) -> None:
        """Act on an event. Never raises an Exception."""
        if (end := end_of(event)) is not None:
            self._finish(end)
            return
        match event:
            case StatusEvent(percent, message):
                tell(self._ctx, percent, message)
            case UnknownLine(text):
                if text:
                    tell(self._ctx, None, text)
            case OverlongLine(size, head):
                tell(self._ctx, None, f"A line of {size} bytes, too long to be read: {head[:SHOWN]}...")
            case FileReset(reason):
                tell(self._ctx, None, f"The log was {reason}; it is read from its beginning now")
            case DeliverableEvent(path):
                await self._hand_over(self._deliverables, path)
            case CallerMessageEvent():
                # Off without a callback, so there is no such event then.
                if self._messages is not None:
                    await self._hand_over(self._messages, event)
            case AttentionEvent(reason):
                await self._need_attention(reason)
            case BrowserEvent(url):
                await self._open_browser(url)
            case ClientMessageEvent(keyword, data):
                await self._client_message(keyword, data)
            case DoneEvent() | ErrorEvent():
                pass  # an end, above
            case _:
                assert_never(event)

    async def _hand_over(self, worker: Worker[Item], item: Item) -> None:
        if not worker.put_nowait(item):
            async with self._while_waiting():
                await worker.put(item)

    async def _need_attention(self, reason: str) -> None:
        if isinstance(self._ctx, CallsForAttention):
            await self._ask(f"Attention needed: {reason}", self._ctx.need_attention(reason))
        else:
            tell(self._ctx, None, f"Attention needed: {reason}")

    async def _client_message(self, keyword: str, data: object) -> None:
        if isinstance(self._ctx, TakesClientMessages):
            await self._ask(f"Message for the client: {keyword}", self._ctx.client_message(keyword, data))
        else:
            tell(self._ctx, None, f"Message for the client: {keyword}: this process has no client_message()")

    async def _open_browser(self, url: str) -> None:
        await self._ask(f"Address to open: {url}", self._rewritten_and_opened(url))

    async def _rewritten_and_opened(self, url: str) -> None:
        address = url if self._rewrite is None else await call(self._rewrite, url)
        if not isinstance(address, str) or not _may_be_opened(address):
            tell(self._ctx, None, f"Not opened, only one http or https address is: {address}")
        elif isinstance(self._ctx, OpensBrowsers):
            await self._ctx.request_browser_open(address)
        else:
            tell(self._ctx, None, f"Open in a browser: {address}")

    async def _ask(self, what: str, request: Awaitable[object]) -> None:
        """Wait for the process context; a failure or a silence is reported, with what it was about."""
        async with self._while_waiting():
            with anyio.CancelScope() as self._asking:
                if self._given_up:
                    self._asking.cancel()
                try:
                    await within(self._clock, self._limits.context, request)
                except Exception as error:
                    tell(self._ctx, None, f"{what} (the process did not take it: {type(error).__name__}: {error})")


def _may_be_opened(url: str) -> bool:
    """One http or https address with a host, and nothing that could end the line it is written on."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url
