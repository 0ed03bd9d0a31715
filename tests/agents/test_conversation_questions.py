"""A question of the agent is answered once, or withdrawn; requests of ours are answered, or run out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optio_agents.conversation.contract import PermissionDecision
from optio_agents.conversation.control import Answered, Control, Unanswered
from optio_agents.conversation.dialogue import TOOL_RETURNED, TURN_ENDED, Dialogue, Heard
from optio_agents.conversation.events import QuestionWithdrawn
from optio_agents.conversation.messages import Response, TurnResult
from optio_agents.conversation.parse import parse
from optio_agents.conversation.questions import KEPT_CLOSED, OPEN_LIMIT, Questions, Settled, TooLate
from optio_agents.conversation.turns import Turns
from optio_agents.journal.documents import Question
from optio_agents.redaction import Redactor

ALLOW = PermissionDecision("allow")
DENY = PermissionDecision("deny", message="not today")
COMMAND = {"command": "echo hi"}


def dialogue(known: tuple[Question, ...] = (), redact: Redactor | None = None) -> Dialogue:
    return Dialogue(Turns(), Questions(known), redact or Redactor(), "")


def ask(made: Dialogue, request: str = "r", **fields: object) -> list[Question]:
    body = {"subtype": "can_use_tool", "tool_name": "Bash", "input": COMMAND, "tool_use_id": "t", **fields}
    line = json.dumps({"type": "control_request", "request_id": request, "request": body})
    return made.hear(parse(line.encode()), 1).questions


def withdraw(made: Dialogue, request: str = "r") -> None:
    made.hear(parse(json.dumps({"type": "control_cancel_request", "request_id": request}).encode()), 2)


def answer(settled: Settled | TooLate) -> dict[str, Any]:
    assert isinstance(settled, Settled)
    response: dict[str, Any] = json.loads(settled.line)["response"]["response"]
    return response


def test_an_allowed_tool_gets_the_input_that_was_asked_about() -> None:
    made = dialogue()
    ask(made)
    assert answer(made.questions.settle("r", ALLOW, "me", 2)) == {"behavior": "allow", "updatedInput": COMMAND}


def test_an_edited_input_is_what_the_tool_gets() -> None:
    made = dialogue()
    ask(made)
    edited = PermissionDecision("allow", updated_input={"command": "ls"})
    assert answer(made.questions.settle("r", edited, "me", 2))["updatedInput"] == {"command": "ls"}


def test_a_denial_says_why_and_a_plain_no_says_something() -> None:
    made = dialogue()
    ask(made, "r")
    ask(made, "s")
    assert answer(made.questions.settle("r", DENY, "me", 2)) == {"behavior": "deny", "message": "not today"}
    assert answer(made.questions.settle("s", PermissionDecision("deny"), "me", 2))["message"]


def test_a_denial_may_end_the_turn_and_an_approval_may_not() -> None:
    made = dialogue()
    ask(made)
    with pytest.raises(ValueError, match="denial"):
        made.questions.settle("r", PermissionDecision("allow", interrupt=True), "me", 2)
    settled = made.questions.settle("r", PermissionDecision("deny", message="stop", interrupt=True), "me", 2)
    assert answer(settled) == {"behavior": "deny", "message": "stop", "interrupt": True}
    assert isinstance(settled, Settled)
    assert settled.question.answer == {"behavior": "deny", "by": "me", "message": "stop", "interrupt": True}


def test_the_first_answer_wins_and_the_second_is_told_whose_it_was() -> None:
    made = dialogue()
    ask(made)
    made.questions.settle("r", ALLOW, "first", 2)
    late = made.questions.settle("r", DENY, "second", 3)
    assert isinstance(late, TooLate)
    assert late.question is not None
    assert late.question.answer == {"behavior": "allow", "by": "first"}


def test_an_answer_to_a_withdrawn_question_is_late_and_is_not_sent() -> None:
    made = dialogue()
    ask(made)
    withdraw(made)
    late = made.questions.settle("r", ALLOW, "me", 3)
    assert isinstance(late, TooLate)
    assert late.question is not None
    assert late.question.status == "withdrawn"


def test_an_answer_to_a_question_that_nobody_asked_is_nothing() -> None:
    assert dialogue().questions.settle("r", ALLOW, "me", 1) == TooLate(None)


@pytest.mark.parametrize("value", [float("nan"), {1}, b"x"])
def test_a_decision_that_cannot_be_sent_leaves_the_question_open(value: object) -> None:
    made = dialogue()
    ask(made)
    with pytest.raises((ValueError, TypeError)):
        made.questions.settle("r", PermissionDecision("allow", updated_input={"x": value}), "me", 2)
    with pytest.raises(ValueError, match="maybe"):
        made.questions.settle("r", PermissionDecision("maybe"), "me", 2)  # type: ignore[arg-type]
    assert answer(made.questions.settle("r", ALLOW, "me", 3))["behavior"] == "allow"


def test_a_secret_in_a_command_is_neither_stored_nor_sent_back_and_never_garbled() -> None:
    made = dialogue(redact=Redactor(["correct-horse"]))
    [question] = ask(made, input={"command": "login correct-horse"})
    assert "correct-horse" not in question.model_dump_json()
    assert answer(made.questions.settle("r", ALLOW, "me", 2)) == {"behavior": "allow"}


def test_a_handler_sees_the_whole_of_what_will_run() -> None:
    made = dialogue(redact=Redactor(["correct-horse"]))
    [question] = ask(made, input={"command": "login correct-horse"})
    request = made.questions.request(question)
    assert (request.tool_name, request.input) == ("Bash", {"command": "login correct-horse"})
    assert request.raw["type"] == "control_request"


def test_the_next_driver_answers_a_question_that_the_last_one_heard() -> None:
    before = dialogue()
    [question] = ask(before)
    after = dialogue((question,))
    assert after.questions.request(question).input == COMMAND
    # What the journal holds may be without secrets: the agent takes what it has asked with.
    assert answer(after.questions.settle("r", ALLOW, "me", 2)) == {"behavior": "allow"}


def test_a_question_that_is_read_again_is_not_asked_again() -> None:
    made = dialogue()
    ask(made)
    assert ask(made) == []
    made.questions.settle("r", ALLOW, "me", 2)
    assert ask(made) == []


def test_a_question_of_a_turn_that_has_ended_is_withdrawn_and_answered_so_that_nothing_hangs() -> None:
    made = dialogue()
    ask(made, "own")
    ask(made, "subagent", agent_id="a1")
    heard = made.hear(TurnResult((), "", False, "completed", (), None, 0, 0, (), "", {}), 5)
    assert [each.id for each in heard.questions] == ["own"]
    [line] = heard.lines
    assert json.loads(line)["response"]["response"] == {"behavior": "deny", "message": TURN_ENDED}
    assert [each.id for each in made.questions.open] == ["subagent"]


def give_back(made: Dialogue, use: str) -> Heard:
    block = {"type": "tool_result", "tool_use_id": use, "content": "permission request failed", "is_error": True}
    return made.hear(parse(json.dumps({"type": "user", "message": {"content": [block]}}).encode()), 3)


def test_a_question_about_a_tool_that_has_given_back_something_waits_for_nobody_and_is_withdrawn() -> None:
    made = dialogue()
    ask(made, "r", tool_use_id="t1", agent_id="a1")  # of a subagent: no end of a turn withdraws it
    ask(made, "s", tool_use_id="t2", agent_id="a1")
    assert give_back(made, "another").questions == []
    heard = give_back(made, "t1")
    assert [(each.id, each.status) for each in heard.questions] == [("r", "withdrawn")]
    assert heard.events[-1] == QuestionWithdrawn("r", TOOL_RETURNED)
    assert heard.lines == []
    assert [each.id for each in made.questions.open] == ["s"]
    assert isinstance(made.questions.settle("r", ALLOW, "me", 4), TooLate)


def test_a_question_that_does_not_say_which_use_of_a_tool_it_is_about_stays_open() -> None:
    made = dialogue()
    ask(made, tool_use_id="")
    assert give_back(made, "").questions == []


def test_the_end_of_the_agent_withdraws_every_question() -> None:
    made = dialogue()
    ask(made, "own")
    ask(made, "subagent", agent_id="a1")
    heard = made.end(9)
    assert [(each.id, each.status) for each in heard.questions] == [("own", "withdrawn"), ("subagent", "withdrawn")]
    assert heard.lines == []


def test_more_questions_than_can_be_open_are_refused_and_not_left_waiting() -> None:
    made = dialogue()
    for number in range(OPEN_LIMIT):
        ask(made, f"r{number}")
    body = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {}}
    heard = made.hear(parse(json.dumps({"type": "control_request", "request_id": "x", "request": body}).encode()), 1)
    assert heard.questions == []
    assert json.loads(heard.lines[0])["response"]["subtype"] == "error"


def test_closed_questions_do_not_pile_up() -> None:
    made = dialogue()
    for number in range(KEPT_CLOSED + 10):
        ask(made, f"r{number}")
        made.questions.settle(f"r{number}", ALLOW, "me", 2)
    assert made.questions.settle("r0", ALLOW, "me", 3) == TooLate(None)
    assert made.questions.settle("r10", ALLOW, "me", 3) != TooLate(None)


IDS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "allow", "deny", "withdraw", "turn", "end", "adopt"]), IDS), max_size=30
)


@given(STEPS)
def test_whatever_happens_each_question_gets_at_most_one_answer_and_never_changes_once_closed(
    steps: list[tuple[str, str]],
) -> None:
    made = dialogue()
    stored: dict[str, Question] = {}
    answers: dict[str, int] = {}
    for step, request in steps:
        changed: list[Question] = []
        match step:
            case "ask":
                changed = ask(made, request)
            case "allow" | "deny":
                settled = made.questions.settle(request, ALLOW if step == "allow" else DENY, "me", 2)
                if isinstance(settled, Settled):
                    changed = [settled.question]
                    answers[request] = answers.get(request, 0) + 1
            case "withdraw":
                withdraw(made, request)
                for question in stored.values():
                    if question.id == request and question.status == "open":
                        stored[request] = question.model_copy(update={"status": "withdrawn"})
            case "turn":
                changed = made.hear(TurnResult((), "", False, "completed", (), None, 0, 0, (), "", {}), 5).questions
            case "end":
                changed = made.end(5).questions
            case "adopt":
                made = dialogue(tuple(stored.values()))
        for question in changed:
            assert question.id not in stored or stored[question.id].status == "open"
            stored[question.id] = question
        assert {each.id for each in made.questions.open} == {
            each.id for each in stored.values() if each.status == "open"
        }
    assert max(answers.values(), default=0) <= 1


def response(request: str, **fields: object) -> Response:
    line = {"type": "control_response", "response": {"request_id": request, "subtype": "success", **fields}}
    message = parse(json.dumps(line).encode())
    assert isinstance(message, Response)
    return message


def test_a_request_is_answered_once() -> None:
    control = Control()
    line = control.ask("1", "interrupt", {}, deadline=10)
    assert json.loads(line) == {"type": "control_request", "request_id": "1", "request": {"subtype": "interrupt"}}
    assert control.take(response("1", response={"x": 1})) == Answered("1", "interrupt", {"x": 1}, None)
    assert control.take(response("1")) is None


def test_a_request_that_is_refused_says_why() -> None:
    control = Control()
    control.ask("1", "set_model", {"model": "x"}, deadline=10)
    answered = control.take(response("1", subtype="error", error="no such model"))
    assert answered is not None
    assert answered.error == "no such model"


def test_a_request_without_an_answer_runs_out_at_its_deadline_and_a_late_answer_is_nothing() -> None:
    control = Control()
    control.ask("1", "interrupt", {}, deadline=10)
    control.ask("2", "initialize", {}, deadline=60)
    assert control.deadline == 10
    assert control.expire(9.9) == ()
    assert control.expire(10) == (Unanswered("1", "interrupt"),)
    assert control.take(response("1")) is None
    assert control.end() == (Unanswered("2", "initialize"),)
    assert control.deadline is None
