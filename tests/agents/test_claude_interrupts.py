"""The real Claude Code is interrupted in every state, on this machine and over SSH; its model is a script."""

from claude_scene import WAITS, Scene, allow, events, turn_of, until_asked
from claude_scene import scene as scene
from model_api import Hold, Say, Use, bash

from host.job_rig import until
from optio_agents.conversation.events import QuestionWithdrawn
from optio_agents.journal.memory import MemoryStore

SUBAGENT = Use((("Task", {"description": "work", "prompt": "SCENARIO:write", "subagent_type": "general-purpose"}),))
SCRIPT = {
    "hello": [Say("Hello.")],
    "hold": [Hold("I am writing")],
    "write": [bash("echo hi > out.txt"), Say("I wrote it.")],
    "tool": [bash(WAITS), Say("Never.")],
    "subagent": [SUBAGENT, Say("A subagent is at it.")],
}


def test_an_interrupt_ends_the_turn_in_a_text_and_the_next_one_works(scene: Scene) -> None:
    async def body() -> None:
        async with scene.talking() as conversation:

            async def interrupt() -> None:
                await scene.until_held()
                await conversation.interrupt()

            await conversation.interrupt()  # before anything was said
            turn = await turn_of(conversation, "SCENARIO:hold", interrupt)
            assert turn.reason == "aborted_streaming"
            assert conversation.failure == ""
            await conversation.interrupt()  # when idle: no result follows, and nothing waits for one
            assert (await conversation.ask("SCENARIO:hello")).text == "Hello."

    scene.run(body)


def test_an_interrupt_ends_a_tool_with_everything_it_started(scene: Scene) -> None:
    async def body() -> None:
        async with scene.talking(permissions=allow) as conversation:

            async def interrupt() -> None:
                await scene.until_tool_runs()
                await conversation.interrupt()

            turn = await turn_of(conversation, "SCENARIO:tool", interrupt)
            assert turn.reason == "aborted_tools"
            await scene.until_tool_is_gone()
            assert (await conversation.ask("SCENARIO:hello")).text == "Hello."

    scene.run(body)


def test_an_interrupt_while_a_question_is_open_withdraws_it(scene: Scene) -> None:
    async def body() -> None:
        async with scene.talking() as conversation:

            async def interrupt() -> None:
                await until_asked(conversation)
                await conversation.interrupt()

            assert (await turn_of(conversation, "SCENARIO:write", interrupt)).reason == "aborted_tools"
            assert conversation.questions == ()
            assert not (scene.cwd / "out.txt").exists()
            assert (await conversation.ask("SCENARIO:hello")).text == "Hello."

    scene.run(body)


def test_an_interrupt_when_only_a_subagent_works_withdraws_what_it_asks(scene: Scene) -> None:
    async def body() -> None:
        store = MemoryStore()
        async with scene.talking(store=store) as conversation:
            await conversation.ask("SCENARIO:subagent")
            question = await until_asked(conversation)
            assert not conversation.is_pending()
            await conversation.interrupt()
            await until(lambda: not conversation.questions, "the question is withdrawn")
            assert (await conversation.ask("SCENARIO:hello")).text == "Hello."
        assert [each.id for each in await events(store, QuestionWithdrawn)] == [question]
        assert not (scene.cwd / "out.txt").exists()

    scene.run(body)
