"""The agent's side of Claude Code's stream-json: turns, questions and interruptions, as far as a script needs them.

Shapes and order of the messages are those of transcripts of Claude Code 2.1.329 and 2.1.330.
"""

import json
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

VERSION = "0.0.0 (fake)"
SETTINGS = ("initialize", "set_model", "set_permission_mode")


class Interrupted(Exception):
    """The turn has ended because somebody wanted it to."""


class InputEnded(Exception):
    """Nobody will say anything any more."""


@dataclass(frozen=True)
class Asked:
    """A question that has no answer yet: of a subagent, or of the agent itself ("")."""

    name: str
    input: Mapping[str, object]
    use: str
    agent: str


class Dialogue:
    """What is said and heard on stdout and stdin.

    Parameters:
        played: the file that is to say what was done and told; each thing stands there before it is answered.
        session: id of the agent's session.
    """

    def __init__(self, played: TextIO, session: str) -> None:
        self._played = played
        self._session = session
        self._waiting: deque[tuple[str, str]] = deque()  # ids and texts that no turn has taken up
        self._turn: list[str] = []  # ids of what the turn is an answer to; none between turns
        self._text = ""
        self._denials: list[dict[str, object]] = []
        self._asked: dict[str, Asked] = {}  # by id of the request
        self._decisions: dict[str, tuple[str, Mapping[str, object]]] = {}  # by use: why not, or "", and the input
        self._awaits_interrupt = False
        self._begun = 0  # turns that nobody has asked for
        self._requests = 0
        self._cost = 0.0

    def be_in_a_turn(self) -> str:
        """Let the next thing that it is told begin a turn, unless there is one; what that was, or ""."""
        return "" if self._turn else self.take_up("")

    def take_up(self, beginning: str) -> str:
        """Take something that begins so into the turn, once it is told, or begin a turn with it; what that was."""
        while True:
            for each in self._waiting:
                told, text = each
                if text.startswith(beginning):
                    self._waiting.remove(each)
                    self._move(told, "started")
                    if self._turn:
                        self._turn.append(told)
                    else:
                        self._begin(told)
                    return text
            self.hear()

    def begin_unasked(self) -> None:
        """Begin a turn that is an answer to nothing."""
        self._begun += 1
        # Without a name in it, its result would be taken for an answer to what was just sent.
        self._begin(f"nobody-{self._begun}")

    def await_interrupt(self) -> None:
        """Return when somebody wants the turn to end; it goes on nevertheless."""
        self._awaits_interrupt = True
        while self._awaits_interrupt:
            self.hear()

    def end_turn(self, cost: float = 0.0, **fields: object) -> None:
        """Answer everything that the turn has taken up; it has cost so many US dollars."""
        self._cost += cost
        answered, self._turn = self._turn, []
        # The driver takes those of the agent itself for withdrawn.
        self._asked = {request: asked for request, asked in self._asked.items() if asked.agent}
        said: dict[str, object] = {
            "subtype": "success", "is_error": False, "result": self._text, "terminal_reason": "completed", "usage": {},
            "errors": [], "total_cost_usd": self._cost, "permission_denials": self._denials,
            "user_message_uuids": answered,
        }  # fmt: skip
        self._say(type="result", **{**said, **fields})
        for each in answered:
            self._move(each, "completed")

    def ask(self, name: str, tool_input: Mapping[str, object], use: str, agent: str = "") -> None:
        """Ask whether a tool may be used."""
        self._requests += 1
        request_id = f"request-{self._requests}"
        request: dict[str, object] = {
            "subtype": "can_use_tool",
            "tool_name": name,
            "input": tool_input,
            "tool_use_id": use,
        }
        if agent:
            request["agent_id"] = agent
        if name in ("AskUserQuestion", "ExitPlanMode"):
            request["requires_user_interaction"] = True
        self._asked[request_id] = Asked(name, tool_input, use, agent)
        self._say(type="control_request", request_id=request_id, request=request)

    def await_decision(self, use: str) -> None:
        """Return when it is told whether it may use a tool, if it has asked."""
        while any(asked.use == use for asked in self._asked.values()):
            self.hear()

    def decision(self, use: str) -> tuple[str, Mapping[str, object]]:
        """What was decided: why not, or "", and what to call it with; what comes later does not count any more."""
        self._asked = {request: asked for request, asked in self._asked.items() if asked.use != use}
        return self._decisions.pop(use, ("", {}))

    def speak(self, block: Mapping[str, object], parent: str = "") -> None:
        """Say a part of what the model says, or that of a subagent, whom the use of a tool has started."""
        if block["type"] == "text" and not parent:
            self._text = str(block["text"])
        message = {"role": "assistant", "content": [block]}
        self._say(type="assistant", message=message, parent_tool_use_id=parent or None)

    def feed(self, block: Mapping[str, object]) -> None:
        """Say what the model is given."""
        self._say(type="user", message={"role": "user", "content": [block]}, parent_tool_use_id=None)

    def note(self, **what: object) -> None:
        """Write down what was done or told."""
        print(json.dumps(what), file=self._played, flush=True)

    def hear(self) -> None:
        """Take the next message. Raises Interrupted in a turn; InputEnded; ValueError for what is not known."""
        line = sys.stdin.readline()
        if not line:
            raise InputEnded
        match json.loads(line):
            case {"type": "user", "uuid": str(told), "message": {"content": str(text)}}:
                self.note(told=text)
                self._waiting.append((told, text))
                self._move(told, "queued")
            case {"type": "control_response", "response": {"request_id": str(asked), **answer}}:
                if asked in self._asked:
                    self._take_answer(self._asked.pop(asked), answer)
            case {"type": "control_request", "request_id": str(request), "request": {"subtype": "interrupt"}}:
                self._interrupt(request)
            case {"type": "control_request", "request_id": str(request), "request": {"subtype": str(subtype)}}:
                if subtype in SETTINGS:
                    self._respond(request, subtype="success", response={})
                else:
                    self._respond(request, subtype="error", error=f"a FakeAgent does not know {subtype}")
            case other:
                raise ValueError(f"this was said to it: {other!r}")

    def _begin(self, told: str) -> None:
        self._turn, self._text, self._denials = [told], "", []
        self._say(
            type="system", subtype="init", model="fake", permissionMode="default", claude_code_version=VERSION,
            user_message_uuids=[told],
        )  # fmt: skip

    def _take_answer(self, asked: Asked, answer: object) -> None:
        message, used, stop = "", asked.input, False
        match answer:
            case {"subtype": "success", "response": {"behavior": "allow", **more}}:
                given = more.get("updatedInput")
                used = given if isinstance(given, dict) else asked.input
            case {"response": {"message": str(reason), **more}}:
                message, stop = reason or "denied", more.get("interrupt") is True
            case {"error": str(reason)}:
                message = reason or "denied"
            case _:
                message = "denied"
        denied = bool(message)
        self.note(
            decided={
                "tool": asked.name, "asked": asked.input, "allowed": not denied, "input": {} if denied else used,
                "message": message,
            }
        )  # fmt: skip
        if denied:
            self._note_denial(asked)
        if stop:
            self._stop()
        else:
            self._decisions[asked.use] = message, used

    def _note_denial(self, asked: Asked) -> None:
        self._denials.append({"tool_name": asked.name, "tool_use_id": asked.use, "tool_input": asked.input})

    def _interrupt(self, request: str) -> None:
        for asked_id, asked in self._asked.items():
            self._say(type="control_cancel_request", request_id=asked_id)
            self._note_denial(asked)
        self._asked = {}
        self._respond(request, subtype="success", response={"still_queued": [told for told, _ in self._waiting]})
        self._stop()

    def _stop(self) -> None:
        if self._awaits_interrupt:
            self._awaits_interrupt = False
        elif self._turn:
            self.end_turn(
                0.0, subtype="error_during_execution", is_error=True, result="", terminal_reason="aborted_tools"
            )
            raise Interrupted

    def _respond(self, request: str, **fields: object) -> None:
        self._say(type="control_response", response={"request_id": request, **fields})

    def _move(self, told: str, state: str) -> None:
        self._say(type="command_lifecycle", command_uuid=told, state=state)

    def _say(self, **message: object) -> None:
        print(json.dumps({**message, "session_id": self._session}), flush=True)
