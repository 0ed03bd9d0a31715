"""Reading what the agent says: messages with positions, as many at a time as there are."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import anyio

from optio_host.cursor import Cursor
from optio_host.errors import HostError
from optio_host.host import EndOfWriting, FileReset, Followed, FollowsFiles
from optio_host.lines import Line

from ..errors import JournalError
from .messages import Message
from .parse import LINE_LIMIT, message_of

BATCH = 256
"""Messages that come at once, at most; also how far the reader may be ahead."""

BATCH_BYTES = 64 * 1024
"""Bytes of them, at most; one message may always come, however large."""


@dataclass(frozen=True, slots=True)
class Output:
    """One message of the agent, or that its output is not the file it was.

    Attributes:
        message: what was said.
        size: bytes of its line.
        cursor: behind it.
    """

    message: Message | FileReset
    size: int
    cursor: Cursor


async def listen(
    host: FollowsFiles,
    path: str,
    cursor: Cursor,
    until: EndOfWriting,
    hear: Callable[[list[Output]], Awaitable[None]],
) -> None:
    """Hand over everything behind the cursor, and what comes, in order, until `until` is set and all is read.

    Raises what `hear` raises of the journal and the host; FileRefused when the output is no regular file any more.
    """
    ahead = _Ahead()
    failure: JournalError | HostError | None = None  # raised outside of the group, which would wrap it

    async def read() -> None:
        nonlocal failure
        try:
            async with aclosing(host.follow(path, cursor, limit=LINE_LIMIT, until=until)) as lines:
                async for line, behind in lines:
                    # Here and not where it is heard: what comes next is read while the journal is written.
                    if ahead.add(_output(line, behind)):
                        await ahead.taken()
        except HostError as error:
            failure = error
        finally:
            ahead.end()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        try:
            while outputs := await ahead.take():
                await hear(outputs)
        except (JournalError, HostError) as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


class _Ahead:
    """What was read and is still to be heard. One task reads, one hears.

    It goes from one to the other by the batch: message by message, the hops would cost more than all else.
    """

    def __init__(self) -> None:
        self._outputs: list[Output] = []
        self._size = 0
        self._ended = False
        self._come = anyio.Event()
        self._taken = anyio.Event()

    def add(self, output: Output) -> bool:
        """Add one; whether that is enough for now, so that the reader must wait until it is `taken`."""
        if not self._outputs:
            self._come.set()
        self._outputs.append(output)
        self._size += output.size
        return len(self._outputs) >= BATCH or self._size >= BATCH_BYTES

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._come.set()

    async def taken(self) -> None:
        """Return when there is room again."""
        self._taken = anyio.Event()
        await self._taken.wait()

    async def take(self) -> list[Output]:
        """What is there, once there is anything; nothing at the end."""
        if not self._outputs and not self._ended:
            self._come = anyio.Event()
            await self._come.wait()
        outputs, self._outputs, self._size = self._outputs, [], 0
        self._taken.set()
        return outputs


def _output(line: Followed, cursor: Cursor) -> Output:
    if isinstance(line, FileReset):
        return Output(line, 0, cursor)
    return Output(message_of(line), len(line.data) if isinstance(line, Line) else line.size, cursor)
