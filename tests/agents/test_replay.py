"""A recording is a test: it replays as it was, and whatever is decided otherwise is a difference that can be read."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from played import Played
from test_fake_agent_replay import scripts

from optio_agents.cli.replay import command
from optio_agents.events import SessionEnded, event_data
from optio_agents.hooks import SessionHookContext
from optio_agents.journal import ConversationDocument, Deliverable, OutcomeDocument, SessionRecord, export_lines
from optio_agents.journal.batch import Event, Snapshot
from optio_agents.journal.lease import LeaseState
from optio_agents.journal.memory import MemoryStore
from optio_agents.replay import DecisionDiffers, EventsDiffer, OutcomeDiffers, Replayed, replay
from optio_agents.testing import Appends, AtOnce, Step

RECORDINGS = Path(__file__).parent / "recordings"
NAMES = sorted(each.stem for each in RECORDINGS.glob("*.jsonl"))
POLICY = (RECORDINGS / "policy.toml").read_text()


def recording(name: str) -> Path:
    return RECORDINGS / f"{name}.jsonl"


def replayed(file: Path, **options: Any) -> Replayed:
    return anyio.run(lambda: replay(file, **options))


def changed(tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """A recording of whose questions each was changed."""
    head, snapshot, *events = recording(name).read_text().splitlines()
    session = json.loads(snapshot)
    for question in session["questions"]:
        change(question)
    file = tmp_path / "changed.jsonl"
    file.write_text("\n".join([head, json.dumps(session), *events]))
    return file


@pytest.mark.parametrize("name", NAMES)
def test_a_session_with_the_real_program_replays_as_it_was(name: str) -> None:
    replayed(recording(name)).check()


def test_there_are_recordings_of_every_kind_of_decision() -> None:
    assert len(NAMES) >= 3
    by = [
        each["answer"]["by"].partition(":")[0]
        for name in NAMES
        for each in json.loads(recording(name).read_text().splitlines()[1])["questions"]
    ]
    assert {"the policy", "what was always allowed"} < set(by)
    assert any(each.startswith("pid ") for each in by)


def test_a_policy_that_decides_otherwise_is_a_difference_that_says_what_and_why(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.replace('"git push **"', '"git push --force **"'))
    done = CliRunner().invoke(command, [str(recording("denied_and_interrupted")), "--policy", str(policy)])
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0].endswith(", 2 questions: 1 difference")
    assert lines[2].endswith(": Bash: sh check.sh && git push origin main")
    assert lines[3:5] == ["  recorded: deny, by the policy: rule 2 (line 10)", "  now:      ask: left to a person"]
    assert any("git push origin main" in line and "no rule matches" in line for line in lines[5:]), done.output


def test_a_policy_that_allows_what_a_person_was_asked_is_a_difference(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY + '\n[[rule]]\ntool = "Write"\npath = "version.txt"\ndecision = "allow"\n'
                      '\n[[rule]]\ncommand = "echo 2"\ndecision = "allow"\n')  # fmt: skip
    [difference] = replayed(recording("allowed_and_asked"), policy=policy).differences
    assert isinstance(difference, DecisionDiffers)
    assert difference.input["command"] == "echo 2 > version.txt"
    assert (difference.recorded.by, difference.replayed.by) == ("person", "policy")
    assert difference.recorded.what == difference.replayed.what == "allow"


def test_a_decision_that_was_changed_in_the_recording_is_a_difference(tmp_path: Path) -> None:
    def turn_over(question: dict[str, Any]) -> None:
        if question["answer"]["behavior"] == "deny":
            question["answer"]["behavior"] = "allow"

    file = changed(tmp_path, "denied_and_interrupted", turn_over)
    done = CliRunner().invoke(command, [str(file), "--json"])
    assert done.exit_code == 1
    [difference] = json.loads(done.output)["differences"]
    assert (difference["kind"], difference["tool"]) == ("decision", "Bash")
    assert (difference["recorded"]["what"], difference["replayed"]["what"]) == ("allow", "deny")
    assert "pushing is for people" in difference["why"]


def test_a_path_leads_where_it_led_when_it_was_recorded_and_not_where_it_leads_here(tmp_path: Path) -> None:
    def forget(question: dict[str, Any]) -> None:
        question["paths"] = {}

    result = replayed(changed(tmp_path, "allowed_and_asked", forget))
    [difference] = result.differences
    assert isinstance(difference, DecisionDiffers)
    assert difference.input["command"] == "sh check.sh && cat notes/todo.md"  # notes was a link that led out
    assert (difference.recorded.by, difference.replayed.by) == ("person", "policy")


def test_what_a_hook_says_is_compared_when_it_is_there(tmp_path: Path) -> None:
    handed: list[str] = []

    def hook(hook_ctx: SessionHookContext, deliverable: Deliverable) -> str:
        handed.append(Path(deliverable.path).read_text())
        return "it says nothing"

    file = recording("killed_and_adopted")
    result = replayed(file, on_deliverable=hook, deliverables={"report.md": "all is well\n"})
    assert handed == ["all is well\n"]
    [difference] = result.differences
    assert isinstance(difference, EventsDiffer)
    assert difference.stream == "told"
    assert difference.recorded[0].startswith("System: deliverable report.md: accepted")
    assert difference.replayed == ("System: deliverable report.md: it says nothing",)
    with pytest.raises(AssertionError, match="it says nothing"):
        result.check()


def test_what_is_no_recording_is_said_so_with_status_2(tmp_path: Path) -> None:
    file = tmp_path / "file"
    cut = recording(NAMES[0]).read_bytes()[:-100]
    for content in (b"", b"\xff", b"{}", b'{"optio": "session", "format": 99}', cut):
        file.write_bytes(content)
        done = CliRunner().invoke(command, [str(file)])
        assert (done.exit_code, done.stdout) == (2, "")
        assert str(file) in done.stderr
    wrong = CliRunner().invoke(command, [str(recording(NAMES[0])), "--policy", str(file)])
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert CliRunner().invoke(command, [str(tmp_path / "missing")]).exit_code == 2


def export_of(played: Played, tmp_path: Path) -> Path:
    """What an export would be of the session that an agent has played."""
    ended = played.events[-1].event
    assert isinstance(ended, SessionEnded)
    record = SessionRecord(
        id="played", host="local", agent="claude", state="ended", created=0.0, cwd="/work", taskdir="/state/played",
        rundir="/state/played/run/1", deliverables_dir="/out", conversation=ConversationDocument(dialect="claude"),
        outcome=OutcomeDocument(outcome=ended.outcome, exit=ended.exit),
    )  # fmt: skip
    events = [
        Event(
            each.seq, each.event.type, json.loads(json.dumps(event_data(each.event))), 0.0, each.source, str(each.seq)
        )
        for at, each in enumerate(played.events, 1)
    ]
    questions = tuple(played.asked())
    snapshot = Snapshot(record, LeaseState(1), 1, len(events), 0, {}, {}, questions, (), ())

    async def body() -> str:
        store = MemoryStore()
        await store.load(snapshot, events)
        return "\n".join([line async for line in export_lines(store, "played")])

    file = tmp_path / "played.jsonl"
    file.write_text(anyio.run(body))
    return file


def quiet_before_its_end(script: Sequence[Step]) -> list[Step]:
    """The script without what would have ended a session before the agent had played all of it."""
    ends = [
        at
        for at, step in enumerate(script)
        for inner in [step.step if isinstance(step, AtOnce) else step]
        if isinstance(inner, Appends) and inner.line.startswith(("DONE", "ERROR"))
    ]
    return [step for at, step in enumerate(script) if at not in ends or at == len(script) - 1]


@settings(max_examples=60)
@given(scripts())
def test_the_export_of_whatever_an_agent_does_replays_without_a_difference(
    tmp_path_factory: pytest.TempPathFactory, script: Sequence[Step]
) -> None:
    played = Played(quiet_before_its_end(script), "first")
    result = replayed(export_of(played, tmp_path_factory.mktemp("export")))
    differences = [
        each
        for each in result.differences
        # Why a session has failed is not what its agent has played.
        if not (isinstance(each, OutcomeDiffers) and each.recorded and each.replayed)
        or each.recorded.outcome != each.replayed.outcome
    ]
    assert not differences, str(result)
