"""What every store promises, as functions to be run against yours.

    @pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
    def test_my_store(promise, tmp_path):
        anyio.run(promise, lambda clock: open_my_store(tmp_path, clock))

What is handed in opens the same journals each time it is called, with the clock it is given. A store that lives in
memory hands out the same object again.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import anyio

from optio_host.clock import Clock
from optio_host.cursor import Cursor
from optio_host.testing.clock import ManualClock

from ..errors import (
    CommitRefused,
    JournalError,
    LeaseHeld,
    LeaseLost,
    SessionAmbiguous,
    SessionRefused,
    SessionUnknown,
)
from .batch import Batch, Gap, NewEvent, Outbox, Outgoing
from .contract import Store
from .documents import Deliverable, Driver, JsonObject, OutcomeDocument, Question, Receipt, SessionRecord
from .export import export_lines, import_lines
from .lease import LEASE_TTL, Lease, LeaseState
from .rules import INBOX_LIMIT

Opener = Callable[[Clock], AbstractAsyncContextManager[Store]]
Promise = Callable[[Opener], Awaitable[None]]

FIRST = Driver(id="first", hostname="build-7", pid=41, start_time="100", boot_id="b1")
SECOND = Driver(id="second", hostname="build-8", pid=42)
RECORD = SessionRecord(id="3f9kd2", host="local", agent="claude", created=1_700_000_000.0)
DONE = OutcomeDocument(outcome="done", reason="the agent said so", exit=0)


def event(text: str, time: float = 1_700_000_000.0) -> NewEvent:
    """An event that can be told from others."""
    return NewEvent("line", {"text": text}, time, "log", f"id of {text}")


async def fails(expected: type[Exception], call: Awaitable[object]) -> Exception:
    """The error that a call ends with; AssertionError if it does not."""
    try:
        await call
    except expected as error:
        return error
    raise AssertionError(f"{expected.__name__} was expected")


async def texts(store: Store, session: str = RECORD.id) -> list[object]:
    """The texts of all events."""
    return [each.data["text"] for each in (await store.events(session)).events]


async def a_new_session_is_there_for_everyone(opened: Opener) -> None:
    """A record comes back as it was stored, with its driver, and with fields this version does not know."""
    strange = {"command": ("./run.sh", "a b"), "labels": {"ticket": "12"}, "colour": {"not": ["known", 1, None]}}
    record = SessionRecord.model_validate({**RECORD.model_dump(), **strange})
    clock = ManualClock()
    async with opened(clock) as store:
        await store.create(record, FIRST)
    async with opened(clock) as store:
        (found,) = await store.sessions()
        assert found == record.model_copy(update={"driver": FIRST, "updated": clock.time()})
        assert (await store.snapshot(record.id)).record == found
        assert await store.sessions(states={"ended"}) == []


async def an_id_is_taken_once(opened: Opener) -> None:
    """A second session of the same id is refused, and the first is as it was."""
    async with opened(ManualClock()) as store:
        lease = await store.create(RECORD, FIRST)
        await fails(SessionRefused, store.create(RECORD.model_copy(update={"agent": "other"}), SECOND))
        await store.commit(lease, Batch(after=0, events=(event("still mine"),)))
        assert (await store.snapshot(RECORD.id)).record.agent == "claude"


async def an_id_can_be_shortened(opened: Opener) -> None:
    """A unique prefix is enough; an ambiguous one names the candidates; characters with a meaning in SQL have none."""
    async with opened(ManualClock()) as store:
        for each in ("abc", "abcde", "abx", "a_c%"):
            await store.create(RECORD.model_copy(update={"id": each}), FIRST)
        assert await store.resolve("abx") == "abx"
        assert await store.resolve("abcd") == "abcde"
        assert await store.resolve("abc") == "abc"
        assert await store.resolve("a_") == "a_c%"
        error = await fails(SessionAmbiguous, store.resolve("ab"))
        assert isinstance(error, SessionAmbiguous)
        assert error.candidates == ("abc", "abcde", "abx")
        await fails(SessionUnknown, store.resolve("%"))
        await fails(SessionUnknown, store.resolve(""))
        await fails(SessionUnknown, store.snapshot("ab"))


async def events_come_back_as_they_were(opened: Opener) -> None:
    """Numbered from 1, in order, any JSON in them, also after the store was closed."""
    data: JsonObject = {"a": [1, 2.5, None, True, {"": "\0 \u2028 \U0001f600"}], "big": 10**30, "bad": "\udc80"}
    happened = NewEvent("strange", data, 12.25, "log", "e1")
    clock = ManualClock()
    async with opened(clock) as store:
        lease = await store.create(RECORD, FIRST)
        assert (await store.commit(lease, Batch(after=0, events=(happened, event("b"))))).last_seq == 2
        assert (await store.commit(lease, Batch(after=2, events=(event("c"),)))).last_seq == 3
    async with opened(clock) as store:
        page = await store.events(RECORD.id)
        assert [each.seq for each in page.events] == [1, 2, 3]
        first = page.events[0]
        assert (first.type, first.data, first.time, first.source, first.event_id) == (
            "strange",
            data,
            12.25,
            "log",
            "e1",
        )
        assert page.gap is None


async def what_is_no_json_is_refused(opened: Opener) -> None:
    """NaN, bytes and the like are the caller's error, and nothing is written."""
    async with opened(ManualClock()) as store:
        lease = await store.create(RECORD, FIRST)
        for wrong in (float("nan"), b"bytes", object()):
            bad = NewEvent("x", {"value": wrong}, 0.0)  # type: ignore[dict-item]
            await fails(Exception, store.commit(lease, Batch(after=0, events=(event("a"), bad))))
        assert await texts(store) == []


