"""The agent's side of Claude Code's stream-json: turns, questions and interruptions, as far as a script needs them.

Shapes and order of the messages are those of transcripts of Claude Code 2.1.329 and 2.1.330.
"""

import json
import sys
from collections import deque
from collections.abc import Mapping
from typing import TextIO

VERSION = "0.0.0 (fake)"
SETTINGS = ("initialize", "set_model", "set_permission_mode")


class Interrupted(Exception):
    """The turn has ended because somebody wanted it to."""


class InputEnded(Exception):
    """Nobody will say anything any more."""


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
        self._asked = ""  # id of the request that waits for its answer
        self._answer: object = None
        self._requests = 0
        self._cost = 0.0

    def be_in_a_turn(self) -> str:
        """Let the next thing that it is told begin a turn, unless there is one; what that was, or ""."""
        if self._turn:
            return ""
        while not self._waiting:
            self.hear()
        told, text = self._waiting.popleft()
        self._turn, self._text, self._denials = [told], "", []
        self._move(told, "started")
        self._say(
            type="system", subtype="init", model="fake", permissionMode="default", claude_code_version=VERSION,
            user_message_uuids=[told],
        )  # fmt: skip
        return text

    def end_turn(self, cost: float = 0.0, **fields: object) -> None:
        """Answer everything that the turn has taken up; it has cost so many US dollars."""
        self._cost += cost
        answered, self._turn = self._turn, []
        said: dict[str, object] = {
            "subtype": "success", "is_error": False, "result": self._text, "terminal_reason": "completed", "usage": {},
            "errors": [], "total_cost_usd": self._cost, "permission_denials": self._denials,
            "user_message_uuids": answered,
        }  # fmt: skip
        self._say(type="result", **{**said, **fields})
        for each in answered:
            self._move(each, "completed")

    def await_told(self, beginning: str) -> None:
        """Take something that begins so into the turn, once it is told."""
        while True:
            for each in self._waiting:
                told, text = each
                if text.startswith(beginning):
                    self._waiting.remove(each)
                    self._move(told, "started")
                    self._turn.append(told)
                    return
            self.hear()

    def ask(self, name: str, tool_input: Mapping[str, object], use: str) -> tuple[str, Mapping[str, object]]:
        """Ask whether a tool may be used; why not, or "", and what it is to be called with."""
        self._requests += 1
        self._asked, self._answer = f"request-{self._requests}", None
        request: dict[str, object] = {
            "subtype": "can_use_tool",
            "tool_name": name,
            "input": tool_input,
            "tool_use_id": use,
        }
        if name in ("AskUserQuestion", "ExitPlanMode"):
            request["requires_user_interaction"] = True
        self._say(type="control_request", request_id=self._asked, request=request)
        while self._answer is None:
            self.hear()
        self._asked, message, used = "", "", tool_input
        match self._answer:
            case {"subtype": "success", "response": {"behavior": "allow", **more}}:
                given = more.get("updatedInput")
                used = given if isinstance(given, dict) else tool_input
            case {"response": {"message": str(reason)}} | {"error": str(reason)}:
                message = reason or "denied"
            case _:
                message = "denied"
        denied = bool(message)
        self.note(
            decided={
                "tool": name, "asked": tool_input, "allowed": not denied, "input": {} if denied else used,
                "message": message,
            }
        )  # fmt: skip
        if denied:
            self._denials.append({"tool_name": name, "tool_use_id": use, "tool_input": tool_input})
        return message, used

    def speak(self, block: Mapping[str, object]) -> None:
        """Say a part of what the model says."""
        if block["type"] == "text":
            self._text = str(block["text"])
        self._say(type="assistant", message={"role": "assistant", "content": [block]}, parent_tool_use_id=None)

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
                if asked == self._asked:
                    self._answer = answer
            case {"type": "control_request", "request_id": str(request), "request": {"subtype": "interrupt"}}:
                self._interrupt(request)
            case {"type": "control_request", "request_id": str(request), "request": {"subtype": str(subtype)}}:
                if subtype in SETTINGS:
                    self._respond(request, subtype="success", response={})
                else:
                    self._respond(request, subtype="error", error=f"a FakeAgent does not know {subtype}")
            case other:
                raise ValueError(f"this was said to it: {other!r}")

    def _interrupt(self, request: str) -> None:
        if self._asked:
            self._say(type="control_cancel_request", request_id=self._asked)
            self._asked = ""
        self._respond(request, subtype="success", response={"still_queued": [told for told, _ in self._waiting]})
        if self._turn:
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
