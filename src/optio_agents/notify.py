"""Telling a person who is elsewhere: a command of theirs is run when the session waits for them."""

import logging
import os
from collections import deque
from typing import Literal

import anyio

from optio_host.clock import Clock
from optio_host.errors import HostError
from optio_host.local.host import LocalHost
from optio_host.outcome import Exited, describe

LIMIT = 30.0
"""Seconds that the command may take."""

KEPT = 100
"""How many notifications may wait for the ones before them."""

TEXT_LIMIT = 10_000
"""Characters of OPTIO_TEXT. Linux starts no program with a variable of more than 128 KiB."""

Occasion = Literal["attention", "question", "ended"]

_log = logging.getLogger(__name__)


class Notifier:
    """Runs the person's command on the driving machine, one at a time, in the background.

    The command finds OPTIO_SESSION, OPTIO_EVENT and OPTIO_TEXT in its environment. After a crash of the driver it may
    be run once more for the same event.

    Parameters:
        command: for /bin/sh; "" does nothing.
        session: the session's id.
        clock: time, for tests.
    """

    def __init__(self, command: str, session: str, clock: Clock) -> None:
        self._command = command
        self._session = session
        self._here = LocalHost("/", clock=clock)
        try:
            self._cwd = os.getcwd()  # once: it may be removed while the session lasts
        except FileNotFoundError:
            self._cwd = "/"
        self._waiting: deque[tuple[Occasion, str]] = deque(maxlen=KEPT)
        self._queued = anyio.Event()

    def notify(self, occasion: Occasion, text: str) -> None:
        """Queue a notification; when too many wait, the oldest is dropped."""
        if self._command:
            self._waiting.append((occasion, text))
            self._queued.set()

    async def run(self) -> None:
        """Carry out what is queued, for as long as the session lasts."""
        while True:
            self._queued = anyio.Event()
            while self._waiting:
                await self._call(*self._waiting.popleft())
            await self._queued.wait()

    async def notify_of_end(self, text: str) -> None:
        """Tell of the end at once, past what still waits: that is of no use any more, and may hang."""
        if self._command:
            await self._call("ended", text)

    async def _call(self, occasion: Occasion, text: str) -> None:
        # That the command fails is logged and changes nothing else. A variable cannot hold a NUL.
        shown = text[:TEXT_LIMIT].replace("\0", "\ufffd")
        environment = {"OPTIO_SESSION": self._session, "OPTIO_EVENT": occasion, "OPTIO_TEXT": shown}
        cwd = self._cwd if await anyio.Path(self._cwd).is_dir() else "/"
        try:
            done = await self._here.run_command(self._command, cwd=cwd, env=environment, timeout=LIMIT)
        except (HostError, OSError) as error:
            _log.warning("the notification command of session %s failed: %r", self._session, error)
            return
        if done.outcome is not None and done.outcome != Exited(0):
            said = done.stderr.strip()[-500:]
            _log.warning(
                "the notification command of session %s: it %s: %s", self._session, describe(done.outcome), said
            )