async def a_batch_is_all_or_nothing(opened: Opener) -> None:
    """One piece that is refused takes all others with it."""
    clock = ManualClock()
    async with opened(clock) as store:
        lease = await store.create(RECORD, FIRST)
        closed = Question(id="q1", kind="permission", asked=1.0, status="withdrawn", closed=2.0)
        await store.commit(lease, Batch(after=0, events=(event("a"),), questions=(closed,)))
        before = await store.snapshot(RECORD.id)
        whole = Batch(
            after=1,
            events=(event("b"),),
            cursors={"log": Cursor("1:2", 9, 3)},
            record=RECORD.model_copy(update={"state": "running"}),
            outbox=(Outgoing("stdin", 0, b"hello"),),
            deliverables=(Deliverable(event_id="e", name="n", path="/p", size=1, sha256="0", time=1.0),),
            questions=(Question(id="q2", kind="permission", asked=1.0),),
        )
        await fails(CommitRefused, store.commit(lease, with_(whole, questions=(*whole.questions, reopened(closed)))))
        await fails(
            CommitRefused, store.commit(lease, with_(whole, receipts={1: Receipt(status="accepted", time=1.0)}))
        )
        await fails(CommitRefused, store.commit(lease, with_(whole, acknowledged={"stdin": 6})))
        await fails(
            CommitRefused, store.commit(lease, with_(whole, outbox=(*whole.outbox, Outgoing("stdin", 6, b"x"))))
        )
        await fails(CommitRefused, store.commit(lease, with_(whole, record=RECORD.model_copy(update={"id": "other"}))))
        ended = RECORD.model_copy(update={"state": "ended"})
        await fails(CommitRefused, store.commit(lease, with_(whole, record=ended)))
        assert await store.snapshot(RECORD.id) == before
        assert await texts(store) == ["a"]
    async with opened(clock) as store:
        assert await store.snapshot(RECORD.id) == before
        await store.commit(lease, whole)
        after = await store.snapshot(RECORD.id)
        assert after.record.state == "running"
        assert after.cursors == whole.cursors
        assert after.deliverables == whole.deliverables
        assert [each.id for each in after.questions] == ["q1", "q2"]


def with_(batch: Batch, **changes: object) -> Batch:
    """A batch with other pieces."""
    return replace(batch, **changes)  # type: ignore[arg-type]


def reopened(question: Question) -> Question:
    """A question that was closed, open again."""
    return question.model_copy(update={"status": "open", "closed": None})


