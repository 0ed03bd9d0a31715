"""What all changes to a session have in common: made from a head, and made again from a later one if that has moved."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from optio_host.clock import Clock

from ...errors import JournalError, SessionUnknown, StoreAway, StoreBusy
from ..news import News
from .head import Head
from .tables import Tables

T = TypeVar("T")

TRIES = 200
"""Changes by others that one change may come across; each of those has got further."""

_MICROSECONDS = 1e6


class Changing:
    """Changes heads, and tells those who wait in this process.

    Parameters:
        tables: where the heads are.
        clock: for times that are noted.
        news: who waits.

    Attributes:
        ahead: seconds that the clock of the server is ahead of ours. Leases are in its time: the clocks of two machines
            differ, and who is late by how much must not decide about who owns a session.
    """

    def __init__(self, tables: Tables, clock: Clock, news: News) -> None:
        self.tables = tables
        self.clock = clock
        self.ahead = 0.0
        self._news = news
        self._heads: dict[str, Head] = {}  # of sessions owned here, as they were when last changed here

    def lease_time(self) -> float:
        """Now, by the clock that leases go by."""
        return self.clock.time() + self.ahead

    async def existing(self, session: str) -> Head:
        """The head of a session. SessionUnknown if there is none, or it was removed."""
        head = await self.tables.head(session)
        if head is None or head.record is None:
            raise SessionUnknown(f"there is no session {session} in {self.tables.server.name}")
        return head

    async def change(self, session: str, decide: Callable[[Head], Awaitable[tuple[Head | None, T]]]) -> T:
        """Change a session.

        Parameters:
            session: its id.
            decide: given the head, the one that is to be, and what to return once it is; no head: nothing is to be
                changed, perhaps because it has been. May be asked several times.
        """
        if (old := self._heads.pop(session, None)) is not None:
            # Mostly nobody else has changed it, which spares a look. Whatever else comes of an old head is no answer.
            try:
                new, result = await decide(old)
                if new is not None and await self.swap(old, new):
                    return result
            except StoreAway:
                raise
            except JournalError:
                pass
        for _ in range(TRIES):
            old = await self.existing(session)
            new, result = await decide(old)
            if new is None or await self.swap(old, new):
                return result
        raise StoreBusy(f"{self.tables.server.name}: session {session} was changed by others {TRIES} times; try again")

    async def swap(self, old: Head, new: Head, *, updated: float | None = None) -> bool:
        """Replace a head by a later one, as a change that is told. updated: when; now, unless said otherwise."""
        new = self._next(old, new, updated)
        if not await self.tables.swap(old, new):
            return False
        self._changed(new)
        return True

    async def insert(self, head: Head, *, updated: float | None = None) -> bool:
        """Store the head of a new session; False when there is one."""
        head = self._next(head, head, updated)
        if not await self.tables.insert_head(head):
            return False
        self._changed(head)
        return True

    def _changed(self, head: Head) -> None:
        if head.record is not None and head.lease.driver is not None:
            self._heads[head.session] = head
        self._news.tell({head.session: head.change})

    def _next(self, old: Head, new: Head, updated: float | None) -> Head:
        """A head with its version, and the number of the change: the time, or more than before if that stands still."""
        change = max(old.change + 1, int(self.lease_time() * _MICROSECONDS))
        noted = self.clock.time() if updated is None else updated
        return replace(new, version=old.version + 1, change=change, updated=noted)
