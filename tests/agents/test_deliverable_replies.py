"""Each announced deliverable gets exactly one reply, whatever its callback and the way to the agent do."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from driven import Driven

from optio_agents.context import HookContext
from optio_agents.outcome import Cancelled, Done
from optio_agents.protocol.limits import DriverLimits
from optio_host.host import Host
from optio_host.testing.clock import ManualClock

Run = Callable[[Callable[[], Awaitable[object]]], None]


ACCEPTED = "accepted. thanks for the good work."
OURS = "not yours; the file is in order"


def test_each_announced_deliverable_gets_exactly_one_reply(run: Run, driven: Driven) -> None:
    got: list[tuple[str, str]] = []

    async def on_deliverable(hook_ctx: HookContext, path: str, text: str) -> str | None:
        got.append((path, text))
        return {"a.md": None, "b.md": "ok", "c/d.md": "add a\nsummary"}[path]

    async def body(host: Host, hook_ctx: HookContext) -> None:
        for name in ("a.md", "b.md", "c/d.md"):
            driven.deliver(name, f"text of {name}")
        driven.write(
            "DELIVERABLE: deliverables/a.md",
            f"DELIVERABLE: {host.workdir}/deliverables/b.md",
            "DELIVERABLE: ./deliverables/c/d.md",
            "DONE",
        )
        await anyio.sleep_forever()

    async def session() -> None:
        assert await driven.run(body=body, on_deliverable=on_deliverable) == Done(None)
        assert got == [("a.md", "text of a.md"), ("b.md", "text of b.md"), ("c/d.md", "text of c/d.md")]
        assert driven.said == [
            f"System: deliverable a.md: {ACCEPTED}",
            f"System: deliverable b.md: {ACCEPTED}",
            "System: deliverable c/d.md: add a summary",
        ]
        assert [line for line in driven.progress if line.startswith("Deliverable: ")] == [
            "Deliverable: a.md",
            "Deliverable: b.md",
            "Deliverable: c/d.md",
        ]

    run(session)


def test_without_a_callback_a_deliverable_is_accepted(run: Run, bare: Driven) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        bare.deliver("a.md")
        bare.write("DELIVERABLE: deliverables/a.md", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        await bare.run(body=body)
        assert bare.said == [f"System: deliverable a.md: {ACCEPTED}"]

    run(session)


def test_without_a_channel_to_the_agent_only_feedback_is_reported(run: Run, bare: Driven) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        bare.deliver("a.md")
        bare.deliver("b.md")
        bare.write("DELIVERABLE: deliverables/a.md", "DELIVERABLE: deliverables/b.md", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        await bare.run(
            body=body, agent_sender=None, on_deliverable=lambda c, path, text: "too short" if path == "b.md" else "ok"
        )
        assert [line for line in bare.progress if "no channel" in line] == [
            "Not sent, this session has no channel to the agent: too short"
        ]

    run(session)


def _raising(hook_ctx: HookContext, path: str, text: str) -> str:
    raise LookupError("no room")


@pytest.mark.parametrize(
    ("callback", "told", "reported"),
    [
        (_raising, OURS, "on_deliverable: LookupError: no room"),
        (lambda hook_ctx, path, text: 42, ACCEPTED, "on_deliverable returned int"),
    ],
)
def test_a_callback_that_raises_or_returns_the_wrong_type_still_answers_once(
    run: Run, bare: Driven, callback: Callable[..., Any], told: str, reported: str
) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        bare.deliver("a.md")
        bare.write("DELIVERABLE: deliverables/a.md", "DELIVERABLE: deliverables/a.md", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        assert await bare.run(body=body, on_deliverable=callback) == Done(None)
        assert len(bare.said) == 2
        assert all(told in line for line in bare.said)
        assert any(reported in line for line in bare.progress)

    run(session)


def test_a_callback_that_is_cancelled_from_inside_still_answers_once(run: Run, bare: Driven) -> None:
    async def on_deliverable(hook_ctx: HookContext, path: str, text: str) -> str:
        import asyncio

        raise asyncio.CancelledError

    async def body(host: Host, hook_ctx: HookContext) -> None:
        bare.deliver("a.md")
        bare.write("DELIVERABLE: deliverables/a.md", "DELIVERABLE: deliverables/a.md", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        assert await bare.run(body=body, on_deliverable=on_deliverable) == Done(None)
        assert [OURS in line for line in bare.said] == [True, True]

    run(session)


class Stuck:
    """A callback that never returns."""

    def __init__(self) -> None:
        self.called = anyio.Event()
        self.count = 0

    async def __call__(self, hook_ctx: HookContext, path: str, text: str) -> str:
        self.count += 1
        self.called.set()
        await anyio.sleep_forever()
        return "ok"


def test_a_callback_that_hangs_is_answered_after_its_limit(run: Run, bare: Driven, clock: ManualClock) -> None:
    stuck = Stuck()

    async def body(host: Host, hook_ctx: HookContext) -> None:
        bare.deliver("a.md")
        bare.write("DELIVERABLE: deliverables/a.md")
        await anyio.sleep_forever()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = bare.start(group, body=body, on_deliverable=stuck, clock=clock)
            await stuck.called.wait()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(600)
            assert len(bare.said) == 1
            assert OURS in bare.said[0]
            bare.write("DONE")
            await running.ended.wait()

    run(session)


@pytest.mark.parametrize("end", ["DONE: x", "ERROR: x"])
def test_a_stuck_callback_behind_a_full_queue_hides_no_end(
    run: Run, driven: Driven, clock: ManualClock, end: str
) -> None:
    stuck = Stuck()
    limits = DriverLimits(drain=0)

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver("a.md")
        driven.write(*["DELIVERABLE: deliverables/a.md"] * 200, end)
        await anyio.sleep_forever()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = driven.start(group, body=body, on_deliverable=stuck, clock=clock, limits=limits)
            await stuck.called.wait()
            await anyio.wait_all_tasks_blocked()
            assert not running.ended.is_set()
            await clock.advance(1)
            # A host that reads slowly may have come to the end only now: what waits for a moment then gets it.
            while not running.ended.is_set():
                await clock.advance(0.01)
        assert running.outcome == Done("x") or str(running.error) == "x"
        assert stuck.count == 1
        assert driven.said
        assert all("the session ended before it was handled" in line for line in driven.said)

    run(session)


def test_cancel_is_noticed_behind_a_stuck_callback_and_all_that_was_queued_is_answered(
    run: Run, driven: Driven, clock: ManualClock
) -> None:
    stuck = Stuck()

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver("a.md")
        driven.write(*["DELIVERABLE: deliverables/a.md"] * 3)
        await anyio.sleep_forever()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = driven.start(group, body=body, on_deliverable=stuck, clock=clock)
            await stuck.called.wait()
            await anyio.wait_all_tasks_blocked()
            driven.ctx.cancel()
            await clock.advance(0.5)
            await running.ended.wait()
        assert isinstance(running.outcome, Cancelled)
        assert len(driven.said) == 3
        assert all("the session was cancelled" in line for line in driven.said)

    run(session)


def test_a_deliverable_announced_right_before_done_is_drained(run: Run, driven: Driven) -> None:
    async def on_deliverable(hook_ctx: HookContext, path: str, text: str) -> str:
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        return "seen"

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver("a.md")
        driven.write(*["DELIVERABLE: deliverables/a.md"] * 5, "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        assert await driven.run(body=body, on_deliverable=on_deliverable) == Done(None)
        assert driven.said == ["System: deliverable a.md: seen"] * 5

    run(session)


def test_more_deliverables_than_the_queue_holds_are_all_answered(run: Run, bare: Driven) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        bare.deliver("a.md")
        bare.write(*["DELIVERABLE: deliverables/a.md"] * 150, "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        assert await bare.run(body=body) == Done(None)
        assert len(bare.said) == 150

    run(session)


def test_a_sender_that_raises_or_hangs_ends_nothing(run: Run, bare: Driven, clock: ManualClock) -> None:
    sending = anyio.Event()

    async def send(line: str) -> None:
        if "a.md" in line:
            raise BrokenPipeError("agent gone")
        sending.set()
        await anyio.sleep_forever()

    async def body(host: Host, hook_ctx: HookContext) -> None:
        bare.deliver("a.md")
        bare.deliver("b.md")
        bare.write("DELIVERABLE: deliverables/a.md", "DELIVERABLE: deliverables/b.md", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = bare.start(group, body=body, agent_sender=send, clock=clock)
            await sending.wait()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(60)
            await running.ended.wait()
        assert running.outcome == Done(None)
        assert [line for line in bare.progress if line.startswith("send_to_agent failed")] != []

    run(session)


def test_messages_to_the_agent_go_one_at_a_time(run: Run, bare: Driven) -> None:
    at_once = 0
    most = 0

    async def send(line: str) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await anyio.lowlevel.checkpoint()
        at_once -= 1

    async def body(host: Host, hook_ctx: HookContext) -> None:
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(hook_ctx.send_to_agent, f"message {number}")
        bare.write("DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        await bare.run(body=body, agent_sender=send)
        assert most == 1

    run(session)
