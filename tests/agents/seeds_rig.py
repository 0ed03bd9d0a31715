"""Seeds in a database of the test's own, by either of the two drivers of MongoDB."""

import itertools
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient

from optio_agents.context import StandaloneContext

Driver = Literal["motor", "pymongo"]

_numbers = itertools.count()


class SeedContext(StandaloneContext):
    """A process whose database is the test's, with a prefix that no other test has."""

    def __init__(self, db: Any) -> None:
        super().__init__()
        self._db = db
        self._prefix = f"t{os.getpid()}x{next(_numbers)}"


@asynccontextmanager
async def seed_context(url: str, driver: Driver = "motor") -> AsyncIterator[SeedContext]:
    client: Any = (AsyncIOMotorClient if driver == "motor" else AsyncMongoClient)(url, serverSelectionTimeoutMS=20_000)
    try:
        yield SeedContext(client["optio"])
    finally:
        closing = client.close()
        if closing is not None:
            await closing
        # The drivers end their threads when they notice.
        for thread in threading.enumerate():
            if thread.name.startswith("pymongo_"):
                await anyio.to_thread.run_sync(thread.join, 10)


async def blobs(ctx: SeedContext) -> int:
    """How many blobs of seeds there are that this context has stored."""
    found = await ctx._db["fs.files"].find({}).to_list(None)
    return sum(each["metadata"]["prefix"] == ctx._prefix for each in found)
