"""Which host a command means: the one that a session runs on, or the one that a person names. Nothing else dials.

A host that only a stored session names is not dialled: a record may have come from elsewhere. A person who names a
session of this journal asks for its host, too.
"""

import posixpath
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from optio_host.errors import HostError
from optio_host.open import LOCAL, address_of, unconnected
from optio_host.url import HostAddress

from ..journal import SessionRecord

if TYPE_CHECKING:
    from optio_host.open import AnyHost


@asynccontextmanager
async def host_of(record: SessionRecord) -> "AsyncIterator[AnyHost]":
    """The host of a session that a person has named. It connects when it is first used: a session that only is watched
    needs no connection. Raises HostError for a record whose host means nothing."""
    try:
        host = unconnected(record.host, posixpath.dirname(record.taskdir))
    except ValueError as error:
        raise HostError(f"session {record.id}: its host cannot be opened: {error}") from error
    try:
        yield host
    finally:
        with anyio.CancelScope(shield=True):
            await host.disconnect()


def name_of(url: str) -> str:
    """What a host that a person has named is called in lists, and is opened by again."""
    return LOCAL if address_of(url) == HostAddress(None, None) else url


def is_local(record: SessionRecord) -> bool:
    """Whether it runs on this machine."""
    return is_on(record, LOCAL)


def is_on(record: SessionRecord, url: str) -> bool:
    """Whether it runs on the host that a person has named, as whatever user and wherever there."""
    try:
        return address_of(record.host).ssh == address_of(url).ssh
    except ValueError:
        return False


def is_on_one_of(record: SessionRecord, urls: Sequence[str]) -> bool:
    """Whether it runs on this machine or a host that a person has named."""
    return is_local(record) or any(is_on(record, url) for url in urls)
