"""Claude Code's stream-json: from lines to messages. Pure, and nothing that arrives makes it raise."""

import json
import math
import re
from collections.abc import Sequence
from typing import Never

from optio_host.lines import Line, LongLine

from .messages import (
    Block,
    Denial,
    Fed,
    HookAsked,
    JsonMap,
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

LINE_LIMIT = 16 * 1024 * 1024
"""Longest message in bytes that is read whole."""

MAX_DEPTH = 200
"""How deep a message may be nested; what handles it further on goes down one level after the other."""

_BOM = b"\xef\xbb\xbf"
_BLANKS = " \t\r\n"

# Measured: type and request_id come first in every request.
_REQUEST = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{"type": ?"control_request", ?"request_id": ?"([!#-\[\]-~]{1,200})"')
_ID = re.compile(r"[!-~]{1,200}")


class _Misshapen(Exception):
    """A field is not of the kind that it is known to be."""


def message_of(line: Line | LongLine) -> Message:
    """The message on a line that was read."""
    if isinstance(line, Line):
        return parse(line.data)
    return Overlong(line.size, line.head, _request_in(line.head))


def parse(line: bytes) -> Message:
    """The message on a line, given without its end."""
    try:
        raw = _decode(line.removeprefix(_BOM).decode().lstrip(_BLANKS))
    except UnicodeDecodeError:
        return Unparsed(line, "not UTF-8", _request_in(line))
    except ValueError:
        return Unparsed(line, "no JSON", _request_in(line))
    except RecursionError:
        return Unparsed(line, f"nested deeper than {MAX_DEPTH}", _request_in(line))
    if not isinstance(raw, dict):
        return Unparsed(line, "JSON, but no object", None)
    # Each level has an opening and a closing: most messages are too short for so many, and need not be counted.
    if len(line) > 2 * MAX_DEPTH and line.count(b"{") + line.count(b"[") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        return Unparsed(line, f"nested deeper than {MAX_DEPTH}", _request_in(line))
    kind = raw.get("type")
    if not isinstance(kind, str):
        return Unknown("", "it has no type", raw)
    read = _READERS.get(kind)
    if read is None:
        return Unknown(kind, "a type that is not known", raw)
    try:
        return read(raw)
    except _Misshapen as error:
        return Unknown(kind, str(error), raw)


def _request_in(head: bytes) -> str | None:
    """The id of the request that cannot be read whole, or not at all: it waits for an answer all the same."""
    found = _REQUEST.match(head)
    return found[1].decode("ascii") if found else None


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        inner = [each for each in level if isinstance(each, dict | list)]
        depth += bool(inner)
        level = [part for each in inner for part in (each.values() if isinstance(each, dict) else each)]
        if depth > MAX_DEPTH:
            break
    return depth


def _constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits} is no number that can be written again")
    return number


_decoder = json.JSONDecoder(parse_constant=_constant, parse_float=_finite)


def _decode(text: str) -> object:
    # What JSONDecoder.decode does, without its two searches for blanks, which take a third of its time.
    value, end = _decoder.raw_decode(text)
    if text[end:].strip(_BLANKS):
        raise ValueError("something comes behind the value")
    return value


def _system(raw: JsonMap) -> Message:
    match _text(raw, "subtype"):
        case "init":
            return TurnBegan(
                _text(raw, "session_id"),
                _text_or(raw, "model"),
                _text_or(raw, "permissionMode"),
                _text_or(raw, "claude_code_version"),
                _texts(raw, "user_message_uuids"),
                raw,
            )
        case "api_retry":
            delay = _number_or(raw, "retry_delay_ms") or 0.0
            attempts = _count(raw, "max_retries")
            status = _number_or(raw, "error_status")
            whole = None if status is None else int(status)
            return Retrying(_count(raw, "attempt"), attempts, delay / 1000, whole, _text_or(raw, "error"), raw)
        case "task_started" | "task_updated" | "task_notification" as subtype:
            text = _text_or(raw, "summary") or _text_or(raw, "description")
            state = _text_or(raw, "status") or _text_or(_map_or(raw, "patch"), "status")
            return TaskMoved(_text(raw, "task_id"), state or subtype.removeprefix("task_"), text, raw)
        case subtype:
            return SystemNote(subtype, raw)


def _assistant(raw: JsonMap) -> Message:
    error = _text_or(raw, "error") or "unknown" if raw.get("is_api_error_message") is True else None
    blocks = _blocks(_map(raw, "message").get("content"))
    return Spoke(blocks, _parent(raw), error, raw.get("aborted") is True, raw)


def _user(raw: JsonMap) -> Message:
    blocks = _blocks(_map(raw, "message").get("content"))
    return Fed(blocks, _parent(raw), raw.get("isReplay") is True, raw)


def _stream_event(raw: JsonMap) -> Message:
    delta = _map_or(_map(raw, "event"), "delta")
    parent = _parent(raw)
    match delta.get("type"):
        case "text_delta":
            return Partial("text", _text(delta, "text"), parent, raw)
        case "thinking_delta":
            return Partial("thinking", _text(delta, "thinking"), parent, raw)
        case "input_json_delta":
            return Partial("input", _text(delta, "partial_json"), parent, raw)
        case _:
            return Partial("other", "", parent, raw)


def _result(raw: JsonMap) -> Message:
    usage = _map_or(raw, "usage")
    denials = tuple(
        Denial(_text_or(each, "tool_name"), _text_or(each, "tool_use_id"))
        for each in _list_or(raw, "permission_denials")
        if isinstance(each, dict)
    )
    return TurnResult(
        _texts(raw, "user_message_uuids"),
        _text_or(raw, "result"),
        _flag(raw, "is_error"),
        _text_or(raw, "terminal_reason"),
        _texts(raw, "errors"),
        _number_or(raw, "total_cost_usd"),
        int(_number_or(usage, "input_tokens") or 0),
        int(_number_or(usage, "output_tokens") or 0),
        denials,
        _text_or(raw, "session_id"),
        raw,
    )


def _command_lifecycle(raw: JsonMap) -> Message:
    state = _text(raw, "state")
    match state:
        case "queued" | "started" | "completed" | "cancelled":
            return SendMoved(_text(raw, "command_uuid"), state, raw)
        case _:
            raise _Misshapen(f"state {state!r} is not known")


def _rate_limit(raw: JsonMap) -> Message:
    info = _map(raw, "rate_limit_info")
    window = _text_or(info, "rateLimitType")
    return RateLimited(
        _text_or(info, "status"), window, _number_or(info, "utilization"), _number_or(info, "resetsAt"), raw
    )


def _control_request(raw: JsonMap) -> Message:
    request_id = _id(raw, "request_id")
    request = _map_or(raw, "request")
    subtype = _text_or(request, "subtype")
    try:
        match subtype:
            case "can_use_tool":
                return ToolAsked(
                    request_id,
                    _text(request, "tool_name"),
                    _map(request, "input"),
                    _text_or(request, "tool_use_id"),
                    _text_or(request, "agent_id") or None,
                    request.get("requires_user_interaction") is True,
                    raw,
                )
            case "hook_callback":
                return HookAsked(request_id, _text(request, "callback_id"), _map(request, "input"), raw)
            case "mcp_message":
                return McpAsked(request_id, _text(request, "server_name"), _map(request, "message"), raw)
    except _Misshapen:
        pass  # answered as a request that is not understood: it waits all the same
    return Requested(request_id, subtype, raw)


def _control_cancel(raw: JsonMap) -> Message:
    return RequestWithdrawn(_id(raw, "request_id"), raw)


def _control_response(raw: JsonMap) -> Message:
    response = _map(raw, "response")
    request = _text(response, "request_id")
    if response.get("subtype") == "success":
        return Response(request, _map_or(response, "response"), None, raw)
    return Response(request, {}, _text_or(response, "error") or "an error without a word", raw)


_READERS = {
    "assistant": _assistant,
    "command_lifecycle": _command_lifecycle,
    "control_cancel_request": _control_cancel,
    "control_request": _control_request,
    "control_response": _control_response,
    "rate_limit_event": _rate_limit,
    "result": _result,
    "stream_event": _stream_event,
    "system": _system,
    "user": _user,
}


def _blocks(content: object) -> tuple[Block, ...]:
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise _Misshapen("content is neither text nor a list")
    return tuple(map(_block, content))


def _block(raw: object) -> Block:
    if not isinstance(raw, dict):
        return OtherBlock("", raw)
    kind = raw.get("type")
    try:
        match kind:
            case "text":
                return Text(_text(raw, "text"))
            case "thinking":
                return Thinking(_text(raw, "thinking"))
            case "tool_use":
                return ToolUse(_text(raw, "id"), _text(raw, "name"), _map(raw, "input"))
            case "tool_result":
                return ToolResult(_text(raw, "tool_use_id"), _result_text(raw.get("content")), _flag(raw, "is_error"))
    except _Misshapen:
        pass
    return OtherBlock(kind if isinstance(kind, str) else "", raw)


def _result_text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (each if isinstance(each, dict) else {} for each in content)
    return "\n".join(_text_or(each, "text") or f"[{_text_or(each, 'type') or 'something'}]" for each in parts)


def _parent(raw: JsonMap) -> str | None:
    return _text_or(raw, "parent_tool_use_id") or None


def _text(raw: JsonMap, name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str):
        raise _Misshapen(f"{name} is no text")
    return value


def _id(raw: JsonMap, name: str) -> str:
    value = _text(raw, name)
    if not _ID.fullmatch(value):
        raise _Misshapen(f"{name} is no id")
    return value


def _text_or(raw: JsonMap, name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""


def _texts(raw: JsonMap, name: str) -> tuple[str, ...]:
    return tuple(each for each in _list_or(raw, name) if isinstance(each, str))


def _map(raw: JsonMap, name: str) -> JsonMap:
    value = raw.get(name)
    if not isinstance(value, dict):
        raise _Misshapen(f"{name} is no object")
    return value


def _map_or(raw: JsonMap, name: str) -> JsonMap:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _list_or(raw: JsonMap, name: str) -> Sequence[object]:
    value = raw.get(name)
    return value if isinstance(value, list) else ()


def _flag(raw: JsonMap, name: str) -> bool:
    # Absent is no; what is there and is no plain "false" is taken for a yes: these flags say that something is wrong.
    return raw.get(name, False) not in (False, None)


def _number_or(raw: JsonMap, name: str) -> float | None:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _count(raw: JsonMap, name: str) -> int:
    value = _number_or(raw, name)
    if value is None:
        raise _Misshapen(f"{name} is no number")
    return int(value)
