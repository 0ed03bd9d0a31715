"""Whoever listens to a state: what one of them does harms no other, and who has left hears nothing more."""

import asyncio
from collections.abc import Awaitable, Callable

from optio_host.host import LinkState
from optio_host.listeners import Listeners
from optio_host.testing.fake import FakeHost

Run = Callable[[Callable[[], Awaitable[object]]], None]


def test_a_listener_that_raises_is_told_of_and_the_others_hear_all_the_same(run: Run) -> None:
    async def body() -> None:
        contexts: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
        listeners: Listeners[str] = Listeners()
        told: list[str] = []
        error = RuntimeError("not mine")

        def bad(state: str) -> None:
            raise error

        listeners.add(bad)
        listeners.add(told.append)
        listeners.tell("lost", about="user@host")
        assert told == ["lost"]
        [context] = contexts
        assert context == {"message": "user@host: a listener raised at 'lost'", "exception": error}

    run(body)


def test_a_listener_that_has_left_hears_nothing_more_also_when_it_leaves_while_it_is_told() -> None:
    listeners: Listeners[str] = Listeners()
    told: list[str] = []

    def once(state: str) -> None:
        told.append(f"once {state}")
        leave()

    leave = listeners.add(once)
    listeners.add(told.append)
    listeners.tell("first", about="it")
    leave()
    listeners.tell("second", about="it")
    assert told == ["once first", "first", "second"]


def test_a_listener_that_raises_breaks_no_call_on_a_fake_host(run: Run) -> None:
    async def body() -> None:
        raised: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: raised.append(str(context["exception"])))

        def bad(state: LinkState) -> None:
            raise RuntimeError(state.state)

        with FakeHost() as host:
            host.on_state(bad)
            await host.connect()
            await host.disconnect()
        assert raised == ["connecting", "connected", "closed"]

    run(body)
