"""What is allowed for the rest of a session: the very same again, and nothing wider."""

import pytest
from conversation_rig import ConversationRig, Rule, run
from conversation_rig import rig as rig
from fake_claude import asked, result
from hypothesis import given
from hypothesis import strategies as st

from optio_agents.conversation.always import LIMIT, allowed_from_now, is_allowed
from optio_agents.conversation.contract import PermissionDecision
from optio_agents.conversation.exchange import RULE
from optio_agents.journal import Allowed, Question

USER = '"type":"user"'
ALWAYS = PermissionDecision("allow", always=True)


def question(tool: str = "Bash", kind: str = "permission", **tool_input: object) -> Question:
    return Question(id="q", kind=kind, data={"tool_name": tool, "input": tool_input}, asked=0.0)  # type: ignore[dict-item]


def test_the_same_command_is_allowed_however_it_is_described_and_no_other_is() -> None:
    known = allowed_from_now(question(command="make test", description="run the tests"), ())
    assert is_allowed(question(command="make test", description="again"), known)
    assert is_allowed(question(command="make test"), known)
    assert not is_allowed(question(command="make test && rm -rf /"), known)
    assert not is_allowed(question(command="make test", run_in_background=True), known)
    assert not is_allowed(question("Other", command="make test"), known)


def test_the_same_file_is_allowed_whatever_is_written_to_it_and_no_other_is() -> None:
    known = allowed_from_now(question("Write", file_path="/srv/a.txt", content="one"), ())
    assert is_allowed(question("Write", file_path="/srv/a.txt", content="two"), known)
    assert not is_allowed(question("Write", file_path="/srv/b.txt", content="one"), known)
    assert not is_allowed(question("Edit", file_path="/srv/a.txt", content="one"), known)


def test_another_tool_that_names_a_file_is_allowed_with_the_very_same_input_alone() -> None:
    known = allowed_from_now(question("mcp__exec__run", file_path="/srv/t.sh", args=["--check"], times=1), ())
    assert is_allowed(question("mcp__exec__run", file_path="/srv/t.sh", args=["--check"], times=1), known)
    assert not is_allowed(question("mcp__exec__run", file_path="/srv/t.sh", args=["--delete-all"], times=1), known)
    assert not is_allowed(question("mcp__exec__run", file_path="/srv/t.sh", args=["--check"], times=True), known)


@pytest.mark.parametrize(
    ("asked_about", "words"),
    [
        (question("AskUserQuestion", kind="question", questions=[]), "answered once"),
        (question("ExitPlanMode", kind="plan", plan="x"), "answered once"),
        (question(command="curl -H 'Key: [redacted]'"), "secret"),
    ],
)
def test_what_can_only_be_answered_once_cannot_always_be_allowed(asked_about: Question, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        allowed_from_now(asked_about, ())


def test_what_is_allowed_has_a_bound_and_is_kept_once() -> None:
    known = allowed_from_now(question(command="0"), ())
    assert allowed_from_now(question(command="0"), known) == known
    for number in range(1, LIMIT):
        known = allowed_from_now(question(command=str(number)), known)
    with pytest.raises(ValueError, match="already"):
        allowed_from_now(question(command="one more"), known)


INPUTS = st.dictionaries(
    st.sampled_from(["command", "url", "description", "timeout"]), st.text(max_size=3) | st.booleans()
)


@given(INPUTS, INPUTS)
def test_two_uses_are_the_same_only_if_all_but_their_descriptions_is(
    first: dict[str, object], second: dict[str, object]
) -> None:
    known = allowed_from_now(question(**first), ())
    same = {**first, "description": ""} == {**second, "description": ""}
    assert is_allowed(question(**second), known) == same


def test_what_is_always_allowed_is_not_asked_again_by_this_driver_or_the_next(rig: ConversationRig) -> None:
    again = Rule(USER, asked("ID"))
    over = Rule('"behavior":"allow"', result(user_message_uuids=[]))

    async def body() -> None:
        async with rig.talking(rig.agent(again, over)) as talking:
            session = talking.session.id
            await talking.conversation.send("one")
            asked_first = (await rig.until_event(session, "question.asked")).event
            first = talking.conversation.questions[0].id
            await talking.conversation.answer(first, ALWAYS)
            await rig.until_event(session, "turn.ended")
            assert (await talking.conversation.ask("two")).reason == "completed"
            await talking.session.leave("another one goes on")
            await talking.driving.over.wait()
            adopted = await rig.adopt(session)
            async with rig.driven(adopted):
                assert (await adopted.conversation.ask("three")).reason == "completed"
            await rig.stop(session)
            answers = [each for each in await rig.history(session) if each.event.type == "question.answered"]
            assert [getattr(each.event, "by", "") for each in answers[1:]] == [RULE, RULE]
            assert asked_first.type == "question.asked"
            record = (await rig.store.snapshot(session)).record.conversation
            assert record is not None
            assert record.allowed == (Allowed(tool="Bash", input={"command": "true"}),)

    run(body)


def test_of_two_that_wait_for_the_same_both_are_answered(rig: ConversationRig) -> None:
    both = Rule(USER, asked("q1"), asked("q2"), asked("q3", input={"command": "false"}))

    async def body() -> None:
        async with rig.talking(rig.agent(both)) as talking:
            await talking.conversation.send("go")
            await rig.until_event(talking.session.id, "question.asked", 3)
            await talking.conversation.answer("q1", ALWAYS)
            assert [each.id for each in talking.conversation.questions] == ["q3"]
            await talking.conversation.answer("q3", PermissionDecision("deny"))
            await talking.conversation.close()
            assert [len(talking.answers_to(each)) for each in ("q1", "q2", "q3")] == [1, 1, 1]

    run(body)


@pytest.mark.parametrize(
    "decision",
    [
        PermissionDecision("deny", always=True),
        PermissionDecision("allow", {"command": "other"}, always=True),
    ],
)
def test_a_decision_that_cannot_always_hold_leaves_the_question_open(
    rig: ConversationRig, decision: PermissionDecision
) -> None:
    async def body() -> None:
        async with rig.talking(rig.agent(Rule(USER, asked("q1")))) as talking:
            await talking.conversation.send("go")
            await rig.until_event(talking.session.id, "question.asked")
            with pytest.raises(ValueError, match="once"):
                await talking.conversation.answer("q1", decision)
            assert [each.id for each in talking.conversation.questions] == ["q1"]
            assert talking.session.record.conversation is not None
            assert talking.session.record.conversation.allowed == ()

    run(body)
