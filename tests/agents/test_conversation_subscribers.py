"""Those who listen to a conversation: each gets everything in order, and none keeps another, or memory, waiting."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from optio_agents.conversation import subscribers
from optio_agents.conversation.subscribers import CutOff, Subscribers
from optio_host.clock import SYSTEM_CLOCK
from optio_host.cursor import Cursor


class Item:
    def __init__(self, number: int) -> None:
        self.number = number


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        with anyio.fail_after(20):
            await body()

    anyio.run(limited)


@asynccontextmanager
async def running() -> AsyncIterator[Subscribers[Item]]:
    async with anyio.create_task_group() as tasks:
        all_of_them: Subscribers[Item] = Subscribers(SYSTEM_CLOCK)
        tasks.start_soon(all_of_them.run)
        yield all_of_them
        all_of_them.end()


def publish(to: Subscribers[Item], *numbers: int, size: int = 1) -> int:
    return sum(to.publish(Item(number), size, Cursor("1:1", number)) for number in numbers)


def test_each_listener_gets_every_item_from_now_on_once_and_in_order_at_its_own_pace() -> None:
    async def body() -> None:
        plain: list[int] = []
        slow: list[int] = []
        late: list[int] = []

        async def take_slowly(item: Item) -> None:
            await anyio.lowlevel.checkpoint()
            slow.append(item.number)

        async with running() as listeners:
            listeners.subscribe(lambda item: plain.append(item.number), None)
            listeners.subscribe(take_slowly, None)
            publish(listeners, *range(100))
            await anyio.wait_all_tasks_blocked()
            listeners.subscribe(lambda item: late.append(item.number), None)
            publish(listeners, *range(100, 200))
        assert plain == slow == list(range(200))
        assert late == list(range(100, 200))

    run(body)


@pytest.mark.parametrize("bound", ["items", "bytes"])
def test_a_listener_that_is_too_slow_gets_what_it_was_told_it_gets_and_the_others_get_all(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(subscribers, "QUEUE_ITEMS", 10 if bound == "items" else 1000)
    monkeypatch.setattr(subscribers, "QUEUE_BYTES", 1000 if bound == "items" else 10)

    async def body() -> None:
        go_on = anyio.Event()
        stuck: list[int] = []
        quick: list[int] = []
        cuts: list[CutOff] = []

        async def hang(item: Item) -> None:
            stuck.append(item.number)
            await go_on.wait()

        async with running() as listeners:
            subscription = listeners.subscribe(hang, cuts.append)
            listeners.subscribe(lambda item: quick.append(item.number), None)
            publish(listeners, 0)
            await anyio.wait_all_tasks_blocked()
            assert publish(listeners, *range(1, 11)) == 0
            await anyio.wait_all_tasks_blocked()
            assert publish(listeners, 11) == 1
            assert publish(listeners, *range(12, 20)) == 0
            assert (subscription.cut_off, cuts) == (CutOff(Cursor("1:1", 10)), [])
            go_on.set()
            await anyio.wait_all_tasks_blocked()
            assert cuts == [subscription.cut_off]
        assert stuck == list(range(11))
        assert quick == list(range(20))

    run(body)


def test_one_item_may_wait_however_large() -> None:
    async def body() -> None:
        got: list[int] = []
        async with running() as listeners:
            listeners.subscribe(lambda item: got.append(item.number), None)
            for number in range(3):
                assert publish(listeners, number, size=2 * subscribers.QUEUE_BYTES) == 0
                await anyio.wait_all_tasks_blocked()
        assert got == [0, 1, 2]

    run(body)


@pytest.mark.parametrize("ends", ["cut off", "unsubscribed"])
def test_a_listener_that_gets_no_more_and_still_hangs_holds_nothing_that_comes_later(
    monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr(subscribers, "QUEUE_ITEMS", 1)

    async def body() -> None:
        go_on = anyio.Event()

        async def hang(item: Item) -> None:
            with anyio.CancelScope(shield=True):
                await go_on.wait()

        async with running() as listeners:
            subscription = listeners.subscribe(hang, None)
            listeners.subscribe(lambda item: None, None)
            publish(listeners, 0)
            await anyio.wait_all_tasks_blocked()
            if ends == "unsubscribed":
                subscription()
            publish(listeners, 1)
            await anyio.wait_all_tasks_blocked()
            publish(listeners, 2)
            later = Item(3)
            held = weakref.ref(later)
            listeners.publish(later, 1, Cursor("1:1", 3))
            del later
            await anyio.wait_all_tasks_blocked()
            publish(listeners, 4)
            await anyio.wait_all_tasks_blocked()
            let_go = held() is None
            go_on.set()
        assert let_go

    run(body)


def test_a_listener_that_fails_or_is_cancelled_inside_gets_its_next_item(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        got: list[int] = []

        def plain(item: Item) -> None:
            got.append(item.number)
            raise [ValueError, asyncio.CancelledError][item.number % 2]

        async def waiting(item: Item) -> None:
            plain(item)

        async with running() as listeners:
            listeners.subscribe(plain, None)
            listeners.subscribe(waiting, None)
            publish(listeners, 0, 1, 2, 3)
        assert sorted(got) == [0, 0, 1, 1, 2, 2, 3, 3]

    run(body)
    assert len(caplog.records) == 8


def test_a_listener_that_unsubscribes_while_it_is_called_gets_no_more_though_more_was_waiting() -> None:
    async def body() -> None:
        got: list[int] = []

        def once(item: Item) -> None:
            got.append(item.number)
            subscription()

        async with running() as listeners:
            subscription = listeners.subscribe(once, None)
            publish(listeners, 0, 1, 2)
        assert got == [0]

    run(body)
