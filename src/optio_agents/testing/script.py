"""The steps of a `FakeAgent` as the player on its host takes them: JSON."""

import base64
from typing import assert_never

from .steps import (
    Appends,
    Asks,
    AsksAbout,
    AtOnce,
    AwaitsAnswer,
    AwaitsDecision,
    AwaitsInterrupt,
    BeginsTurn,
    CallsHook,
    CallsHooks,
    CallsOffered,
    CallsTool,
    Delivers,
    EndsTurn,
    Exits,
    Fails,
    ReturnsFrom,
    Says,
    Step,
    TakesUp,
    Thinks,
    UsesTool,
    Waits,
)


def to_script(step: Step) -> dict[str, object]:
    """A step as the player on the host takes it. Raises TypeError for what is no step."""
    match step:
        case Says(text, parent):
            return {"step": "says", "text": text, "parent": parent}
        case Thinks(text, parent):
            return {"step": "thinks", "text": text, "parent": parent}
        case UsesTool(name, tool_input, result, asks):
            return {"step": "uses", "name": name, "input": dict(tool_input), "result": result, "asks": asks}
        case CallsTool(use, name, tool_input, parent):
            return {"step": "calls", "use": use, "name": name, "input": dict(tool_input), "parent": parent}
        case AsksAbout(use, name, tool_input, agent):
            return {"step": "asks about", "use": use, "name": name, "input": dict(tool_input), "agent": agent}
        case AwaitsDecision(use):
            return {"step": "awaits decision", "use": use}
        case CallsHooks(event):
            return {"step": "calls hooks", "event": event}
        case CallsHook(call, hook, use, name, tool_input):
            return {
                "step": "calls hook",
                "call": call,
                "hook": hook,
                "use": use,
                "name": name,
                "input": dict(tool_input),
            }
        case CallsOffered(call, use, name, arguments):
            return {"step": "calls offered", "call": call, "use": use, "name": name, "input": dict(arguments)}
        case AwaitsAnswer(call):
            return {"step": "awaits answer", "call": call}
        case ReturnsFrom(use, result, is_error):
            return {"step": "returns", "use": use, "result": result, "is_error": is_error}
        case Asks(question, options, header, several):
            offered = [{"label": each, "description": each} for each in options]
            asked = {"question": question, "header": header, "options": offered, "multiSelect": several}
            return {"step": "asks", "input": {"questions": [asked]}}
        case Appends(line):
            return {"step": "appends", "line": line}
        case Delivers(name, content, waits):
            data = content.encode() if isinstance(content, str) else content
            encoded = base64.b64encode(data).decode("ascii")
            return {"step": "delivers", "name": name, "base64": encoded, "waits": waits}
        case TakesUp(beginning):
            return {"step": "takes up", "beginning": beginning}
        case BeginsTurn():
            return {"step": "begins"}
        case Waits():
            return {"step": "waits"}
        case AwaitsInterrupt():
            return {"step": "awaits interrupt"}
        case EndsTurn(cost, read, written, text, reason):
            usage = {"input_tokens": read, "output_tokens": written}
            return {"step": "ends", "cost": cost, "usage": usage, "text": text, "reason": reason}
        case Fails(error, reason, cost, read, written):
            usage = {"input_tokens": read, "output_tokens": written}
            return {"step": "fails", "cost": cost, "usage": usage, "error": error, "reason": reason}
        case Exits(code):
            return {"step": "exits", "code": code}
        case AtOnce(inner):
            return {**to_script(inner), "at_once": True}
        case _:
            # Whoever is not checked by types hands in anything.
            _refuse(step)
            assert_never(step)


def _refuse(step: object) -> None:
    raise TypeError(f"{step!r} is nothing that a FakeAgent can do: see optio_agents.testing for its steps")
