"""Following a file of a fake host: the rules of the real ones, on a tree in memory."""

from collections.abc import AsyncGenerator

import anyio

from ...cursor import CHECKED_BYTES, Cursor
from ...errors import ConnectFailed, FileRefused, LinkLost
from ...following import NOT_REGULAR, Following, Look, began_again
from ...host import EndOfWriting, Followed
from .link import FakeLink, Operation
from .tree import FileTree, Node

READ_BYTES = 64 * 1024
"""Bytes of one look."""


async def follow(
    link: FakeLink, files: FileTree, path: str, cursor: Cursor, *, limit: int, until: EndOfWriting | None
) -> AsyncGenerator[tuple[Followed, Cursor]]:
    """See `optio_host.host.FollowsFiles.follow`. While the link is down it waits, and nothing is read twice.

    Raises ConnectFailed when there was no way to the host from the beginning.
    """
    if not path.startswith("/"):
        raise ValueError(f"{path!r}: a followed file is named by its absolute path")
    reader = _Reader(files, path, cursor, limit)
    operation = await link.begin("follow", path)
    while True:
        changed = files.next_change()
        ended = until is not None and until.is_set()
        try:
            while (found := await reader.look(operation)) is not None:
                for each in found:
                    yield each
            if not ended:
                with operation.held():
                    await _either(changed, until)
                continue
        except LinkLost:
            operation = await _again(link, path)
            continue
        for each in reader.finish():
            yield each
        return


async def _again(link: FakeLink, path: str) -> Operation:
    while True:
        try:
            return await link.begin("follow", path)
        except ConnectFailed:
            continue  # it has waited for a while before it failed


async def _either(changed: anyio.Event, until: EndOfWriting | None) -> None:
    async def wait_for(event: EndOfWriting) -> None:
        await event.wait()
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(wait_for, changed)
        if until is not None:
            group.start_soon(wait_for, until)


class _Reader:
    """Reads what is new at each `look`; keeps the file, so that what a rotation moved away is still read."""

    def __init__(self, files: FileTree, path: str, cursor: Cursor, limit: int) -> None:
        self._files = files
        self._path = path
        self._following = Following(cursor, limit)
        self._node: Node | None = None

    async def look(self, operation: Operation) -> list[tuple[Followed, Cursor]] | None:
        """Read on; the lines completed by it, maybe none; None when nothing new is there. Raises LinkLost."""
        await operation.reach()
        there = self._there()
        node = self._node = self._node or there
        if node is None:
            return None
        fed = self._following.fed
        before = bytes(node.data[max(0, fed - CHECKED_BYTES) : fed])
        came = bytearray()
        try:
            await operation.carry(bytes(node.data[fed : fed + READ_BYTES]), came.extend)
        except LinkLost:
            if not came:
                raise
        found = self._following.take(Look(_identity(node), len(node.data), fed, before, bytes(came)))
        if not began_again(found) and not came:
            # The file was read to its end just now; if there is another one, whoever wrote to it has moved on.
            if there is None or there is node:
                return None
            found = self._following.take(Look(_identity(there), len(there.data), self._following.fed, b"", b""))
        if began_again(found):
            self._node = None
        return found

    def finish(self) -> list[tuple[Followed, Cursor]]:
        """The unfinished last line."""
        return self._following.finish()

    def _there(self) -> Node | None:
        try:
            node = self._files.node(self._path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileRefused(self._path, f"it cannot be read: {error.strerror}") from error
        if not node.is_file:
            raise FileRefused(self._path, NOT_REGULAR)
        return node


def _identity(node: Node) -> str:
    return f"fake:{node.inode}"
