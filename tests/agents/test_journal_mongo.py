"""The store in MongoDB: every promise of the contract, and what is its own."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest

from mongo_rig import mongo_url, new_store
from optio_agents.journal.conformance import PROMISES, Promise
from optio_agents.journal.contract import Store
from optio_agents.journal.mongo.store import open_mongo
from optio_agents.journal.mongo.url import place_of
from optio_host.clock import Clock

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mongo_url(tmp_path_factory.mktemp("mongo")) as url:
        yield url


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_mongo(promise: Promise, run: Run, server: str) -> None:
    place = place_of(new_store(server))

    def opened(clock: Clock) -> AbstractAsyncContextManager[Store]:
        return open_mongo(place, clock=clock)

    run(lambda: promise(opened))
