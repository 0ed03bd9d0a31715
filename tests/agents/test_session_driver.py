"""The published driver: the order in which it works, and its ends."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from bare_host import BareHost
from driven import Driven

from optio_agents.context import HookContext, StandaloneContext
from optio_agents.errors import RunInTheWay, SessionFailed
from optio_agents.outcome import Cancelled, Done, Failed
from optio_agents.protocol.protocol import get_protocol
from optio_agents.protocol.session import LATE_LINES, _SessionFailed, run_log_protocol_session
from optio_host.errors import HostCommandError
from optio_host.host import Host, RunResult
from optio_host.testing.clock import ManualClock

Run = Callable[[Callable[[], Awaitable[object]]], None]


def test_done_ends_the_session_and_cancels_the_body(run: Run, driven: Driven) -> None:
    async def session() -> None:
        assert await driven.run(body=driven.agent("STATUS: 50% half", "DONE: all of it")) == Done("all of it")
        assert (50, "half") in driven.ctx.progress

    run(session)


def test_without_keywords_the_log_is_not_read_and_the_session_is_done_with_its_body(run: Run, driven: Driven) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.write("STATUS: 50% half", "ERROR: no licence")

    async def session() -> None:
        assert await driven.run(body=body, keywords=False) == Done(None)
        assert driven.progress == []

        async def broken(host: Host, hook_ctx: HookContext) -> None:
            raise RuntimeError("no agent here")

        with pytest.raises(RuntimeError, match="no agent here"):
            await driven.run(body=broken, keywords=False)

    run(session)


def test_error_raises_with_the_agents_own_words(run: Run, driven: Driven) -> None:
    async def session() -> None:
        with pytest.raises(_SessionFailed) as raised:
            await driven.run(body=driven.agent("ERROR: no licence"))
        assert str(raised.value) == "no licence"
        assert raised.value.outcome == Failed("no licence")

    run(session)


def test_error_without_a_text_has_the_published_reason(run: Run, bare: Driven) -> None:
    async def session() -> None:
        with pytest.raises(_SessionFailed, match=r"^agent reported ERROR$"):
            await bare.run(body=bare.agent("ERROR"))

    run(session)


@pytest.mark.parametrize(("first", "second"), [("DONE: a", "ERROR: b"), ("ERROR: b", "DONE: a")])
def test_the_first_end_counts_and_the_second_is_only_reported(
    run: Run, driven: Driven, first: str, second: str
) -> None:
    async def session() -> None:
        if first.startswith("DONE"):
            assert await driven.run(body=driven.agent(first, second, "STATUS: late")) == Done("a")
        else:
            with pytest.raises(SessionFailed, match=r"^b$"):
                await driven.run(body=driven.agent(first, second, "STATUS: late"))
        assert any(line.startswith("After the end of the session:") for line in driven.progress)
        assert "late" in driven.progress

    run(session)


def test_a_program_that_writes_on_after_done_does_not_hold_the_session(run: Run, driven: Driven) -> None:
    count = 0

    def progress(percent: float | None, message: str | None) -> None:
        nonlocal count
        count += 1

    driven.ctx = StandaloneContext(progress)

    async def session() -> None:
        assert await driven.run(body=driven.agent("DONE", *["STATUS: still here"] * 30_000)) == Done(None)
        assert count == LATE_LINES

    run(session)


def test_a_body_that_returns_without_done_fails_after_two_seconds(run: Run, driven: Driven, clock: ManualClock) -> None:
    returned = anyio.Event()

    def body(host: Host, hook_ctx: HookContext) -> None:
        returned.set()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = driven.start(group, body=body, clock=clock)
            await returned.wait()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(1.9)
            assert not running.ended.is_set()
            await clock.advance(0.1)
            await running.ended.wait()
        assert isinstance(running.error, SessionFailed)
        assert running.error.outcome == Failed("the body returned and no DONE came within 2 s")

    run(session)


def test_a_done_within_the_grace_is_a_success(run: Run, driven: Driven, clock: ManualClock) -> None:
    returned = anyio.Event()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = driven.start(group, body=lambda host, hook_ctx: returned.set(), clock=clock)
            await returned.wait()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(1.9)
            driven.write("DONE")
            await running.ended.wait()
        assert running.outcome == Done(None)

    run(session)


def test_no_final_newline_a_last_line_counts_once_the_body_has_returned(
    run: Run, driven: Driven, clock: ManualClock
) -> None:
    returned = anyio.Event()

    def body(host: Host, hook_ctx: HookContext) -> None:
        driven.write_bytes(b"STATUS: 90% nearly\nDONE: with no newline")
        returned.set()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = driven.start(group, body=body, clock=clock)
            await returned.wait()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(2)
            await running.ended.wait()
        assert running.outcome == Done("with no newline")
        assert driven.progress.count("nearly") == 1

    run(session)


def test_the_exception_of_the_body_is_the_exception_of_the_session(run: Run, driven: Driven) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.write("STATUS: 10% before the crash")
        raise LookupError("mine")

    async def session() -> None:
        with pytest.raises(LookupError, match=r"^mine$"):
            await driven.run(body=body)
        assert "before the crash" in driven.progress

    run(session)


def test_a_body_that_is_cancelled_by_something_inside_it_does_not_hang_the_session(run: Run, bare: Driven) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        import asyncio

        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def session() -> None:
        with pytest.raises(Exception, match="body was cancelled by something inside it"):
            await bare.run(body=body)

    run(session)


def test_cancel_is_noticed_and_returns(run: Run, driven: Driven, clock: ManualClock) -> None:
    started = anyio.Event()
    left: list[str] = []

    async def body(host: Host, hook_ctx: HookContext) -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            left.append("body")

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = driven.start(
                group, body=body, clock=clock, after_execute=lambda hook_ctx: left.append("after_execute")
            )
            await started.wait()
            driven.ctx.cancel()
            await clock.advance(0.5)
            await running.ended.wait()
        assert isinstance(running.outcome, Cancelled)
        assert left == ["body", "after_execute"]

    run(session)


def test_a_session_that_is_cancelled_before_it_starts_does_nothing_but_clean_up(run: Run, bare: Driven) -> None:
    called: list[str] = []

    async def session() -> None:
        bare.ctx.cancel()
        outcome = await bare.run(
            prepare=lambda host, hook_ctx: called.append("prepare"),
            body=lambda host, hook_ctx: called.append("body"),
            after_execute=lambda hook_ctx: called.append("after_execute"),
        )
        assert isinstance(outcome, Cancelled)
        assert called == ["after_execute"]

    run(session)


def test_cancel_ends_a_hook_that_takes_long(run: Run, bare: Driven, clock: ManualClock) -> None:
    preparing = anyio.Event()

    async def prepare(host: Host, hook_ctx: HookContext) -> None:
        preparing.set()
        await anyio.sleep_forever()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = bare.start(group, prepare=prepare, body=bare.agent(), clock=clock)
            await preparing.wait()
            bare.ctx.cancel()
            await clock.advance(0.5)
            await running.ended.wait()
        assert isinstance(running.outcome, Cancelled)

    run(session)


def test_a_cancelled_caller_still_gets_after_execute(run: Run, bare: Driven) -> None:
    called: list[str] = []

    async def after_execute(hook_ctx: HookContext) -> None:
        await anyio.lowlevel.checkpoint()
        called.append("after_execute")

    async def session() -> None:
        async with anyio.create_task_group() as group:

            async def body(host: Host, hook_ctx: HookContext) -> None:
                group.cancel_scope.cancel()
                await anyio.sleep_forever()

            await bare.run(body=body, after_execute=after_execute)
            pytest.fail("the cancellation was swallowed")
        assert called == ["after_execute"]

    run(session)


def test_the_hooks_run_in_the_published_order(run: Run, driven: Driven) -> None:
    seen: list[str] = []

    async def prepare(host: Host, hook_ctx: HookContext) -> None:
        assert os.listdir(host.workdir) == []
        seen.append("prepare")

    def before_execute(hook_ctx: HookContext) -> None:
        assert Path(driven.log).read_bytes() == b""
        assert Path(driven.host.workdir, "deliverables").is_dir()
        seen.append("before_execute")

    async def body(host: Host, hook_ctx: HookContext) -> None:
        seen.append("body")
        driven.write("DONE")
        await anyio.sleep_forever()

    async def after_execute(hook_ctx: HookContext) -> None:
        assert Path(driven.log).exists(), "the task directory is the caller's to remove"
        seen.append("after_execute")

    async def session() -> None:
        await driven.run(prepare=prepare, before_execute=before_execute, body=body, after_execute=after_execute)
        assert seen == ["prepare", "before_execute", "body", "after_execute"]

    run(session)


def test_browser_launchers_are_there_before_before_execute(run: Run, driven: Driven) -> None:
    found: dict[str, str] = {}

    async def session() -> None:
        await driven.run(
            body=driven.agent("DONE"),
            before_execute=lambda hook_ctx: found.update(hook_ctx.browser_launch_env),
            protocol=get_protocol(browser="redirect"),
        )
        assert found["BROWSER"] == f"{driven.host.workdir}/bin/xdg-open"

    run(session)


def test_without_browser_launchers_the_additions_are_empty(run: Run, bare: Driven) -> None:
    found: list[dict[str, str]] = []

    async def session() -> None:
        await bare.run(
            body=bare.agent("DONE"), before_execute=lambda hook_ctx: found.append(hook_ctx.browser_launch_env)
        )
        assert found == [{}]

    run(session)


@pytest.mark.parametrize("hook", ["prepare", "before_execute"])
def test_a_hook_that_raises_ends_the_session_with_its_exception(run: Run, bare: Driven, hook: str) -> None:
    called: list[str] = []

    async def failing(*arguments: object) -> None:
        raise LookupError(hook)

    async def session() -> None:
        with pytest.raises(LookupError, match=hook):
            await bare.run(
                body=lambda host, hook_ctx: called.append("body"),
                after_execute=lambda hook_ctx: called.append("after_execute"),
                **{hook: failing},
            )
        assert called == ["after_execute"]

    run(session)


def test_after_execute_raises_only_from_a_healthy_session(run: Run, bare: Driven) -> None:
    def after_execute(hook_ctx: HookContext) -> None:
        raise LookupError("after")

    async def session() -> None:
        with pytest.raises(LookupError, match="after"):
            await bare.run(body=bare.agent("DONE"), after_execute=after_execute)
        with pytest.raises(SessionFailed, match="no licence"):
            await bare.run(body=bare.agent("ERROR: no licence"), after_execute=after_execute)
        assert "after_execute failed: LookupError: after" in bare.progress

    run(session)


def test_an_after_execute_that_hangs_has_a_limit(run: Run, bare: Driven, clock: ManualClock) -> None:
    reached = anyio.Event()

    async def after_execute(hook_ctx: HookContext) -> None:
        reached.set()
        await anyio.sleep_forever()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            running = bare.start(group, body=bare.agent("DONE"), after_execute=after_execute, clock=clock)
            await reached.wait()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(600)
            await running.ended.wait()
        assert isinstance(running.error, TimeoutError)

    run(session)


def test_a_directory_that_cannot_be_made_is_told_by_its_command(run: Run, taskdir: str) -> None:
    class Full(BareHost):
        async def run_command(self, command: str, **options: Any) -> RunResult:
            return RunResult("", "No space left on device", 1)

    async def session() -> None:
        with pytest.raises(HostCommandError, match="No space left"):
            await run_log_protocol_session(Full(taskdir), StandaloneContext(), body=lambda host, hook_ctx: None)

    run(session)


def test_caller_messages_without_a_callback_and_the_reverse_are_refused(run: Run, bare: Driven) -> None:
    async def session() -> None:
        with pytest.raises(ValueError, match="pass on_caller_message"):
            await bare.run(body=bare.agent(), protocol=get_protocol(caller_messages=True))
        with pytest.raises(ValueError, match="caller_messages=True"):
            await bare.run(body=bare.agent(), on_caller_message=lambda hook_ctx, keyword, data: None)

    run(session)


def test_no_task_group_is_seen_from_outside(run: Run, bare: Driven) -> None:
    class Own(BaseException):
        pass

    async def body(host: Host, hook_ctx: HookContext) -> None:
        raise Own

    async def session() -> None:
        with suppress(Own):
            await bare.run(body=body)
            pytest.fail("nothing was raised")

    run(session)


@pytest.mark.parametrize("ended", [True, False])
def test_a_durable_run_in_the_task_directory_is_not_cleared_away_unless_it_has_ended(
    run: Run, driven: Driven, ended: bool
) -> None:
    rundir = Path(driven.host.taskdir) / "run" / "1"
    (rundir / "claim").mkdir(parents=True)
    if ended:
        (rundir / "exit").write_text("exited 0\n")

    async def session() -> None:
        if ended:
            assert await driven.run(body=driven.agent("DONE")) == Done(None)
        else:
            with pytest.raises(RunInTheWay, match=str(rundir)):
                await driven.run(body=driven.agent("DONE"))
        assert rundir.exists() is not ended

    run(session)
