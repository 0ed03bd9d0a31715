"""The call of a hook: from what Claude Code says to what the hook is told, and from its decision to an answer. Pure.

Measured with Claude Code 2.1.332: an answer that is an error counts as one that says nothing, so that a hook that has
failed must be answered for in words.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from ..extensions.hooks import (
    HookDecision,
    HookEvent,
    HookInput,
    PostToolUse,
    PostToolUseDecision,
    PreToolUse,
    PreToolUseDecision,
    Stop,
    StopDecision,
    UserPromptSubmit,
    UserPromptSubmitDecision,
)
from ..redaction import redacted_json
from .messages import HookAsked, JsonMap

_DECISIONS: dict[HookEvent, type[HookDecision]] = {
    "PreToolUse": PreToolUseDecision,
    "PostToolUse": PostToolUseDecision,
    "UserPromptSubmit": UserPromptSubmitDecision,
    "Stop": StopDecision,
}


def input_of(event: HookEvent, asked: HookAsked, *, redelivered: bool) -> HookInput:
    """What the hook is told. What the agent does not say is empty."""
    said = asked.input
    cwd, mode, agent = _text(said, "cwd"), _text(said, "permission_mode"), _text(said, "agent_id")
    tool, use = _text(said, "tool_name"), _text(said, "tool_use_id")
    tool_input = said.get("tool_input")
    arguments = tool_input if isinstance(tool_input, dict) else {}
    match event:
        case "PreToolUse":
            return PreToolUse(asked.request, redelivered, cwd, mode, agent, said, tool, arguments, use)
        case "PostToolUse":
            response = said.get("tool_response")
            return PostToolUse(asked.request, redelivered, cwd, mode, agent, said, tool, arguments, use, response)
        case "UserPromptSubmit":
            return UserPromptSubmit(asked.request, redelivered, cwd, mode, agent, said, _text(said, "prompt"))
        case "Stop":
            last, active = _text(said, "last_assistant_message"), said.get("stop_hook_active") is True
            return Stop(asked.request, redelivered, cwd, mode, agent, said, last, active)
        case _:
            assert_never(event)


def decision_of(event: HookEvent, returned: object) -> HookDecision:
    """What the hook has said; TypeError when that is no decision on this event."""
    wanted = _DECISIONS[event]
    if returned is None:
        return wanted()
    if not isinstance(returned, wanted):
        raise TypeError(f"a hook on {event} returns a {wanted.__name__} or None, not a {type(returned).__name__}")
    return returned


def default_of(event: HookEvent, hook: str, problem: str) -> HookDecision:
    """What the agent is told instead of what a hook says that has failed."""
    if event == "PreToolUse":
        return PreToolUseDecision("ask", reason=f"the hook {hook} has not decided ({problem})")
    return _DECISIONS[event]()


def redacted(decision: HookDecision, redact: Callable[[str], str]) -> HookDecision:
    """The same without secrets, as it is kept; ValueError when what a tool is to be called with holds one."""
    match decision:
        case PreToolUseDecision(_, reason, updated_input, context):
            if updated_input is not None and redacted_json(redact, dict(updated_input)) != dict(updated_input):
                raise ValueError("updated_input holds a secret, and would be kept in the journal with it")
            return replace(decision, reason=redact(reason), context=redact(context))
        case PostToolUseDecision(context):
            return replace(decision, context=redact(context))
        case UserPromptSubmitDecision(_, reason, context):
            return replace(decision, reason=redact(reason), context=redact(context))
        case StopDecision(_, reason):
            return replace(decision, reason=redact(reason))
        case _:
            assert_never(decision)


def word_of(decision: HookDecision) -> tuple[str, str]:
    """A decision in a word, and what the agent is told with it."""
    match decision:
        case PreToolUseDecision(behavior, reason, _, context):
            return behavior, reason or context
        case PostToolUseDecision(context):
            return "none", context
        case UserPromptSubmitDecision(block, reason, context):
            return "block" if block else "none", reason if block else context
        case StopDecision(block, reason):
            return "block" if block else "none", reason if block else ""
        case _:
            assert_never(decision)


def answer_of(decision: HookDecision) -> JsonMap:
    """A decision in the agent's words."""
    match decision:
        case PreToolUseDecision(behavior, reason, updated_input, context):
            said: dict[str, object] = {}
            if behavior != "none":
                said = {"permissionDecision": behavior, "permissionDecisionReason": reason}
            if updated_input is not None:
                said["updatedInput"] = dict(updated_input)
            return _specific("PreToolUse", {**said, **_context(context)})
        case PostToolUseDecision(context):
            return _specific("PostToolUse", _context(context))
        case UserPromptSubmitDecision(True, reason, _):
            return {"decision": "block", "reason": reason}
        case UserPromptSubmitDecision(_, _, context):
            return _specific("UserPromptSubmit", _context(context))
        case StopDecision(True, reason):
            return {"decision": "block", "reason": reason}
        case StopDecision():
            return {}
        case _:
            assert_never(decision)


def _specific(event: HookEvent, said: JsonMap) -> JsonMap:
    return {"hookSpecificOutput": {"hookEventName": event, **said}} if said else {}


def _context(context: str) -> dict[str, object]:
    return {"additionalContext": context} if context else {}


def _text(said: JsonMap, name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""
