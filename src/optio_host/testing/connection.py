"""A host in a test: connected for a block, and let go of however the block ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from ..host import Host

AnyHost = TypeVar("AnyHost", bound=Host)


@asynccontextmanager
async def connected(host: AnyHost) -> AsyncIterator[AnyHost]:
    """The host, connected and with its workdir made; disconnected at the end. Raises what these raise."""
    await host.connect()
    try:
        await host.setup_workdir()
        yield host
    finally:
        with anyio.CancelScope(shield=True):
            await host.disconnect()
