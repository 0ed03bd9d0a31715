"""From a URL to a store."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from optio_host.clock import SYSTEM_CLOCK, Clock
from optio_host.paths import state_dir

from ..errors import StoreError
from .contract import Store


def default_path() -> Path:
    """The journal of this user."""
    return Path(state_dir(), "journal.db")


def without_password(url: str) -> str:
    """The URL as it may be shown: only its scheme, if there is any place in it where a password may stand."""
    if not set("@?#") & set(url):
        return url
    scheme, colon, _ = url.partition(":")
    return f"{scheme}:..." if colon and scheme.isalnum() else "..."


def check_url(url: str) -> None:
    """StoreError if the URL names no store that this version knows. Opens nothing."""
    if _is_mongo(url):
        from .mongo.url import place_of

        place_of(url)
    elif url != "memory:":
        _file_named_by(url)


@asynccontextmanager
async def open_store(url: str | None = None, *, clock: Clock = SYSTEM_CLOCK) -> AsyncIterator[Store]:
    """Open the store that a URL names, until the block is left.

    Parameters:
        url: `sqlite:///path` for a file (the path is absolute, with %3F for a question mark and so on; a fourth slash,
            as SQLAlchemy wants it, changes nothing), `mongodb://...` for a database that several machines reach (see
            docs/store.md), `memory:` for a store that ends with this block; None: what OPTIO_STORE names, else the
            user's own file.
        clock: for leases and for times that are noted.

    Raises:
        StoreError: the URL names no store that this version knows, or it cannot be opened.
        StoreAway: it cannot be reached.
    """
    if url is None:
        url = os.environ.get("OPTIO_STORE") or f"sqlite://{quote(os.fsencode(default_path()))}"
    if url == "memory:":
        from .memory import MemoryStore

        yield MemoryStore(clock)
    elif _is_mongo(url):
        from .mongo.store import open_mongo
        from .mongo.url import place_of

        async with open_mongo(place_of(url), clock=clock) as mongo:
            yield mongo
    else:
        path = _file_named_by(url)
        from .sqlite.store import open_sqlite

        async with open_sqlite(path, clock=clock) as store:
            yield store


def _is_mongo(url: str) -> bool:
    return url.startswith(("mongodb://", "mongodb+srv://"))


def _file_named_by(url: str) -> Path:
    path = os.fsdecode(unquote_to_bytes(url.removeprefix("sqlite://"))).lstrip("/")
    if not url.startswith("sqlite:///") or not path or set("?#") & set(url) or "\0" in path:
        raise StoreError(
            f"{without_password(url)!r} names no store that this version knows; sqlite:///absolute/path, "
            "mongodb://host/ and memory: do"
        )
    return Path("/", path)