async def a_repeated_batch_is_recognised(opened: Opener) -> None:
    """An owner that missed the answer commits again, and everything is there once."""
    clock = ManualClock()
    async with opened(clock) as store:
        lease = await store.create(RECORD, FIRST)
        await store.put(RECORD.id, "send", {})
        batch = Batch(
            after=0,
            events=(event("a"), event("b")),
            outbox=(Outgoing("stdin", 0, b"hello"),),
            receipts={1: Receipt(status="accepted", time=1.0)},
        )
        assert not (await store.commit(lease, batch)).repeated
        there = await store.snapshot(RECORD.id)
    async with opened(clock) as store:
        again = await store.commit(lease, batch)
        assert (again.last_seq, again.repeated) == (2, True)
        assert await store.snapshot(RECORD.id) == there
        # Without events a batch is not recognised, and does no harm.
        await store.commit(lease, with_(batch, after=2, events=()))
        assert (await store.snapshot(RECORD.id)).outbox == there.outbox
        assert await texts(store) == ["a", "b"]


async def a_batch_that_does_not_follow_is_refused(opened: Opener) -> None:
    """Neither a hole nor another history."""
    async with opened(ManualClock()) as store:
        lease = await store.create(RECORD, FIRST)
        await store.commit(lease, Batch(after=0, events=(event("a"), event("b"))))
        await fails(CommitRefused, store.commit(lease, Batch(after=3, events=(event("c"),))))
        await fails(CommitRefused, store.commit(lease, Batch(after=1, events=(event("other"),))))
        await fails(CommitRefused, store.commit(lease, Batch(after=0)))
        assert await texts(store) == ["a", "b"]


async def an_effect_and_its_cursor_are_one(opened: Opener) -> None:
    """Each commit moves the cursors it names, and no others."""
    clock = ManualClock()
    async with opened(clock) as store:
        lease = await store.create(RECORD, FIRST)
        await store.commit(lease, Batch(after=0, events=(event("a"),), cursors={"log": Cursor("1:1", 5, 7)}))
        await store.commit(lease, Batch(after=1, cursors={"stdout": Cursor("1:2", 2**40, 2**32 - 1)}))
    async with opened(clock) as store:
        await store.commit(lease, Batch(after=1, events=(event("b"),), cursors={"log": Cursor("1:1", 9, 8)}))
        assert dict((await store.snapshot(RECORD.id)).cursors) == {
            "log": Cursor("1:1", 9, 8),
            "stdout": Cursor("1:2", 2**40, 2**32 - 1),
        }


async def bytes_that_leave_are_never_doubled_and_never_glued(opened: Opener) -> None:
    """An outbox has no holes, no overlaps, and only ever acknowledges more."""
    async with opened(ManualClock()) as store:
        lease = await store.create(RECORD, FIRST)
        first, second = Outgoing("stdin", 0, b"one\n\xff"), Outgoing("stdin", 5, b"two\n")
        await store.commit(lease, Batch(after=0, outbox=(first, second, Outgoing("other", 0, b"x"))))
        await store.commit(lease, Batch(after=0, acknowledged={"stdin": 7}))
        for wrong in (Outgoing("stdin", 5, b"TWO\n"), Outgoing("stdin", 8, b"z"), Outgoing("stdin", 10, b"z")):
            await fails(CommitRefused, store.commit(lease, Batch(after=0, outbox=(wrong,))))
        await fails(CommitRefused, store.commit(lease, Batch(after=0, outbox=(Outgoing("stdin", 9, b""),))))
        await fails(CommitRefused, store.commit(lease, Batch(after=0, acknowledged={"stdin": 6})))
        found = (await store.snapshot(RECORD.id)).outbox
        assert dict(found) == {"stdin": Outbox((first, second), 7), "other": Outbox((Outgoing("other", 0, b"x"),), 0)}
        assert found["stdin"].end == 9


async def a_question_closes_once(opened: Opener) -> None:
    """An answer that comes late changes nothing."""
    async with opened(ManualClock()) as store:
        lease = await store.create(RECORD, FIRST)
        asked = Question(id="q1", kind="permission", data={"tool": "Bash"}, asked=1.0)
        answered = asked.model_copy(update={"status": "answered", "answer": {"behavior": "allow"}, "closed": 2.0})
        withdrawn = asked.model_copy(update={"status": "withdrawn", "closed": 3.0})
        await store.commit(lease, Batch(after=0, questions=(asked,)))
        await store.commit(lease, Batch(after=0, questions=(answered,)))
        await fails(CommitRefused, store.commit(lease, Batch(after=0, questions=(withdrawn,))))
        assert (await store.snapshot(RECORD.id)).questions == (answered,)


