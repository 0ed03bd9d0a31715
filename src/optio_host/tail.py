"""A followed file as plain lines of text, as the published `tail_file` gives them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from .cursor import Cursor
from .host import FileReset, Followed
from .lines import LongLine


async def as_text(followed: AsyncGenerator[tuple[Followed, Cursor]]) -> AsyncGenerator[str]:
    """Each line without its end; an over-long one as its beginning with its size. Closes what it reads from.

    A file that was replaced goes on with its new content.
    """
    async with aclosing(followed) as lines:
        async for line, _ in lines:
            if isinstance(line, LongLine):
                yield f"{line.head.decode('utf-8', 'replace')} [... a line of {line.size} bytes]"
            elif not isinstance(line, FileReset):
                yield line.data.decode("utf-8", "replace")
