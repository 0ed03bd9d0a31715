"""Telling a person who is elsewhere: a command of theirs is run when the session waits for them."""

import logging
import os
import subprocess
from collections import deque
from typing import Literal

import anyio

LIMIT = 30.0
"""Seconds that the command may take."""

KEPT = 100
"""How many notifications may wait for the ones before them."""

Occasion = Literal["attention", "question", "ended"]

_log = logging.getLogger(__name__)


class Notifier:
    """Runs the person's command on the driving machine, one at a time, in the background.

    The command finds OPTIO_SESSION, OPTIO_EVENT and OPTIO_TEXT in its environment. After a crash of the driver it may
    be run once more for the same event.

    Parameters:
        command: for /bin/sh; "" does nothing.
        session: the session's id.
    """

    def __init__(self, command: str, session: str) -> None:
        self._command = command
        self._session = session
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
            await self.flush()
            await self._queued.wait()

    async def flush(self) -> None:
        """Carry out everything that is queued now. That a command failed is logged and changes nothing else."""
        while self._waiting:
            await self._call(*self._waiting.popleft())

    async def _call(self, occasion: Occasion, text: str) -> None:
        environment = {**os.environ, "OPTIO_SESSION": self._session, "OPTIO_EVENT": occasion, "OPTIO_TEXT": text}
        try:
            with anyio.fail_after(LIMIT):
                done = await anyio.run_process(
                    ["/bin/sh", "-c", self._command], env=environment, check=False, stdin=subprocess.DEVNULL
                )
        except (OSError, TimeoutError) as error:
            _log.warning("the notification command of session %s failed: %r", self._session, error)
            return
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()[-500:]
            _log.warning("the notification command of session %s: status %d: %s", self._session, done.returncode, said)