async def commands_are_taken_in_order_and_once(opened: Opener) -> None:
    """Anybody may put; the receipt is the taking, and is part of the owner's commit."""
    clock = ManualClock()
    accepted, refused = Receipt(status="accepted", time=1.0), Receipt(status="refused", message="no", time=2.0)
    async with opened(clock) as store, opened(clock) as other:
        lease = await store.create(RECORD, FIRST)
        put = [await other.put(RECORD.id, "send", {"text": str(n)}, sender="me") for n in range(3)]
        assert [each.number for each in put] == [1, 2, 3]
        assert await store.inbox(RECORD.id) == tuple(put)
        assert await store.inbox(RECORD.id, limit=1) == (put[0],)
        await fails(CommitRefused, store.commit(lease, Batch(after=0, receipts={2: accepted})))
        await fails(CommitRefused, store.commit(lease, Batch(after=0, receipts={0: accepted})))
        await store.commit(lease, Batch(after=0, receipts={1: accepted, 2: refused}))
        await fails(CommitRefused, store.commit(lease, Batch(after=0, receipts={1: refused})))
        assert (await other.command(RECORD.id, 1)).receipt == accepted
        assert (await other.command(RECORD.id, 2)).receipt == refused
        assert (await other.command(RECORD.id, 3)).receipt is None
        assert await other.inbox(RECORD.id) == (put[2],)
        await fails(LookupError, store.command(RECORD.id, 4))


async def a_command_that_is_put_twice_is_one(opened: Opener) -> None:
    """A sender that missed the answer puts again; another command of the same id is refused."""
    async with opened(ManualClock()) as store:
        await store.create(RECORD, FIRST)
        first = await store.put(RECORD.id, "send", {"text": "a"}, command_id="c1")
        assert await store.put(RECORD.id, "send", {"text": "a"}, command_id="c1") == first
        await fails(CommitRefused, store.put(RECORD.id, "send", {"text": "b"}, command_id="c1"))
        assert await store.inbox(RECORD.id) == (first,)


async def an_inbox_has_a_bound(opened: Opener) -> None:
    """A session that nobody drives does not collect commands for ever."""
    async with opened(ManualClock()) as store:
        lease = await store.create(RECORD, FIRST)
        async with anyio.create_task_group() as tasks:
            for _ in range(INBOX_LIMIT):
                tasks.start_soon(store.put, RECORD.id, "send", {})
        await fails(SessionRefused, store.put(RECORD.id, "send", {}))
        await store.commit(lease, Batch(after=0, receipts={1: Receipt(status="accepted", time=1.0)}))
        await store.put(RECORD.id, "send", {})
        await fails(SessionRefused, store.put(RECORD.id, "send", {"text": "x" * (1 << 20)}))


async def the_end_answers_every_command(opened: Opener) -> None:
    """Nobody waits for a receipt that no owner is left to give."""
    async with opened(ManualClock()) as store:
        lease = await store.create(RECORD, FIRST)
        await store.put(RECORD.id, "send", {})
        await store.put(RECORD.id, "cancel", {})
        ended = RECORD.model_copy(update={"state": "ended", "outcome": DONE})
        took = {1: Receipt(status="accepted", time=1.0)}
        await store.commit(lease, Batch(after=0, record=ended, receipts=took))
        assert await store.inbox(RECORD.id) == ()
        statuses = [each.receipt and each.receipt.status for each in (await store.snapshot(RECORD.id)).commands]
        assert statuses == ["accepted", "refused"]
        await fails(SessionRefused, store.put(RECORD.id, "send", {}))
        assert [each.outcome for each in await store.sessions(states={"ended"})] == [DONE]


