"""Claude Code's stream-json: from what is to be said to lines of ASCII. Pure.

A line that is no JSON ends the program at the other end, so nothing else is ever written to it.
"""

import json
from collections.abc import Mapping

from .messages import JsonMap


def user_line(send: str, text: str) -> bytes:
    """Something said to the agent; `send` is a UUID that it will refer to."""
    return encode({"type": "user", "uuid": send, "message": {"role": "user", "content": text}})


def request_line(request: str, subtype: str, fields: Mapping[str, object]) -> bytes:
    """A request of ours, to be answered with a `Response` of the same id."""
    return encode({"type": "control_request", "request_id": request, "request": {"subtype": subtype, **fields}})


def answer_line(request: str, answer: JsonMap) -> bytes:
    """The answer to a request of the agent."""
    return encode(
        {"type": "control_response", "response": {"subtype": "success", "request_id": request, "response": answer}}
    )


def refusal_line(request: str, error: str) -> bytes:
    """The answer to a request of the agent that cannot be carried out."""
    return encode({"type": "control_response", "response": {"subtype": "error", "request_id": request, "error": error}})


def encode(message: JsonMap) -> bytes:
    """A message as one line. ValueError, TypeError when it holds what JSON does not have."""
    return json.dumps(message, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode() + b"\n"
