"""Where journals are kept, and what becomes of them: --store, bad stores, export, import, prune, jobs, reap."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from optio_bench import LOG, OPTIO, Bench, wait_for, wait_until_dead
from optio_bench import bench as bench

TOKEN = "ghp_" + "a1B2" * 9
ON_SESSIONS = (
    ["ls"], ["show", "x"], ["attach", "x"], ["logs", "x"], ["cancel", "x"], ["adopt", "--all"], ["drive", "x"],
    ["jobs"], ["reap"], ["export", "x", "file"], ["import", "/dev/null"], ["prune"],
)  # fmt: skip
"""Every command on sessions, with the least that it wants."""


def test_every_command_on_sessions_takes_store_and_json(bench: Bench) -> None:
    for words in (*ON_SESSIONS, ["run"]):
        shown = bench.run(words[0], "--help").out
        assert "--store URL" in shown
        assert "--json" in shown


def test_sessions_are_where_the_option_or_the_environment_says(bench: Bench) -> None:
    url = f"sqlite://{bench.cwd}/journal.db"
    first = bench.run("run", "--store", url, "--", "true")
    assert first.code == 1
    [record] = bench.run("ls", "--json", OPTIO_STORE=url).events
    assert bench.run("show", record["id"], "--json", "--store", f"sqlite:///{bench.cwd}/journal.db").code == 0
    assert bench.run("ls", "--json").out == ""
    assert stat.S_IMODE((bench.cwd / "journal.db").stat().st_mode) == 0o600


def test_a_driver_in_the_background_finds_the_store_that_run_was_told(bench: Bench) -> None:
    url = f"sqlite://{bench.cwd}/journal.db"
    session = bench.detached(LOG + "say DONE", "--store", url)
    assert bench.run("attach", session, "--store", url).code == 0


@pytest.mark.parametrize("url", ["mysql://me:hunter2@db.example/x", "postgres:hunter2@x", "journal.db", "sqlite:///"])
@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_url_that_names_no_store_is_wrong_usage_and_no_password_is_shown(bench: Bench, url: str, how: str) -> None:
    options, env = (["--store", url], {}) if how == "option" else ([], {"OPTIO_STORE": url})
    for words in (["run", *options, "--", "touch", "ran"], ["ls", *options]):
        ran = bench.run(*words, **env)
        assert (ran.code, ran.out) == (2, "")
        assert "names no store that this version knows" in ran.err
        assert "hunter2" not in ran.err
    assert os.listdir(bench.cwd) == []
    assert not bench.state.exists()


def make_newer(file: Path, bench: Bench) -> None:
    bench.run("ls", "--store", f"sqlite://{file}")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version=99")


def make_foreign(file: Path, bench: Bench) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE other (x)")


def make_corrupt(file: Path, bench: Bench) -> None:
    file.write_bytes(b"this is no database, and it is long enough to be looked at as one" * 100)


def make_directory(file: Path, bench: Bench) -> None:
    file.mkdir()


def make_unreachable(file: Path, bench: Bench) -> None:
    file.parent.rmdir()
    file.parent.write_text("no directory")


BAD_STORES = {
    "newer": (make_newer, "made by a newer version"),
    "foreign": (make_foreign, "another program's database"),
    "corrupt": (make_corrupt, "the journal is damaged"),
    "directory": (make_directory, "cannot be opened: Is a directory"),
    "unreachable": (make_unreachable, "cannot be opened"),
}


@pytest.mark.parametrize("case", BAD_STORES)
def test_a_store_that_cannot_be_used_is_one_clear_line_and_nothing_is_started(bench: Bench, case: str) -> None:
    make, message = BAD_STORES[case]
    file = bench.cwd.parent / "stores" / "journal.db"
    file.parent.mkdir()
    make(file, bench)
    url = f"sqlite://{file}"
    for words in (["run", "--store", url, "--", "touch", "ran"], ["ls", "--store", url], ["show", "x", "--store", url]):
        ran = bench.run(*words)
        assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
        assert message in ran.err
        assert str(file) in ran.err
    assert os.listdir(bench.cwd) == []
    assert not bench.state.exists()


def test_a_store_on_a_file_system_that_takes_no_files_is_one_clear_line(bench: Bench) -> None:
    ran = bench.run("run", "--store", "sqlite:///proc/optio/journal.db", "--", "touch", "ran")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
    assert "/proc/optio/journal.db: the journal cannot be opened" in ran.err
    assert os.listdir(bench.cwd) == []


def test_a_store_that_others_hold_locked_is_one_clear_line_and_nothing_is_started(bench: Bench) -> None:
    bench.run("ls")
    with closing(sqlite3.connect(bench.state / "journal.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        ran = bench.run("run", "--", "touch", "ran")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
    assert "other processes held the journal" in ran.err
    assert os.listdir(bench.cwd) == []


def test_an_ended_session_whose_end_cannot_be_read_keeps_nobody_waiting(bench: Bench) -> None:
    session = bench.script(LOG + "say DONE").events[0]["session"]
    lines = bench.run("export", session, "-").out.splitlines()
    assert '"type":"session.ended"' in lines[-1]
    lines[-1] = lines[-1].replace('"type":"session.ended"', '"type":"from.the.future"')
    (bench.cwd / "copy.jsonl").write_text("\n".join(lines))
    other = ["--store", f"sqlite://{bench.cwd}/other.db"]
    assert bench.run("import", "copy.jsonl", *other).code == 0
    for command in (["attach"], ["logs", "--follow"]):
        assert bench.run(*command, session, *other).code == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_failure(bench: Bench, closed: str) -> None:
    ran = subprocess.run(
        ["bash", "-c", f"{OPTIO} ls {closed}"], cwd=bench.cwd, env=bench.env, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--timeout", "9" * 400, "--", "true"], ["run", "--max-output", "9" * 400, "--", "true"],
        ["run", "--orphan-timeout", "9" * 400, "--", "true"], ["prune", "--older-than", "9" * 400],
        ["show", os.fsdecode(b"\xff")],
    ],
)  # fmt: skip
def test_what_is_no_length_no_size_and_no_id_is_wrong_usage(bench: Bench, words: list[str]) -> None:
    ran = bench.run(*words)
    assert (ran.code, "Traceback" in ran.err) == (2, False)


def test_a_session_goes_through_export_and_import_whole_and_without_secrets(bench: Bench) -> None:
    ran = bench.script(LOG + f"say 'STATUS: using hunter22'; say 'STATUS: using {TOKEN}'; echo x | hand a; say DONE")
    session = ran.events[0]["session"]
    file = bench.cwd / "session.jsonl"
    exported = bench.run("export", session[:7], "session.jsonl", "--json", API_KEY="hunter22")
    assert exported.record == {"id": session, "file": str(file)}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "hunter22" not in file.read_text()
    assert TOKEN not in file.read_text()
    elsewhere = f"sqlite://{bench.cwd}/elsewhere.db"
    brought = bench.run("import", "session.jsonl", "--json", "--store", elsewhere)
    assert (brought.record["id"], brought.record["outcome"]) == (session, "done")
    copy = bench.run("logs", session, "--json", "--store", elsewhere).events
    assert [event["type"] for event in copy] == [event["type"] for event in ran.events]
    assert [event["time"] for event in copy] == [event["time"] for event in ran.events]
    assert bench.run("attach", session, "--store", elsewhere).code == 0
    again = bench.run("import", "session.jsonl", "--store", elsewhere)
    assert (again.code, again.out) == (1, "")
    assert f"there is a session {session} already" in again.err


def test_a_session_that_was_exported_before_its_end_is_not_driven_where_it_is_imported(bench: Bench) -> None:
    session = bench.detached("sleep 300")
    bench.driver(session)
    assert bench.run("export", session, "file").code == 0
    elsewhere = f"sqlite://{bench.cwd}/elsewhere.db"
    record = bench.run("import", "file", "--json", "--store", elsewhere).record
    assert (record["state"], record["outcome"], record["driver"]) == ("ended", "lost", None)
    assert bench.run("adopt", "--all", "--store", elsewhere).out == ""
    assert bench.run("attach", session, "--store", elsewhere).code == 3
    ran = bench.run("prune", "--older-than", "0", "--json", "--store", elsewhere)
    assert ran.code == 1, "the directory of a session that runs was removed"
    assert (bench.state / session).is_dir()
    assert bench.record(session)["state"] == "running"
    bench.run("cancel", session)


def test_an_export_that_fails_leaves_the_file_that_was_there(bench: Bench) -> None:
    (bench.cwd / "file").write_text("mine")
    assert bench.run("export", "zz", "file").code == 2
    assert (bench.cwd / "file").read_text() == "mine"
    session = bench.script("true").events[0]["session"]
    ran = bench.run("export", session, "missing/file")
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "missing" in ran.err


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff\xfe", b'{"optio": "session", "format": 99}', b'{"optio": "session", "format": 1}\n[]'],
)
def test_a_file_that_is_no_export_is_one_clear_line_and_adds_nothing(bench: Bench, content: bytes) -> None:
    (bench.cwd / "file").write_bytes(content)
    ran = bench.run("import", "file")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
    assert bench.run("ls", "--json").out == ""


def test_prune_removes_directory_and_journal_and_keeps_deliverables(bench: Bench) -> None:
    ran = bench.script(LOG + "echo x | hand a; say DONE")
    session, [landed] = ran.events[0]["session"], ran.data("deliverable")
    running = bench.detached("sleep 300")
    assert bench.run("prune").out == "no session ended more than 30 d ago\n"
    dry = bench.run("prune", "--older-than", "0", "--dry-run", "--json").record
    assert dry == {"id": session, "forgotten": False, "problem": None}
    assert (bench.state / session).is_dir()
    pruned = bench.run("prune", "--older-than", "0")
    assert (pruned.code, pruned.out.startswith(f"forgot {session} (sh, ended ")) == (0, True)
    assert not (bench.state / session).exists()
    assert Path(landed["path"]).read_text() == "x\n"
    assert [each["session"] for each in bench.run("jobs", "--json").events] == [running]
    assert bench.run("ls", "--json").record["id"] == running
    bench.run("cancel", running)


@pytest.mark.parametrize("name", ["..", "", "journal.db", "../work"])
def test_an_imported_session_cannot_make_prune_remove_what_is_not_its_own(bench: Bench, name: str) -> None:
    session = bench.script("true").events[0]["session"]
    kept = bench.cwd / "run"
    kept.mkdir()
    lines = bench.run("export", session, "-").out.splitlines()
    snapshot = json.loads(lines[1])
    snapshot["record"] |= {"id": name, "taskdir": f"{bench.state}/{name}"}
    (bench.cwd / "file").write_text("\n".join([lines[0], json.dumps(snapshot), *lines[2:]]))
    bench.run("import", "file")
    bench.run("prune", "--older-than", "0")
    assert kept.is_dir()
    assert (bench.state / "journal.db").is_file()


def test_jobs_shows_every_run_and_reap_ends_what_lost_its_directory(bench: Bench) -> None:
    assert bench.run("jobs").out == "no runs\n"
    assert bench.run("reap").out == "nothing to clear away\n"
    session = bench.detached(LOG + "say 'STATUS: up'; exec sleep 300")
    driver = bench.driver(session)
    [job] = bench.run("jobs", "--json").events
    assert (job["session"], job["state"]) == (session, "running")
    assert f"{session}  running" in bench.run("jobs").out
    os.kill(driver, 9)
    wait_until_dead(driver)
    shutil.rmtree(bench.state / session)
    gone = wait_for(lambda: [job for job in bench.run("jobs", "--json").events if job["processes"]], "what is left")
    assert (gone[0]["state"], gone[0]["detail"]) == ("unknown", "directory gone")
    assert "`optio reap` ends them" in bench.run("jobs").out
    reaped = bench.run("reap", "--json").record
    assert (reaped["id"], reaped["stopped"] > 0, reaped["problem"]) == (job["id"], True, None)
    assert bench.run("jobs", "--json").out == ""
    for pid in (each["pid"] for each in gone[0]["processes"]):
        assert not Path(f"/proc/{pid}").exists()
    assert bench.run("attach", session, "--json").ended["outcome"] == "lost"
