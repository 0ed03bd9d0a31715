"""A conversation with the real Claude Code on this machine; its model is a script."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from claude_rig import ClaudeRig, claude_rig
from conversation_rig import ConversationRig, run
from conversation_rig import rig as rig
from model_api import Fail, Hold, Say, Use, bash

from host.job_rig import until
from optio_agents.conversation.claude_code import ClaudeCode
from optio_agents.conversation.contract import ConversationClosed, PermissionDecision, PermissionRequest
from optio_agents.conversation.events import TurnEnded
from optio_agents.conversation.open import open_conversation
from optio_agents.errors import AgentRefused
from optio_host.local.host import LocalHost

QUESTION = {
    "questions": [
        {
            "question": "Which colour?",
            "header": "Colour",
            "multiSelect": False,
            "options": [{"label": "Red", "description": "red"}, {"label": "Blue", "description": "blue"}],
        }
    ]
}
SCRIPT = {
    "hello": [Say("Hello.", thinking="Hm.")],
    "write": [bash("echo hi > out.txt"), Say("I wrote it.")],
    "two": [Use((("Bash", {"command": "echo 1 > one"}), ("Bash", {"command": "echo 2 > two"}))), Say("Both.")],
    "ask": [Use((("AskUserQuestion", QUESTION),)), Say("Thanks.")],
    "plan": [Use((("ExitPlanMode", {"plan": "Do it."}),)), Say("I shall.")],
    "hold": [Hold("I am writing")],
    "tool": [bash("echo started > started; while :; do read x < /dev/zero; done"), Say("Never.")],
    "e400": [Fail(400, "invalid_request_error", "bad request here")],
    "e529": [Fail(529, "overloaded_error")],
}


def on_claude(base: Path, body: Callable[[ClaudeRig, ClaudeCode, LocalHost], object]) -> None:
    """Run a test with the program, a description of it and a host to run it on."""
    with claude_rig(base, SCRIPT) as claude:
        host = LocalHost(str(base / "task"))

        async def with_host() -> None:
            await host.setup_workdir()
            await body(claude, ClaudeCode(executable=claude.program, env=claude.env), host)  # type: ignore[misc]
            assert not list((base / "task").glob("*/run")), "a conversation left its directory"

        run(with_host)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def allow(request: PermissionRequest) -> PermissionDecision:
    return PermissionDecision("allow")


def test_a_prompt_is_answered_and_a_second_one_too(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        async with open_conversation(host, agent) as conversation:
            for _ in range(2):
                turn = await conversation.ask("SCENARIO:hello")
                assert (turn.text, turn.reason) == ("Hello.", "completed")
            assert conversation.agent_session
            assert conversation.cost_usd
        assert conversation.closed

    on_claude(tmp_path, body)


def test_a_tool_that_is_allowed_runs_and_one_that_is_denied_does_not(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        out = Path(host.workdir, "out.txt")
        async with open_conversation(host, agent) as conversation:
            conversation.on_permission_request(lambda request: PermissionDecision("deny", message="Not today."))
            assert (await conversation.ask("SCENARIO:write")).denied == ("Bash",)
            assert not out.exists()
            assert "Not today." in str(claude.api.requests[-1]["messages"])
            conversation.on_permission_request(allow)
            assert (await conversation.ask("SCENARIO:write")).denied == ()
            assert out.read_text() == "hi\n"

    on_claude(tmp_path, body)


def test_two_tools_at_once_are_asked_about_and_both_run(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        asked: list[str] = []

        def decide(request: PermissionRequest) -> PermissionDecision:
            asked.append(str(request.input["command"]))
            return PermissionDecision("allow")

        async with open_conversation(host, agent, permissions=decide) as conversation:
            assert (await conversation.ask("SCENARIO:two")).text == "Both."
        assert sorted(asked) == ["echo 1 > one", "echo 2 > two"]
        assert Path(host.workdir, "one").exists()
        assert Path(host.workdir, "two").exists()

    on_claude(tmp_path, body)


def test_a_question_is_answered_with_what_a_person_chose(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        def choose(request: PermissionRequest) -> PermissionDecision:
            assert request.tool_name == "AskUserQuestion"
            return PermissionDecision("allow", updated_input={**request.input, "answers": {"Which colour?": "Blue"}})

        async with open_conversation(host, agent, permissions=choose) as conversation:
            await conversation.ask("SCENARIO:ask")
        assert '"Which colour?"="Blue"' in str(claude.api.requests[-1]["messages"]).replace("\\", "")

    on_claude(tmp_path, body)


def test_a_plan_is_approved(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        planning = replace(agent, permission_mode="plan")
        async with open_conversation(host, planning, permissions=allow) as conversation:
            assert (await conversation.ask("SCENARIO:plan")).text == "I shall."

    on_claude(tmp_path, body)


def test_an_interrupt_ends_the_turn_in_a_text_and_the_next_one_works(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        async with open_conversation(host, agent) as conversation:
            await conversation.interrupt()  # before anything was said
            turn = await interrupted(conversation.ask, "SCENARIO:hold", claude.api.until_held, conversation.interrupt)
            assert turn.reason == "aborted_streaming"
            await conversation.interrupt()  # when idle: no result follows, and nothing waits for one
            assert (await conversation.ask("SCENARIO:hello")).text == "Hello."

    on_claude(tmp_path, body)


def test_an_interrupt_ends_a_tool_with_everything_it_started(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        started = Path(host.workdir, "started")

        def wait() -> None:
            while not started.exists():
                pass

        async with open_conversation(host, agent, permissions=allow) as conversation:
            turn = await interrupted(conversation.ask, "SCENARIO:tool", wait, conversation.interrupt)
            assert turn.reason == "aborted_tools"
            await until(lambda: not loops(), "the end of the tool")

    on_claude(tmp_path, body)


def test_an_interrupt_while_a_question_is_open_withdraws_it(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        async with open_conversation(host, agent) as conversation:
            async with anyio.create_task_group() as tasks:

                async def interrupt() -> None:
                    await until(lambda: bool(conversation.questions), "the question")
                    await conversation.interrupt()

                tasks.start_soon(interrupt)
                assert (await conversation.ask("SCENARIO:write")).reason == "aborted_tools"
            assert conversation.questions == ()
            assert not Path(host.workdir, "out.txt").exists()
            assert (await conversation.ask("SCENARIO:hello")).text == "Hello."

    on_claude(tmp_path, body)


@pytest.mark.parametrize("scenario", ["e400", "e529"])
def test_an_error_of_the_api_is_a_failed_turn_and_the_conversation_goes_on(tmp_path: Path, scenario: str) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        async with open_conversation(host, agent) as conversation:
            turn = await conversation.ask(f"SCENARIO:{scenario}")
            assert (turn.is_error, turn.reason) == (True, "api_error")
            assert (await conversation.ask("SCENARIO:hello")).text == "Hello."

    on_claude(tmp_path, body)


def test_two_messages_sent_during_a_turn_have_one_answer_and_nothing_is_pending_after_it(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        turns: list[TurnEnded] = []
        async with open_conversation(host, agent) as conversation:
            async with anyio.create_task_group() as tasks:

                async def ask(text: str) -> None:
                    turns.append(await conversation.ask(text))

                tasks.start_soon(ask, "SCENARIO:hold")
                await anyio.to_thread.run_sync(claude.api.until_held)
                for text in ("SCENARIO:hello one", "SCENARIO:hello two"):
                    tasks.start_soon(ask, text)
                queued = 0
                async for event, _ in conversation.output():
                    queued += event["type"] == "command_lifecycle" and event["state"] == "queued"
                    if queued == 3:
                        break
                claude.api.go()
            assert turns[1] == turns[2]
            assert len(turns[1].ids) == 2
            assert not conversation.is_pending()

    on_claude(tmp_path, body)


def test_a_session_is_resumed_and_one_that_is_not_known_ends_with_what_the_agent_says(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        async with open_conversation(host, agent) as conversation:
            await conversation.ask("SCENARIO:hello first")
            first = conversation.agent_session
        async with open_conversation(host, replace(agent, resume=first)) as conversation:
            await conversation.ask("SCENARIO:hello again")
            assert conversation.agent_session == first
        assert "SCENARIO:hello first" in str(claude.api.requests[-1]["messages"])
        unknown = replace(agent, resume="c9a6ce04-3f66-46e4-a107-88dc2b7a33ec")
        async with open_conversation(host, unknown) as conversation:
            with suppress(ConversationClosed):  # it may have ended before it is asked
                turn = await conversation.ask("SCENARIO:hello")
                assert turn.is_error
            await until(lambda: "No conversation found" in conversation.failure, "what the agent says")

    on_claude(tmp_path, body)


def test_what_is_raised_while_a_conversation_is_open_comes_out_as_it_is(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        with pytest.raises(RuntimeError, match="of the test"):
            async with open_conversation(host, agent):
                raise RuntimeError("of the test")

    on_claude(tmp_path, body)


def test_what_can_be_set_is_set_and_what_cannot_is_refused(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        async with open_conversation(host, agent) as conversation:
            await conversation.set_model("claude-sonnet-4-5")
            await conversation.set_permission_mode("acceptEdits")
            assert "totalTokens" in await conversation.context_usage()
            with pytest.raises(AgentRefused):
                await conversation.set_permission_mode("nonsense")
            await conversation.ask("SCENARIO:hello")
        assert claude.api.requests[-1]["model"] == "claude-sonnet-4-5"

    on_claude(tmp_path, body)


def test_a_conversation_that_is_left_in_the_middle_of_a_turn_ends_at_once(tmp_path: Path) -> None:
    async def body(claude: ClaudeRig, agent: ClaudeCode, host: LocalHost) -> None:
        async with open_conversation(host, agent) as conversation:
            await conversation.send("SCENARIO:hold")
            await anyio.to_thread.run_sync(claude.api.until_held)
        assert conversation.closed

    on_claude(tmp_path, body)


def test_the_next_driver_goes_on_in_the_middle_of_a_turn_and_answers_what_was_asked_before(
    rig: ConversationRig, tmp_path: Path
) -> None:
    with claude_rig(tmp_path, SCRIPT) as claude:

        async def body() -> None:
            agent = ClaudeCode(executable=claude.program, env=claude.env)
            async with rig.talking(agent, cwd=str(claude.cwd), prompt="SCENARIO:write") as talking:
                session = talking.session.id
                await rig.until_event(session, "question.asked")
                await talking.session.leave("for the next one")
                await talking.driving.over.wait()
                adopted = await rig.adopt(session)
                async with rig.driven(adopted) as driving:
                    assert adopted.conversation.is_pending()
                    assert len(adopted.conversation.questions) == 1
                    adopted.conversation.on_permission_request(allow)
                    await rig.until_event(session, "turn.ended")
                    assert not adopted.conversation.is_pending()
                    assert (claude.cwd / "out.txt").read_text() == "hi\n"
                    assert (await adopted.conversation.ask("SCENARIO:hello")).text == "Hello."
                    await adopted.conversation.close()
                    assert (await driving.ended()).outcome == "closed"
                types = await rig.types(session)
                assert (types.count("question.asked"), types.count("question.answered")) == (1, 1)
                assert types.count("turn.queued") == types.count("turn.ended") == 2

        run(body)


def loops() -> list[int]:
    """Every process of the tool that never ends."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"read x < /dev/zero" in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


async def interrupted(
    ask: Callable[[str], object], text: str, wait: Callable[[], None], interrupt: Callable[[], object]
) -> TurnEnded:
    """The turn that was interrupted once it had come to where `wait` returns."""
    turns: list[TurnEnded] = []
    async with anyio.create_task_group() as tasks:

        async def ask_it() -> None:
            turns.append(await ask(text))  # type: ignore[misc]

        tasks.start_soon(ask_it)
        await anyio.to_thread.run_sync(wait)
        await interrupt()  # type: ignore[misc]
    return turns[0]
