"""Reading what the agent says: messages with positions, as many at a time as there are."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from optio_host.cursor import Cursor
from optio_host.errors import HostError
from optio_host.host import EndOfWriting, FileReset, Followed, FollowsFiles
from optio_host.lines import Line

from ..errors import JournalError
from .messages import Message
from .parse import LINE_LIMIT, message_of

BATCH = 256
"""Messages that come at once, at most; also how far the reader may be ahead."""


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
    send, receive = anyio.create_memory_object_stream[tuple[Followed, Cursor]](BATCH)
    failure: JournalError | HostError | None = None  # raised outside of the group, which would wrap it

    async def read() -> None:
        nonlocal failure
        try:
            async with send, aclosing(host.follow(path, cursor, limit=LINE_LIMIT, until=until)) as lines:
                async for each in lines:
                    await send.send(each)
        except HostError as error:
            failure = error

    async with send, receive, anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        try:
            async for first in receive:
                await hear([_output(*each) for each in [first, *_at_hand(receive)]])
        except (JournalError, HostError) as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _at_hand(receive: MemoryObjectReceiveStream[tuple[Followed, Cursor]]) -> list[tuple[Followed, Cursor]]:
    lines: list[tuple[Followed, Cursor]] = []
    while len(lines) < BATCH - 1:
        try:
            lines.append(receive.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            break
    return lines


def _output(line: Followed, cursor: Cursor) -> Output:
    if isinstance(line, FileReset):
        return Output(line, 0, cursor)
    return Output(message_of(line), len(line.data) if isinstance(line, Line) else line.size, cursor)
