"""The contract of a store: the journals of many sessions, shared by every process that reaches it.

A session's journal has one writer at a time, its owner: whoever holds the lease of the current generation. The owner
writes through `commit` and nothing else. Everybody may read, and everybody may put a command into the inbox.

    async with open_store() as store:
        lease = await store.create(record, driver)
        await store.commit(lease, Batch(after=0, events=(NewEvent("session.started", {}, clock.time()),)))
        await store.release(lease)

To follow a session, read pages of `events` until there are no more, then wait in `news` and read on. A reader that
holds no more than a seq can stop and go on at any time, in any process.

What returns has been written durably, as far as the store can be durable at all. Every method raises `StoreError` when
the store cannot be read or written, and `SessionUnknown` when the session is not there. A call that is cancelled, or
raises `StoreAway`, may or may not have been carried out. `optio_agents.journal.conformance` holds what every store must
pass.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from .batch import Batch, Committed, Event, Page, Snapshot
from .documents import Command, Driver, JsonObject, SessionRecord, State
from .lease import LEASE_TTL, Lease

PAGE = 1_000
"""Events on a page, unless asked for otherwise."""


class Store(Protocol):
    """Journals of sessions. Made by `open_store`, and closed when that is left."""

    @property
    def url(self) -> str:
        """What to open to come to the same journals, without any password."""
        ...

    @property
    def secret_url(self) -> str:
        """The same with the password, if there is one: for the environment of a process of ours, and never shown."""
        ...

    async def create(self, record: SessionRecord, driver: Driver, *, ttl: float = LEASE_TTL) -> Lease:
        """Begin the journal of a new session, owned by `driver`. SessionRefused if its id is taken."""
        ...

    async def sessions(self, *, states: Collection[State] = ()) -> list[SessionRecord]:
        """The record of every session, the oldest first; with `states`, of those in one of them."""
        ...

    async def resolve(self, prefix: str) -> str:
        """The id that begins like this. SessionUnknown if none does, SessionAmbiguous if several do."""
        ...

    async def snapshot(self, session: str) -> Snapshot:
        """Everything about a session but its events, as it was at one moment."""
        ...

    async def acquire(
        self, session: str, driver: Driver, *, ttl: float = LEASE_TTL, taking_over: int | None = None
    ) -> Lease:
        """Become the owner; whoever was it before can write no more.

        Parameters:
            session: id of the session.
            driver: who becomes the owner.
            ttl: seconds until others may take over, unless it is renewed.
            taking_over: the generation whose owner the caller has proved dead; its lease need not have run out.

        Raises:
            LeaseHeld: somebody else owns it; with `taking_over`, also when somebody was faster.
        """
        ...

    async def renew(self, lease: Lease, *, ttl: float = LEASE_TTL) -> None:
        """Keep the ownership for another ttl. LeaseLost if somebody has taken over."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the ownership up. A lease that was lost is left alone."""
        ...

    async def commit(self, lease: Lease, batch: Batch) -> Committed:
        """Write a batch: all of it, or nothing.

        Safe to repeat: after a lost answer or a cancelled call, commit the same batch again before any other. A record
        that ends the session refuses the commands which are still in its inbox.

        Raises:
            LeaseLost: the caller is not the owner any more.
            CommitRefused: the batch does not fit what the journal holds.
            ValueError, TypeError: an event holds something that JSON does not have.
        """
        ...

    async def put(
        self, session: str, kind: str, data: JsonObject, *, sender: str = "", command_id: str | None = None
    ) -> Command:
        """Put a command into the inbox of a session.

        Parameters:
            session: id of the session.
            kind: what is wanted.
            data: what it takes.
            sender: who wants it, for a person.
            command_id: makes it safe to repeat: a command that is there already is returned. Random if not given.

        Raises:
            SessionRefused: it has ended, or its inbox is full.
        """
        ...

    async def inbox(self, session: str, *, limit: int = 100) -> tuple[Command, ...]:
        """The commands that the owner has not taken yet, in the order they were put; at most `limit`."""
        ...

    async def command(self, session: str, number: int) -> Command:
        """One command, and what became of it. LookupError if there is none of this number."""
        ...

    async def events(self, session: str, *, after: int = 0, limit: int = PAGE) -> Page:
        """The events behind seq `after`, at most `limit`; what of them is no longer kept is named as a gap."""
        ...

    async def news(self, session: str | None, since: int) -> int:
        """Wait for a change to a session, or to any: the number of the latest one, as soon as it is above `since`.

        Numbers grow with every change in the store; `Snapshot.change` has a session's. Begin with 0. A lease that is
        renewed is no change. A change by this process is told at once, one by another within moments.

        Raises:
            SessionUnknown: it is not there, or is removed while this waits.
        """
        ...

    async def prune(self, session: str, *, before: int) -> int:
        """Forget the events below seq `before`; how many those were. The rest of the journal stays."""
        ...

    async def remove_ended(self, *, before: float, keep: Collection[str] = ()) -> tuple[str, ...]:
        """Forget every session that has ended, is held by nobody, and was last changed before this time; their ids.

        Parameters:
            before: seconds since the epoch.
            keep: ids of sessions that stay in any case.
        """
        ...

    async def load(self, snapshot: Snapshot, events: Sequence[Event]) -> None:
        """Add a session from elsewhere, owned by nobody.

        Parameters:
            snapshot: what an export said of it; its change number does not count.
            events: its events, from snapshot.first_seq to last_seq.

        Raises:
            SessionRefused: its id is taken.
            CommitRefused: events are missing.
        """
        ...
