"""The real Claude Code loses its driver or its input in every state, here and over SSH; its model is a script."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import anyio
import claude_driver
import pytest
from claude_driver import SESSION, store_url
from claude_scene import WAITS, Scene, allow, events, until_asked
from claude_scene import scene as scene
from model_api import Hold, Say, Use, bash
from session_rig import Driving

from host.job_rig import until
from optio_agents.conversation.claude import ClaudeCodeConversation
from optio_agents.conversation.contract import ConversationClosed, PermissionDecision
from optio_agents.conversation.events import (
    AgentTask,
    AgentText,
    QuestionAnswered,
    QuestionAsked,
    QuestionWithdrawn,
    TurnEnded,
    TurnQueued,
)
from optio_agents.errors import SessionUnknown
from optio_agents.events import DriverChanged, Notice, SessionEnded
from optio_agents.journal import Store, open_store
from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session

State = Literal["idle", "text", "tool", "permission"]
STATES: tuple[State, ...] = ("idle", "text", "tool", "permission")
IN_BACKGROUND = Use((("Bash", {"command": WAITS, "description": "a command", "run_in_background": True}),))
SCRIPT = {
    "idle": [Say("Hello.")],
    "text": [Hold("I am writing")],
    "tool": [bash(WAITS), Say("It has run.")],
    "permission": [bash("echo hi > out.txt"), Say("I went on.")],
    "background": [IN_BACKGROUND, Say("It runs.")],
}
LAST_TEXT = {"idle": "Hello.", "text": "I am writing", "tool": "It has run.", "permission": "I went on."}


@pytest.mark.parametrize("state", ["text", "tool", "permission"])
def test_a_conversation_that_is_closed_in_the_middle_of_a_turn_ends_it_and_is_over_at_once(
    scene: Scene, state: State
) -> None:
    async def body() -> None:
        store = MemoryStore()
        async with scene.talking(store=store, permissions=None if state == "permission" else allow) as conversation:
            await conversation.send(f"SCENARIO:{state}")
            await until_in(scene, conversation, state)
        [turn] = await events(store, TurnEnded)
        assert turn.reason == ("aborted_streaming" if state == "text" else "aborted_tools")
        assert len(await events(store, QuestionWithdrawn)) == (1 if state == "permission" else 0)
        assert [each.outcome for each in await events(store, SessionEnded)] == ["closed"]
        await scene.until_tool_is_gone()
        assert not (scene.cwd / "out.txt").exists() or (scene.cwd / "out.txt").read_text() == ""

    scene.run(body)


def test_a_conversation_that_is_closed_while_a_command_runs_in_the_background_ends_that_and_is_over_at_once(
    scene: Scene,
) -> None:
    async def body() -> None:
        store = MemoryStore()
        async with scene.talking(store=store, permissions=allow) as conversation:
            await conversation.ask("SCENARIO:background")
            await scene.until_tool_runs()
        assert [(each.outcome, each.exit) for each in await events(store, SessionEnded)] == [("closed", 0)]
        assert await events(store, Notice) == []  # it did not have to be stopped
        assert (await events(store, AgentTask))[-1].state == "stopped"
        await scene.until_tool_is_gone()

    scene.run(body)


@pytest.mark.parametrize("state", STATES)
def test_an_agent_whose_input_is_ended_by_somebody_else_finishes_its_turn_and_the_session_has_failed(
    scene: Scene, state: State
) -> None:
    async def body() -> None:
        store = MemoryStore()
        async with scene.driven(store, None if state == "permission" else allow) as driving:
            conversation = driving.session.conversation

            async def ask_what_nobody_hears() -> None:
                with pytest.raises(ConversationClosed):
                    await conversation.ask("nobody hears this")

            await conversation.send(f"SCENARIO:{state}")
            await until_in(scene, conversation, state)
            end_input(driving)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask_what_nobody_hears)
                await go_on(scene, state)
            outcome = await driving.ended()
            assert (outcome.outcome, outcome.exit) == ("failed", 0)
            assert "ended without DONE" in outcome.reason
        [turn] = await events(store, TurnEnded)
        assert (turn.reason, turn.text, turn.is_error) == ("completed", LAST_TEXT[state], False)
        assert len(await events(store, QuestionWithdrawn)) == (1 if state == "permission" else 0)

    scene.run(body)


@pytest.mark.parametrize("state", STATES)
def test_after_kill_9_of_its_driver_the_agent_goes_on_and_the_next_driver_loses_and_doubles_nothing(
    scene: Scene, state: State
) -> None:
    async def body() -> None:
        async with open_store(store_url(scene.base)) as store:
            with killed_driver(scene, state):
                await until_known(scene, store, state)
            if state == "text":
                await go_on(scene, state)  # while nobody drives it
                await until(lambda: said(scene, "result") == 1, "the end of the turn")
            session = await Session.adopt(scene.host, store, SESSION)
            driving = Driving(session)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driving.run)
                conversation = session.conversation
                assert len(conversation.questions) == (1 if state == "permission" else 0)
                if state == "permission":
                    await conversation.answer(conversation.questions[0].id, PermissionDecision("allow"))
                elif state == "tool":
                    assert conversation.is_pending()
                    await go_on(scene, state)
                await until(lambda: not conversation.is_pending(), "the answer")
                assert (await conversation.ask("SCENARIO:idle")).text == "Hello."
                await conversation.close()
                assert (await driving.ended()).outcome == "closed"
            assert [each.text for each in await events(store, AgentText)] == [LAST_TEXT[state], "Hello."]
            assert [each.reason for each in await events(store, TurnEnded)] == ["completed", "completed"]
            assert len(await events(store, TurnQueued)) == 2
            asked = [each.id for each in await events(store, QuestionAsked)]
            assert [each.id for each in await events(store, QuestionAnswered)] == asked
            assert [each.reason for each in await events(store, DriverChanged)] == ["died"]
            answers = ["control_response"] * len(asked)
            assert told(scene) == ["control_request", "user", *answers, "user"]
            if asked:
                assert (scene.cwd / "out.txt").read_text() == "hi\n"

    scene.run(body)


async def until_in(scene: Scene, conversation: ClaudeCodeConversation, state: State) -> None:
    """Return when the agent is in this state."""
    match state:
        case "idle":
            await until(lambda: not conversation.is_pending(), "the end of the turn")
        case "text":
            await scene.until_held()
        case "tool":
            await scene.until_tool_runs()
        case "permission":
            await until_asked(conversation)


async def until_known(scene: Scene, store: Store, state: State) -> None:
    """Return when the journal of the driver that is to be killed, or what the agent does, says that it is so far."""

    async def known() -> bool:
        try:
            snapshot = await store.snapshot(SESSION)
        except SessionUnknown:
            return False
        conversation = snapshot.record.conversation
        idle = conversation is not None and conversation.agent_session != "" and not conversation.pending
        return idle if state == "idle" else bool(snapshot.questions)

    match state:
        case "idle" | "permission":
            await until(known, state)
        case "text":
            await scene.until_held()
        case "tool":
            await scene.until_tool_runs()


async def go_on(scene: Scene, state: State) -> None:
    """Let the agent go on that is in this state, where it waits for us."""
    match state:
        case "text":
            scene.claude.api.go()
        case "tool":
            await scene.let_the_tool_go("hi\n")
        case "idle" | "permission":
            pass


@contextmanager
def killed_driver(scene: Scene, state: State) -> Iterator[None]:
    """A driver of its own process that tells the agent to come into this state; killed when this is left."""
    server = scene.server
    env = dict(os.environ)
    if server is not None:
        env["OPTIO_TEST_SSHD"] = f"{server.port}:{server.user}:{server.key}:{server.known_hosts}"
    words = [str(scene.base), scene.claude.program, json.dumps(scene.claude.env), f"SCENARIO:{state}"]
    if state != "permission":
        words.append("--allow")
    driver = subprocess.Popen([sys.executable, claude_driver.__file__, *words], env=env)
    try:
        yield
        assert driver.poll() is None, "the driver ended by itself"
    finally:
        driver.kill()
        driver.wait()


def end_input(driving: Driving) -> None:
    """End the input of the program behind the back of its driver, as the host does it when it is asked to."""
    rundir = Path(driving.session.record.rundir)
    (rundir / "stdin.eof").touch()
    for poke in rundir.glob("poke-*"):
        with open(os.open(poke, os.O_RDWR | os.O_NONBLOCK), "wb") as fifo:
            fifo.write(b"\n")


def said(scene: Scene, kind: str) -> int:
    """How many whole messages of a kind the agent has written."""
    whole, _, _ = spool(scene, "stdout").rpartition("\n")
    return sum(json.loads(line)["type"] == kind for line in whole.splitlines())


def told(scene: Scene) -> list[str]:
    """What the agent was told: the kind of each message."""
    return [json.loads(line)["type"] for line in spool(scene, "stdin").splitlines()]


def spool(scene: Scene, name: str) -> str:
    return (scene.base / "sessions" / SESSION / "run" / "1" / name).read_text()
