"""A store for somebody who has time: whoever reads it waits while it is away."""

from collections.abc import Collection, Sequence

from optio_host.clock import SYSTEM_CLOCK, Clock

from .journal import Batch, Command, Driver, JsonObject, Lease, Page, SessionRecord, Snapshot, State, Store
from .journal.batch import Committed, Event
from .journal.contract import PAGE
from .journal.lease import LEASE_TTL
from .patience import until_reached


class PatientStore:
    """Implements `Store`. What changes something is not repeated here: a person who wants it is rather told.

    Parameters:
        store: what it stands for.
        clock: paces the tries.
    """

    def __init__(self, store: Store, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._clock = clock
        self.url = store.url
        self.secret_url = store.secret_url

    async def sessions(self, *, states: Collection[State] = ()) -> list[SessionRecord]:
        """Every record, once the store is there."""
        return await until_reached(lambda: self._store.sessions(states=states), self._clock)

    async def resolve(self, prefix: str) -> str:
        """The id that begins like this, once the store is there."""
        return await until_reached(lambda: self._store.resolve(prefix), self._clock)

    async def snapshot(self, session: str) -> Snapshot:
        """Everything but the events, once the store is there."""
        return await until_reached(lambda: self._store.snapshot(session), self._clock)

    async def inbox(self, session: str, *, limit: int = 100) -> tuple[Command, ...]:
        """The commands not taken yet, once the store is there."""
        return await until_reached(lambda: self._store.inbox(session, limit=limit), self._clock)

    async def command(self, session: str, number: int) -> Command:
        """One command, once the store is there."""
        return await until_reached(lambda: self._store.command(session, number), self._clock)

    async def events(self, session: str, *, after: int = 0, limit: int = PAGE) -> Page:
        """A page of history, once the store is there."""
        return await until_reached(lambda: self._store.events(session, after=after, limit=limit), self._clock)

    async def news(self, session: str | None, since: int) -> int:
        """Wait for a change, and for the store."""
        return await until_reached(lambda: self._store.news(session, since), self._clock)

    async def create(self, record: SessionRecord, driver: Driver, *, ttl: float = LEASE_TTL) -> Lease:
        """As the store does it."""
        return await self._store.create(record, driver, ttl=ttl)

    async def acquire(
        self, session: str, driver: Driver, *, ttl: float = LEASE_TTL, taking_over: int | None = None
    ) -> Lease:
        """As the store does it."""
        return await self._store.acquire(session, driver, ttl=ttl, taking_over=taking_over)

    async def renew(self, lease: Lease, *, ttl: float = LEASE_TTL) -> None:
        """As the store does it."""
        await self._store.renew(lease, ttl=ttl)

    async def release(self, lease: Lease) -> None:
        """As the store does it."""
        await self._store.release(lease)

    async def commit(self, lease: Lease, batch: Batch) -> Committed:
        """As the store does it."""
        return await self._store.commit(lease, batch)

    async def put(
        self, session: str, kind: str, data: JsonObject, *, sender: str = "", command_id: str | None = None
    ) -> Command:
        """As the store does it."""
        return await self._store.put(session, kind, data, sender=sender, command_id=command_id)

    async def prune(self, session: str, *, before: int) -> int:
        """As the store does it."""
        return await self._store.prune(session, before=before)

    async def remove_ended(self, *, before: float, keep: Collection[str] = ()) -> tuple[str, ...]:
        """As the store does it."""
        return await self._store.remove_ended(before=before, keep=keep)

    async def load(self, snapshot: Snapshot, events: Sequence[Event]) -> None:
        """As the store does it."""
        await self._store.load(snapshot, events)
