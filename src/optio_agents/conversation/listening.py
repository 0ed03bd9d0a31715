"""Reading what the agent says: messages with positions, as many at a time as there are."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

import anyio

from optio_host.cursor import Cursor
from optio_host.errors import HostError
from optio_host.host import EndOfWriting, FileReset, Followed, FollowsFiles
from optio_host.lines import Line

from ..ahead import Ahead
from ..errors import JournalError
from .messages import Message
from .parse import LINE_LIMIT, message_of, parse

BATCH = 256
"""Messages that come at once, at most; also how far the reader may be ahead."""

BATCH_BYTES = 64 * 1024
"""Bytes of them, at most; one message may always come, however large."""


class Output(NamedTuple):
    """One message of the agent, or that its output is not the file it was. A tuple, as there are so many.

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
    ahead = Ahead[Output](BATCH, BATCH_BYTES)
    failure: JournalError | HostError | None = None  # raised outside of the group, which would wrap it

    async def read() -> None:
        nonlocal failure
        try:
            async with aclosing(host.follow(path, cursor, limit=LINE_LIMIT, until=until)) as lines:
                async for line, behind in lines:
                    # Here and not where it is heard: what comes next is read while the journal is written.
                    output = _output(line, behind)
                    if ahead.add(output, output.size):
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


def _output(line: Followed, cursor: Cursor) -> Output:
    if isinstance(line, Line):
        return Output(parse(line.data), len(line.data), cursor)
    return Output(line, 0, cursor) if isinstance(line, FileReset) else Output(message_of(line), line.size, cursor)
