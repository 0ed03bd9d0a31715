"""The fake host keeps the promises of a host, except those about a real shell and real processes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from optio_host.host import Host
from optio_host.testing.conformance import HOST_PROMISES, NotOffered, Promise, try_promise
from optio_host.testing.fake import FakeHost

Run = Callable[[Callable[[], Awaitable[object]]], None]

TASK = "/srv/task dir's"


class Inside:
    """`optio_host.testing.conformance.FarSide` of a fake host: its tree."""

    def __init__(self, host: Host) -> None:
        assert isinstance(host, FakeHost)
        self._files = host.files

    async def read(self, path: str) -> bytes:
        return self._files.read(path)

    async def append(self, path: str, data: bytes) -> None:
        self._files.append(path, data)

    async def overwrite(self, path: str, data: bytes) -> None:
        self._files.write(path, data)

    async def rename(self, path: str, new: str) -> None:
        self._files.rename(path, new)

    async def symlink(self, target: str, path: str) -> None:
        self._files.symlink(path, target)

    async def fifo(self, path: str) -> None:
        self._files.fifo(path)

    async def mkdir(self, path: str, mode: int = 0o755) -> None:
        self._files.mkdir(path)
        self._files.chmod(path, mode)

    async def chmod(self, path: str, mode: int) -> None:
        self._files.chmod(path, mode)

    async def mode(self, path: str) -> int | None:
        try:
            return self._files.node(path, follow=False).mode
        except FileNotFoundError:
            return None

    async def inode(self, path: str) -> int:
        return self._files.node(path, follow=False).inode

    async def names(self, directory: str) -> list[str]:
        return self._files.listing(directory)


@asynccontextmanager
async def in_memory() -> AsyncIterator[Host]:
    with FakeHost(TASK) as host:
        await host.connect()
        yield host
        await host.disconnect()


@pytest.mark.parametrize("promise", HOST_PROMISES, ids=lambda promise: promise.__name__)
def test_in_memory(run: Run, promise: Promise) -> None:
    needs_a_machine: list[str] = []

    async def body() -> None:
        try:
            await try_promise(promise, in_memory, far=Inside, machine=False)
        except NotOffered as missing:
            needs_a_machine.append(str(missing))

    run(body)
    assert needs_a_machine in ([], ["a real shell and real processes"])
