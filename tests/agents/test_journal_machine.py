"""Whatever is done to two stores, in whatever order, by whoever: SQLite, opened twice, does what memory does."""

import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from optio_agents.errors import JournalError
from optio_agents.journal.batch import Batch, NewEvent, Outgoing, Snapshot
from optio_agents.journal.contract import Store
from optio_agents.journal.documents import Driver, OutcomeDocument, Question, Receipt, SessionRecord
from optio_agents.journal.lease import Lease
from optio_agents.journal.memory import MemoryStore
from optio_agents.journal.sqlite.store import open_sqlite
from optio_host.cursor import Cursor
from optio_host.testing.clock import ManualClock

SESSIONS = st.sampled_from(["a", "b"])
DRIVERS = st.sampled_from([Driver(id=f"d{n}", hostname="here", pid=n) for n in range(3)])
SMALL = st.integers(0, 4)


class JumpingClock(ManualClock):
    """A wall clock that is set forth and back."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class Stores(RuleBasedStateMachine):
    """Late drivers are part of it: every lease that was ever given is used again at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        directory = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="optio-machine-"))
        self.portal = self.stack.enter_context(start_blocking_portal())
        self.clock = JumpingClock()
        self.path = Path(directory) / "journal.db"
        self.memory: Store = MemoryStore(self.clock)
        self.opened = [self.open(), self.open()]
        self.leases: list[Lease] = []
        self.last: tuple[Lease, Batch] | None = None

    def open(self) -> tuple[ExitStack, Store]:
        stack = self.stack.enter_context(ExitStack())
        manager = self.portal.wrap_async_context_manager(open_sqlite(self.path, clock=self.clock))
        return stack, stack.enter_context(manager)

    def teardown(self) -> None:
        self.stack.close()

    def both(self, where: int, act: Callable[[Store], Awaitable[object]]) -> object:
        """Do it to both; they must agree on the result or on the error."""
        wanted, found = (self.result(store, act) for store in (self.memory, self.opened[where][1]))
        assert found == wanted
        return wanted

    def result(self, store: Store, act: Callable[[Store], Awaitable[object]]) -> object:
        async def call() -> object:
            return await act(store)

        try:
            return self.portal.call(call)
        except (JournalError, LookupError) as error:
            return type(error)

    @rule(where=st.integers(0, 1), session=SESSIONS, driver=DRIVERS)
    def create(self, where: int, session: str, driver: Driver) -> None:
        record = SessionRecord(id=session, host="local", agent="claude", created=1.0)
        self.keep(self.both(where, lambda store: store.create(record, driver)))

    @rule(where=st.integers(0, 1), session=SESSIONS, driver=DRIVERS, dead=st.none() | SMALL)
    def acquire(self, where: int, session: str, driver: Driver, dead: int | None) -> None:
        self.keep(self.both(where, lambda store: store.acquire(session, driver, taking_over=dead)))

    def keep(self, lease: object) -> None:
        if isinstance(lease, Lease):
            self.leases.append(lease)

    @rule(where=st.integers(0, 1), which=st.integers(0), renew=st.booleans())
    def renew_or_release(self, where: int, which: int, renew: bool) -> None:
        if self.leases:
            lease = self.leases[-1 - which % len(self.leases)]
            self.both(where, lambda store: store.renew(lease) if renew else store.release(lease))

    @rule(where=st.integers(0, 1), which=st.integers(0), off=st.sampled_from([0, 0, 0, 0, -1, 1]), data=st.data())
    def commit(self, where: int, which: int, off: int, data: st.DataObject) -> None:
        if not self.leases:
            return
        lease = self.leases[-1 - which % len(self.leases)]
        found = self.result(self.memory, lambda store: store.snapshot(lease.session))
        if isinstance(found, Snapshot):
            self.last = (lease, data.draw(batches(found, off), label="batch"))
            self.repeat(where)

    @rule(where=st.integers(0, 1))
    def repeat(self, where: int) -> None:
        if self.last:
            lease, batch = self.last
            self.both(where, lambda store: store.commit(lease, batch))

    @rule(where=st.integers(0, 1), session=SESSIONS, name=st.sampled_from(["c1", "c2", "c3"]), text=SMALL)
    def put(self, where: int, session: str, name: str, text: int) -> None:
        self.both(where, lambda store: store.put(session, "send", {"text": text // 3}, command_id=name))

    @rule(where=st.integers(0, 1), session=SESSIONS, before=st.integers(0, 10))
    def prune(self, where: int, session: str, before: int) -> None:
        self.both(where, lambda store: store.prune(session, before=before))

    @rule(where=st.integers(0, 1))
    def remove_ended(self, where: int) -> None:
        self.both(where, lambda store: store.remove_ended(before=self.clock.time()))

    @rule(seconds=st.sampled_from([1.0, 14.0, 16.0, -16.0, -1e6, 1e6]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.clock.ahead += seconds

    @rule(where=st.integers(0, 1))
    def reopen(self, where: int) -> None:
        self.opened[where][0].close()
        self.opened[where] = self.open()

    @rule(session=SESSIONS, after=st.integers(0, 6), limit=st.integers(1, 4))
    def read(self, session: str, after: int, limit: int) -> None:
        self.both(0, lambda store: store.events(session, after=after, limit=limit))
        self.both(1, lambda store: store.inbox(session, limit=limit))

    @invariant()
    def they_agree(self) -> None:
        self.both(0, everything)


async def everything(store: Store) -> list[object]:
    """All there is to be read, but the numbers of changes: each store counts those in its own way."""
    found: list[object] = []
    for record in await store.sessions():
        found += [record, replace(await store.snapshot(record.id), change=0), await store.events(record.id)]
    return found


@st.composite
def batches(draw: st.DrawFn, found: Snapshot, off: int) -> Batch:
    """A batch that fits, or nearly."""
    outbox = found.outbox.get("stdin")
    end = outbox.end if outbox else 0
    taken = sum(each.receipt is not None for each in found.commands)
    state = draw(st.sampled_from([None, None, "running", "ended"]))
    done = OutcomeDocument(outcome="done") if state == "ended" else None
    return Batch(
        after=found.last_seq + off,
        events=tuple(NewEvent("line", {"n": n}, 1.0) for n in range(draw(SMALL))),
        cursors=draw(
            st.dictionaries(st.sampled_from(["log", "stdout"]), st.builds(Cursor, st.just("1:1"), SMALL, SMALL))
        ),
        record=found.record.model_copy(update={"state": state, "outcome": done}) if state else None,
        outbox=draw(st.sampled_from([(), (), (Outgoing("stdin", end, b"abc"),), (Outgoing("stdin", end + 1, b"a"),)])),
        acknowledged=draw(st.sampled_from([{}, {}, {"stdin": end}, {"stdin": end + 3}])),
        questions=tuple(
            Question(id=f"q{n}", kind="k", asked=1.0, status=draw(st.sampled_from(["open", "answered", "withdrawn"])))
            for n in range(draw(st.integers(0, 2)))
        ),
        receipts=draw(st.sampled_from([{}, {}, {taken + 1: ACCEPTED}, {taken + 2: ACCEPTED}, {taken: ACCEPTED}])),
    )


ACCEPTED = Receipt(status="accepted", time=1.0)
TestStores = Stores.TestCase
# One example is a history of dozens of steps, each checked on disk, and takes 0.3 s.
TestStores.settings = settings(max_examples=max(50, settings().max_examples // 20))
TestStores = pytest.mark.timeout(1_200)(TestStores)
