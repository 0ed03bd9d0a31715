"""A program that stands in for Claude Code: it does what a script says, whatever it is told.

Its arguments are SCRIPT, a JSON list of steps; PLAYED, a file to which it appends what it does and is told; and those
of Claude Code.
"""

import base64
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import NoReturn

from .dialogue import Dialogue, InputEnded, Interrupted
from .registered import servers_in

SESSION = "00000000-0000-4000-8000-000000000000"
ENDINGS = ("ends", "fails")
STARTS = ("takes up", "begins")
"""Steps that begin a turn themselves."""


class Player:
    """One run of the script.

    Parameters:
        dialogue: whom it talks with.
    """

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._uses = 0

    def play(self, script: Iterable[Mapping[str, object]]) -> None:
        """Follow the script to its end; whatever it is told then is too much. Raises InputEnded."""
        skipping = False
        for number, step in enumerate(script):
            if not skipping:
                try:
                    if not step.get("at_once") and step.get("step") not in STARTS:
                        self._dialogue.be_in_a_turn()
                    self._dialogue.note(step=number)
                    self._do(step)
                except Interrupted:
                    skipping = True
            else:
                self._dialogue.note(step=number)
            if step.get("step") in ENDINGS:
                skipping = False
        told = self._dialogue.be_in_a_turn()
        self.fail(f"the script of the agent is at its end, and it is told: {told!r}")

    def fail(self, problem: str) -> NoReturn:
        """The script cannot be followed: say so to everybody, and end."""
        self._dialogue.note(problem=problem)
        self._dialogue.end_turn(is_error=True, terminal_reason="script_failed", errors=[problem])
        print(problem, file=sys.stderr)
        sys.exit(1)

    def _do(self, step: Mapping[str, object]) -> None:
        match step:
            case {"step": "says", "text": str(text), "parent": str(parent)}:
                self._dialogue.speak({"type": "text", "text": text}, parent)
            case {"step": "thinks", "text": str(text), "parent": str(parent)}:
                self._dialogue.speak({"type": "thinking", "thinking": text, "signature": ""}, parent)
            case {"step": "uses", "name": str(name), "input": dict(tool_input), "result": str(result), "asks": asks}:
                self._use(name, tool_input, result, asks=bool(asks))
            case {"step": "asks", "input": dict(asked)}:
                self._use("AskUserQuestion", asked, None, asks=True)
            case {
                "step": "calls",
                "use": str(use),
                "name": str(name),
                "input": dict(tool_input),
                "parent": str(parent),
            }:
                self._call(use, name, tool_input, parent)
            case {"step": "asks about", "use": str(use), "name": str(name), "input": dict(asked), "agent": str(agent)}:
                self._dialogue.ask(name, asked, use, agent)
            case {"step": "awaits decision", "use": str(use)}:
                self._dialogue.await_decision(use)
            case {"step": "calls hooks", "event": str(event)}:
                self._dialogue.call_hooks(event)
            case {"step": "calls hook", "call": str(call), "hook": str(hook), **about}:
                match about:
                    case {"use": str(use), "name": str(name), "input": dict(tool_input)}:
                        self._dialogue.call_hook(call, hook, use, name, tool_input)
            case {
                "step": "calls offered",
                "call": str(call),
                "use": str(use),
                "name": str(name),
                "input": dict(given),
            }:
                self._dialogue.call_tool(call, use, name, given)
            case {"step": "awaits answer", "call": str(call)}:
                self._dialogue.await_answer(call)
            case {"step": "returns", "use": str(use), "result": str(result), "is_error": is_error}:
                denied, _ = self._dialogue.decision(use)
                offered = self._dialogue.result(use)
                if offered is not None:
                    result, is_error = offered
                self._return(use, denied or result, is_error=bool(denied or is_error))
            case {"step": "appends", "line": str(line)}:
                append(line)
            case {"step": "delivers", "name": str(name), "base64": str(content), "waits": waits}:
                hand_over(name, base64.b64decode(content))
                if waits:
                    self._dialogue.take_up(f"System: deliverable {name}: ")
            case {"step": "takes up", "beginning": str(beginning)}:
                self._dialogue.take_up(beginning)
            case {"step": "begins"}:
                self._dialogue.begin_unasked()
            case {"step": "waits"}:
                while True:
                    self._dialogue.hear()
            case {"step": "awaits interrupt"}:
                self._dialogue.await_interrupt()
            case {"step": "ends", "cost": float() | int() as cost, "usage": usage, "text": text, "reason": str(reason)}:
                more = {} if text is None else {"result": text}
                self._dialogue.end_turn(cost, usage=usage, terminal_reason=reason, **more)
            case {"step": "fails", "cost": float() | int() as cost, "usage": usage, "error": error, "reason": reason}:
                self._dialogue.end_turn(cost, usage=usage, is_error=True, result=error, terminal_reason=reason)
            case {"step": "exits", "code": int(code)}:
                sys.exit(code)
            case _:
                self.fail(f"a step that the agent does not know: {step!r}")

    def _use(self, name: str, tool_input: Mapping[str, object], result: str | None, *, asks: bool) -> None:
        use = f"toolu_{self._uses + 1}"
        self._call(use, name, tool_input, "")
        behavior = self._dialogue.call_hooks("PreToolUse", use, name, tool_input)
        called_with = self._dialogue.input_for(use, tool_input)
        if behavior == "ask" or (asks and not behavior):
            self._dialogue.ask(name, called_with, use)
            self._dialogue.await_decision(use)
        denied, used = self._dialogue.decision(use)
        if denied:
            self._return(use, denied, is_error=True)
            return
        text, is_error = (json.dumps(used.get("answers", {})) if result is None else result), False
        if self._dialogue.is_offered(name):
            self._dialogue.call_tool(use, use, name, used or called_with)
            self._dialogue.await_answer(use)
            text, is_error = self._dialogue.result(use) or (text, is_error)
        self._dialogue.call_hooks("PostToolUse", use, name, used or called_with)
        self._return(use, text, is_error=is_error)

    def _call(self, use: str, name: str, tool_input: Mapping[str, object], parent: str) -> None:
        self._uses += 1
        self._dialogue.speak({"type": "tool_use", "id": use, "name": name, "input": tool_input}, parent)

    def _return(self, use: str, text: str, *, is_error: bool) -> None:
        self._dialogue.feed({"type": "tool_result", "tool_use_id": use, "content": text, "is_error": is_error})


def append(line: str) -> None:
    """Write a line to the log of the session."""
    with open(os.environ["OPTIO_LOG"], "a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def hand_over(name: str, content: bytes) -> None:
    """Put a file where the session takes it from, and announce it."""
    path = os.path.join(os.environ["OPTIO_DELIVERABLES"], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    append(f"DELIVERABLE: {name}")


def session_of(arguments: Iterable[str]) -> str:
    """The id of its session, as Claude Code takes it from its arguments."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    return given.get("--session-id") or given.get("--resume") or SESSION


def main() -> None:
    """Follow the script until the input ends."""
    script, played, *arguments = sys.argv[1:]
    with open(script, encoding="utf-8") as file, open(played, "a", encoding="ascii") as notes:
        player = Player(Dialogue(notes, session_of(arguments), servers_in(arguments)))
        try:
            player.play(json.load(file))
        except InputEnded:
            pass
        except Exception as error:
            player.fail(f"the agent could not follow its script: {error!r}")
