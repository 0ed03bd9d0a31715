"""Hooks and tools of a driver with the real Claude Code, on this machine and by a real sshd. Its model is a script."""

import json
import os
import sys
from pathlib import Path
from typing import Literal

import anyio
import claude_driver
import pytest
from claude_driver import SESSION, store_url
from claude_scene import Scene, events
from claude_scene import scene as scene
from model_api import Say, Use, bash
from noting_extensions import Noting
from pydantic import BaseModel
from session_rig import Driving

from host.job_rig import until
from left_out import require_module
from optio_agents.conversation.events import (
    HookAnswered,
    HookCalled,
    HookFailed,
    QuestionAnswered,
    ToolAnswered,
    ToolCalled,
    ToolProgress,
    ToolReturned,
    TurnEnded,
)
from optio_agents.errors import CallbackMissing
from optio_agents.extensions import (
    PostToolUse,
    PostToolUseDecision,
    PreToolUse,
    PreToolUseDecision,
    Stop,
    StopDecision,
    ToolContext,
    UserPromptSubmit,
    UserPromptSubmitDecision,
    post_tool_use,
    pre_tool_use,
    stop,
    tool,
    user_prompt_submit,
)
from optio_agents.journal import open_store
from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session

ADD = Use((("mcp__optio__add", {"a": 2, "b": "40"}),))
SCRIPT = {
    "all": [
        bash("echo hi > out.txt"), bash("echo no > no.txt"), bash("touch never.txt"), ADD,
        Use((("mcp__optio__add", {"a": "many"}),)), Use((("mcp__calc__mul", {"x": 6, "y": 7}),)),
        Say("All done."), Say("Now it is."),
    ],
    "blocked": [Say("never said")],
    "note": [Use((("mcp__optio__note", {"text": "this"}),)), Say("It is noted.")],
}  # fmt: skip
POLICY = 'version = 1\n[[rule]]\ncommand = "touch never.txt"\ndecision = "deny"\nreason = "never that"\n'


class Sum(BaseModel):
    sum: int


@tool
async def add(a: int, b: int = 1, *, context: ToolContext) -> Sum:
    """Add two numbers."""
    context.progress("adding", 0.5)
    return Sum(sum=a + b)


@pre_tool_use(matcher="Bash")
async def before(use: PreToolUse) -> PreToolUseDecision | None:
    match use.input["command"]:
        case "echo hi > out.txt":
            return PreToolUseDecision("allow", updated_input={"command": "echo ho > other.txt"})
        case "echo no > no.txt":
            return PreToolUseDecision("deny", reason="not tonight")
    return PreToolUseDecision("allow")


@post_tool_use(matcher="Bash")
def after(use: PostToolUse) -> PostToolUseDecision:
    return PostToolUseDecision(f"seen: {use.input['command']}")


@user_prompt_submit()
def prompt(said: UserPromptSubmit) -> UserPromptSubmitDecision:
    if "blocked" in said.prompt:
        return UserPromptSubmitDecision(block=True, reason="not that")
    return UserPromptSubmitDecision(context="be brief")


@stop()
def end(turn: Stop) -> StopDecision | None:
    if turn.active:
        raise LookupError("it has no answer")
    return StopDecision(block=True, reason="look again")


