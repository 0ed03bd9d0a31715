"""What the hook of a durable session is given, and what becomes of what it does."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from optio_agents.events import Progress, Record
from optio_agents.history import read_history
from optio_agents.hooks import SessionHookContext
from optio_agents.journal import Deliverable, OutcomeDocument
from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]
Hook = Callable[[SessionHookContext, Deliverable], Awaitable[str | None] | str | None]

PROGRAM = """
echo content > "$OPTIO_DELIVERABLES/a.txt"; echo "DELIVERABLE: a.txt" >> "$OPTIO_LOG"
until grep -q "deliverable a.txt" "$OPTIO_REPLIES"; do :; done
echo "DONE" >> "$OPTIO_LOG"
"""


async def session_with(hook: Hook, directory: Path) -> tuple[OutcomeDocument, list[Record], list[str]]:
    """Run the program once; how it ended, its history, and the replies that it got."""
    store = MemoryStore()
    host = LocalHost(str(directory / "unused"))
    session = await Session.start(
        host, store, ["sh", "-c", PROGRAM],
        cwd=str(directory), deliverables=str(directory / "out"), state_dir=str(directory / "state"),
        on_deliverable=hook,
    )  # fmt: skip
    outcome = await session.wait()
    assert outcome is not None
    async with aclosing(read_history(store, session.id)) as records:
        history = [record async for record in records]
    replies = Path(session.record.taskdir, "replies").read_text().splitlines()
    return outcome, history, replies


def test_a_hook_gets_the_file_on_this_machine_and_its_answer_reaches_the_program(run: Run, tmp_path: Path) -> None:
    seen: list[tuple[str, str, bool]] = []

    def hook(hook_ctx: SessionHookContext, deliverable: Deliverable) -> str:
        assert (deliverable.name, deliverable.size) == ("a.txt", 8)
        seen.append((Path(deliverable.path).read_text(), hook_ctx.event_id, hook_ctx.redelivered))
        return "too short\nby far"

    async def body() -> None:
        outcome, _, replies = await session_with(hook, tmp_path)
        assert outcome.outcome == "done"
        assert replies == ["System: deliverable a.txt: too short by far"]
        [(text, event_id, redelivered)] = seen
        assert (text, redelivered) == ("content\n", False)
        assert event_id.startswith("log-")

    run(body)


def test_what_a_hook_reports_is_progress_in_the_history(run: Run, tmp_path: Path) -> None:
    async def hook(hook_ctx: SessionHookContext, deliverable: Deliverable) -> None:
        hook_ctx.report_progress(30, "checking")
        assert hook_ctx.should_continue()
        assert await hook_ctx.run_on_host("echo on the host", cwd="/") == "on the host\n"

    async def body() -> None:
        _, history, _ = await session_with(hook, tmp_path)
        assert [(each.source, each.event) for each in history if isinstance(each.event, Progress)] == [
            ("hook", Progress(30, "checking"))
        ]

    run(body)


def test_a_hook_can_speak_to_the_program_before_it_answers(run: Run, tmp_path: Path) -> None:
    async def hook(hook_ctx: SessionHookContext, deliverable: Deliverable) -> None:
        assert await hook_ctx.send_to_agent("wait a moment")

    async def body() -> None:
        _, _, replies = await session_with(hook, tmp_path)
        assert replies == [
            "System: wait a moment",
            "System: deliverable a.txt: accepted. thanks for the good work.",
        ]

    run(body)


def test_a_hook_that_raises_ends_nothing_and_the_program_is_not_blamed(run: Run, tmp_path: Path) -> None:
    def hook(hook_ctx: SessionHookContext, deliverable: Deliverable) -> str:
        raise LookupError("no room for /secret/path")

    async def body() -> None:
        outcome, history, [reply] = await session_with(hook, tmp_path)
        assert outcome.outcome == "done"
        assert "not handled: LookupError in on_deliverable" in reply
        assert "secret" not in reply
        [report] = [each.event for each in history if isinstance(each.event, Progress)]
        assert "no room for /secret/path" in str(report.message)

    run(body)


def test_a_hook_that_runs_when_the_driver_leaves_finishes_and_is_not_called_again(run: Run, tmp_path: Path) -> None:
    began, leave, finished = anyio.Event(), anyio.Event(), []

    async def hook(hook_ctx: SessionHookContext, deliverable: Deliverable) -> None:
        began.set()
        await leave.wait()
        finished.append(deliverable.name)

    async def body() -> None:
        store, host = MemoryStore(), LocalHost(str(tmp_path / "unused"))
        session = await Session.start(
            host, store, ["sh", "-c", PROGRAM],
            cwd=str(tmp_path), deliverables=str(tmp_path / "out"), state_dir=str(tmp_path / "state"),
            on_deliverable=hook,
        )  # fmt: skip
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.wait)
            await began.wait()
            await session.leave("the test")
            leave.set()
        assert (await store.snapshot(session.id)).deliverables[0].name == "a.txt"
        adopted = await Session.adopt(host, store, session.id, on_deliverable=hook)
        outcome = await adopted.wait()
        assert outcome is not None
        assert outcome.outcome == "done"
        assert finished == ["a.txt"]

    run(body)


@pytest.mark.parametrize("given", [True, False])
def test_adopting_without_the_callback_is_an_error_unless_said(run: Run, tmp_path: Path, given: bool) -> None:
    from optio_agents.errors import CallbackMissing

    async def body() -> None:
        store, host = MemoryStore(), LocalHost(str(tmp_path / "unused"))
        session = await Session.start(
            host, store, ["sleep", "300"],
            cwd=str(tmp_path), deliverables=str(tmp_path / "out"), state_dir=str(tmp_path / "state"),
            on_deliverable=lambda hook_ctx, deliverable: None,
        )  # fmt: skip
        await store.release(session.lease)
        if not given:
            with pytest.raises(CallbackMissing, match="on_deliverable"):
                await Session.adopt(host, store, session.id)
        adopted = await Session.adopt(host, store, session.id, without_callbacks=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(adopted.wait)
            await adopted.cancel("the test is over")

    run(body)
