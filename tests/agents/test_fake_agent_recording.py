"""What cannot be replayed is refused or named: nothing is left out of a recording in silence."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from optio_agents.journal import (
    Batch,
    ConversationDocument,
    Driver,
    JsonObject,
    NewEvent,
    Question,
    SessionRecord,
    export_lines,
)
from optio_agents.journal.memory import MemoryStore
from optio_agents.testing import (
    Appends,
    AtOnce,
    AwaitsInterrupt,
    BeginsTurn,
    Delivers,
    EndsTurn,
    Exits,
    Fails,
    FakeAgent,
    NotReplayable,
    Recording,
    ReturnsFrom,
    Says,
    Step,
    TakesUp,
    Waits,
)

Said = tuple[str, str, JsonObject]
QUEUED: Said = ("session", "turn.queued", {"id": "1", "text": "hi", "sender": "somebody"})
STARTED: Said = ("agent", "turn.started", {"id": "1"})
HELLO: Said = ("agent", "agent.text", {"text": "Hello.", "parent": None})
LANDED: Said = ("log", "deliverable", {"name": "a.md", "path": "/out/a.md", "size": 3, "sha256": "0"})
STOPPED: Said = ("session", "stop", {"reason": "enough"})
CUT_OFF: Said = ("agent", "tool.result", {"id": "u", "text": "no", "size": 2, "is_error": True})
ABORTED = "aborted_tools"
LINE: Said = ("log", "line", {"text": "x"})
SAYS = (Says("Hello."),)


def ended(*ids: str, **more: Any) -> Said:
    data: JsonObject = {
        "ids": list(ids), "reason": "completed", "is_error": False, "text": "Hello.", "cost_usd": None,
        "input_tokens": 0, "output_tokens": 0, "denied": [], **more,
    }  # fmt: skip
    return "agent", "turn.ended", data


def over(outcome: str, status: int | None = 0) -> Said:
    return "session", "session.ended", {"outcome": outcome, "reason": None, "summary": None, "exit": status}


def exported(directory: Path, *said: Said, conversation: bool = True) -> Path:
    """The export of a session in which this was said."""
    file = directory / "session.jsonl"

    async def body() -> None:
        store = MemoryStore()
        holds = ConversationDocument(dialect="claude") if conversation else None
        record = SessionRecord(id="s", host="h", agent="a", created=1.0, conversation=holds)
        lease = await store.create(record, Driver(id="d", hostname="h", pid=1))
        events = tuple(NewEvent(kind, data, 1.0, source) for source, kind, data in said)
        question = Question(id="q", kind="permission", data={"tool_use_id": "u"}, asked=1.0)
        await store.commit(lease, Batch(after=0, events=events, questions=(question,)))
        file.write_text("\n".join([line async for line in export_lines(store, "s")]))

    anyio.run(body)
    return file


def load(file: Path, **deliverables: str | bytes | Sequence[str | bytes]) -> Recording:
    return anyio.run(
        lambda: Recording.load(file, deliverables={f"{name}.md": each for name, each in deliverables.items()})
    )


def refusal(file: Path) -> str:
    with pytest.raises(NotReplayable) as refused:
        load(file)
    return str(refused.value)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: "", "damaged or cut short"),
        (lambda text: "# a report", "damaged or cut short"),
        (lambda text: '{"type":"user"}', "no exported session"),
        (lambda text: text.replace('"format":1', '"format":2'), "newer version"),
        (lambda text: text[: len(text) // 2], "cut short"),
        (lambda text: text.rpartition("\n")[0], "cut short"),
        (lambda text: text.replace('"Hello."', "NaN"), "nothing to replay"),
    ],
)
def test_a_file_that_is_no_whole_export_is_refused_with_its_name(tmp_path: Path, damage: Any, reason: str) -> None:
    file = exported(tmp_path, QUEUED, STARTED, HELLO, ended("1"))
    file.write_text(damage(file.read_text()))
    assert reason in refusal(file)
    assert str(file) in refusal(file)


def test_a_file_that_is_no_text_is_refused_and_one_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    file = tmp_path / "session.jsonl.gz"
    file.write_bytes(b"\x1f\x8b\x08\x00\xff")
    assert "nothing to replay" in refusal(file)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def test_a_session_without_a_conversation_has_no_agent_to_stand_in_for(tmp_path: Path) -> None:
    assert "held no conversation" in refusal(exported(tmp_path, ("log", "done", {"summary": None}), conversation=False))


def test_a_session_whose_beginning_is_no_longer_kept_is_refused(tmp_path: Path) -> None:
    file = exported(tmp_path, QUEUED, STARTED, HELLO, ended("1"))
    head, snapshot, _, *events = file.read_text().split("\n")
    file.write_text("\n".join([head, json.dumps({**json.loads(snapshot), "first_seq": 2}), *events]))
    assert "events before 2 were no longer kept" in refusal(file)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("agent", "agent.text", {"text": 5, "parent": None}), r"event 3 \(agent.text\).*damaged.*text"),
        (ended("1", cost_usd="0.5"), r"event 3 \(turn.ended\).*damaged.*cost_usd"),
        (("agent", "turn.ended", {"ids": ["1"]}), r"event 3 \(turn.ended\).*does not understand"),
        (("agent", "turn.paused", {}), r"turn.paused.*does not understand"),
        (("session", "gap", {"first": 3, "last": 9}), "events 3 to 9 are no longer there"),
        (("log", "notice", {"message": "deliverable a could not be stored: disk full"}), "disk full"),
        (("agent", "turn.cancelled", {"id": "1"}), "answers everything that it is told"),
        (("agent", "question.answered", {"id": "r", "behavior": "allow", "by": "x", "message": None}), "question r"),
        (("agent", "tool.result", {"id": "u", "text": "", "size": 10**12, "is_error": False}), "1000000000000"),
        (("agent", "question.withdrawn", {"id": "q", "reason": "?"}), "only when its turn is over"),
        (("log", "deliverable", {**LANDED[2], "name": "../a"}), "plain path"),
    ],
)
def test_what_a_fake_agent_cannot_do_is_refused_with_the_event(tmp_path: Path, said: Said, reason: str) -> None:
    with pytest.raises(NotReplayable, match=reason):
        load(exported(tmp_path, QUEUED, STARTED, said, HELLO, ended("1")))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("agent.retry", {"attempt": 1, "attempts": 2, "delay": 0.5, "status": 529, "error": "overloaded"}),
        ("agent.limit", {"status": "warning", "window": "five_hour", "utilization": 0.9, "resets": None}),
        ("agent.task", {"id": "t", "state": "started", "text": "bg"}),
        ("agent.unparsed", {"problem": "no JSON", "text": "x", "size": 1}),
        ("agent.something_new", {"deep": [1]}),
        ("log.reset", {"reason": "truncated", "dropped": 0}),
        ("line", {"text": "x", "size": 2_000_000}),
        ("deliverable.refused", {"name": "a", "reason": "it is a symbolic link"}),
        ("agent.text", {"text": "x" * 65536, "parent": None}),
    ],
)
def test_what_is_not_as_it_was_recorded_is_named(tmp_path: Path, kind: str, data: JsonObject) -> None:
    recording = load(exported(tmp_path, QUEUED, STARTED, ("agent", kind, data), HELLO, ended("1")))
    assert [(each.seq, each.type) for each in recording.differences] == [(3, kind)]
    assert recording.steps[-2:] == (Says("Hello."), EndsTurn())


def test_fields_that_this_version_does_not_know_change_nothing(tmp_path: Path) -> None:
    more: JsonObject = {"turn": "1", "raw": {"file": "f", "offset": 1}, "synthetic": True}
    known = load(exported(tmp_path, QUEUED, STARTED, HELLO, ended("1")))
    file = exported(
        tmp_path, *[(who, kind, {**data, **more}) for who, kind, data in (QUEUED, STARTED, HELLO, ended("1"))]
    )
    assert load(file) == known == Recording((TakesUp(), Says("Hello."), EndsTurn()), ("hi",), ())


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        # An older version, which does not say when it takes something up.
        ((QUEUED, HELLO, ended("1")), [TakesUp(), *SAYS, EndsTurn()]),
        (
            (QUEUED, STARTED, ended("1"), HELLO, ended()),
            [TakesUp(), EndsTurn(text="Hello."), BeginsTurn(), *SAYS, EndsTurn()],
        ),
        (
            (QUEUED, STARTED, ended("1", is_error=True, reason="aborted_streaming")),
            [TakesUp(), AwaitsInterrupt(), Fails("Hello.", "aborted_streaming")],
        ),
        (
            (QUEUED, STARTED, CUT_OFF, LINE, ended("1", is_error=True, reason=ABORTED)),
            [TakesUp(), AwaitsInterrupt(), ReturnsFrom("u", "no", True), Appends("x"), Fails("Hello.", ABORTED)],
        ),
        ((QUEUED, STARTED, HELLO, over("failed", 7)), [TakesUp(), *SAYS, Exits(7)]),
        ((QUEUED, STARTED, HELLO, over("failed", -9)), [TakesUp(), *SAYS, Exits(137)]),
        ((QUEUED, STARTED, HELLO, over("lost", None)), [TakesUp(), *SAYS, Waits()]),
        ((QUEUED, STARTED, HELLO, STOPPED, over("cancelled", -15)), [TakesUp(), *SAYS, Waits()]),
        ((QUEUED, STARTED, HELLO), [TakesUp(), *SAYS, Waits()]),
        ((QUEUED, STARTED, HELLO, ended("1"), over("failed", 1)), [TakesUp(), *SAYS, EndsTurn(), AtOnce(Exits(1))]),
        (
            (QUEUED, STARTED, HELLO, ended("1"), ("log", "done", {"summary": None}), over("done")),
            [TakesUp(), *SAYS, EndsTurn(), AtOnce(Appends("DONE"))],
        ),
        ((QUEUED, over("failed", 1)), [AtOnce(Exits(1))]),
    ],
)  # fmt: skip
def test_how_a_turn_begins_and_how_the_agent_ends_is_found_from_the_order(
    tmp_path: Path, said: tuple[Said, ...], steps: list[Step]
) -> None:
    recording = load(exported(tmp_path, *said))
    assert list(recording.steps) == steps
    FakeAgent(*recording.steps)


def test_a_deliverable_whose_content_is_not_given_says_what_it_stands_for(tmp_path: Path) -> None:
    file = exported(tmp_path, QUEUED, STARTED, LANDED, LANDED, HELLO, ended("1"))
    recording = load(file)
    assert [each.seq for each in recording.differences] == [3, 4]
    delivers = recording.steps[1]
    assert isinstance(delivers, Delivers)
    assert delivers.content == "This stands for a.md (3 bytes), which is not in the export.\n"
    for given, contents in (("x", ["x", "x"]), (["x", b"y"], ["x", b"y"])):
        recording = load(file, a=given)
        assert not recording.differences
        assert [each.content for each in recording.steps if isinstance(each, Delivers)] == contents


def test_contents_for_what_was_never_handed_over_are_a_mistake(tmp_path: Path) -> None:
    file = exported(tmp_path, QUEUED, STARTED, LANDED, HELLO, ended("1"))
    with pytest.raises(ValueError, match=r"'b.md' was handed over 0 times"):
        load(file, b="")
    with pytest.raises(ValueError, match="1 times"):
        load(file, a=["x", "y"])
    with pytest.raises(ValueError, match="more often than 0"):
        load(file, a=[])
