"""What compat.md promises of the parser, and what no input may do to it."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from optio_agents.protocol.features import ProtocolFeatures
from optio_agents.protocol.keywords import KEYWORDS
from optio_agents.protocol.parser import (
    AttentionEvent,
    BrowserEvent,
    CallerMessageEvent,
    ClientMessageEvent,
    DeliverableEvent,
    DoneEvent,
    ErrorEvent,
    LogEvent,
    OverlongLine,
    StatusEvent,
    UnknownLine,
    event_of_line,
    parse_log_bytes,
    parse_log_line,
)
from optio_host.lines import LineFramer

EVERYTHING = ProtocolFeatures(browser="redirect", client_messages=True, caller_messages=True)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("STATUS: 50% counting", StatusEvent(50, "counting")),
        ("STATUS: 250% counting", StatusEvent(100, "counting")),
        ("STATUS: counting", StatusEvent(None, "counting")),
        ("STATUS: 1234% counting", StatusEvent(None, "1234% counting")),
        ("DELIVERABLE:  ./deliverables/a.md ", DeliverableEvent("./deliverables/a.md")),
        ("DELIVERABLE:", UnknownLine("DELIVERABLE:")),
        ("DONE", DoneEvent(None)),
        ("DONE:", DoneEvent(None)),
        ("DONE: text", DoneEvent("text")),
        ("DONE  ", DoneEvent(None)),
        ("DONE text", UnknownLine("DONE text")),
        ("DONExt", UnknownLine("DONExt")),
        ("ERROR", ErrorEvent(None)),
        ("ERROR: text", ErrorEvent("text")),
        ("ERROR text", UnknownLine("ERROR text")),
        ("ATTENTION:  reason ", AttentionEvent("reason")),
        ('BROWSER: "https://a"', BrowserEvent("https://a")),
        ('CLIENT_MESSAGE: word {"a": 1}', ClientMessageEvent("word", {"a": 1})),
        ("CLIENT_MESSAGE: word {", UnknownLine("CLIENT_MESSAGE: word {")),
        ('CALLER_MESSAGE: word ["a"]', CallerMessageEvent("word", ["a"])),
        ("CALLER_MESSAGE: word [", UnknownLine("CALLER_MESSAGE: word [")),
        ("done", UnknownLine("done")),
        ("anything else", UnknownLine("anything else")),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n", " \t\n"])
def test_a_line_of_the_published_table(line: str, event: LogEvent, end: str) -> None:
    assert parse_log_line(line + end, features=EVERYTHING) == event


@pytest.mark.parametrize("line", ['BROWSER: "https://a"', "CLIENT_MESSAGE: a 1", "CALLER_MESSAGE: a 1"])
def test_a_keyword_that_is_off_is_an_unknown_line(line: str) -> None:
    assert parse_log_line(line) == UnknownLine(line)
    assert parse_log_line(line, features=ProtocolFeatures(browser="suppress")) == UnknownLine(line)
    assert parse_log_line(line, features=EVERYTHING) != UnknownLine(line)


def test_events_and_features_cannot_be_changed() -> None:
    for value in (StatusEvent(1, "x"), UnknownLine("x"), OverlongLine(1, "x"), ProtocolFeatures()):
        with pytest.raises(AttributeError):
            value.message = "y"  # type: ignore[union-attr]


def test_a_browser_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="ignore, suppress, redirect"):
        ProtocolFeatures(browser="open")  # type: ignore[arg-type]


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [101, 1_000, 100_000])
def test_deep_nesting_in_a_message_does_not_escape_as_a_recursion_error(opening: str, depth: int) -> None:
    line = "CLIENT_MESSAGE: a " + opening * depth
    assert parse_log_line(line, features=EVERYTHING) == UnknownLine(line)
    whole = line + "1" + ("]" if opening == "[" else "}") * depth
    assert parse_log_line(whole, features=EVERYTHING) == UnknownLine(whole)


@pytest.mark.parametrize("number", ["9" * 5_000, "9" * 1_000_000, "-" + "9" * 5_000, "1e99999", "NaN", "-Infinity"])
def test_a_number_that_no_double_holds_makes_the_line_unknown(number: str) -> None:
    line = f"CALLER_MESSAGE: a {number}"
    assert parse_log_line(line, features=EVERYTHING) == UnknownLine(line)


def test_a_byte_order_mark_is_dropped_only_at_the_beginning_of_the_file() -> None:
    assert parse_log_bytes(b"\xef\xbb\xbfDONE", first=True) == DoneEvent(None)
    assert parse_log_bytes(b"\xef\xbb\xbfDONE") == UnknownLine("\ufeffDONE")


def test_an_over_long_line_is_no_entry_whatever_it_begins_with() -> None:
    framer = LineFramer()
    lines = framer.feed(b"DONE: " + b"x" * 2_000_000 + b"\nDONE\n")
    events = [event_of_line(line) for line in lines]
    assert events == [OverlongLine(2_000_006, "DONE: " + "x" * 1018), DoneEvent(None)]


WORDS = st.sampled_from([keyword.word for keyword in KEYWORDS])
ENTRIES = st.builds(lambda word, joint, rest: word + joint + rest, WORDS, st.sampled_from(["", ":", ": "]), st.text())
FEATURES = st.builds(
    ProtocolFeatures, st.sampled_from(["ignore", "suppress", "redirect"]), st.booleans(), st.booleans()
)


@given(st.text(alphabet=st.characters(), max_size=200) | ENTRIES, FEATURES)
@example("CLIENT_MESSAGE: a \ud800", EVERYTHING)
@example("DONE\nDONE", EVERYTHING)
def test_no_text_makes_the_parser_raise_and_an_unknown_line_is_whole(line: str, features: ProtocolFeatures) -> None:
    event = parse_log_line(line, features=features)
    if isinstance(event, UnknownLine):
        assert event.text == line.rstrip(" \t\r\n")


@given(st.binary(max_size=200), FEATURES, st.booleans())
def test_no_bytes_make_the_parser_raise(data: bytes, features: ProtocolFeatures, first: bool) -> None:
    parse_log_bytes(data, features=features, first=first)


PIECES = st.sampled_from(
    [b"DONE", b"STATUS: 5% x", b"\n", b"\r\n", b"\r", b"\xef\xbb\xbf", b"\xc3", b"\xa9", b"\0", b"DELIVERABLE: a", b" "]
)
FILES = st.lists(PIECES | st.binary(max_size=5), max_size=30).map(b"".join)


@given(FILES, st.data())
def test_the_events_of_a_file_do_not_depend_on_how_it_is_cut(content: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(content)), max_size=8).map(sorted))
    bounds = [0, *cuts, len(content)]
    pieces = [content[start:end] for start, end in pairwise(bounds)]
    assert _events(pieces) == _events([content]) == _events([bytes([byte]) for byte in content])


def _events(chunks: list[bytes]) -> list[LogEvent | OverlongLine]:
    framer = LineFramer()
    lines = [line for chunk in chunks for line in framer.feed(chunk)]
    if (last := framer.finish()) is not None:
        lines.append(last)
    return [event_of_line(line, features=EVERYTHING, first=number == 0) for number, line in enumerate(lines)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON, st.booleans())
def test_every_json_value_arrives_as_it_was(value: object, escaped: bool) -> None:
    line = f"CLIENT_MESSAGE: word {json.dumps(value, ensure_ascii=escaped)}"
    event = parse_log_bytes(line.encode(), features=EVERYTHING)
    assert isinstance(event, ClientMessageEvent)
    assert json.dumps(event.data) == json.dumps(value)
