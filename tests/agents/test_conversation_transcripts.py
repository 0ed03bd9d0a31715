"""Conversations recorded from the real program, heard again: every message is understood, every one has its meaning."""

import json
from pathlib import Path
from typing import Any

import pytest

from optio_agents.conversation.contract import PermissionDecision
from optio_agents.conversation.control import Answered
from optio_agents.conversation.dialogue import Dialogue, Heard
from optio_agents.conversation.events import (
    AgentRetry,
    AgentText,
    QuestionAsked,
    QuestionWithdrawn,
    TurnCancelled,
    TurnEnded,
    TurnStarted,
)
from optio_agents.conversation.messages import HookAsked, McpAsked, Unknown, Unparsed
from optio_agents.conversation.parse import parse
from optio_agents.conversation.questions import Questions, Settled, TooLate
from optio_agents.conversation.turns import Turns
from optio_agents.redaction import Redactor

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.jsonl"))
FAR_AWAY = 1e9


SAME_AS_OURS = [
    {"behavior", "updatedInput"},
    {"behavior", "message"},
    {"behavior", "message", "interrupt"},
]
"""Answers of the recorded client that ours are byte for byte, but for what JSON leaves open."""


class Replay:
    """A transcript, heard by a dialogue that sends what the recorded client sent."""

    def __init__(self, name: str) -> None:
        self.dialogue = Dialogue(Turns(), Questions(), Redactor(), "")
        self.heard: list[Heard] = []
        self.late: list[str] = []
        self.sends: list[str] = []
        path = Path(__file__).parent / "transcripts" / f"{name}.jsonl"
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if entry["dir"] == ">":
                self._send(entry["msg"])
            elif entry["dir"] == "<":
                self.heard.append(self.dialogue.hear(parse(json.dumps(entry["msg"]).encode()), entry["t"]))

    def _send(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "user":
                send = message.get("uuid") or f"without id {len(self.sends)}"
                self.sends.append(send)
                self.dialogue.turns.sent(send)
            case "control_request":
                request = message["request"]
                self.dialogue.control.ask(message["request_id"], request["subtype"], {}, FAR_AWAY)
            case "control_response":
                answer = message["response"].get("response", {})
                if "behavior" in answer:
                    decision = PermissionDecision(
                        answer["behavior"],
                        answer.get("updatedInput"),
                        answer.get("message"),
                        interrupt=answer.get("interrupt", False),
                    )
                    settled = self.dialogue.questions.settle(message["response"]["request_id"], decision, "test", 0)
                    match settled:
                        case Settled(_, line):
                            if answer.keys() in SAME_AS_OURS:
                                assert json.loads(line) == message
                        case TooLate():
                            self.late.append(message["response"]["request_id"])

    def events(self, *kinds: type) -> list[Any]:
        return [event for heard in self.heard for event in heard.events if isinstance(event, kinds)]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for heard in self.heard for line in heard.lines]

    @property
    def answered(self) -> list[Answered]:
        return [heard.answered for heard in self.heard if heard.answered]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_every_recorded_message_is_understood_and_kept_intact(path: Path) -> None:
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if entry["dir"] == "<":
            message = parse(json.dumps(entry["msg"]).encode())
            assert not isinstance(message, Unknown | Unparsed)
            assert message.raw == entry["msg"]  # type: ignore[union-attr]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_every_turn_that_got_a_result_is_over_and_every_request_has_its_answer(path: Path) -> None:
    replay = Replay(path.stem)
    assert not replay.dialogue.turns.pending
    assert replay.dialogue.control.deadline is None
    assert [send for ended in replay.events(TurnEnded) for send in ended.ids] == [
        send for send in replay.sends if send not in {each.id for each in replay.events(TurnCancelled)}
    ]


def test_a_hello_is_a_text_and_a_turn() -> None:
    replay = Replay("hello")
    assert [each.text for each in replay.events(AgentText)] == ["Hello from the fake model.", "I thought."]
    assert [(each.reason, each.is_error) for each in replay.events(TurnEnded)] == [("completed", False)] * 2
    assert replay.dialogue.agent_session == "ba6e47a9-04ed-467f-a4fb-f59c9094fc5b"


def test_two_sends_during_a_turn_are_answered_by_one_result() -> None:
    replay = Replay("two_sends_one_result")
    first, second, third = replay.sends
    assert [each.ids for each in replay.events(TurnEnded)] == [(first,), (second, third)]


def test_a_send_between_two_tools_is_answered_by_the_turn_that_it_came_into() -> None:
    replay = Replay("send_between_tools")
    assert [each.ids for each in replay.events(TurnEnded)] == [tuple(replay.sends)]
    assert [each.id for each in replay.events(TurnStarted)] == replay.sends


def test_what_was_queued_behind_an_interrupted_turn_is_answered_after_it() -> None:
    replay = Replay("interrupt_queued")
    interrupted, queued = replay.sends
    assert [(each.ids, each.reason) for each in replay.events(TurnEnded)] == [
        ((interrupted,), "aborted_streaming"),
        ((queued,), "completed"),
    ]
    assert replay.answered[-1].data == {"still_queued": [queued]}


def test_an_interrupt_when_idle_is_answered_and_no_result_follows() -> None:
    replay = Replay("interrupt_idle")
    assert [each.subtype for each in replay.answered] == ["initialize", "interrupt"]
    assert len(replay.events(TurnEnded)) == 1


def test_a_question_that_an_interrupt_withdrew_is_not_answered_late() -> None:
    replay = Replay("interrupt_perm")
    [asked] = replay.events(QuestionAsked)
    [withdrawn] = replay.events(QuestionWithdrawn)
    assert asked.id == withdrawn.id == replay.late[0]
    assert replay.lines == []


def test_an_error_of_the_api_is_an_error_although_its_result_says_success() -> None:
    replay = Replay("e401")
    assert [(each.reason, each.is_error) for each in replay.events(TurnEnded)] == [
        ("api_error", True),
        ("completed", False),
    ]
    assert [each.status for each in replay.events(AgentRetry)] == [401]


@pytest.mark.parametrize("name", ["hooks", "mcp"])
def test_a_hook_or_a_server_that_is_not_ours_is_refused_and_never_left_waiting(name: str) -> None:
    replay = Replay(name)
    path = Path(__file__).parent / "transcripts" / f"{name}.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    heard = [parse(json.dumps(each["msg"]).encode()) for each in entries if each["dir"] == "<"]
    asked = [each.request for each in heard if isinstance(each, HookAsked | McpAsked)]
    assert asked
    assert [each["response"]["request_id"] for each in replay.lines] == asked
    assert {each["response"]["subtype"] for each in replay.lines} == {"error"}


def test_questions_and_plans_are_told_from_permissions() -> None:
    kinds = {name: Replay(name).events(QuestionAsked)[0].kind for name in ("perm_allow", "ask", "plan")}
    assert kinds == {"perm_allow": "permission", "ask": "question", "plan": "plan"}


def test_questions_hold_everything_that_the_agent_said() -> None:
    path = Path(__file__).parent / "transcripts" / "perm_allow.jsonl"
    entries = [json.loads(line)["msg"] for line in path.read_text().splitlines()]
    [request] = [
        each["request"]
        for each in entries
        if each.get("type") == "control_request" and each["request"]["subtype"] == "can_use_tool"
    ]
    dialogue = Dialogue(Turns(), Questions(), Redactor(), "")
    line = json.dumps({"type": "control_request", "request_id": "r", "request": request})
    [question] = dialogue.hear(parse(line.encode()), 5).questions
    assert (question.data, question.asked, question.status) == (request, 5, "open")
