"""What happens in a conversation, as a person reads it: nothing of a question is left out, nothing plays tricks."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

import pytest

from optio_agents.cli.said import said
from optio_agents.conversation.events import ConversationEvent, QuestionAsked, TurnEnded
from optio_agents.events import Record, SessionEvent

LONG = "echo one; " * 500 + "rm -rf /"
SAMPLES: dict[object, Any] = {
    str: "te\x1b[2Jxt", int: 3, float: 0.5, bool: True, str | None: "te\x1bxt", int | None: 3, float | None: 0.5,
    tuple[str, ...]: ("x",), Mapping[str, object]: {"command": "l\x1bs"},
}  # fmt: skip


def sample(kind: type[ConversationEvent]) -> ConversationEvent:
    return kind(**{each.name: SAMPLES[each.type] for each in fields(kind)})


def line(event: SessionEvent, *, verbose: bool = False) -> str | None:
    return said(Record(1, 0.0, "s", "agent", event), verbose=verbose)


@pytest.mark.parametrize("kind", get_args(ConversationEvent), ids=lambda kind: kind.type)
def test_every_event_is_one_line_in_which_nothing_moves_the_cursor(kind: type[ConversationEvent]) -> None:
    text = line(sample(kind), verbose=True)
    assert text
    assert text.isprintable()


def test_a_question_shows_the_whole_of_what_will_run_and_how_to_answer() -> None:
    text = line(QuestionAsked("5f3a0c1e-0000", "permission", "Bash", {"command": LONG}))
    assert text is not None
    assert LONG in text
    assert "optio approve 5f3a0c1e" in text


def test_a_question_with_more_than_a_command_shows_all_of_it() -> None:
    hidden = {"command": "ls", "run_in_background": True}
    assert "run_in_background" in (line(QuestionAsked("q", "permission", "Bash", hidden)) or "")


def test_an_interrupted_turn_is_not_shown_as_a_failure() -> None:
    interrupted = TurnEnded(("t",), "aborted_streaming", True, "", None, 0, 0, ())
    assert line(interrupted) == "the turn was interrupted (aborted_streaming)"
    failed = TurnEnded(("t",), "api_error", True, "API Error: 529", None, 0, 0, ())
    assert line(failed) == "the turn failed (api_error): API Error: 529"
