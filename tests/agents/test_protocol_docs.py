"""docs/protocol.md says what the code does, where a program can tell."""

import os
import re
import subprocess
from pathlib import Path
from typing import get_args

from optio_agents.events import SessionEvent
from optio_agents.protocol.events import DeliverableEvent, DoneEvent, LogEvent, OverlongLine, StatusEvent
from optio_agents.protocol.json_value import MAX_DEPTH
from optio_agents.protocol.keywords import KEYWORDS
from optio_agents.protocol.parser import parse_log_line
from optio_agents.protocol.replies import SHOWN_NAME
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
    assert set(described) == {event.type for event in get_args(SessionEvent)}
    for event in get_args(SessionEvent):
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
