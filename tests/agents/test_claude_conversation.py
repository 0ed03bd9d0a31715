"""A conversation with the real Claude Code, on this machine and over SSH; its model is a script."""

from contextlib import suppress
from dataclasses import replace

import anyio
import pytest
from claude_scene import HERE, WAITS, Scene, allow, events, until_asked
from claude_scene import scene as scene
from model_api import Cut, Fail, Hold, Say, Use, bash

from host.job_rig import until
from optio_agents.conversation.contract import ConversationClosed, PermissionDecision
from optio_agents.conversation.events import AgentTask, AgentText, AgentThinking, TurnEnded
from optio_agents.errors import AgentRefused
from optio_agents.journal.memory import MemoryStore

ERRORS = {
    400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 500: "api_error",
    529: "overloaded_error",
}  # fmt: skip
IN_BACKGROUND = Use((("Bash", {"command": WAITS, "description": "a command", "run_in_background": True}),))
SUBAGENT = Use((("Task", {"description": "work", "prompt": "SCENARIO:write", "subagent_type": "general-purpose"}),))
SCRIPT = {
    "hello": [Say("Hello.", thinking="Hm.")],
    "hold": [Hold("I am writing")],
    "write": [bash("echo hi > out.txt"), Say("I wrote it.")],
    "cut": [Cut("half of a")],
    "background": [IN_BACKGROUND, Say("It runs."), Say("It has run.")],
    "subagent": [SUBAGENT, Say("A subagent is at it."), Say("It has done it.")],
    **{f"e{status}": [Fail(status, kind)] for status, kind in ERRORS.items()},
}
UNKNOWN = "c9a6ce04-3f66-46e4-a107-88dc2b7a33ec"
CHOSEN = "0c0f3a4e-6e1c-4a58-9d1f-5a4f6c1b7e2d"


def test_a_prompt_is_thought_about_and_answered_and_a_second_one_too(scene: Scene) -> None:
    async def body() -> None:
        texts: list[str] = []
        async with scene.talking() as conversation:
            conversation.on_message(texts.append)
            for _ in range(2):
                turn = await conversation.ask("SCENARIO:hello")
                assert (turn.text, turn.reason, turn.is_error) == ("Hello.", "completed", False)
            assert conversation.agent_session
            assert conversation.cost_usd
        assert texts == ["Hello.", "Hello."]

    scene.run(body)


def test_what_it_thinks_and_says_is_in_the_journal_once_also_when_its_stream_is_cut(scene: Scene) -> None:
    async def body() -> None:
        store = MemoryStore()
        async with scene.talking(replace(scene.agent, partial_messages=True), store=store) as conversation:
            await conversation.ask("SCENARIO:hello")
            turn = await conversation.ask("SCENARIO:cut")
            assert (turn.text, turn.is_error) == ("half of a", False)
        assert await events(store, AgentThinking) == [AgentThinking("Hm.", None)]
        assert await events(store, AgentText) == [AgentText("Hello.", None), AgentText("half of a", None)]
        assert [each.get("stream") for each in scene.claude.api.requests] == [True, True, False]

    scene.run(body)


def test_two_messages_sent_during_a_turn_have_one_answer_and_nothing_is_pending_after_it(scene: Scene) -> None:
    async def body() -> None:
        turns: list[TurnEnded] = []
        async with scene.talking() as conversation:
            async with anyio.create_task_group() as tasks:

                async def ask(text: str) -> None:
                    turns.append(await conversation.ask(text))

                tasks.start_soon(ask, "SCENARIO:hold")
                await scene.until_held()
                for text in ("SCENARIO:hello one", "SCENARIO:hello two"):
                    tasks.start_soon(ask, text)
                queued = 0
                async for event, _ in conversation.output():
                    queued += event["type"] == "command_lifecycle" and event["state"] == "queued"
                    if queued == 3:
                        break
                scene.claude.api.go()
            assert turns[1] == turns[2]
            assert len(turns[1].ids) == 2
            assert not conversation.is_pending()

    scene.run(body)


def test_an_error_of_the_api_is_a_failed_turn_and_the_conversation_goes_on(scene: Scene) -> None:
    async def body() -> None:
        async with scene.talking() as conversation:
            for status in ERRORS:
                turn = await conversation.ask(f"SCENARIO:e{status}")
                assert (turn.is_error, turn.reason) == (True, "api_error")
                assert str(status) in turn.text
                assert conversation.failure == turn.text
            assert (await conversation.ask("SCENARIO:hello")).text == "Hello."
            assert conversation.failure == ""

    scene.run(body)


