"""What happens in a conversation, as one line for a person. Nothing of what will run is left out of a question."""

import json
from collections.abc import Mapping
from typing import assert_never

from ..conversation.events import (
    AgentLimit,
    AgentRetry,
    AgentSession,
    AgentTask,
    AgentText,
    AgentThinking,
    AgentUnparsed,
    CallWithdrawn,
    ConversationEvent,
    HookAnswered,
    HookCalled,
    HookFailed,
    QuestionAnswered,
    QuestionAsked,
    QuestionWithdrawn,
    ToolAnswered,
    ToolCalled,
    ToolProgress,
    ToolReturned,
    ToolUsed,
    TurnCancelled,
    TurnEnded,
    TurnQueued,
    TurnStarted,
)
from ..conversation.questions import input_in_words
from .visible import size, visible


def said_by_agent(event: ConversationEvent, *, verbose: bool) -> str | None:
    """The event in words; None when it is not worth a line, which with `verbose` every event is."""
    match event:
        case AgentText(text, parent):
            return f"{'subagent' if parent else 'agent'}: {visible(text)}"
        case ToolUsed(_, name, tool_input, _):
            return f"tool {visible(name)}: {in_words(tool_input)}"
        case QuestionAsked(question, kind, tool, tool_input):
            how = f"optio approve {visible(question[:8])}, or deny"
            return f"{visible(kind)} is asked for ({how}): {visible(tool)}: {in_words(tool_input)}"
        case QuestionAnswered(question, behavior, by, message):
            because = f": {visible(message)}" if message else ""
            return f"question {visible(question)}: {visible(behavior)}, by {visible(by)}{because}"
        case QuestionWithdrawn(question, reason):
            return f"question {visible(question)} is withdrawn: {visible(reason)}"
        case HookFailed(_, hook, problem, decision):
            return f"hook {visible(hook)} failed: {visible(problem)}; instead: {visible(decision)}"
        case HookAnswered(_, hook, decision, message) if decision != "none":
            because = f": {visible(message)}" if message else ""
            return f"hook {visible(hook)}: {visible(decision)}{because}"
        case ToolProgress(_, fraction, message):
            far = f"{fraction:.0%} " if fraction is not None else ""
            return f"tool: {far}{visible(message)}"
        case ToolAnswered(_, text, count, True):
            return f"tool failed ({size(count)}): {visible(text[:200])}"
        case CallWithdrawn(call, reason):
            return f"call {visible(call)} is withdrawn: {visible(reason)}"
        case TurnEnded(reason=reason, is_error=True, text=text) if not reason.startswith("aborted"):
            return f"the turn failed ({visible(reason)}): {visible(text)}"
        case AgentRetry(attempt, attempts, delay, status, error):
            code = f"{status} " if status is not None else ""
            return f"the model's API refused ({code}{visible(error)}); try {attempt} of {attempts} in {delay:.1f} s"
        case AgentLimit(status, window, utilization, _):
            used = f", {utilization:.0%} used" if utilization is not None else ""
            return f"limit {visible(window)}: {visible(status)}{used}"
        case AgentUnparsed(problem, text, count):
            return f"output that is no message ({visible(problem)}, {size(count)}): {visible(text[:200])}"
        case TurnEnded(reason=reason) if reason != "completed":
            return f"the turn was interrupted ({visible(reason)})"
        case _ if not verbose:
            return None
        case AgentSession(agent_session, model, mode, version):
            return f"agent session {visible(agent_session)}: {visible(model)}, {visible(mode)}, {visible(version)}"
        case AgentThinking(text, _):
            return f"thinking: {visible(text)}"
        case ToolReturned(_, text, count, is_error):
            return f"{'tool error' if is_error else 'tool result'} ({size(count)}): {visible(text[:200])}"
        case HookCalled(_, hook, event_name, tool, _):
            return f"hook {visible(hook)} is called: {visible(event_name)} {visible(tool)}".rstrip()
        case HookAnswered(_, hook, decision, message):
            return f"hook {visible(hook)}: {visible(decision)} {visible(message)}".rstrip()
        case ToolCalled(_, name, tool_input, _):
            return f"tool {visible(name)} is called here: {in_words(tool_input)}"
        case ToolAnswered(_, text, count, _):
            return f"tool answered ({size(count)}): {visible(text[:200])}"
        case TurnQueued(turn, text, sender):
            return f"sent by {visible(sender)} ({visible(turn)}): {visible(text)}"
        case TurnStarted(turn):
            return f"turn {visible(turn)} started"
        case TurnCancelled(turn):
            return f"turn {visible(turn)} gets no answer"
        case TurnEnded(_, reason, _, _, cost, taken, given, _):
            price = f", ${cost:.4f} so far" if cost is not None else ""
            return f"turn over ({visible(reason)}): {taken} tokens in, {given} out{price}"
        case AgentTask(task, state, text):
            return f"background task {visible(task)} {visible(state)}: {visible(text)}"
        case _:
            assert_never(event)


def in_words(tool_input: Mapping[str, object]) -> str:
    """What a tool is called with, whole."""
    return visible(input_in_words(tool_input))


def pages_of(tool_input: Mapping[str, object]) -> list[str]:
    """The same to be read before an answer: its texts line by line, each marked, so that none passes for ours."""
    lines = []
    for name, value in tool_input.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines += [f"  {visible(name)}:", *(f"  | {visible(each)}" for each in text.split("\n"))]
    return lines
