"""Whatever the hooks and tools of a driver do, or a driver lacks, each call of the agent gets one answer."""

import json
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from conversation_rig import ConversationRig, Rule, Talking, run
from conversation_rig import rig as rig
from fake_claude import result
from test_conversation_crashes import FAULTS, Crash, closes

from host.job_rig import until
from optio_agents.conversation.calls import OPEN_LIMIT
from optio_agents.conversation.dialogue import Dialogue
from optio_agents.conversation.messages import Overlong
from optio_agents.conversation.parse import parse
from optio_agents.conversation.questions import Questions
from optio_agents.conversation.turns import Turns
from optio_agents.extensions import PreToolUse, PreToolUseDecision, ToolContext, pre_tool_use, tool
from optio_agents.extensions.given import ToolSource
from optio_agents.extensions.hooks import Hook
from optio_agents.journal import HookDocument
from optio_agents.redaction import Redactor

SECRET = "correct-horse-battery"


def hook_call(request: str) -> dict[str, Any]:
    """The agent calls the hook `before`."""
    said = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "u"}
    body = {"subtype": "hook_callback", "callback_id": "before", "input": said}
    return {"type": "control_request", "request_id": request, "request": body}


def mcp(request: str, method: str, params: object = None, rpc: int | None = None) -> dict[str, Any]:
    """The agent says something to the server of the tools."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params or {}}
    if rpc is not None:
        message["id"] = rpc
    body = {"subtype": "mcp_message", "server_name": "optio", "message": message}
    return {"type": "control_request", "request_id": request, "request": body}


CALL = mcp("t1", "tools/call", {"name": "work", "arguments": {"what": SECRET}}, 7)
CALLS = Rule('"type":"user"', hook_call("h1"), CALL, once=True)


def tool_answer(talking: Talking) -> dict[str, Any]:
    """What the agent was answered to its call of the tool; fails when it was answered twice, or not."""
    [answer] = talking.answers_to("t1")
    found: dict[str, Any] = answer["response"]["mcp_response"]
    assert (found["jsonrpc"], found["id"]) == ("2.0", 7)
    return found["result"]  # type: ignore[no-any-return]


def hook_answer(talking: Talking) -> dict[str, Any]:
    [answer] = talking.answers_to("h1")
    return answer["response"]["hookSpecificOutput"]  # type: ignore[no-any-return]


def test_a_hook_or_a_tool_that_hangs_is_answered_for_at_its_deadline_and_its_late_answer_is_not_sent(
    rig: ConversationRig,
) -> None:
    go = threading.Event()
    contexts: list[ToolContext] = []
    asked: list[str] = []
    ended: list[str] = []

    @tool
    def work(what: str, context: ToolContext) -> str:
        contexts.append(context)
        go.wait(20)
        ended.append("tool")
        return "late"

    @pre_tool_use()
    def before(use: PreToolUse) -> PreToolUseDecision:
        asked.append(use.call_id)
        go.wait(20)
        ended.append("hook")
        return PreToolUseDecision("allow")

    async def body() -> None:
        async with rig.talking(rig.agent(CALLS), hooks=[before], tools=[work]) as talking:
            await talking.conversation.send("hi")
            await rig.until_event(talking.session.id, "tool.called")
            await until(lambda: bool(contexts and asked), "both calls")
            rig.clock.skip(61)
            await rig.until_event(talking.session.id, "tool.answered")
            failed = await rig.until_event(talking.session.id, "hook.failed")
            assert contexts[0].given_up.is_set()
            go.set()
            await until(lambda: sorted(ended) == ["hook", "tool"], "the functions")
            await anyio.wait_all_tasks_blocked()
            assert tool_answer(talking) == {
                "content": [{"type": "text", "text": "The tool has not answered within 60 s."}],
                "isError": True,
            }
            assert hook_answer(talking)["permissionDecision"] == "ask"
            assert "no answer within 30 s" in str(failed.event)

    run(body)


def test_a_call_that_the_agent_takes_back_is_stopped_and_not_answered(rig: ConversationRig) -> None:
    stopped: list[str] = []
    begun: list[str] = []

    async def hang(what: str) -> None:
        begun.append(what)
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(what)

    @tool
    async def work(what: str) -> None:
        await hang("tool")

    @pre_tool_use()
    async def before(use: PreToolUse) -> None:
        await hang("hook")

    async def body() -> None:
        takes_back = Rule(
            "take it back",
            {"type": "control_cancel_request", "request_id": "h1"},
            mcp("n1", "notifications/cancelled", {"requestId": 7}),
        )
        agent = rig.agent(takes_back, CALLS)
        async with rig.talking(agent, hooks=[before], tools=[work]) as talking:
            await talking.conversation.send("hi")
            await until(lambda: sorted(begun) == ["hook", "tool"], "both")
            await talking.conversation.send("take it back")
            await rig.until_event(talking.session.id, "call.withdrawn", 2)
            await until(lambda: sorted(stopped) == ["hook", "tool"], "their end")
            await until(lambda: bool(talking.answers_to("n1")), "the answer to the notification")
            assert talking.answers_to("h1") == talking.answers_to("t1") == []

    run(body)


def test_a_driver_without_them_says_what_they_were_and_answers_after_a_time(rig: ConversationRig) -> None:
    hooks: list[Hook] = [pre_tool_use(name="before")(lambda use: None)]

    @tool
    def work(what: str) -> str:
        """Work on something."""
        return what

    tools: list[ToolSource] = [work]

    async def body() -> None:
        agent = rig.agent(Rule("again", mcp("l1", "tools/list", rpc=1)), CALLS)
        started = await rig.start(agent=agent, hooks=hooks, tools=tools)
        await started.leave("for somebody without them")
        await started.wait()
        session = await rig.adopt(started.id, without_callbacks=True)
        async with rig.driven(session) as driving:
            talking = Talking(session, driving)
            await talking.conversation.send("hi")
            await rig.until_event(session.id, "hook.failed")
            await talking.conversation.send("again")
            await until(lambda: bool(talking.answers_to("l1")), "the list")
            assert hook_answer(talking)["permissionDecision"] == "ask"
            [listed] = talking.answers_to("l1")[0]["response"]["mcp_response"]["result"]["tools"]
            assert (listed["name"], listed["description"]) == ("work", "Work on something.")
            assert list(listed["inputSchema"]["properties"]) == ["what"]
            assert talking.answers_to("t1") == []
            rig.clock.skip(31)
            await rig.until_event(session.id, "tool.answered")
            assert tool_answer(talking)["isError"]
            await session.cancel("the test is over")
            await session.kill()
            await driving.ended()

    run(body)


def test_secrets_in_what_hooks_and_tools_say_are_kept_back_and_the_tool_gets_them_whole(
    rig: ConversationRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    got: list[str] = []

    @tool
    def work(what: str) -> str:
        got.append(what)
        return f"it is {what}"

    @pre_tool_use()
    def before(use: PreToolUse) -> PreToolUseDecision:
        return PreToolUseDecision("allow", updated_input={"command": f"login {SECRET}"})

    async def body() -> None:
        agent = rig.agent(Rule('"request_id":"t1"', result()), CALLS)
        async with rig.talking(agent, hooks=[before], tools=[work]) as talking:
            await talking.conversation.send("hi")
            await rig.until_event(talking.session.id, "turn.ended")
            await rig.until_event(talking.session.id, "hook.failed")
            await until(lambda: bool(talking.answers_to("h1")), "the answer")
            assert got == [SECRET]
            assert tool_answer(talking)["content"][0]["text"] == "it is [redacted]"
            assert hook_answer(talking)["permissionDecision"] == "ask"
            assert SECRET not in json.dumps(talking.told())
            assert SECRET not in str(await rig.history(talking.session.id))
            assert SECRET not in str((await rig.store.snapshot(talking.session.id)).record)

    run(body)


def test_a_hook_that_cannot_be_asked_allows_nothing() -> None:
    document = HookDocument(name="before", event="PreToolUse", timeout=30)
    dialogue = Dialogue(Turns(), Questions(), Redactor(), "", hooks=[document])
    # Type and id come first, as the real program writes them.
    head = json.dumps(hook_call("h")).encode()
    for message in (Overlong(1 << 30, head, "h"), parse(head[:-20])):
        [line] = dialogue.hear(message, 0).lines
        assert json.loads(line)["response"]["response"]["hookSpecificOutput"]["permissionDecision"] == "ask"
    answers = [dialogue.hear(parse(json.dumps(hook_call(f"h{at}")).encode()), 0).lines for at in range(OPEN_LIMIT + 1)]
    assert [len(each) for each in answers] == [0] * OPEN_LIMIT + [1]
    assert b'"permissionDecision":"ask"' in answers[-1][0]


@pytest.mark.parametrize("fault", ["behind a commit", "in an append"])
def test_a_driver_that_fails_at_any_step_of_a_call_is_followed_by_one_that_answers_it_once(
    rig: ConversationRig, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    made: list[tuple[str, str, bool]] = []

    @tool
    async def work(what: str, context: ToolContext) -> str:
        made.append(("t1", context.call_id, context.redelivered))
        return what

    @pre_tool_use()
    async def before(use: PreToolUse) -> None:
        made.append(("h1", use.call_id, use.redelivered))

    async def talk(number: int) -> int:
        """Fail at this step; how many drivers it took."""
        made.clear()
        agent = rig.agent(
            Rule('"request_id":"t1"', result(user_message_uuids=[])),
            Rule('"request_id":"h1"', CALL),
            Rule('"type":"user"', hook_call("h1"), once=True),
        )
        session = await rig.start(agent=agent, prompt="go", hooks=[before], tools=[work])
        drivers = 1
        with monkeypatch.context() as patch:
            FAULTS[fault](rig, patch, Crash(number))
            while not await closes(rig, session):
                drivers += 1
                assert drivers <= 2
                session = await rig.adopt(session.id, hooks=[before], tools=[work])
        told = Path(session.record.rundir, "stdin").read_text()
        for call in ("h1", "t1"):
            assert told.count(f'"request_id":"{call}"') == 1, (number, call)
            calls = [each[1:] for each in made if each[0] == call]
            assert calls in ([(call, False)], [(call, True)], [(call, False), (call, True)]), (number, calls)
        return drivers

    async def body() -> None:
        drivers = [await talk(number) for number in range(1, 10)]
        assert drivers[0] == 2  # it did fail

    run(body)