def test_work_in_the_background_ends_in_a_turn_that_nobody_asked_for_and_that_answers_nothing(scene: Scene) -> None:
    async def body() -> None:
        store = MemoryStore()
        async with scene.talking(permissions=allow, store=store) as conversation:
            first = await conversation.ask("SCENARIO:background")
            await scene.until_tool_runs()
            assert not conversation.is_pending()
            second = await conversation.ask("SCENARIO:hello")
            await scene.let_the_tool_go("hi\n")
            await until(lambda: len(scene.claude.api.requests) == 4, "the turn that nobody asked for")
            third = await conversation.ask("SCENARIO:hello")
        turns = await events(store, TurnEnded)
        assert [each.text for each in turns] == ["It runs.", "Hello.", turns[2].text, "Hello."]
        assert [each.ids for each in turns] == [first.ids, second.ids, (), third.ids]
        states = [each.state for each in await events(store, AgentTask)]
        assert (states[0], states[-1]) == ("started", "completed")
        assert (scene.cwd / "out.txt").read_text() == "hi\n"

    scene.run(body)


def test_what_a_subagent_asks_stays_open_when_the_turn_ends_and_is_answered_turns_later(scene: Scene) -> None:
    async def body() -> None:
        store = MemoryStore()
        async with scene.talking(store=store) as conversation:
            await conversation.ask("SCENARIO:subagent")
            question = await until_asked(conversation)
            await conversation.ask("SCENARIO:hello")
            assert [each.id for each in conversation.questions] == [question]
            await conversation.answer(question, PermissionDecision("allow"))

            async def ended() -> bool:
                return len(await events(store, TurnEnded)) == 3

            await until(ended, "the turn that nobody asked for")
        assert (scene.cwd / "out.txt").read_text() == "hi\n"
        texts = await events(store, AgentText)
        assert [(each.text, each.parent is None) for each in texts if each.text == "I wrote it."] == [
            ("I wrote it.", False)
        ]
        assert (await events(store, AgentTask))[-1].text == "I wrote it."

    scene.run(body)


def test_a_session_is_resumed_under_its_own_id_and_a_copy_of_it_under_another(scene: Scene) -> None:
    async def body() -> None:
        async with scene.talking(replace(scene.agent, session_id=CHOSEN)) as conversation:
            await conversation.ask("SCENARIO:hello first")
            assert conversation.agent_session == CHOSEN
        async with scene.talking(replace(scene.agent, resume=CHOSEN)) as conversation:
            await conversation.ask("SCENARIO:hello again")
            assert conversation.agent_session == CHOSEN
            assert "SCENARIO:hello first" in scene.told()
        async with scene.talking(replace(scene.agent, resume=CHOSEN, fork=True)) as conversation:
            await conversation.ask("SCENARIO:hello in the copy")
            assert conversation.agent_session not in ("", CHOSEN)
            assert "SCENARIO:hello again" in scene.told()

    scene.run(body)


def test_a_session_that_is_not_known_ends_with_what_the_agent_says(scene: Scene) -> None:
    async def body() -> None:
        async with scene.talking(replace(scene.agent, resume=UNKNOWN)) as conversation:
            with suppress(ConversationClosed):  # it may have ended before it is asked
                turn = await conversation.ask("SCENARIO:hello")
                assert turn.is_error
            await until(lambda: f"No conversation found with session ID: {UNKNOWN}" in conversation.failure, "why")

    scene.run(body)


def test_what_can_be_set_is_set_and_what_cannot_is_refused(scene: Scene) -> None:
    async def body() -> None:
        async with scene.talking() as conversation:
            await conversation.set_model("claude-sonnet-4-5")
            await conversation.set_permission_mode("acceptEdits")
            assert "totalTokens" in await conversation.context_usage()
            with pytest.raises(AgentRefused):
                await conversation.set_permission_mode("nonsense")
            await conversation.ask("SCENARIO:hello")
        assert scene.claude.api.requests[-1]["model"] == "claude-sonnet-4-5"

    scene.run(body)


@pytest.mark.parametrize("scene", [HERE], indirect=True)
def test_what_is_raised_while_a_conversation_is_open_comes_out_as_it_is(scene: Scene) -> None:
    async def body() -> None:
        with pytest.raises(RuntimeError, match="of the test"):
            async with scene.talking():
                raise RuntimeError("of the test")

    scene.run(body)