async def a_driver_that_wakes_up_late_writes_nothing(opened: Opener) -> None:
    """Its lease ran out, another took over, and each of its writes is refused from then on."""
    clock = ManualClock()
    async with opened(clock) as store, opened(clock) as other:
        late = await store.create(RECORD, FIRST)
        await fails(LeaseHeld, other.acquire(RECORD.id, SECOND))
        await clock.advance(LEASE_TTL)
        lease = await other.acquire(RECORD.id, SECOND)
        assert lease.generation == late.generation + 1
        await fails(LeaseLost, store.commit(late, Batch(after=0, events=(event("late"),))))
        await fails(LeaseLost, store.renew(late))
        await store.release(late)
        await other.commit(lease, Batch(after=0, events=(event("mine"),)))
        assert await texts(store) == ["mine"]
        assert (await store.snapshot(RECORD.id)).record.driver == SECOND


async def a_lease_that_is_renewed_is_kept(opened: Opener) -> None:
    """And one that ran out without anybody taking over is still the owner's."""
    clock = ManualClock()
    async with opened(clock) as store:
        lease = await store.create(RECORD, FIRST)
        for _ in range(4):
            await clock.advance(LEASE_TTL * 0.9)
            await store.renew(lease)
            await fails(LeaseHeld, store.acquire(RECORD.id, SECOND))
        await clock.advance(LEASE_TTL * 10)
        await store.commit(lease, Batch(after=0, events=(event("slept long"),)))
        await store.renew(lease)
        await fails(LeaseHeld, store.acquire(RECORD.id, SECOND))


async def an_owner_proved_dead_is_replaced_at_once(opened: Opener) -> None:
    """By one driver only: whoever comes second is told so."""
    async with opened(ManualClock()) as store:
        lease = await store.create(RECORD, FIRST)
        taken = await store.acquire(RECORD.id, SECOND, taking_over=lease.generation)
        assert taken.generation == 2
        await fails(LeaseHeld, store.acquire(RECORD.id, FIRST, taking_over=lease.generation))
        await fails(LeaseLost, store.commit(lease, Batch(after=0, events=(event("dead"),))))


async def a_released_session_is_free(opened: Opener) -> None:
    """And whoever released it does not own it any more."""
    clock = ManualClock()
    async with opened(clock) as store:
        lease = await store.create(RECORD, FIRST)
        await store.release(lease)
        await store.release(lease)
        await fails(LeaseLost, store.commit(lease, Batch(after=0, events=(event("released"),))))
        await fails(LeaseLost, store.renew(lease))
        assert (await store.snapshot(RECORD.id)).record.driver is None
        assert (await store.acquire(RECORD.id, SECOND)).generation == 2


async def history_comes_in_pages(opened: Opener) -> None:
    """Each page goes on where the one before ended, whatever is added meanwhile."""
    async with opened(ManualClock()) as store:
        lease = await store.create(RECORD, FIRST)
        await store.commit(lease, Batch(after=0, events=tuple(event(str(n)) for n in range(1, 8))))
        page = await store.events(RECORD.id, after=2, limit=3)
        assert ([each.seq for each in page.events], page.gap, page.last_seq) == ([3, 4, 5], None, 7)
        await store.commit(lease, Batch(after=7, events=(event("8"),)))
        page = await store.events(RECORD.id, after=5, limit=3)
        assert ([each.data["text"] for each in page.events], page.last_seq) == (["6", "7", "8"], 8)
        assert (await store.events(RECORD.id, after=8)).events == ()
        assert (await store.events(RECORD.id, after=100)).gap is None


async def a_reader_that_stayed_away_too_long_is_told(opened: Opener) -> None:
    """Events that are no longer kept are a named gap; numbers go on as they were."""
    clock = ManualClock()
    async with opened(clock) as store:
        lease = await store.create(RECORD, FIRST)
        await store.commit(lease, Batch(after=0, events=tuple(event(str(n)) for n in range(1, 6))))
        assert await store.prune(RECORD.id, before=4) == 3
        assert await store.prune(RECORD.id, before=2) == 0
        page = await store.events(RECORD.id, after=1)
        assert (page.gap, [each.seq for each in page.events]) == (Gap(2, 3), [4, 5])
        assert (await store.events(RECORD.id, after=3)).gap is None
        assert await store.prune(RECORD.id, before=100) == 2
        await store.commit(lease, Batch(after=5, events=(event("6"),)))
    async with opened(clock) as store:
        page = await store.events(RECORD.id)
        assert (page.gap, [each.seq for each in page.events]) == (Gap(1, 5), [6])
        assert (await store.snapshot(RECORD.id)).first_seq == 6


