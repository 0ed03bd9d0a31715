"""A `FakeAgent` and its session without a process, a host or a clock: its player, heard by a `Dialogue`."""

import hashlib
import io
import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast
from unittest.mock import patch

from optio_agents.conversation.compose import user_line
from optio_agents.conversation.contract import PermissionDecision
from optio_agents.conversation.dialogue import Dialogue
from optio_agents.conversation.events import QuestionAnswered, TurnQueued
from optio_agents.conversation.exchange import HARNESS
from optio_agents.conversation.parse import parse
from optio_agents.conversation.questions import Questions, Settled
from optio_agents.conversation.turns import Turns
from optio_agents.events import (
    Attention,
    DeliverableLanded,
    ErrorReported,
    Finished,
    SessionEnded,
    SessionEvent,
    Status,
    UnknownText,
    event_data,
)
from optio_agents.journal import Question
from optio_agents.protocol.events import AttentionEvent, DoneEvent, ErrorEvent, StatusEvent, UnknownLine
from optio_agents.protocol.parser import parse_log_line
from optio_agents.protocol.replies import deliverable_accepted
from optio_agents.redaction import Redactor
from optio_agents.replay.recorded_turn import Asking, Happened
from optio_agents.testing.player import dialogue, play
from optio_agents.testing.script import to_script
from optio_agents.testing.steps import AwaitsInterrupt, Step, Waits

DENIED, STOPPED, INTERRUPTED = "Denied", "Stopped", "Interrupted"
"""Names of tools that are not allowed: with a reason, and the turn ended, too; and of one that is interrupted."""


class Played:
    """A session in which an agent has followed its script, and has always been told and answered what it waited for.

    Attributes:
        events: of the session.
        questions: that were asked.
        contents: of what was handed over, in order.
        problems: what the agent could not do.
    """

    def __init__(self, steps: Sequence[Step], ids: str) -> None:
        self.events: list[Happened] = []
        self.questions: dict[str, Asking] = {}
        self.contents: list[bytes] = []
        self.problems: list[str] = []
        self._steps = steps
        self._ids = ids
        self._turns = Turns()
        self._open = Questions()
        self._dialogue = Dialogue(self._turns, self._open, Redactor(), "")
        self._at = -1
        self._input: deque[str] = deque()
        self._output = io.StringIO()
        self._sent = 0
        self._run()

    @property
    def shown(self) -> list[tuple[str, str, Mapping[str, object]]]:
        """Source, type and data of each event, with ids that do not depend on how they were chosen."""
        known: dict[str, str] = {}

        def plain(name: str, value: object) -> object:
            if name in ("id", "parent") and value is not None:
                return known.setdefault(str(value), f"id {len(known)}")
            if name == "ids":
                return [known[each] for each in cast("tuple[str, ...]", value)]
            return round(value, 6) if isinstance(value, float) else value

        return [
            (each.source, each.event.type, {name: plain(name, value) for name, value in event_data(each.event).items()})
            for each in self.events
        ]

    def asked(self) -> list[Question]:
        """The questions as the journal has them, in the order that they were asked."""
        documents = {each.id: each for each in (*self._open.open, *self._open._closed.values())}
        return [documents[each] for each in self.questions]

    def _run(self) -> None:
        status, over, script = 0, True, [to_script(each) for each in self._steps]
        with self._in_place(), redirect_stdout(self._output), redirect_stderr(io.StringIO()):
            player = play.Player(dialogue.Dialogue(cast(TextIO, self), "agent-session"))
            try:
                player.play(json.loads(json.dumps(script)))
            except dialogue.InputEnded:
                pass
            except SystemExit as exited:
                status, over = cast(int, exited.code), False
        self._hear()
        for event in self._dialogue.end(0).events:
            self._note("session", event)
        said = [each.event for each in self.events if isinstance(each.event, Finished | ErrorReported)]
        done = isinstance(said[0], Finished) if said else None
        outcome = "done" if done else "closed" if done is None and over else "failed"
        self._note("session", SessionEnded(outcome, None, None, status))

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        with (
            patch.object(sys, "stdin", self),
            patch.object(play, "append", self._append),
            patch.object(play, "hand_over", self._hand_over),
        ):
            yield

    def write(self, text: str) -> None:
        """What the player notes, as the file that it writes to."""
        for line in filter(None, text.splitlines()):
            noted: dict[str, Any] = json.loads(line)
            self._at = noted.get("step", self._at)
            if "problem" in noted:
                self.problems.append(noted["problem"])

    def flush(self) -> None:
        """It is a file to the player."""

    def readline(self) -> str:
        """What the agent is told next: whatever it waits for, as its stdin."""
        self._hear()
        if not self._input:
            self._go_on()
        return self._input.popleft() if self._input else ""

    def _go_on(self) -> None:
        step = self._steps[self._at] if self._at >= 0 else None
        names = {each.id: str(each.data["tool_name"]) for each in self._open.open}
        question = next((each for each in self._open.open if names[each.id] != INTERRUPTED), None)
        if question is None and (isinstance(step, Waits | AwaitsInterrupt) or names):
            if self._at < len(self._steps) - 1:
                self._tell({"type": "control_request", "request_id": "i", "request": {"subtype": "interrupt"}})
        elif question is not None:
            decision = PermissionDecision("allow")
            if names[question.id] in (DENIED, STOPPED):
                decision = PermissionDecision("deny", message="no", interrupt=names[question.id] == STOPPED)
            settled = self._open.settle(question.id, decision, "somebody", 0)
            assert isinstance(settled, Settled)
            self._note("session", QuestionAnswered(question.id, decision.behavior, "somebody", decision.message))
            self._input.append(settled.line.decode())
        elif self._at < len(self._steps) - 1:
            self._send(f"message {self._sent}", "somebody")

    def _send(self, text: str, sender: str) -> None:
        self._sent += 1
        send = f"{self._ids}-{self._sent}"
        self._turns.sent(send)
        self._note("session", TurnQueued(send, text, sender))
        self._input.append(user_line(send, text).decode())

    def _tell(self, message: object) -> None:
        self._input.append(json.dumps(message) + "\n")

    def _hear(self) -> None:
        said = self._output.getvalue()
        self._output.seek(0)
        self._output.truncate()
        for line in said.splitlines():
            heard = self._dialogue.hear(parse(line.encode()), 0)
            for question in heard.questions:
                use, agent = question.data["tool_use_id"], question.data.get("agent_id", "")
                self.questions[question.id] = Asking(str(use), str(agent), question.data["tool_name"] == STOPPED)
            for event in heard.events:
                self._note("agent", event)
            self._input += [each.decode() for each in heard.lines]

    def _append(self, line: str) -> None:
        self._hear()
        said = parse_log_line(line)
        match said:
            case StatusEvent(percent, message):
                self._note("log", Status(percent, message))
            case AttentionEvent(reason):
                self._note("log", Attention(reason))
            case DoneEvent(summary):
                self._note("log", Finished(summary))
            case ErrorEvent(reason):
                self._note("log", ErrorReported(reason))
            case UnknownLine(text):
                self._note("log", UnknownText(text))
            case _:
                raise AssertionError(said)

    def _hand_over(self, name: str, content: bytes) -> None:
        self._hear()
        self.contents.append(content)
        digest = hashlib.sha256(content).hexdigest()
        self._note("log", DeliverableLanded(name, f"/out/{name}", len(content), digest))
        self._send(deliverable_accepted(name, None), HARNESS)

    def _note(self, source: str, event: SessionEvent) -> None:
        self.events.append(Happened(len(self.events) + 1, source, event))
