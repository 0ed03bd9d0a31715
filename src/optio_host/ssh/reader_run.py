"""One far-side reader on its channel, from its start to its end."""

from collections.abc import Callable
from typing import Literal

import anyio

from ..clock import Clock
from ..errors import HostError, LinkLost
from .channel import Channel
from .frames import QUIT, TICK, Alive, Frame, FrameReader

TICK_SECONDS = 5.0
"""How often the reader is asked for a sign of life. It ends by itself when it is not asked for a minute."""

POLL_SECONDS = 0.2
"""Likewise for the reader in sh, which looks at its files when it is asked."""

SILENT_SECONDS = 20.0
"""How long a reader may say nothing at all where an answer is due, before it is replaced."""

Ended = Literal["unused", "lost", "ended", "fell silent", "spoke nonsense"]
"""Nobody needs it any more; the link broke; it ended by itself; it said nothing for too long, or what is no frame."""


class ReaderRun:
    """Talks to one reader. What is said to it is sent in order; what it says is handed on frame by frame.

    Parameters:
        channel: where it runs.
        source: what its channel must be given before the first command.
        take: called with each frame; must not wait.
        needed: whether anybody still follows a file; asked at each tick.
        clock: time, for tests.

    Attributes:
        began: it has said that it is alive, so this kind of reader works over there.
    """

    def __init__(
        self, channel: Channel, source: bytes, take: Callable[[Frame], None], needed: Callable[[], bool], clock: Clock
    ) -> None:
        self.began = False
        self._channel = channel
        self._take = take
        self._needed = needed
        self._clock = clock
        self._unsent = source
        self._to_send = anyio.Event()
        self._heard = anyio.Event()
        self._answered = anyio.Event()
        self._interval = TICK_SECONDS
        self._quitting = False
        self._ended: Ended = "ended"
        self._scope = anyio.CancelScope()

    def say(self, command: bytes) -> None:
        """Send a command. There are never more of them under way than files and looks, so they are not bounded here."""
        self._unsent += command
        self._to_send.set()

    def quit(self) -> None:
        """Have it end."""
        self._quitting = True
        self.say(QUIT)

    async def run(self) -> Ended:
        """Serve until it ends. Raises HostError when a login script ended before it began."""
        failed: HostError | None = None
        with self._scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send)
                tasks.start_soon(self._pace)
                try:
                    await self._receive()
                except LinkLost:
                    self._end("lost")
                except ValueError:
                    self._end("spoke nonsense")
                except HostError as error:
                    failed = error  # raised from inside, it would come wrapped in a group
                self._scope.cancel()
        if failed is not None:
            raise failed
        return "unused" if self._quitting and self._ended == "ended" else self._ended

    def _end(self, ended: Ended) -> None:
        self._ended = ended
        self._scope.cancel()

    async def _receive(self) -> None:
        frames = FrameReader()
        while chunk := await self._channel.read():
            self._heard.set()
            for frame in frames.feed(chunk):
                if isinstance(frame, Alive):
                    self.began = True
                    self._interval = TICK_SECONDS if frame.reader == "python3" else POLL_SECONDS
                    self._answered.set()
                self._take(frame)

    async def _send(self) -> None:
        try:
            while True:
                if not self._unsent:
                    self._to_send = anyio.Event()
                    await self._to_send.wait()
                data, self._unsent = self._unsent, b""
                await self._channel.write(data)
        except (BrokenPipeError, LinkLost):
            return  # it has ended or is about to; the other direction tells how

    async def _pace(self) -> None:
        while True:
            while not self._answered.is_set():
                self._heard = anyio.Event()
                with self._clock.move_on_after(SILENT_SECONDS) as limit:
                    await self._heard.wait()
                if limit.cancelled_caught:
                    self._end("fell silent")
                    return
            await self._clock.sleep(self._interval)
            self._answered = anyio.Event()
            if self._needed():
                self.say(TICK)
            else:
                self.quit()
