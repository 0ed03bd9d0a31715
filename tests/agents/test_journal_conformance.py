"""Both stores keep every promise of the contract."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from optio_agents.journal.conformance import PROMISES, Promise
from optio_agents.journal.contract import Store
from optio_agents.journal.memory import MemoryStore
from optio_agents.journal.sqlite.store import open_sqlite
from optio_host.clock import Clock

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_sqlite(promise: Promise, run: Run, tmp_path: Path) -> None:
    def opened(clock: Clock) -> AbstractAsyncContextManager[Store]:
        return open_sqlite(tmp_path / "journal.db", clock=clock)

    run(lambda: promise(opened))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_memory(promise: Promise, run: Run) -> None:
    stores: list[MemoryStore] = []

    @asynccontextmanager
    async def opened(clock: Clock) -> AsyncIterator[Store]:
        if not stores:
            stores.append(MemoryStore(clock))
        yield stores[0]

    run(lambda: promise(opened))
