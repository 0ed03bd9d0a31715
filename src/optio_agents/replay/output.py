"""What an agent has said, as lines of its stdout: made of the events of its session, of which each gives one. Pure."""

import json
from collections.abc import Mapping

from ..conversation.compose import encode
from ..conversation.dialogue import WITHDRAWN
from ..conversation.events import (
    AgentLimit,
    AgentRetry,
    AgentSession,
    AgentTask,
    AgentText,
    AgentThinking,
    AgentUnparsed,
    QuestionAsked,
    QuestionWithdrawn,
    ToolReturned,
    ToolUsed,
    TurnCancelled,
    TurnEnded,
    TurnStarted,
)
from ..conversation.messages import JsonMap
from ..journal import Question
from .recorded_turn import Happened, NotReplayable


def said_by_agent(happened: Happened, questions: Mapping[str, Question]) -> bytes:
    """The line that comes to this event; nothing for an event that comes with another one.

    Parameters:
        happened: what was recorded.
        questions: what the agent has asked, by id.

    Raises NotReplayable when the export does not hold what is needed.
    """
    if isinstance(happened.event, AgentUnparsed):
        return happened.event.text.encode("utf-8", "replace") + b"\n"
    message = _message(happened, questions)
    return b"" if message is None else encode(message)


def _message(happened: Happened, questions: Mapping[str, Question]) -> JsonMap | None:
    event = happened.event
    match event:
        case AgentSession(session, model, mode, version):
            return {
                "type": "system", "subtype": "init", "session_id": session, "model": model, "permissionMode": mode,
                "claude_code_version": version,
            }  # fmt: skip
        case AgentText(text, parent):
            return _spoke({"type": "text", "text": text}, parent, synthetic=happened.origin.synthetic)
        case AgentThinking(text, parent):
            return _spoke({"type": "thinking", "thinking": text, "signature": ""}, parent)
        case ToolUsed(use, name, tool_input, parent):
            return _spoke({"type": "tool_use", "id": use, "name": name, "input": dict(tool_input)}, parent)
        case ToolReturned(use, text, _, is_error):
            result = {"type": "tool_result", "tool_use_id": use, "content": text, "is_error": is_error}
            return {"type": "user", "message": {"role": "user", "content": [result]}, "parent_tool_use_id": None}
        case QuestionAsked(id=question):
            if question not in questions:
                raise happened.refused(f"the export does not hold the question {question}")
            request = {"subtype": "can_use_tool", **questions[question].data}
            return {"type": "control_request", "request_id": question, "request": request}
        case QuestionWithdrawn(question, reason):
            return {"type": "control_cancel_request", "request_id": question} if reason == WITHDRAWN else None
        case TurnStarted(send):
            return {"type": "command_lifecycle", "command_uuid": send, "state": "started"}
        case TurnCancelled(send):
            return {"type": "command_lifecycle", "command_uuid": send, "state": "cancelled"}
        case TurnEnded():
            return _result(happened, event)
        case AgentRetry(attempt, attempts, delay, status, error):
            return {
                "type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": attempts,
                "retry_delay_ms": delay * 1000, "error_status": status, "error": error,
            }  # fmt: skip
        case AgentLimit(state, window, utilization, resets):
            info = {"status": state, "rateLimitType": window, "utilization": utilization, "resetsAt": resets}
            return {"type": "rate_limit_event", "rate_limit_info": info}
        case AgentTask(task, state, text):
            return {"type": "system", "subtype": "task_updated", "task_id": task, "status": state, "summary": text}
        case _:
            raise NotReplayable(f"event {happened.seq} ({event.type}) is none of an agent, and says that it is")


def _spoke(block: JsonMap, parent: str | None, *, synthetic: bool = False) -> JsonMap:
    message = {"role": "assistant", "content": [block]}
    error = {"is_api_error_message": True} if synthetic else {}
    return {"type": "assistant", "message": message, "parent_tool_use_id": parent, **error}


def _result(happened: Happened, ended: TurnEnded) -> JsonMap:
    return {
        "type": "result", "subtype": "error_during_execution" if ended.is_error else "success",
        "is_error": ended.is_error, "result": ended.text, "terminal_reason": ended.reason, "errors": [],
        "total_cost_usd": ended.cost_usd,
        "usage": {"input_tokens": ended.input_tokens, "output_tokens": ended.output_tokens},
        "permission_denials": [{"tool_name": each} for each in ended.denied],
        # Without a name in it, it would be taken for an answer to whatever was sent last.
        "user_message_uuids": list(ended.ids) or [f"nobody-{happened.seq}"],
    }  # fmt: skip


def with_ids(line: bytes, ids: Mapping[str, str]) -> bytes:
    """A line with other ids in it. They are UUIDs: nothing else of it is of their kind."""
    for before, now in ids.items():
        line = line.replace(json.dumps(before).encode(), json.dumps(now).encode())
    return line
