"""A conversation with the real Claude Code on a host over SSH, by a link that breaks; its model is a script."""

import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from claude_rig import ClaudeRig, claude_rig
from model_api import Hold, Say, Use, bash
from session_rig import AT_ONCE, Driving

from host.job_rig import of_runs, until
from optio_agents import patience
from optio_agents.conversation.claude_code import ClaudeCode
from optio_agents.conversation.contract import PermissionDecision
from optio_agents.conversation.events import TurnEnded
from optio_agents.conversation.questions import Settled
from optio_agents.events import Record
from optio_agents.extensions import ToolContext, tool
from optio_agents.history import read_history
from optio_agents.journal import Question, Store
from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session
from optio_host.errors import LinkLost
from optio_host.host import LinkState
from optio_host.ssh import pool
from optio_host.testing.relay import Relay
from ssh_rig import HereOverSsh, config_for, connected
from sshd_rig import Sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]

HAND_OVER = 'echo "all is well" > "$OPTIO_DELIVERABLES/report.md" && echo "DELIVERABLE: report.md" >> "$OPTIO_LOG"'
DONE = 'echo "DONE: reported" >> "$OPTIO_LOG"'
TWO = Use((("Bash", {"command": "echo 1 > one"}), ("Bash", {"command": "echo 2 > two"})))
SCRIPT = {
    "task": [bash(HAND_OVER), Say("I wait for the acknowledgement."), bash(DONE), Say("That was it.")],
    "trouble": [Hold("I am writing"), Say("never")],
    "asks": [TWO, bash("echo 3 > three"), Say("All written.")],
    "many": [Use(tuple(("Bash", {"command": f"echo {at} >> many"}) for at in range(6))), Say("All written.")],
    "hello": [Say("Hello.")],
    "tool": [Use((("mcp__optio__wait", {"text": "here"}),)), Say("It is done.")],
}
ALLOW = PermissionDecision("allow")
TROUBLES = ("cut", "reset", "stall")


@pytest.fixture(autouse=True)
def nothing_runs_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(patience, "RETRY_EVERY", 0.05)
    monkeypatch.setattr(pool, "RETRY_SECONDS", 0.05)
    yield

    async def gone() -> None:
        await until(lambda: not of_runs(tmp_path), "the end of every process of a run")

    try:
        anyio.run(gone)
    finally:
        for pid in of_runs(tmp_path):
            os.kill(pid, signal.SIGKILL)


class Talk:
    """A session with Claude Code on a host behind a relay."""

    def __init__(self, relay: Relay, host: HereOverSsh, claude: ClaudeRig, store: Store, session: Session) -> None:
        self.relay = relay
        self.claude = claude
        self.store = store
        self.session = session
        self.conversation = session.conversation
        self.driving = Driving(session)
        self.heard: list[dict[str, Any]] = []
        session.conversation.on_event(self.heard.append)
        self._host = host

    def spool(self, name: str) -> list[dict[str, Any]]:
        """The whole lines of one of the run's spools, as they lie on the host."""
        whole, _, _ = Path(self.session.record.rundir, name).read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    async def until_said(self, kind: str, number: int) -> None:
        """Return when the program has written so many messages of a kind, read or not."""
        await until(lambda: sum(each["type"] == kind for each in self.spool("stdout")) == number, f"{number} {kind}")

    async def question(self) -> Question:
        """An open question, once there is one."""
        await until(lambda: bool(self.conversation.questions), "a question")
        return self.conversation.questions[0]

    async def events(self, kind: str) -> list[Record]:
        return [each async for each in read_history(self.store, self.session.id) if each.event.type == kind]

    @asynccontextmanager
    async def trouble(self, kind: str) -> AsyncIterator[None]:
        """The link works no more; it does when this is left, and it was noticed by then."""
        lost = anyio.Event()

        def notice(state: LinkState) -> None:
            if state.state == "lost":
                lost.set()

        unsubscribe = self._host.on_state(notice)
        match kind:
            case "cut":
                await self.relay.refuse()
                await self.relay.drop(hard=False)
            case "reset":
                self.relay.reset_after(300)
            case "stall":
                self.relay.stall()
            case _:
                raise AssertionError(kind)
        try:
            yield
            with anyio.fail_after(20):
                await lost.wait()
        finally:
            unsubscribe()
            self.relay.restore()