async def only_ended_sessions_are_removed(opened: Opener) -> None:
    """Those that nobody holds, also since a driver died, and that have not changed since; nothing of them is left."""
    clock = ManualClock()
    async with opened(clock) as store:
        leases: dict[str, Lease] = {}
        for name in ("abandoned", "old", "owned", "running", "young"):
            record = RECORD.model_copy(update={"id": name})
            leases[name] = await store.create(record, FIRST)
            ended = record.model_copy(update={"state": "ended", "outcome": DONE})
            if name == "young":
                await clock.advance(100)
            await store.commit(
                leases[name],
                Batch(after=0, events=(event("a"),), cursors={"log": Cursor("1:1", 1, 1)}, record=ended)
                if name != "running"
                else Batch(after=0),
            )
            if name not in ("owned", "abandoned"):
                await store.release(leases[name])
        await store.renew(leases["owned"])
        assert await store.remove_ended(before=clock.time() - 50, keep=["old"]) == ("abandoned",)
        assert await store.remove_ended(before=clock.time() - 50) == ("old",)
        assert sorted(each.id for each in await store.sessions()) == ["owned", "running", "young"]
        await fails(SessionUnknown, store.events("old"))
        await fails(SessionUnknown, store.resolve("old"))
        await fails(SessionUnknown, store.commit(leases["old"], Batch(after=1)))
        lease = await store.create(RECORD.model_copy(update={"id": "old"}), FIRST)
        found = await store.snapshot("old")
        assert (found.last_seq, dict(found.cursors), lease.generation) == (0, {}, 1)


async def news_comes_to_those_who_wait(opened: Opener) -> None:
    """Through the same store at once, through another within moments; not for what concerns other sessions."""
    clock = ManualClock()
    async with opened(clock) as store, opened(clock) as other:
        lease = await store.create(RECORD, FIRST)
        idle = await store.create(RECORD.model_copy(update={"id": "idle"}), FIRST)
        created = (await store.snapshot(RECORD.id)).change
        assert await store.news(RECORD.id, created - 1) == created
        latest = await store.news(None, 0)
        heard: list[str] = []

        async def listen(name: str, where: Store, session: str | None) -> None:
            await where.news(session, latest)
            heard.append(name)

        async with anyio.create_task_group() as others:
            others.start_soon(listen, "idle", store, "idle")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen, "same", store, RECORD.id)
                tasks.start_soon(listen, "other", other, RECORD.id)
                tasks.start_soon(listen, "all", other, None)
                await store.renew(lease)
                await store.renew(idle)
                await clock.advance(1)
                assert heard == []
                await store.commit(lease, Batch(after=0, events=(event("a"),)))
                while len(heard) < 3:
                    await clock.advance(1)
            others.cancel_scope.cancel()
        assert sorted(heard) == ["all", "other", "same"]


