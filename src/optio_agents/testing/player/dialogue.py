"""The agent's side of Claude Code's stream-json: turns, questions and interruptions, as far as a script needs them.

Shapes and order of the messages are those of transcripts of Claude Code 2.1.329 and 2.1.330.
"""

import json
import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from .registered import Called, Registered, hooks_in

VERSION = "0.0.0 (fake)"
SETTINGS = ("set_model", "set_permission_mode")


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
        servers: whose tools its driver has.
    """

    def __init__(self, played: TextIO, session: str, servers: Sequence[str] = ()) -> None:
        self._played = played
        self._session = session
        self._waiting: deque[tuple[str, str]] = deque()  # ids and texts that no turn has taken up
        self._turn: list[str] = []  # ids of what the turn is an answer to; none between turns
        self._text = ""
        self._denials: list[dict[str, object]] = []
        self._asked: dict[str, Asked] = {}  # by id of the request
        self._decisions: dict[str, tuple[str, Mapping[str, object]]] = {}  # by use: why not, or "", and the input
        self._awaits_interrupt = False
        self._servers = servers
        self._hooks: dict[str, Registered] = {}
        self._calls: dict[str, Called] = {}  # by id of the request
        self._behaviors: dict[str, list[str]] = {}  # by use: what its hooks have said
        self._inputs: dict[str, Mapping[str, object]] = {}  # by use: what a hook has it called with
        self._results: dict[str, tuple[str, bool]] = {}  # by use: what a tool of the driver's gave back
        self._prompt = ""
        self._kept_going = False
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
                    self._prompt = text
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

    def call_hook(self, call: str, hook: str, use: str, name: str, tool_input: Mapping[str, object]) -> None:
        """Call a hook of the driver's. Raises ValueError when it has none of this name."""
        if hook not in self._hooks:
            raise ValueError(f"the session has no hook {hook}")
        event = self._hooks[hook].event
        said: dict[str, object] = {"hook_event_name": event, "cwd": os.getcwd(), "permission_mode": "default"}
        match event:
            case "UserPromptSubmit":
                said["prompt"] = self._prompt
            case "Stop":
                said.update(last_assistant_message=self._text, stop_hook_active=self._kept_going)
            case _:
                said.update(tool_name=name, tool_input=tool_input, tool_use_id=use)
                if event == "PostToolUse":
                    said["tool_input"] = self.input_for(use, tool_input)
                    said["tool_response"] = self._results.get(use, ("", False))[0]
        self._request(
            Called(call, hook, event, use, name), {"subtype": "hook_callback", "callback_id": hook, "input": said}
        )

    def call_hooks(self, event: str, use: str = "", name: str = "", tool_input: Mapping[str, object] = {}) -> str:
        """Call all hooks that are for this, and wait for what they say: the strictest of it, or ""."""
        for hook, registered in self._hooks.items():
            if registered.is_for(event, name):
                self.call_hook(f"{hook} {use}", hook, use, name, tool_input)
                self.await_answer(f"{hook} {use}")
        said = self._behaviors.pop(use, [])
        return next((each for each in ("deny", "ask", "allow") if each in said), "")

    def is_offered(self, name: str) -> bool:
        """Whether a tool is one of the driver's."""
        return any(name.startswith(f"mcp__{each}__") for each in self._servers)

    def call_tool(self, call: str, use: str, name: str, arguments: Mapping[str, object]) -> None:
        """Call a tool of the driver's. Raises ValueError when it has none of this name."""
        server = next((each for each in self._servers if name.startswith(f"mcp__{each}__")), None)
        if server is None:
            raise ValueError(f"the session has no tool {name}")
        rpc = self._requests + 1
        params = {
            "name": name.removeprefix(f"mcp__{server}__"), "arguments": arguments,
            "_meta": {"claudecode/toolUseId": use},
        }  # fmt: skip
        message = {"jsonrpc": "2.0", "id": rpc, "method": "tools/call", "params": params}
        self._request(
            Called(call, "", "", use, name, rpc, server),
            {"subtype": "mcp_message", "server_name": server, "message": message},
        )

    def await_answer(self, call: str) -> None:
        """Return when a hook or a tool has answered, if it was called."""
        while any(each.call == call for each in self._calls.values()):
            self.hear()

    def input_for(self, use: str, tool_input: Mapping[str, object]) -> Mapping[str, object]:
        """What a tool is called with, after what hooks have said."""
        return self._inputs.get(use, tool_input)

    def result(self, use: str) -> tuple[str, bool] | None:
        """What a tool of the driver's gave back, and whether it failed; None when it was not called."""
        return self._results.pop(use, None)

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
                elif asked in self._calls:
                    self._take_call(self._calls.pop(asked), _named(answer))
            case {"request_id": str(request), "request": {"subtype": "initialize", **registered}}:
                self._hooks = hooks_in(_named(registered))
                self._respond(request, subtype="success", response={})
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
        self._turn, self._text, self._denials, self._kept_going = [told], "", [], False
        self._say(
            type="system", subtype="init", model="fake", permissionMode="default", claude_code_version=VERSION,
            user_message_uuids=[told],
        )  # fmt: skip

    def _take_call(self, called: Called, answer: Mapping[str, object]) -> None:
        response = answer.get("response")
        said: dict[str, object] = response if isinstance(response, dict) else {}
        if not called.hook:
            match said.get("mcp_response"):
                case {"result": {"content": [{"text": str(text)}, *_], **more}}:
                    self._results[called.use] = text, more.get("isError") is True
                case {"error": {"message": str(reason)}}:
                    self._results[called.use] = reason, True
                case _:
                    self._results[called.use] = str(answer.get("error", "no answer")), True
            return
        self.note(hooked={"event": called.event, "hook": called.hook, "tool": called.tool, "answer": said})
        match said:
            case {"decision": "block", "reason": str(reason)} if called.event == "UserPromptSubmit":
                text = f"UserPromptSubmit operation blocked by hook:\n{reason}\n\nOriginal prompt: {self._prompt}"
                self.end_turn(result=text, terminal_reason=None)
                raise Interrupted
            case {"decision": "block"}:
                self._kept_going = True
            case {"hookSpecificOutput": {"hookEventName": "PreToolUse", **more}}:
                behavior, changed = more.get("permissionDecision"), more.get("updatedInput")
                self._behaviors.setdefault(called.use, []).append(str(behavior))
                if isinstance(changed, dict):
                    self._inputs[called.use] = changed
                if behavior == "deny":
                    why = more.get("permissionDecisionReason")
                    self._decisions[called.use] = f"PreToolUse:{called.tool} hook error: {why}", {}
                    self._denials.append({"tool_name": called.tool, "tool_use_id": called.use})

    def _request(self, called: Called, request: Mapping[str, object]) -> None:
        self._requests += 1
        request_id = f"request-{self._requests}"
        self._calls[request_id] = called
        self._say(type="control_request", request_id=request_id, request=request)

    def _withdraw_calls(self) -> None:
        for request, called in self._calls.items():
            if called.hook:
                self._say(type="control_cancel_request", request_id=request)
            else:
                self._requests += 1
                params = {"requestId": called.rpc, "reason": "interrupted"}
                message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
                body = {"subtype": "mcp_message", "server_name": called.server, "message": message}
                self._say(type="control_request", request_id=f"request-{self._requests}", request=body)
        self._calls = {}

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
        self._withdraw_calls()
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


def _named(value: Mapping[object, object]) -> dict[str, object]:
    return {str(name): each for name, each in value.items()}