@asynccontextmanager
async def talking(base: Path, server: Sshd, **options: object) -> AsyncIterator[Talk]:
    with claude_rig(base / "claude", SCRIPT) as claude:
        async with Relay(server.port) as relay:
            config = config_for(server, port=relay.port, keepalive_interval=0.3, keepalive_count=2)
            host = HereOverSsh(config, str(base / "task"))
            try:
                await host.connect()
                store = MemoryStore()
                session = await Session.start(
                    host,
                    store,
                    agent=ClaudeCode(executable=claude.program, env=claude.env, partial_messages=True),
                    cwd=str(claude.cwd),
                    deliverables=str(base / "out"),
                    state_dir=str(base / "sessions"),
                    limits=AT_ONCE,
                    **options,  # type: ignore[arg-type]
                )
                talk = Talk(relay, host, claude, store, session)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(talk.driving.run)
                    yield talk
                    assert (await talk.driving.ended()).outcome in ("done", "closed")
            finally:
                await host.disconnect()


def test_a_task_is_done_with_its_questions_answered_through_the_inbox(
    run: Run, tmp_path: Path, sshd_here: Sshd
) -> None:
    async def body() -> None:
        async with talking(tmp_path, sshd_here, prompt="SCENARIO:task") as talk:
            for command in (HAND_OVER, DONE):
                question = await talk.question()
                assert question.data["input"]["command"] == command  # type: ignore[index,call-overload]
                await talk.store.put(talk.session.id, "approve", {"question": question.id})
                await until(lambda asked=question: asked not in talk.conversation.questions, "the answer")  # type: ignore[misc]
            outcome = await talk.driving.ended()
            assert (outcome.outcome, outcome.summary) == ("done", "reported")
            assert (tmp_path / "out" / "report.md").read_text() == "all is well\n"
            told = talk.claude.api.requests[2]["messages"][-1]["content"]
            assert "System: deliverable report.md: accepted" in str(told)

    run(body)


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_link_that_breaks_in_each_state_loses_nothing_and_gives_one_answer_to_each_question(
    run: Run, tmp_path: Path, sshd_here: Sshd, kind: str
) -> None:
    async def body() -> None:
        async with talking(tmp_path, sshd_here) as talk:
            turns: list[TurnEnded] = []

            async def ask(text: str) -> None:
                turns.append(await talk.conversation.ask(text))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, "SCENARIO:trouble")
                await anyio.to_thread.run_sync(talk.claude.api.until_held)
                async with talk.trouble(kind):  # while it writes
                    talk.claude.api.go()
                    await talk.until_said("result", 1)
            assert [each.text for each in turns] == ["I am writing"]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, "SCENARIO:asks")
                first = await talk.question()
                async with talk.trouble(kind):  # while a question waits
                    pass
                assert isinstance(await talk.conversation.answer(first.id, ALLOW), Settled)
                second = await talk.question()
                async with talk.trouble(kind):  # while an answer is on its way
                    assert isinstance(await talk.conversation.answer(second.id, ALLOW), Settled)
                third = await talk.question()
                assert isinstance(await talk.conversation.answer(third.id, ALLOW), Settled)
            assert turns[1].text == "All written."
            assert [(talk.claude.cwd / name).read_text() for name in ("one", "two", "three")] == ["1\n", "2\n", "3\n"]
            assert (await talk.conversation.ask("SCENARIO:hello")).text == "Hello."
            await until(lambda: talk.heard == talk.spool("stdout"), "everything was heard once, in order")
            told = talk.spool("stdin")
            assert answers(talk) == [first.id, second.id, third.id]
            said = [each["message"]["content"] for each in told if each["type"] == "user"]
            assert said == ["SCENARIO:trouble", "SCENARIO:asks", "SCENARIO:hello"]
            assert len(await talk.events("question.asked")) == len(await talk.events("question.answered")) == 3
            texts = [getattr(each.event, "text", None) for each in await talk.events("agent.text")]
            assert texts == ["I am writing", "All written.", "Hello."]
            await talk.conversation.close()
            await talk.driving.ended()

    run(body)


