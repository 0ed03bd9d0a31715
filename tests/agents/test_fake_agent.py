"""What a fake agent promises: what its script says happens, and nothing that it does not say happens unnoticed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from optio_agents.conversation import PermissionDecision, PermissionRequest, open_conversation
from optio_agents.conversation.claude import ClaudeCodeConversation
from optio_agents.conversation.events import AgentThinking, AgentUnparsed, ToolReturned
from optio_agents.hooks import SessionHookContext
from optio_agents.journal import Deliverable, OutcomeDocument
from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session
from optio_agents.testing import (
    Appends,
    Asks,
    Decided,
    Delivers,
    EndsTurn,
    Exits,
    Fails,
    FakeAgent,
    Says,
    Step,
    Thinks,
    UsesTool,
    Waits,
)
from optio_host.errors import HostError
from optio_host.local.host import LocalHost
from optio_host.ssh.host import RemoteHost
from optio_host.testing.connection import connected
from optio_host.testing.fake import ScriptFailed

BUILD = UsesTool("Bash", {"command": "make"}, "built")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def run(body: Callable[[], Awaitable[object]]) -> None:
    async def limited() -> None:
        with anyio.fail_after(60):
            await body()

    anyio.run(limited)


def allow(request: PermissionRequest) -> PermissionDecision:
    return PermissionDecision("allow")


@asynccontextmanager
async def talking(
    host: LocalHost, fake: FakeAgent, decide: Callable[[PermissionRequest], PermissionDecision] = allow
) -> AsyncIterator[ClaudeCodeConversation]:
    async with (
        connected(host),
        open_conversation(host, await fake.install(host), permissions=decide) as conversation,
    ):
        yield conversation


async def session_of(
    host: LocalHost | RemoteHost,
    fake: FakeAgent,
    hook: Callable[[SessionHookContext, Deliverable], str | None] | None = None,
) -> tuple[OutcomeDocument | None, list[object]]:
    """Run a session to its end; how it ended, and its events."""
    session = await Session.start(
        host, MemoryStore(), agent=await fake.install(host), cwd=host.workdir, deliverables=f"{host.taskdir}/out",
        state_dir=host.taskdir, prompt="Write a report.", on_deliverable=hook,
    )  # fmt: skip
    outcome = await session.wait()
    return outcome, [record.event async for record in session.events()]


def test_each_turn_answers_one_thing_that_it_is_told(local_host: LocalHost) -> None:
    fake = FakeAgent(Says("Hello."), EndsTurn(0.25, 10, 20), Thinks("Hm."), Says("Bye."), EndsTurn(0.5))

    async def body() -> None:
        async with talking(local_host, fake) as conversation:
            first, second = await conversation.ask("hi"), await conversation.ask("bye")
            assert (first.text, first.input_tokens, first.output_tokens) == ("Hello.", 10, 20)
            assert (second.text, second.reason, second.is_error) == ("Bye.", "completed", False)
            assert conversation.cost_usd == 0.75
            await conversation.set_model("another")
            assert await fake.heard() == ["hi", "bye"]
            await fake.verify()

    run(body)


def test_a_tool_that_is_allowed_is_used_with_the_input_that_was_decided(local_host: LocalHost) -> None:
    fake = FakeAgent(BUILD, Says("Built."), EndsTurn())
    other: dict[str, object] = {"command": "make -n"}

    async def body() -> None:
        decision = PermissionDecision("allow", updated_input=other)
        async with talking(local_host, fake, lambda request: decision) as conversation:
            turn = await conversation.ask("build")
            assert (turn.text, turn.denied) == ("Built.", ())
            assert await fake.decisions() == [Decided("Bash", BUILD.input, True, other, "")]

    run(body)


def test_a_tool_that_is_denied_gives_back_why(local_host: LocalHost) -> None:
    fake = FakeAgent(BUILD, EndsTurn())

    async def body() -> None:
        decision = PermissionDecision("deny", message="Not today.")
        messages: list[dict[str, object]] = []
        async with talking(local_host, fake, lambda request: decision) as conversation:
            conversation.on_event(messages.append)
            assert (await conversation.ask("build")).denied == ("Bash",)
            assert await fake.decisions() == [Decided("Bash", BUILD.input, False, {}, "Not today.")]
        [back] = [each for each in messages if each["type"] == "user"]
        assert "Not today." in str(back)
        assert "built" not in str(back)

    run(body)


def test_a_tool_that_is_not_asked_about_is_used_without_a_decision(local_host: LocalHost) -> None:
    fake = FakeAgent(
        UsesTool("Read", {"file_path": "a"}, "text", asks=False), Thinks("So."), Appends("DONE"), EndsTurn()
    )

    async def body() -> None:
        async with connected(local_host):
            _, events = await session_of(local_host, fake)
            assert [each.text for each in events if isinstance(each, ToolReturned)] == ["text"]
            assert [each.text for each in events if isinstance(each, AgentThinking)] == ["So."]
            assert await fake.decisions() == []

    run(body)


def test_a_question_comes_back_with_its_answer(local_host: LocalHost) -> None:
    fake = FakeAgent(Asks("Which colour?", ("Red", "Blue")), EndsTurn())

    def answer(request: PermissionRequest) -> PermissionDecision:
        assert request.raw["request"]["requires_user_interaction"] is True  # type: ignore[index]
        return PermissionDecision("allow", updated_input={**request.input, "answers": {"Which colour?": "Blue"}})

    async def body() -> None:
        async with talking(local_host, fake, answer) as conversation:
            await conversation.ask("paint")
            [decided] = await fake.decisions()
            assert (decided.tool, decided.input["answers"]) == ("AskUserQuestion", {"Which colour?": "Blue"})

    run(body)


@pytest.mark.parametrize("kind", ["local_host", "ssh_host"])
def test_a_session_is_played_from_its_prompt_to_done_and_its_hook_is_heard(
    kind: str, request: pytest.FixtureRequest
) -> None:
    host: LocalHost | RemoteHost = request.getfixturevalue(kind)
    report = "a/report.md"
    fake = FakeAgent(
        Appends("STATUS: 10% reading"), Delivers(report, "TODO"), Delivers(report, b"All is well."),
        Appends("DONE: 1 page"), Says("Done."), EndsTurn(),
    )  # fmt: skip

    def hook(hook_ctx: SessionHookContext, deliverable: Deliverable) -> str | None:
        return "it says TODO" if "TODO" in Path(deliverable.path).read_text() else None

    async def body() -> None:
        async with connected(host):
            outcome, events = await session_of(host, fake, hook)
            assert not [each for each in events if isinstance(each, AgentUnparsed)]
            assert outcome == OutcomeDocument(outcome="done", summary="1 page", exit=0)
            assert await fake.heard() == [
                "Write a report.",
                "System: deliverable a/report.md: it says TODO",
                "System: deliverable a/report.md: accepted. thanks for the good work.",
            ]
            await fake.verify()

    run(body)


def test_an_agent_that_is_told_more_than_its_script_has_fails_the_session_and_the_test(local_host: LocalHost) -> None:
    fake = FakeAgent(Says("Hello."), EndsTurn())

    async def body() -> None:
        async with talking(local_host, fake) as conversation:
            await conversation.ask("hi")
            turn = await conversation.ask("and now?")
            assert turn.is_error
            assert "script of the agent is at its end" in turn.text
        for look in (fake.heard, fake.decisions, fake.verify):
            with pytest.raises(ScriptFailed, match=r"at its end.*and now\?"):
                await look()

    run(body)


def test_a_session_whose_script_is_too_short_says_so_in_its_outcome(local_host: LocalHost) -> None:
    async def body() -> None:
        async with connected(local_host):
            outcome, _ = await session_of(local_host, FakeAgent())
            assert outcome is not None
            assert outcome.outcome == "failed"
            assert "script of the agent is at its end" in outcome.reason

    run(body)


def test_an_agent_that_never_comes_to_the_end_of_its_script_fails_the_test(local_host: LocalHost) -> None:
    fake = FakeAgent(EndsTurn(), Says("Never."), EndsTurn())

    async def body() -> None:
        async with talking(local_host, fake) as conversation:
            await conversation.ask("hi")
        with pytest.raises(ScriptFailed, match=r"2 of its steps.*Never"):
            await fake.verify()

    run(body)


@pytest.mark.parametrize(("step", "sign"), [(Waits(), "system"), (BUILD, "control_request")])
def test_an_interrupt_ends_the_turn_and_the_next_one_is_played(local_host: LocalHost, step: Step, sign: str) -> None:
    fake = FakeAgent(step, Says("Never."), EndsTurn(), Says("Hello."), EndsTurn())

    async def hang(request: PermissionRequest) -> PermissionDecision:
        await anyio.sleep_forever()
        return PermissionDecision("allow")

    async def body() -> None:
        async with talking(local_host, fake) as conversation:
            reached, said = anyio.Event(), []

            def note(event: dict[str, object]) -> None:
                said.append(event["type"])
                if event["type"] == sign:
                    reached.set()

            conversation.on_permission_request(hang)
            conversation.on_event(note)
            await conversation.send("hi")
            await reached.wait()
            await conversation.interrupt()
            assert (await conversation.ask("again")).text == "Hello."
            assert said.count("control_cancel_request") == said.count("control_request") == (step is BUILD)
            assert (conversation.questions, await fake.decisions()) == ((), [])
            await fake.verify()

    run(body)


def test_a_turn_that_fails_is_one_and_the_agent_goes_on(local_host: LocalHost) -> None:
    async def body() -> None:
        async with talking(local_host, FakeAgent(Fails("overloaded"), Says("Hello."), EndsTurn())) as conversation:
            failed = await conversation.ask("hi")
            assert (failed.is_error, failed.text) == (True, "overloaded")
            assert (await conversation.ask("hi")).text == "Hello."

    run(body)


def test_an_agent_that_ends_in_the_middle_fails_its_session(local_host: LocalHost) -> None:
    async def body() -> None:
        async with connected(local_host):
            outcome, _ = await session_of(local_host, FakeAgent(Says("Ah."), Exits(7)))
            assert outcome is not None
            assert (outcome.outcome, outcome.exit) == ("failed", 7)

    run(body)


def test_a_script_that_cannot_be_played_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="add EndsTurn"):
        FakeAgent(Says("Hello."))
    with pytest.raises(TypeError, match="nothing that a FakeAgent can do"):
        FakeAgent("Hello.", EndsTurn())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        FakeAgent(UsesTool("Bash", {"command": object()}), EndsTurn())
    for name in ("../a", "/a", "", ".", "a//b", "a\nb", "x" * 600):
        with pytest.raises(ValueError, match="plain path"):
            Delivers(name, "")


def test_what_an_agent_on_no_host_was_told_is_not_nothing() -> None:
    async def body() -> None:
        with pytest.raises(ScriptFailed, match="on no host"):
            await FakeAgent().heard()

    run(body)


def test_a_host_without_a_python3_that_will_do_says_so(local_host: LocalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optio_agents.testing.agent.PYTHON", "false")

    async def body() -> None:
        async with connected(local_host):
            with pytest.raises(HostError, match="is there a python3"):
                await FakeAgent().install(local_host)

    run(body)
