"""What each entry of the log sets in motion, whatever the process context does."""

from collections.abc import Awaitable, Callable

import anyio
import pytest
from driven import Driven

from optio_agents.context import HookContext, StandaloneContext
from optio_agents.outcome import Done
from optio_agents.protocol.limits import DriverLimits
from optio_agents.protocol.protocol import get_protocol
from optio_agents.protocol.session import run_log_protocol_session
from optio_host.host import Host
from optio_host.testing.clock import ManualClock

Run = Callable[[Callable[[], Awaitable[object]]], None]


ACCEPTED = "accepted. thanks for the good work."


class Recording(StandaloneContext):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[object, ...]] = []

    async def need_attention(self, reason: str) -> None:
        self.calls.append(("attention", reason))

    async def request_browser_open(self, url: str) -> None:
        self.calls.append(("browser", url))

    async def client_message(self, keyword: str, data: object) -> None:
        self.calls.append(("client", keyword, data))


ALL_ON = get_protocol(browser="redirect", client_messages=True)


def test_entries_reach_the_context_in_their_order(run: Run, driven: Driven) -> None:
    driven.ctx = ctx = Recording()

    async def session() -> None:
        await driven.run(
            body=driven.agent(
                "ATTENTION: a code is needed",
                'CLIENT_MESSAGE: chart {"a": [1]}',
                'BROWSER: "https://example.com/?q=1"',
                "ATTENTION: again",
                "DONE",
            ),
            protocol=ALL_ON,
            browser_url_rewrite=lambda url: url.replace("example.com", "127.0.0.1:8080"),
        )
        assert ctx.calls == [
            ("attention", "a code is needed"),
            ("client", "chart", {"a": [1]}),
            ("browser", "https://127.0.0.1:8080/?q=1"),
            ("attention", "again"),
        ]

    run(session)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.com/x", "javascript:alert(1)", "https://a b", "https://", "x"]
)
def test_only_http_and_https_are_opened(run: Run, bare: Driven, url: str) -> None:
    bare.ctx = ctx = Recording()

    async def session() -> None:
        await bare.run(body=bare.agent(f"BROWSER: {url}", "DONE"), protocol=ALL_ON)
        assert ctx.calls == []
        assert any(line.startswith("Not opened") for line in bare.progress)

    run(session)


def test_a_rewrite_that_raises_opens_nothing_and_ends_nothing(run: Run, bare: Driven) -> None:
    bare.ctx = ctx = Recording()

    async def rewrite(url: str) -> str:
        raise LookupError("no tunnel")

    async def session() -> None:
        await bare.run(
            body=bare.agent("BROWSER: https://example.com/", "DONE"), protocol=ALL_ON, browser_url_rewrite=rewrite
        )
        assert ctx.calls == []
        assert any("no tunnel" in line for line in bare.progress)

    run(session)


class Minimal:
    """A context with what a context must have, and nothing else."""

    def __init__(self) -> None:
        self.messages: list[str | None] = []

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        self.messages.append(message)

    def should_continue(self) -> bool:
        return True


def test_a_context_that_lacks_the_rest_gets_it_as_progress(run: Run, bare: Driven) -> None:
    ctx = Minimal()

    async def session() -> None:
        await run_log_protocol_session(
            bare.host,
            ctx,
            body=bare.agent("ATTENTION: look", "BROWSER: https://example.com/", "CLIENT_MESSAGE: chart 1", "DONE"),
            protocol=ALL_ON,
        )
        assert ctx.messages == [
            "Attention needed: look",
            "Open in a browser: https://example.com/",
            "Message for the client: chart: this process has no client_message()",
        ]

    run(session)


def test_a_context_that_raises_ends_nothing(run: Run, driven: Driven) -> None:
    class Raising(StandaloneContext):
        def report_progress(self, percent: float | None, message: str | None = None) -> None:
            raise ConnectionError("database gone")

        def should_continue(self) -> bool:
            raise ConnectionError("database gone")

        async def need_attention(self, reason: str) -> None:
            raise ConnectionError("database gone")

    driven.ctx = Raising()

    async def session() -> None:
        assert await driven.run(body=driven.agent("STATUS: 1% x", "ATTENTION: y", "noise", "DONE")) == Done(None)

    run(session)


class Silent(StandaloneContext):
    """Never answers a call for attention."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = anyio.Event()

    async def need_attention(self, reason: str) -> None:
        self.asked.set()
        await anyio.sleep_forever()


def test_a_context_that_never_answers_holds_the_log_for_its_limit_only(
    run: Run, bare: Driven, clock: ManualClock
) -> None:
    bare.ctx = ctx = Silent()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = bare.start(group, body=bare.agent("ATTENTION: x", "STATUS: next"), clock=clock)
            await ctx.asked.wait()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(30)
            assert any("the process did not take it: TimeoutError" in line for line in bare.progress)
            assert bare.progress[-1] == "next"
            bare.write("DONE")
            await running.ended.wait()

    run(session)


@pytest.mark.parametrize("end", ["DONE: x", "ERROR: x"])
def test_a_context_that_never_answers_hides_no_end(run: Run, driven: Driven, clock: ManualClock, end: str) -> None:
    driven.ctx = ctx = Silent()
    limits = DriverLimits(drain=0)

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = driven.start(group, body=driven.agent("ATTENTION: x", end), clock=clock, limits=limits)
            await ctx.asked.wait()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(1)
            while not running.ended.is_set():
                await clock.advance(0)
        assert running.outcome == Done("x") or str(running.error) == "x"

    run(session)


def test_a_caller_message_is_answered_when_there_is_something_to_say(run: Run, driven: Driven) -> None:
    got: list[tuple[str, object]] = []

    async def on_caller_message(hook_ctx: HookContext, keyword: str, data: object) -> str | None:
        got.append((keyword, data))
        if keyword == "bad":
            raise LookupError("no such vote")
        return {"vote": "counted", "note": None, "blank": ""}[keyword]

    async def session() -> None:
        await driven.run(
            body=driven.agent(
                'CALLER_MESSAGE: vote {"choice": 1}',
                "CALLER_MESSAGE: note 1",
                "CALLER_MESSAGE: blank 1",
                "CALLER_MESSAGE: bad 1",
                "DONE",
            ),
            on_caller_message=on_caller_message,
            protocol=get_protocol(caller_messages=True),
        )
        assert got == [("vote", {"choice": 1}), ("note", 1), ("blank", 1), ("bad", 1)]
        assert len(driven.said) == 2
        assert "counted" in driven.said[0]
        assert "not handled" in driven.said[1]
        assert any("no such vote" in line for line in driven.progress)

    run(session)


def test_a_stuck_caller_message_callback_hides_no_end_and_no_deliverable(
    run: Run, bare: Driven, clock: ManualClock
) -> None:
    called = anyio.Event()

    async def on_caller_message(hook_ctx: HookContext, keyword: str, data: object) -> None:
        called.set()
        await anyio.sleep_forever()

    async def body(host: Host, hook_ctx: HookContext) -> None:
        bare.deliver("a.md")
        bare.write("CALLER_MESSAGE: vote 1", "DELIVERABLE: deliverables/a.md", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = bare.start(
                group,
                body=body,
                on_caller_message=on_caller_message,
                protocol=get_protocol(caller_messages=True),
                clock=clock,
                limits=DriverLimits(drain=10),
            )
            await called.wait()
            while f"System: deliverable a.md: {ACCEPTED}" not in bare.said:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(10)
            await running.ended.wait()
        assert running.outcome == Done(None)
        assert any("the session ended before it was handled" in line for line in bare.said)

    run(session)