def test_an_answer_that_is_cut_off_anywhere_or_whose_receipt_is_lost_arrives_once_and_whole(
    run: Run, tmp_path: Path, sshd_here: Sshd
) -> None:
    async def body() -> None:
        async with talking(tmp_path, sshd_here, prompt="SCENARIO:many") as talk:
            asked: list[str] = []
            for count in (0, 300, 900, 2000, 5000, None):
                question = await talk.question()
                asked.append(question.id)
                if count is None:
                    talk.relay.slow(latency=0.1)
                else:
                    talk.relay.reset_after(count)
                await talk.conversation.answer(question.id, ALLOW)
                await until(lambda: answers(talk) == asked, "the answer at the program")
                if count is None:
                    await talk.relay.drop()  # while the receipt is on its way
                talk.relay.restore()
            await talk.until_said("result", 1)
            assert sorted((talk.claude.cwd / "many").read_text().split()) == ["0", "1", "2", "3", "4", "5"]
            await talk.conversation.close()

    run(body)


def test_a_tool_that_is_called_before_the_link_breaks_is_called_once_and_its_result_arrives_once(
    run: Run, tmp_path: Path, sshd_here: Sshd
) -> None:
    called: list[str] = []
    begun, cut = anyio.Event(), anyio.Event()

    @tool
    async def wait(text: str, *, context: ToolContext) -> str:
        called.append(context.call_id)
        begun.set()
        await cut.wait()
        return f"waited: {text}"

    async def body() -> None:
        async with talking(tmp_path, sshd_here, prompt="SCENARIO:tool", tools=[wait]) as talk:
            await begun.wait()
            async with talk.trouble("cut"):  # while it works
                cut.set()
            await until(lambda: not talk.conversation.is_pending(), "the answer")
            [returned] = [each.event for each in await talk.events("tool.result")]
            assert (returned.text, returned.is_error) == ("waited: here", False)  # type: ignore[union-attr]
            assert len(called) == 1
            assert answers(talk).count(called[0]) == 1
            await talk.conversation.close()

    run(body)


def answers(talk: Talk) -> list[str]:
    """Which of its questions the program was answered, each answer on its own."""
    return [each["response"]["request_id"] for each in talk.spool("stdin") if each["type"] == "control_response"]


def test_a_link_lost_while_the_program_is_looked_for_does_not_say_that_there_is_none(
    run: Run, tmp_path: Path, sshd_here: Sshd
) -> None:
    wait = f"touch {tmp_path}/begun; until [ -e {tmp_path}/go ]; do sleep 0.02; done"
    (tmp_path / "id").write_text(f"#!/bin/sh\n{wait}; echo 0\n")
    (tmp_path / "id").chmod(0o755)
    agent = ClaudeCode(executable="sh", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    async def body() -> None:
        async with Relay(sshd_here.port) as relay:
            async with connected(config_for(sshd_here, port=relay.port), str(tmp_path / "task")) as host:
                async with anyio.create_task_group() as tasks:

                    async def look() -> None:
                        with pytest.raises(LinkLost, match="looking for sh"):
                            await agent.check(host, str(tmp_path))

                    tasks.start_soon(look)
                    try:
                        await until((tmp_path / "begun").exists, "the look has begun")
                        await relay.drop()
                    finally:
                        (tmp_path / "go").touch()
                await agent.check(host, str(tmp_path))

    run(body)
