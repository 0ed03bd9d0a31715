"""A `FakeAgent` calls the hooks and tools of its session, so that they can be tested; its recording does, too."""

from pathlib import Path

import anyio
import pytest
from pydantic import BaseModel

from optio_agents import PermissionDecision, PermissionRequest, open_conversation
from optio_agents.conversation.claude import ClaudeCodeConversation
from optio_agents.conversation.events import TurnEnded
from optio_agents.extensions import (
    Hook,
    PostToolUse,
    PostToolUseDecision,
    PreToolUse,
    PreToolUseDecision,
    Stop,
    StopDecision,
    Tool,
    UserPromptSubmit,
    UserPromptSubmitDecision,
    post_tool_use,
    pre_tool_use,
    stop,
    tool,
    user_prompt_submit,
)
from optio_agents.history import read_history
from optio_agents.journal import export_lines
from optio_agents.journal.memory import MemoryStore
from optio_agents.replay import replay
from optio_agents.testing import CallsHooks, EndsTurn, FakeAgent, Hooked, Recording, Says, UsesTool
from optio_host.local.host import LocalHost
from optio_host.testing.connection import connected


class Order(BaseModel):
    what: str
    number: int = 1


@tool
def order(one: Order) -> dict[str, object]:
    """Order something."""
    if one.number > 9:
        raise RuntimeError("the password of the shop is hunter22")
    return {"ordered": one.number}


@pre_tool_use()
def before(use: PreToolUse) -> PreToolUseDecision | None:
    match use.input.get("command"):
        case "rm -r .":
            return PreToolUseDecision("deny", reason="never")
        case "make":
            return PreToolUseDecision("allow", updated_input={"command": "make -n"})
        case "ls":
            return PreToolUseDecision("ask", reason="who knows")
    return None


@post_tool_use(matcher="Bash")
def after(use: PostToolUse) -> PostToolUseDecision:
    return PostToolUseDecision(f"after {use.input['command']}")


@user_prompt_submit()
def prompt(said: UserPromptSubmit) -> UserPromptSubmitDecision:
    return UserPromptSubmitDecision(block="secret" in said.prompt, reason="not that")


@stop()
def end(turn: Stop) -> StopDecision:
    return StopDecision(block=not turn.active, reason="look again")


HOOKS: list[Hook] = [before, after, prompt, end]
TOOLS: list[Tool] = [order]
SCRIPT = (
    CallsHooks("UserPromptSubmit"),
    UsesTool("Bash", {"command": "rm -r ."}),
    UsesTool("Bash", {"command": "make"}, "made"),
    UsesTool("Bash", {"command": "ls"}, "listed", asks=False),
    UsesTool("mcp__optio__order", {"one": {"what": "tea", "number": "3"}}),
    UsesTool("mcp__optio__order", {"one": {"what": "tea", "number": 10}}),
    UsesTool("mcp__optio__order", {"one": {"number": 3}, "two": 2}),
    Says("Ordered."),
    CallsHooks("Stop"),
    Says("Looked."),
    CallsHooks("Stop"),
    EndsTurn(),
    CallsHooks("UserPromptSubmit"),
    Says("never said"),
    EndsTurn(),
)


async def talk(conversation: ClaudeCodeConversation) -> list[TurnEnded]:
    return [await conversation.ask("go"), await conversation.ask("the secret")]


def test_hooks_and_tools_are_tested_with_a_fake_agent_and_its_recording_calls_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []

    def decide(request: PermissionRequest) -> PermissionDecision:
        asked.append(str(request.input))
        return PermissionDecision("allow")

    async def session(fake: FakeAgent, name: str) -> tuple[list[TurnEnded], list[tuple[str, object]], list[Hooked]]:
        async with connected(LocalHost(str(tmp_path / name))) as host:
            store = MemoryStore()
            agent = await fake.install(host)
            async with open_conversation(
                host, agent, store=store, permissions=decide, hooks=HOOKS, tools=TOOLS
            ) as conversation:
                with anyio.fail_after(30):
                    turns = await talk(conversation)
            await fake.verify()
            [record] = await store.sessions()
            shown: list[tuple[str, object]] = []
            async for each in read_history(store, record.id):
                for field in ("decision", "text", "message"):
                    if hasattr(each.event, field) and each.source != "session":
                        shown.append((each.event.type, getattr(each.event, field)))
            lines = [line async for line in export_lines(store, record.id)]
            (tmp_path / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))
            return turns, shown, await fake.hooked()

    async def body() -> None:
        turns, shown, hooked = await session(FakeAgent(*SCRIPT), "first")
        assert asked == ["{'command': 'ls'}"]
        assert (turns[0].text, turns[0].denied) == ("Looked.", ("Bash",))
        assert turns[1].text.startswith("UserPromptSubmit operation blocked by hook:\nnot that")
        results = [text for kind, text in shown if kind == "tool.result"]
        assert results[:4] == ["PreToolUse:Bash hook error: never", "made", "listed", '{"ordered":3}']
        assert results[4] == "The tool has failed: RuntimeError."
        wrong = "These arguments are not right: one.what: Field required; two: Extra inputs are not permitted"
        assert results[5] == wrong
        assert [each.hook for each in hooked if each.tool == "Bash"] == ["before", "before", "after", "before", "after"]
        assert len([each for each in hooked if each.answer.get("decision") == "block"]) == 2
        replayed = await replay(tmp_path / "first.jsonl")
        replayed.check()
        assert replayed.notes == ("not called again, and not compared: after, before, end, mcp__optio__order, prompt",)
        recording = await Recording.load(tmp_path / "first.jsonl")
        again, shown_again, _ = await session(FakeAgent(*recording.steps), "again")
        assert shown_again == shown
        assert [(each.text, each.denied) for each in again] == [(each.text, each.denied) for each in turns]
        assert len(asked) == 2

    anyio.run(body)
