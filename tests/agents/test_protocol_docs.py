"""docs/protocol.md says what the code does, where a program can tell."""

import os
import re
import subprocess
from pathlib import Path
from typing import get_args

from optio_agents.delivery import HOOK_LIMIT
from optio_agents.drive import GRACE, TERMINATE_GRACE
from optio_agents.events import Other, SessionEvent
from optio_agents.protocol.events import DeliverableEvent, DoneEvent, LogEvent, OverlongLine, StatusEvent
from optio_agents.protocol.json_value import MAX_DEPTH
from optio_agents.protocol.keywords import KEYWORDS
from optio_agents.protocol.limits import DEFAULT_LIMITS
from optio_agents.protocol.parser import parse_log_line
from optio_agents.protocol.replies import SHOWN_NAME
from optio_agents.protocol.session import CALLER_MESSAGE_QUEUE_BOUND, DELIVERABLE_QUEUE_BOUND, LATE_LINES
from optio_host.lines import DEFAULT_LINE_LIMIT, HEAD_BYTES

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())


def section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]


def first_column(text: str) -> list[str]:
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]*)`", row)]


def test_the_grammar_has_every_keyword_and_no_other() -> None:
    assert sorted(re.findall(r'%s"([A-Z_]+):?"', section("Entries"))) == sorted(keyword.word for keyword in KEYWORDS)


def test_the_event_stream_has_every_type_with_its_fields_and_no_other() -> None:
    described = dict(re.findall(r"^\| `([a-z._]+)` \| (.*) \|$", section("Events for other programs"), re.MULTILINE))
    known = [event for event in get_args(SessionEvent) if event is not Other]
    assert set(described) == {event.type for event in known}
    for event in known:
        for field in event.__dataclass_fields__.values():
            if "ClassVar" not in str(field.type):
                assert f"`{field.name}`" in described[event.type], f"{event.type}.{field.name}"


def test_the_vectors_have_a_type_for_every_event() -> None:
    assert len(first_column(section("Test vectors"))) == len(get_args(LogEvent | OverlongLine))


def test_the_limits_are_those_of_the_code() -> None:
    assert f"at most {DEFAULT_LINE_LIMIT:,} bytes" in PROSE
    assert f"its first {HEAD_BYTES:,} bytes" in PROSE
    assert f"more than {MAX_DEPTH} deep" in PROSE
    assert f"above {SHOWN_NAME} characters" in PROSE


def test_the_times_and_bounds_of_both_harnesses_are_those_of_the_code() -> None:
    table = section("Order and ends")
    assert DELIVERABLE_QUEUE_BOUND == CALLER_MESSAGE_QUEUE_BOUND
    assert f"When {DELIVERABLE_QUEUE_BOUND} wait, reading pauses" in table
    assert f"for {HOOK_LIMIT:g} s at most. | While reading has paused for {DEFAULT_LIMITS.look_ahead:g} s" in table
    assert f"{DEFAULT_LIMITS.grace:g} s after the body has returned" in table
    assert f"{GRACE:g} s for the program to exit" in table
    assert f"KILL {TERMINATE_GRACE:g} s later" in table
    assert f"what can be read in {TERMINATE_GRACE:g} s. | At most {LATE_LINES:,}." in table
    assert f"Is worked on for {DEFAULT_LIMITS.drain:g} s at most" in table
    assert f"may take {DEFAULT_LIMITS.last_words:g} s more" in table
    assert f"Each may take {DEFAULT_LIMITS.context:g} s" in table
    assert f"takes longer than {DEFAULT_LIMITS.callback:g} s, is a failure of the harness" in PROSE


def test_the_example_is_a_working_agent(tmp_path: Path) -> None:
    script = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)[0]
    (tmp_path / "deliverables").mkdir()
    names = {"OPTIO_LOG": f"{tmp_path}/optio.log", "OPTIO_DELIVERABLES": f"{tmp_path}/deliverables"}
    subprocess.run(["/bin/sh", "-c", script], env={**os.environ, **names}, check=True, timeout=30)
    lines = (tmp_path / "optio.log").read_text().splitlines()
    assert [parse_log_line(line) for line in lines] == [
        StatusEvent(10, "counting"),
        DeliverableEvent(f"{tmp_path}/deliverables/files.txt"),
        DoneEvent("one list of files"),
    ]
    assert (tmp_path / "deliverables" / "files.txt").exists()