def test_hooks_and_tools_of_this_process_serve_the_real_program_and_the_policy_denies_what_a_hook_allows(
    scene: Scene,
) -> None:
    require_module("mcp")
    from mcp.server.lowlevel import Server
    from mcp.types import CallToolResult, ListToolsResult, TextContent
    from mcp.types import Tool as McpTool

    schema = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}}

    async def list_tools(context: object, params: object) -> ListToolsResult:
        return ListToolsResult(tools=[McpTool(name="mul", description="Multiply.", input_schema=schema)])

    async def call_tool(context: object, params: object) -> CallToolResult:
        given = params.arguments  # type: ignore[attr-defined]
        return CallToolResult(content=[TextContent(type="text", text=str(given["x"] * given["y"]))])

    calc = Server("calc", on_list_tools=list_tools, on_call_tool=call_tool)

    async def body() -> None:
        store = MemoryStore()
        session = await Session.start(
            scene.host,
            store,
            agent=scene.agent,
            cwd=str(scene.cwd),
            make_cwd=True,
            deliverables=str(scene.base / "out"),
            state_dir=str(scene.base / "sessions"),
            policy=POLICY,
            hooks=[before, after, prompt, end],
            tools=[add, calc],
        )
        driving = Driving(session)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driving.run)
            turn = await session.conversation.ask("SCENARIO:all")
            assert (turn.text, turn.is_error) == ("Now it is.", False)
            told = scene.told()
            await session.conversation.ask("SCENARIO:blocked")
            await session.conversation.close()
            await driving.ended()
        assert (scene.cwd / "other.txt").read_text() == "ho\n"
        assert not [name for name in ("out.txt", "no.txt", "never.txt") if (scene.cwd / name).exists()]
        for each in ("be brief", "not tonight", "never that", "seen: echo ho", '{"sum":42}', "look again"):
            assert each in told, each
        results = [each.text for each in await events(store, ToolAnswered)]
        assert results[0] == '{"sum":42}'
        assert results[1].startswith("These arguments are not right: a: Input should be a valid integer")
        assert results[2] == "42"
        assert [(each.fraction, each.message) for each in await events(store, ToolProgress)] == [(0.5, "adding")]
        assert (await events(store, ToolCalled))[0].input == {"a": 2, "b": 40}
        assert {each.by for each in await events(store, QuestionAnswered)} == {"the one who offers the tool"}
        called = [each.id for each in await events(store, HookCalled)]
        answered = [each.id for each in await events(store, HookAnswered)]
        [failed] = await events(store, HookFailed)
        assert sorted(called) == sorted([*answered, failed.id])
        assert (failed.problem, failed.decision) == ("LookupError: it has no answer", "none")
        denied = [each.message for each in await events(store, HookAnswered) if each.decision == "deny"]
        assert denied[0] == "not tonight"
        assert denied[1].startswith("A policy denies this: touch never.txt")
        assert "not that" in (await events(store, TurnEnded))[-1].text
        assert "never said" not in scene.told()

    scene.run(body)


@pytest.mark.parametrize("hangs", ["before", "note"])
def test_a_call_that_is_open_when_its_driver_is_killed_is_made_again_by_the_next_one_and_answered_once(
    scene: Scene, hangs: Literal["before", "note"]
) -> None:
    noting = Noting(scene.base)
    hanging = scene.base / f"hang-{hangs}"
    hanging.touch()
    words = [
        sys.executable,
        claude_driver.__file__,
        str(scene.base),
        scene.claude.program,
        json.dumps(scene.claude.env),
        "SCENARIO:note",
        "--note",
    ]
    env = dict(os.environ)
    if scene.server is not None:
        server = scene.server
        env["OPTIO_TEST_SSHD"] = f"{server.port}:{server.user}:{server.key}:{server.known_hosts}"

    async def body() -> None:
        async with open_store(store_url(scene.base)) as store:
            driver = await anyio.open_process(words, env=env, stdin=None, stdout=None, stderr=None)
            async with driver:
                await until(lambda: [each[0] for each in noting.calls()][-1:] == [hangs], "the call")
                driver.kill()
            hanging.unlink()
            with pytest.raises(CallbackMissing, match="hook before, tool mcp__optio__note"):
                await Session.adopt(scene.host, store, SESSION)
            session = await Session.adopt(scene.host, store, SESSION, hooks=noting.hooks, tools=noting.tools)
            driving = Driving(session)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driving.run)
                await until(lambda: not session.conversation.is_pending(), "the answer")
                await session.conversation.close()
                assert (await driving.ended()).outcome == "closed"
            [returned] = await events(store, ToolReturned)
            assert (returned.text, returned.is_error) == ("noted this", False)
            made = noting.calls()
            first, again = (each for each in made if each[0] == hangs)
            assert (first[1], first[2], again[1], again[2]) == (first[1], False, first[1], True)
            assert len(made) == 3
            said = Path(session.record.rundir, "stdin").read_text().splitlines()
            answers = [json.loads(line)["response"]["request_id"] for line in said if "control_response" in line]
            asked = [json.loads(line) for line in Path(session.record.rundir, "stdout").read_text().splitlines()]
            requests = [each["request_id"] for each in asked if each["type"] == "control_request"]
            assert sorted(answers) == sorted(requests)
            assert (await store.snapshot(SESSION)).record.conversation.calls == ()  # type: ignore[union-attr]

    scene.run(body)
