"""What a session needs to know of the process that it is part of, and a stand-in for when there is none.

optio-core's ProcessContext fits as it is. `ProcessContext` is what every context must have; the small protocols behind
it are what a context may have, asked for when it is needed.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

_log = logging.getLogger(__name__)


@runtime_checkable
class ProcessContext(Protocol):
    """The process around a session. Both methods are plain, quick, and called on the event loop."""

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        """Show how far it is: 0 to 100, or None where that is not known; and a text, or None."""
        ...

    def should_continue(self) -> bool:
        """Whether nobody has asked it to stop."""
        ...


@runtime_checkable
class CallsForAttention(Protocol):
    """A context that can call a person."""

    def need_attention(self, reason: str) -> Awaitable[object]:
        """Call a person, with the reason."""
        ...


@runtime_checkable
class OpensBrowsers(Protocol):
    """A context that can open an address in the person's browser."""

    def request_browser_open(self, url: str) -> Awaitable[object]:
        """Ask for an address to be opened."""
        ...


@runtime_checkable
class TakesClientMessages(Protocol):
    """A context that can pass data to the program on the person's screen."""

    def client_message(self, keyword: str, data: object) -> Awaitable[object]:
        """Pass on data, with the word that says of what kind it is."""
        ...


@runtime_checkable
class RunsChildTasks(Protocol):
    """A context that can run another task below this one."""

    def run_child_task(self, task: object) -> Awaitable[object]:
        """Run it to its end; raises when it failed."""
        ...


class BlobReader(Protocol):
    """A stored blob, open for reading."""

    def read(self, size: int = -1) -> Awaitable[bytes]:
        """The next bytes, at most `size`; empty at the end."""
        ...


@runtime_checkable
class LoadsBlobs(Protocol):
    """A context that can read what it has stored."""

    def load_blob(self, file_id: object) -> AbstractAsyncContextManager[BlobReader]:
        """Open a stored blob by its id."""
        ...


def tell(ctx: ProcessContext, percent: float | None, message: str | None) -> None:
    """Report progress on behalf of a session, which must not end because its progress cannot be shown."""
    try:
        ctx.report_progress(percent, message)
    except Exception:
        _log.warning("report_progress(%r, %r) of %s raised", percent, message, type(ctx).__name__, exc_info=True)


KEPT_PROGRESS = 1000
"""How many reports a `StandaloneContext` keeps; older ones are forgotten."""


class StandaloneContext:
    """A context for a session that no process manager started: progress goes to a callback, `cancel` ends it.

    It has no child tasks and no blobs. What a person should see comes as progress, too: override `need_attention`,
    `request_browser_open` and `client_message` to do better.

    Parameters:
        on_progress: called with (percent or None, message or None), as `report_progress` is.
    """

    def __init__(self, on_progress: Callable[[float | None, str | None], None] | None = None) -> None:
        self._on_progress = on_progress
        self._cancelled = False
        self.progress: deque[tuple[float | None, str | None]] = deque(maxlen=KEPT_PROGRESS)

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        """Keep it in `progress` and pass it on."""
        self.progress.append((percent, message))
        if self._on_progress is not None:
            self._on_progress(percent, message)

    def should_continue(self) -> bool:
        """Whether `cancel` has not been called."""
        return not self._cancelled

    def cancel(self) -> None:
        """Ask the session to stop."""
        self._cancelled = True

    async def need_attention(self, reason: str) -> None:
        """Report that a person is needed."""
        self.report_progress(None, f"Attention needed: {reason}")

    async def request_browser_open(self, url: str) -> None:
        """Report the address; nothing is opened."""
        self.report_progress(None, f"Open in a browser: {url}")

    async def client_message(self, keyword: str, data: object) -> None:
        """Report that there was a message; its data is not shown."""
        self.report_progress(None, f"Message for the client: {keyword}")
