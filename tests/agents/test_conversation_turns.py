"""What is pending is a set of message ids: results are neither counted nor taken for granted."""

from hypothesis import given
from hypothesis import strategies as st

from optio_agents.conversation.messages import SendMoved, SendState, TurnResult
from optio_agents.conversation.turns import SendCancelled, SendStarted, TurnOver, Turns

STATES: tuple[SendState, ...] = ("queued", "started", "completed", "cancelled")


def result(*sends: str) -> TurnResult:
    return TurnResult(sends, "text", False, "completed", (), None, 1, 1, (), "session", {})


def moved(send: str, state: SendState) -> SendMoved:
    return SendMoved(send, state, {})


def turns(*sends: str) -> Turns:
    made = Turns()
    for send in sends:
        made.sent(send)
    return made


def test_a_result_that_names_two_sends_answers_both_and_no_third() -> None:
    made = turns("a", "b", "c")
    made.take(moved("c", "queued"))
    assert made.take(result("a", "b")) == (TurnOver(("a", "b"), result("a", "b")),)
    assert list(made.standing) == ["c"]


def test_a_turn_that_nobody_asked_for_answers_nothing_that_is_queued() -> None:
    made = turns("a")
    made.take(moved("a", "queued"))
    assert made.take(result()) == (TurnOver((), result()),)
    assert made.pending


def test_a_send_is_not_answered_before_the_result_although_it_is_completed() -> None:
    made = turns("a")
    made.take(moved("a", "started"))
    made.take(moved("a", "completed"))
    assert made.pending
    assert made.take(result("other")) == (TurnOver(("a",), result("other")),)


def test_a_version_that_names_nothing_is_judged_by_what_was_started() -> None:
    made = turns("a", "b", "c")
    assert made.take(moved("a", "started")) == (SendStarted("a"),)
    made.take(moved("b", "started"))
    made.take(moved("c", "queued"))
    assert made.take(result()) == (TurnOver(("a", "b"), result()),)
    assert list(made.standing) == ["c"]


def test_a_version_that_tells_nothing_is_taken_to_answer_in_order() -> None:
    made = turns("a", "b")
    assert made.take(result()) == (TurnOver(("a",), result()),)
    assert made.take(result()) == (TurnOver(("b",), result()),)
    assert made.take(result()) == (TurnOver((), result()),)


def test_a_turn_that_nobody_asked_for_does_not_answer_what_was_just_sent() -> None:
    made = turns("a")
    made.take(moved("a", "started"))
    assert made.take(result("a")) == (TurnOver(("a",), result("a")),)
    made.sent("b")
    assert made.current is None
    assert made.take(result()) == (TurnOver((), result()),)
    again = Turns(made.standing, tells=made.tells)
    assert again.take(result()) == (TurnOver((), result()),)
    assert list(again.standing) == ["b"]


def test_a_cancelled_send_gets_no_answer() -> None:
    made = turns("a")
    assert made.take(moved("a", "cancelled")) == (SendCancelled("a"),)
    assert not made.pending


def test_what_is_told_after_the_answer_changes_nothing() -> None:
    made = turns("a")
    made.take(result("a"))
    assert [made.take(moved("a", state)) for state in STATES] == [()] * 4
    assert not made.pending


def test_the_end_of_the_agent_leaves_nothing_pending() -> None:
    made = turns("a", "b")
    assert made.end() == (SendCancelled("a"), SendCancelled("b"))
    assert not made.pending


def test_the_next_driver_goes_on_with_what_was_noted() -> None:
    made = turns("a", "b")
    made.take(moved("a", "started"))
    again = Turns(made.standing)
    assert again.take(result()) == made.take(result())
    assert again.standing == made.standing


SENDS = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.lists(
    st.one_of(
        SENDS.map(lambda send: send),
        st.builds(moved, SENDS, st.sampled_from(STATES)),
        st.lists(SENDS, max_size=3).map(lambda sends: result(*sends)),
    ),
    max_size=30,
)


@given(STEPS)
def test_every_send_is_over_once_and_pending_is_what_was_sent_without_what_is_over(
    steps: list[str | SendMoved | TurnResult],
) -> None:
    made = Turns()
    open_sends: set[str] = set()
    for step in steps:
        if isinstance(step, str):
            made.sent(step)
            open_sends.add(step)
            continue
        before = dict(made.standing)
        for event in made.take(step):
            over = event.sends if isinstance(event, TurnOver) else (event.send,) * isinstance(event, SendCancelled)
            assert len(set(over)) == len(over)
            assert open_sends.issuperset(over)
            open_sends.difference_update(over)
            if isinstance(step, TurnResult):
                assert not {send for send in step.sends if send in before} - set(over)
        assert set(made.standing) == open_sends
        assert made.pending == bool(open_sends)