async def a_session_that_is_removed_is_news(opened: Opener) -> None:
    """Whoever waits for it is told that it is gone."""
    clock = ManualClock()
    async with opened(clock) as store, opened(clock) as other:
        lease = await store.create(RECORD, FIRST)
        await store.commit(lease, Batch(after=0, record=RECORD.model_copy(update={"state": "ended", "outcome": DONE})))
        await store.release(lease)
        since = (await store.snapshot(RECORD.id)).change
        gone: list[Exception] = []

        async def wait(where: Store) -> None:
            gone.append(await fails(SessionUnknown, where.news(RECORD.id, since)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, store)
            tasks.start_soon(wait, other)
            await clock.advance(1)
            await store.remove_ended(before=clock.time() + 1)
            while len(gone) < 2:
                await clock.advance(1)


async def many_owners_write_at_once(opened: Opener) -> None:
    """What one of them may not write keeps nobody else from writing, and every history is in order."""
    async with opened(ManualClock()) as store:

        async def drive(name: str) -> None:
            record = RECORD.model_copy(update={"id": name})
            lease = await store.create(record, FIRST)
            for n in range(20):
                await store.commit(lease, Batch(after=n, events=(event(str(n)),)))
                if n % 5 == 0:
                    await fails(CommitRefused, store.commit(lease, Batch(after=n, events=(event("wrong"),))))

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(drive, f"s{number}")
        for number in range(10):
            assert await texts(store, f"s{number}") == [str(n) for n in range(20)]


async def of_many_drivers_one_wins(opened: Opener) -> None:
    """One owner for each generation, however many try."""
    clock = ManualClock()
    async with opened(clock) as store, opened(clock) as other:
        first = await store.create(RECORD, FIRST)
        won: list[Lease] = []

        async def adopt(where: Store) -> None:
            try:
                won.append(await where.acquire(RECORD.id, SECOND, taking_over=first.generation))
            except LeaseHeld:
                return

        async with anyio.create_task_group() as tasks:
            for n in range(16):
                tasks.start_soon(adopt, (store, other)[n % 2])
        assert won == [Lease(RECORD.id, 2)]


async def an_export_comes_back_whole(opened: Opener) -> None:
    """Everything but the driver, after the session was removed; a second time it is refused."""
    clock = ManualClock()
    async with opened(clock) as store:
        lease = await store.create(RECORD.model_copy(update={"command": ("a", "b\udc80")}), FIRST)
        await store.put(RECORD.id, "send", {"text": "x"}, sender="me")
        ended = RECORD.model_copy(update={"state": "ended", "outcome": DONE, "command": ("a", "b\udc80")})
        batch = Batch(
            after=0,
            events=tuple(event(str(n)) for n in range(1, 6)),
            cursors={"log": Cursor("1:2", 9, 3)},
            record=ended,
            outbox=(Outgoing("stdin", 0, b"\xc3\xa9\xff\x00"), Outgoing("stdin", 4, b"\xc3")),
            acknowledged={"stdin": 4},
            questions=(Question(id="q", kind="permission", asked=1.0, data={"a": [1]}),),
            deliverables=(Deliverable(event_id="e", name="n", path="/p", size=1, sha256="0", time=1.0),),
        )
        await store.commit(lease, batch)
        await store.prune(RECORD.id, before=3)
        await store.release(lease)
        before, history = await store.snapshot(RECORD.id), await store.events(RECORD.id)
        lines = [line async for line in export_lines(store, RECORD.id)]
        await fails(SessionRefused, import_lines(store, lines))
        await clock.advance(1)
        await store.remove_ended(before=clock.time())
        await fails(JournalError, import_lines(store, lines[:-1]))
        await fails(SessionUnknown, store.snapshot(RECORD.id))
        await import_lines(store, lines)
        after = await store.snapshot(RECORD.id)
        assert after.lease == LeaseState(generation=1)
        assert replace(after, change=before.change, lease=before.lease) == before
        assert await store.events(RECORD.id) == history
        resumed = await store.acquire(RECORD.id, SECOND)
        assert resumed.generation == 2
        await store.commit(resumed, Batch(after=5, events=(event("6"),)))


PROMISES: tuple[Promise, ...] = (
    a_new_session_is_there_for_everyone,
    an_id_is_taken_once,
    an_id_can_be_shortened,
    events_come_back_as_they_were,
    what_is_no_json_is_refused,
    a_batch_is_all_or_nothing,
    a_repeated_batch_is_recognised,
    a_batch_that_does_not_follow_is_refused,
    an_effect_and_its_cursor_are_one,
    bytes_that_leave_are_never_doubled_and_never_glued,
    a_question_closes_once,
    commands_are_taken_in_order_and_once,
    a_command_that_is_put_twice_is_one,
    an_inbox_has_a_bound,
    the_end_answers_every_command,
    a_driver_that_wakes_up_late_writes_nothing,
    a_lease_that_is_renewed_is_kept,
    an_owner_proved_dead_is_replaced_at_once,
    a_released_session_is_free,
    history_comes_in_pages,
    a_reader_that_stayed_away_too_long_is_told,
    only_ended_sessions_are_removed,
    news_comes_to_those_who_wait,
    a_session_that_is_removed_is_news,
    many_owners_write_at_once,
    of_many_drivers_one_wins,
    an_export_comes_back_whole,
)
