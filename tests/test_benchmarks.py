"""The measurements under benchmarks/ still run: small sizes, and no word about how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from left_out import require

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
HOSTS = BENCHMARKS / "hosts.py"
SESSIONS = BENCHMARKS / "sessions_at_once.py"
CONVERSATION = BENCHMARKS / "conversation.py"
ALL = BENCHMARKS / "bench.py"
STORE = BENCHMARKS / "store.py"


def measured(script: Path, rows: list[str], file: Path) -> dict[str, dict[str, object]]:
    run = subprocess.run(
        [sys.executable, script, "--quick", "--json", file, *rows], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    saved = json.loads(file.read_text())
    assert saved["left_out"] == {}
    assert saved["commit"]
    for row in saved["rows"]:
        assert row["what"] in run.stdout
    return {row["what"]: row for row in saved["rows"]}


def test_a_measurement_of_commands_has_a_peer_of_the_same_run(tmp_path: Path) -> None:
    require("ssh")
    require("sshd")
    require("scp")
    rows = measured(HOSTS, ["commands", "follow"], tmp_path / "figures.json")
    assert len(rows) == 3
    row = rows["commands, one at a time"]
    assert isinstance(row["ours"], float)
    assert isinstance(row["peer"], float)
    assert row["ratio"] == pytest.approx(row["ours"] / row["peer"])
    assert row["met"] is (row["ours"] >= 2 * row["peer"])


def test_a_measurement_of_a_conversation_needs_no_peer_to_be_tried(tmp_path: Path) -> None:
    rows = measured(CONVERSATION, [], tmp_path / "figures.json")
    assert [row["unit"] for row in rows.values()] == ["messages/s", "MiB", "ms", "ms"]
    for row in rows.values():
        assert isinstance(row["ours"], float)
        assert row["peer"] is None


def test_the_table_of_all_figures_is_saved_as_a_document_that_says_where_it_was_measured(tmp_path: Path) -> None:
    document = tmp_path / "figures.md"
    rows = measured(ALL, ["log", "recover", "help", "--markdown", str(document)], tmp_path / "figures.json")
    assert [row["unit"] for row in rows.values()] == ["lines/s", "s", "s", "ms"]
    said = document.read_text()
    assert "- commit: " in said
    assert "- load before: " in said
    for what in rows:
        assert f"\n| {what} | " in said


def test_a_measurement_of_the_journal_covers_both_stores(tmp_path: Path) -> None:
    rows = measured(STORE, ["appends", "commit"], tmp_path / "figures.json")
    assert [row["unit"] for row in rows.values()] == ["appends/s", "appends/s", "ms", "ms"]
    assert sum("MongoDB" in what for what in rows) == 1


def test_the_picture_of_a_session_that_survives_is_drawn_and_no_line_is_lost(tmp_path: Path) -> None:
    require("ssh")
    require("sshd")
    command = [sys.executable, BENCHMARKS / "survival.py", "--quick", tmp_path / "survival.png"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.startswith("48 lines written, 48 in the journal: 0 lost, 0 twice; ")
    assert (tmp_path / "survival.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_of_what_befalls_a_program_on_another_host_is_answered_with_no(tmp_path: Path) -> None:
    require("ssh")
    require("sshd")
    command = [sys.executable, BENCHMARKS / "peers.py", "optio"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    assert [line.rpartition(" | ")[2] for line in run.stdout.splitlines()[2:]] == ["yes |"] * 6


def test_many_sessions_in_one_driver_all_end_with_done(tmp_path: Path) -> None:
    rows = measured(SESSIONS, ["local"], tmp_path / "figures.json")
    assert [row["unit"] for row in rows.values()] == ["s", "MB", "%", "%", "ms", "ms", "s"]
    assert all(what.startswith("8 sessions, local") for what in rows)


def test_a_row_that_is_not_known_is_refused_before_anything_is_measured() -> None:
    run = subprocess.run([sys.executable, HOSTS, "comands"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "no such row: comands" in run.stderr
