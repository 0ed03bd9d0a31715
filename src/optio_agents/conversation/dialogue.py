"""What each message of the agent means for its session: events, questions, turns, and what must be said back. Pure."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from optio_host.cursor import START, Cursor
from optio_host.lines import HEAD_BYTES

from ..journal.documents import HookDocument, Question, ToolDocument
from ..redaction import redacted_json
from .calls import Calls
from .compose import answer_line, refusal_line
from .control import Answered, Control
from .events import (
    AgentLimit,
    AgentRetry,
    AgentSession,
    AgentTask,
    AgentText,
    AgentThinking,
    AgentUnparsed,
    CallWithdrawn,
    ConversationEvent,
    HookCalled,
    QuestionAsked,
    QuestionWithdrawn,
    ToolCalled,
    ToolReturned,
    ToolUsed,
    TurnCancelled,
    TurnEnded,
    TurnStarted,
)
from .mcp import answer_at_once, call_in, cancelled_in
from .messages import (
    Fed,
    HookAsked,
    McpAsked,
    Message,
    OtherBlock,
    Overlong,
    Partial,
    RateLimited,
    Requested,
    RequestWithdrawn,
    Response,
    Retrying,
    SendMoved,
    Spoke,
    SystemNote,
    TaskMoved,
    Text,
    Thinking,
    ToolAsked,
    ToolResult,
    ToolUse,
    TurnBegan,
    TurnResult,
    Unknown,
    Unparsed,
)
from .questions import OPEN_LIMIT, Questions
from .turns import SendCancelled, SendStarted, TurnEvent, TurnOver, Turns

KEPT_TEXT = 64 * 1024
"""Characters of one text that go into an event; the rest is in the spool."""

KEPT_RESULT = 4 * 1024
"""Characters of what a tool gave back that do."""

SERVER_VERSION = "1"
"""Version of the MCP server that a driver is, as the agent is told."""

TURN_ENDED = "the turn that it was asked in has ended"
WITHDRAWN = "the agent has withdrawn it"
AGENT_ENDED = "the agent has ended"
TOOL_RETURNED = "the agent has decided on the tool by itself"


@dataclass(slots=True)
class Heard:
    """What a message comes to.

    Attributes:
        events: for the journal, in order.
        questions: that are new or have changed.
        lines: for the agent.
        turns: what has become of messages that were sent.
        answered: the request of ours that it answers.
    """

    events: list[ConversationEvent] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    turns: list[TurnEvent] = field(default_factory=list)
    answered: Answered | None = None


class Dialogue:
    """One conversation, as far as it has been heard.

    Parameters:
        turns: what was sent and has no answer.
        questions: what the agent has asked.
        redact: takes the secrets out of what is stored.
        agent_session: the agent's own id of it; "" before the first turn.
        calls: the hooks and tools that it has called; None: none.
        hooks: what it may call.
        tools: what it may call.
    """

    def __init__(
        self,
        turns: Turns,
        questions: Questions,
        redact: Callable[[str], str],
        agent_session: str,
        *,
        calls: Calls | None = None,
        hooks: Sequence[HookDocument] = (),
        tools: Sequence[ToolDocument] = (),
    ) -> None:
        self.turns = turns
        self.questions = questions
        self.calls = calls or Calls()
        self.control = Control()
        self.agent_session = agent_session
        self._redact = redact
        self._hooks = {each.name: each for each in hooks}
        self._tools = tools

    def hear(self, message: Message, now: float, place: Cursor = START) -> Heard:
        """What a message comes to.

        Parameters:
            message: it.
            now: seconds since the epoch.
            place: where in the agent's output it begins.
        """
        heard = Heard()
        match message:
            case Partial() | SystemNote():
                return heard
            case Spoke() | Fed():
                heard.events += _said(message)
                self._withdraw_those_of_tools_with_results(heard, message, now)
            case TurnBegan():
                if message.agent_session != self.agent_session:
                    self.agent_session = message.agent_session
                    heard.events.append(
                        AgentSession(message.agent_session, message.model, message.permission_mode, message.version)
                    )
            case SendMoved():
                self._move(heard, self.turns.take(message))
            case TurnResult():
                self._withdraw_those_of_the_turn(heard, now)
                self._move(heard, self.turns.take(message))
            case ToolAsked():
                self._ask(heard, message, now)
            case HookAsked():
                self._take_hook(heard, message, now, place)
            case McpAsked():
                self._take_mcp(heard, message, now, place)
            case Requested(request, subtype):
                heard.lines.append(refusal_line(request, f"this client does not support {subtype or 'this request'}"))
            case RequestWithdrawn(request):
                self._withdraw(heard, request, WITHDRAWN, now)
                self._withdraw_call(heard, request, WITHDRAWN)
            case Response():
                heard.answered = self.control.take(message)
            case Retrying(attempt, attempts, delay, status, error):
                heard.events.append(AgentRetry(attempt, attempts, delay, status, error))
            case RateLimited(status_word, window, utilization, resets):
                heard.events.append(AgentLimit(status_word, window, utilization, resets))
            case TaskMoved(task, state, text):
                heard.events.append(AgentTask(task, state, text[:KEPT_TEXT]))
            case Unknown(kind, problem, raw):
                text = json.dumps(raw)
                heard.events.append(
                    AgentUnparsed(f"{kind}: {problem}" if kind else problem, text[:HEAD_BYTES], len(text))
                )
            case Unparsed(line, problem, request_id):
                _unreadable(heard, AgentUnparsed(problem, _head(line), len(line)), request_id)
            case Overlong(size, head, request_id):
                _unreadable(heard, AgentUnparsed("longer than what is read whole", _head(head), size), request_id)
            case _:
                assert_never(message)
        return heard

    def end(self, now: float) -> Heard:
        """The agent has ended: what it has not answered it will not, and what it asked needs no answer."""
        heard = Heard()
        for question in self.questions.open:
            self._withdraw(heard, question.id, AGENT_ENDED, now)
        for call in self.calls.open:
            self._withdraw_call(heard, call.id, AGENT_ENDED)
        self._move(heard, self.turns.end())
        return heard

    def _ask(self, heard: Heard, asked: ToolAsked, now: float) -> None:
        data = redacted_json(self._redact, asked.raw["request"])
        assert isinstance(data, dict)
        question = self.questions.ask(asked, data, now)
        if question is not None:
            heard.questions.append(question)
            stored = data["input"]
            assert isinstance(stored, dict)
            heard.events.append(QuestionAsked(question.id, question.kind, asked.tool_name, stored))
        elif len(self.questions.open) >= OPEN_LIMIT:
            heard.lines.append(refusal_line(asked.request, f"{OPEN_LIMIT} questions are open already"))

    def _take_hook(self, heard: Heard, asked: HookAsked, now: float, place: Cursor) -> None:
        hook = self._hooks.get(asked.callback)
        if self.calls.is_known(asked.request):
            return  # its output was read again
        if hook is None or self.calls.full:
            heard.lines.append(refusal_line(asked.request, f"there is no hook {asked.callback}, or too much is asked"))
            return
        self.calls.take(asked, "hook", hook.name, place, now)
        tool, use = asked.input.get("tool_name"), asked.input.get("tool_use_id")
        about = (tool if isinstance(tool, str) else "", use if isinstance(use, str) else "")
        heard.events.append(HookCalled(asked.request, hook.name, hook.event, *about))

    def _take_mcp(self, heard: Heard, asked: McpAsked, now: float, place: Cursor) -> None:
        if self.calls.is_known(asked.request):
            return  # its output was read again
        call, cancelled = call_in(asked, self._tools), cancelled_in(asked)
        if not any(each.server == asked.server for each in self._tools):
            heard.lines.append(refusal_line(asked.request, f"there is no server {asked.server}"))
        elif call is None:
            if cancelled is not None and (over := self.calls.of_rpc(asked.server, cancelled.rpc)):
                self._withdraw_call(heard, over, WITHDRAWN)
            heard.lines.append(answer_at_once(asked, self._tools, SERVER_VERSION))
        elif self.calls.full:
            heard.lines.append(refusal_line(asked.request, "too many tools are called at once"))
        else:
            name = f"mcp__{call.tool.server}__{call.tool.name}"
            self.calls.take(asked, "tool", name, place, now, call.rpc)
            arguments = redacted_json(self._redact, call.arguments)
            assert isinstance(arguments, dict)
            heard.events.append(ToolCalled(asked.request, name, arguments, call.use))

    def _withdraw_call(self, heard: Heard, call_id: str, reason: str) -> None:
        if self.calls.close(call_id):
            heard.events.append(CallWithdrawn(call_id, reason))

    def _withdraw_those_of_the_turn(self, heard: Heard, now: float) -> None:
        for question in self.questions.open:
            if "agent_id" not in question.data:  # a subagent in the background outlives the turn
                self._withdraw(heard, question.id, TURN_ENDED, now)
                # It does no harm where nobody waits for it, and nothing hangs where somebody does.
                heard.lines.append(answer_line(question.id, {"behavior": "deny", "message": TURN_ENDED}))

    def _withdraw_those_of_tools_with_results(self, heard: Heard, message: Spoke | Fed, now: float) -> None:
        returned = {block.tool_use_id for block in message.blocks if isinstance(block, ToolResult)} - {""}
        for question in self.questions.open:
            if question.data.get("tool_use_id") in returned:
                self._withdraw(heard, question.id, TOOL_RETURNED, now)

    def _withdraw(self, heard: Heard, question_id: str, reason: str, now: float) -> None:
        question = self.questions.withdraw(question_id, now)
        if question is not None:
            heard.questions.append(question)
            heard.events.append(QuestionWithdrawn(question_id, reason))

    def _move(self, heard: Heard, moved: tuple[TurnEvent, ...]) -> None:
        heard.turns += moved
        for event in moved:
            match event:
                case SendStarted(send):
                    heard.events.append(TurnStarted(send))
                case SendCancelled(send):
                    heard.events.append(TurnCancelled(send))
                case TurnOver(sends, result):
                    heard.events.append(_ended(sends, result))
                case _:
                    assert_never(event)


def _said(message: Spoke | Fed) -> list[ConversationEvent]:
    events: list[ConversationEvent] = []
    for block in message.blocks:
        match block:
            case Text(text):
                if isinstance(message, Spoke):
                    events.append(AgentText(text[:KEPT_TEXT], message.parent))
            case Thinking(text):
                if text:
                    events.append(AgentThinking(text[:KEPT_TEXT], message.parent))
            case ToolUse(use, name, tool_input):
                events.append(ToolUsed(use, name, tool_input, message.parent))
            case ToolResult(use, text, is_error):
                events.append(ToolReturned(use, text[:KEPT_RESULT], len(text), is_error))
            case OtherBlock():
                pass
            case _:
                assert_never(block)
    return events


def _unreadable(heard: Heard, event: AgentUnparsed, request_id: str | None) -> None:
    heard.events.append(event)
    if request_id is not None:
        heard.lines.append(refusal_line(request_id, f"the request cannot be read: {event.problem}"))


def _ended(sends: tuple[str, ...], result: TurnResult) -> TurnEnded:
    return TurnEnded(
        sends,
        result.reason,
        result.is_error,
        (result.text or ("" if result.interrupted else "; ".join(result.errors)))[:KEPT_TEXT],
        result.cost_usd,
        result.input_tokens,
        result.output_tokens,
        tuple(each.tool_name for each in result.denials),
    )


def _head(line: bytes) -> str:
    return line[:HEAD_BYTES].decode("utf-8", "replace")
