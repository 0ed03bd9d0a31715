"""Lines from the agent: nothing that arrives ends anything, and what is not understood is passed on whole."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optio_agents.conversation.compose import answer_line, encode, refusal_line, request_line, user_line
from optio_agents.conversation.dialogue import Dialogue
from optio_agents.conversation.messages import Overlong, Requested, SystemNote, Unknown, Unparsed
from optio_agents.conversation.parse import MAX_DEPTH, message_of, parse
from optio_agents.conversation.questions import Questions
from optio_agents.conversation.turns import Turns
from optio_agents.events import event_data
from optio_agents.journal.documents import to_json
from optio_agents.redaction import Redactor, redacted_json
from optio_host.lines import LongLine

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
RECORDED = [
    json.loads(line)["msg"]
    for path in sorted((Path(__file__).parent / "transcripts").glob("*.jsonl"))
    for line in path.read_text().splitlines()
    if json.loads(line)["dir"] == "<" and len(line) < 3000
]


def hear(line: bytes) -> None:
    """All that a session does with a line, up to what it stores and says."""
    heard = Dialogue(Turns({"a": "sent"}), Questions(), Redactor(), "").hear(parse(line), 1.0)
    for event in heard.events:
        to_json(redacted_json(Redactor(), dict(event_data(event))))
    for said in heard.lines:
        assert said.endswith(b"\n")
        json.loads(said)


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise_and_noise_is_kept_byte_for_byte(line: bytes) -> None:
    message = parse(line)
    assert isinstance(message, Unparsed)
    assert message.line == line
    hear(line)


@given(st.sampled_from(RECORDED), st.data())
def test_no_message_with_fields_of_the_wrong_kind_makes_it_raise(
    message: dict[str, object], data: st.DataObject
) -> None:
    broken = json.loads(json.dumps(message))
    at = broken
    while True:
        key = data.draw(st.sampled_from(sorted(at)))
        if isinstance(at[key], dict) and at[key] and data.draw(st.booleans()):
            at = at[key]
        else:
            at[key] = data.draw(JSON)
            break
    hear(json.dumps(broken).encode())


@given(JSON)
def test_any_json_comes_through_whole(value: object) -> None:
    line = json.dumps(value).encode()
    match parse(line):
        case Unparsed(kept, _, _):
            assert kept == line
        case message:
            assert message.raw == value  # type: ignore[union-attr]
    hear(line)


@pytest.mark.parametrize(
    "line",
    [b"123", b"null", b"[]", b'"text"', b"", b"\0", b'{"type": "system"', b"{} {}", b"{}\x0b", b"\xc2\xa0{}", b"NaN"],
)
def test_a_line_that_is_no_object_is_noise(line: bytes) -> None:
    assert isinstance(parse(line), Unparsed)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_a_number_that_could_not_be_written_again_is_noise(number: bytes) -> None:
    assert isinstance(parse(b'{"type": "result", "total_cost_usd": ' + number + b"}"), Unparsed)


def test_a_byte_order_mark_is_no_part_of_a_message() -> None:
    assert isinstance(parse(b'\xef\xbb\xbf{"type": "system", "subtype": "status"}'), SystemNote)


def test_blanks_around_a_message_are_no_part_of_it() -> None:
    assert isinstance(parse(b' \t{"type": "system", "subtype": "status"} \r'), SystemNote)


def test_a_type_that_is_not_known_is_kept_whole() -> None:
    assert parse(b'{"type": "news", "x": 1}') == Unknown("news", "a type that is not known", {"type": "news", "x": 1})


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_a_request_that_is_nested_too_deep_is_refused_and_ends_nothing(depth: int) -> None:
    line = b'{"type":"control_request","request_id":"r1","request":{"x":' + b"[" * depth + b"]" * depth + b"}}"
    message = parse(line)
    assert isinstance(message, Unparsed)
    assert message.request == "r1"
    hear(line)


def test_a_request_that_is_too_long_to_be_read_is_refused_by_its_id() -> None:
    head = b'{"type":"control_request","request_id":"r1","request":{"subtype":"can_use_tool","input":"xxxxx'
    message = message_of(LongLine(100_000_000, head, 0))
    assert message == Overlong(100_000_000, head, "r1")
    [line] = Dialogue(Turns(), Questions(), Redactor(), "").hear(message, 0).lines
    assert json.loads(line)["response"]["request_id"] == "r1"


def test_a_permission_request_of_another_shape_is_refused_and_not_left_waiting() -> None:
    line = b'{"type":"control_request","request_id":"r1","request":{"subtype":"can_use_tool","tool_name":5}}'
    message = parse(line)
    assert isinstance(message, Requested)
    assert Dialogue(Turns(), Questions(), Redactor(), "").hear(message, 0).lines


def test_an_id_that_no_store_takes_is_no_id() -> None:
    assert isinstance(parse(rb'{"type":"control_cancel_request","request_id":"\ud800"}'), Unknown)


@given(st.text(), st.text())
def test_what_is_said_is_one_line_of_ascii_whatever_it_says(send: str, text: str) -> None:
    for line in (
        user_line(send, text),
        request_line(send, text, {}),
        refusal_line(send, text),
        answer_line(send, {text: 1}),
    ):
        assert line.isascii()
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        json.loads(line)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}])
def test_what_json_does_not_have_is_refused_and_not_written(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode({"x": value})
