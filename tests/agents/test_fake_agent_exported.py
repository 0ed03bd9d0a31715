"""A session that was exported is played again from its file; one that cannot be is refused, with the reason."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from claude_rig import claude_rig
from click.testing import CliRunner
from model_api import Say, Use, bash

from optio_agents.cli.export import command as export
from optio_agents.conversation.claude_code import ClaudeCode
from optio_agents.conversation.contract import PermissionDecision, PermissionRequest
from optio_agents.conversation.events import AgentText, TurnEnded
from optio_agents.events import Record
from optio_agents.hooks import SessionHookContext
from optio_agents.journal import Deliverable, open_store
from optio_agents.session import Session
from optio_agents.testing import (
    Appends,
    Asks,
    AsksAbout,
    AwaitsDecision,
    CallsTool,
    Delivers,
    EndsTurn,
    Exits,
    Fails,
    FakeAgent,
    Recording,
    ReturnsFrom,
    Says,
    Thinks,
    UsesTool,
    Waits,
)
from optio_host.local.host import LocalHost
from optio_host.testing.connection import connected

FIRST, INTERRUPTED, LAST = "SCENARIO:task", "be interrupted", "finish"
SCRIPT = (
    Appends("STATUS: 10% reading"), Thinks("Hm."), Says("I begin."),
    UsesTool("Bash", {"command": "make"}, "made"), UsesTool("Bash", {"command": "rm -r build"}, "removed"),
    CallsTool("one", "Read", {"file_path": "a"}), CallsTool("two", "Bash", {"command": "ls"}),
    AsksAbout("two", "Bash", {"command": "ls"}), ReturnsFrom("one", "x" * 5000),
    AwaitsDecision("two"), ReturnsFrom("two", "no", is_error=True),
    Asks("Which colour?", ("Red", "Blue")),
    Delivers("a/report.md", "TODO"), Delivers("a/report.md", "All is well."), EndsTurn(0.25, 10, 20),
    Says("waiting"), Waits(), EndsTurn(),
    Fails("overloaded"),
    Delivers("late.txt", b"\xff", waits=False), Says("It is late."), EndsTurn(0.1), EndsTurn(text="Thanks."),
    # It is answered, so the last turn has begun in the journal before the end is in the log, as it would not otherwise.
    UsesTool("Bash", {"command": "true"}, "true"),
    Appends("ATTENTION: help"), Appends("words"), Appends("DONE: 1 page"), Says("Done."), EndsTurn(),
)  # fmt: skip


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def decide(request: PermissionRequest) -> PermissionDecision:
    if "rm" in str(request.input.get("command")):
        return PermissionDecision("deny", message="nothing is removed here")
    if request.tool_name == "AskUserQuestion":
        return PermissionDecision("allow", updated_input={**request.input, "answers": {"Which colour?": "Blue"}})
    return PermissionDecision("allow")


class Stage:
    """Where sessions are run, one after the other, and exported."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.sessions = 0
        self.seen: list[str] = []

    def hook(self, hook_ctx: SessionHookContext, deliverable: Deliverable) -> str | None:
        content = Path(deliverable.path).read_bytes()
        self.seen.append(f"{deliverable.name}: {content!r}")
        return "it says TODO" if b"TODO" in content else None

    def played(self, agent: ClaudeCode | FakeAgent, react: Callable[[Session, Record], Awaitable[None]]) -> Path:
        """Run a session to its end; where it was exported to."""
        self.sessions += 1
        url, file = f"sqlite://{self.base}/journal", self.base / f"{self.sessions}.jsonl"
        sessions: list[str] = []

        async def body() -> None:
            with anyio.fail_after(30):
                async with open_store(url) as store, connected(LocalHost(f"{self.base}/{self.sessions}")) as host:
                    session = await Session.start(
                        host, store, agent=await agent.install(host) if isinstance(agent, FakeAgent) else agent,
                        cwd=host.workdir, deliverables=str(self.base / f"out-{self.sessions}"),
                        state_dir=host.taskdir, prompt=FIRST, on_deliverable=self.hook,
                    )  # fmt: skip
                    sessions.append(session.id)
                    session.conversation.on_permission_request(decide)
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(session.wait)
                        async for record in session.events():
                            await react(session, record)
                    if isinstance(agent, FakeAgent):
                        await agent.verify()

        anyio.run(body)
        done = CliRunner().invoke(export, [sessions[0], str(file), "--store", url], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return file


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def load(file: Path, **deliverables: Any) -> Recording:
    return anyio.run(lambda: Recording.load(file, deliverables=deliverables or None))


async def speak(session: Session, record: Record) -> None:
    """What people say to the agent of `SCRIPT`, and when."""
    match record.event:
        case TurnEnded(reason="completed", text="I begin."):
            await session.conversation.send(INTERRUPTED)
        case AgentText(text="waiting"):
            await session.conversation.interrupt()
        case TurnEnded(reason="aborted_tools"):
            await session.conversation.send("fail")
        case TurnEnded(reason="api_error"):
            await session.conversation.send("hand over late")
        case TurnEnded(text="Thanks."):
            await session.conversation.send(LAST)


async def say_nothing(session: Session, record: Record) -> None:
    """The prompt is all that the agent is told."""


def said(file: Path) -> dict[str, list[object]]:
    """By who said it, what has happened in an exported session, without ids and places.

    What the agent says, its log, and what it is told and answered are of different tasks: between them is no order.
    """
    found: dict[str, list[object]] = {}
    for line in file.read_text().splitlines()[2:]:
        event = json.loads(line)
        if event["type"] in ("session.started", "notice", "agent.session"):
            continue
        data = {
            name: round(value, 6) if isinstance(value, float) else len(value) if name == "ids" else value
            for name, value in event["data"].items()
            if name not in ("id", "path", "parent", "turn", "raw", "synthetic")
        }
        speaker = event["type"] if event["source"] == "session" else event["source"]
        found.setdefault(speaker, []).append((event["type"], data))
    return found


def test_a_session_of_every_kind_of_step_is_played_again_from_its_export(stage: Stage) -> None:
    first = stage.played(FakeAgent(*SCRIPT), speak)
    seen, stage.seen = stage.seen, []
    recording = load(first, **{"a/report.md": ["TODO", "All is well."], "late.txt": b"\xff"})
    assert recording.told == (FIRST, INTERRUPTED, "fail", "hand over late", LAST)
    assert [each.type for each in recording.differences] == ["tool.result"]
    again = stage.played(FakeAgent(*recording.steps), speak)
    assert said(again) == said(first)
    assert stage.seen == seen == ["a/report.md: b'TODO'", "a/report.md: b'All is well.'", "late.txt: b'\\xff'"]


HAND_OVER = 'echo "all is well" > "$OPTIO_DELIVERABLES/report.md" && echo "DELIVERABLE: report.md" >> "$OPTIO_LOG"'
COLOUR = {
    "questions": [
        {
            "question": "Which colour?", "header": "Colour", "multiSelect": False,
            "options": [{"label": "Red", "description": "red"}, {"label": "Blue", "description": "blue"}],
        }
    ]
}  # fmt: skip
MODEL = {
    "task": [
        Use((("Bash", {"command": "echo 1 > one"}), ("Bash", {"command": "echo 2 > two; rm two"})), text="I begin."),
        Use((("AskUserQuestion", COLOUR),)),
        bash("cat /nothing"),
        bash(HAND_OVER),
        bash("head -c 9000 /dev/zero | tr '\\0' x | tee big"),
        bash('echo "DONE: reported" >> "$OPTIO_LOG"'),
        Say("That was it.", thinking="It is done."),
    ]
}


def test_a_session_with_the_real_program_is_played_again_without_it(stage: Stage) -> None:
    with claude_rig(stage.base / "claude", MODEL) as claude:
        real = stage.played(ClaudeCode(executable=claude.program, env=claude.env), say_nothing)
    recording = load(real, **{"report.md": "all is well\n"})
    assert {each.type for each in recording.differences} <= {"tool.result"}
    again = stage.played(FakeAgent(*recording.steps), say_nothing)
    assert said(again) == said(real)
    assert stage.seen == ["report.md: b'all is well\\n'"] * 2


def test_an_agent_that_exits_in_the_middle_of_its_turn_does_so_again(stage: Stage) -> None:
    first = stage.played(FakeAgent(Says("Ah."), Exits(7)), say_nothing)
    recording = load(first)
    assert recording.steps[-2:] == (Says("Ah."), Exits(7))
    assert said(stage.played(FakeAgent(*recording.steps), say_nothing)) == said(first)
