"""Looking at sessions and acting on them from the command line: attach, logs, show, ls, cancel, adopt."""

import json
import os
import re
import shutil
import signal
import subprocess

import pytest
from optio_bench import GO, LOG, OPTIO, Bench, read_until, rest_of, wait_for
from optio_bench import bench as bench

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe"
"""Clears the screen, names the window, and turns text around."""

ENDS = {
    "done": (LOG + "say 'DONE: well'", 0),
    "failed": (LOG + "say 'ERROR: no disk'", 1),
    "lost": ('rm -rf "${OPTIO_LOG%/*}"', 3),
}


@pytest.mark.parametrize("end", ENDS)
def test_attach_after_the_end_exits_as_run_would_have(bench: Bench, end: str) -> None:
    script, code = ENDS[end]
    session = bench.detached(GO + script)  # a directory that goes while it is started is a failed start
    bench.go()
    first = bench.run("attach", session, "--json")
    assert (first.code, first.ended["outcome"]) == (code, end)
    again = bench.run("attach", session)
    assert again.code == code
    assert f"{end} after" in again.out


def test_attach_of_a_cancelled_session_exits_with_130(bench: Bench) -> None:
    session = bench.detached("sleep 300")
    assert bench.run("cancel", session).code == 0
    assert bench.run("attach", session).code == 130


def test_ctrl_c_of_attach_ends_only_the_watching(bench: Bench) -> None:
    session = bench.detached(LOG + "say 'STATUS: up';" + GO + "say DONE")
    driver = bench.driver(session)
    watching = bench.start_optio("attach", session)
    read_until(watching, "up")
    watching.send_signal(signal.SIGINT)
    _, err = rest_of(watching)
    assert watching.returncode == 130, "it is not to be taken for a session that was done"
    assert f"to come back: optio attach {session}" in err
    assert bench.driver(session) == driver
    bench.go()
    assert bench.run("attach", session).code == 0


def test_ctrl_c_of_an_attach_that_drives_hands_over_to_a_driver_in_the_background(bench: Bench) -> None:
    session = bench.detached(LOG + "say 'STATUS: up';" + GO + "say DONE")
    os.kill(bench.driver(session), signal.SIGKILL)
    driving = bench.start_optio("attach", session, "--json")
    read_until(driving, '"died"')
    driving.send_signal(signal.SIGINT)
    _, err = rest_of(driving)
    assert (driving.returncode, "goes on without this terminal" in err) == (130, True)
    assert bench.driver(session) != driving.pid
    bench.go()
    followed = bench.run("logs", session, "--follow", "--json")
    assert followed.ended["outcome"] == "done"
    reasons = [changed["reason"] for changed in followed.data("driver.changed")]
    assert reasons == ["released", "died", "released"]


def test_attach_and_logs_begin_with_the_event_they_are_told(bench: Bench) -> None:
    ran = bench.script(LOG + "say 'STATUS: 1'; say 'STATUS: 2'; say DONE")
    session = ran.events[0]["session"]
    for command in (["attach"], ["logs"], ["logs", "--follow"]):
        for first in (1, 3, 9):
            shown = bench.run(*command, session, "--from", str(first), "--json")
            assert (shown.code, shown.events) == (0, ran.events[first - 1 :])


def test_logs_of_a_session_that_goes_on_end_where_it_stands_and_follow_to_its_end(bench: Bench) -> None:
    session = bench.detached(LOG + "say 'STATUS: up';" + GO + "say DONE")
    following = bench.start_optio("logs", session, "--follow")
    read_until(following, "up")
    now = bench.run("logs", session)
    assert now.code == 0
    assert "up" in now.out
    assert "done" not in now.out
    bench.go()
    out, err = rest_of(following)
    assert (following.returncode, err) == (0, "")
    assert out.splitlines()[-1].endswith("done")


def test_ctrl_c_of_logs_ends_the_reading_and_nothing_else(bench: Bench) -> None:
    session = bench.detached(LOG + "say 'STATUS: up';" + GO + "say DONE")
    following = bench.start_optio("logs", session, "--follow")
    read_until(following, "up")
    following.send_signal(signal.SIGINT)
    assert (rest_of(following)[1], following.returncode) == ("", 130)
    bench.go()
    assert bench.run("attach", session).code == 0


def test_a_reader_that_has_seen_enough_is_no_failure(bench: Bench) -> None:
    session = bench.script(LOG + 'i=0; while [ $i -lt 9000 ]; do say "line $i"; i=$((i+1)); done; say DONE').events[0][
        "session"
    ]
    for command in (f"logs {session} --json", f"logs {session} -v", f"export {session} -", f"attach {session} --json"):
        piped = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {OPTIO} {command} | head -n 1"],
            cwd=bench.cwd,
            env=bench.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (piped.returncode, piped.stderr, len(piped.stdout.splitlines())) == (0, "", 1)


def test_cancel_ends_a_driven_session_and_all_of_its_processes(bench: Bench) -> None:
    session = bench.detached(LOG + "sleep 300 & say 'STATUS: up'; wait")
    ran = bench.run("cancel", session[:6], "--reason", "wrong branch")
    assert (ran.code, ran.out) == (0, "cancelled: wrong branch\n")
    again = bench.run("cancel", session)
    assert (again.code, again.out) == (0, f"session {session} had ended before: cancelled: wrong branch\n")


def test_cancel_ends_a_session_whose_driver_was_killed(bench: Bench) -> None:
    session = bench.detached("sleep 300")
    os.kill(bench.driver(session), signal.SIGKILL)
    record = bench.run("cancel", session, "--json").record
    assert (record["id"], record["state"], record["outcome"]) == (session, "ended", "cancelled")


def test_cancel_with_force_does_not_wait_for_a_program_that_ignores_term(bench: Bench) -> None:
    session = bench.detached(LOG + "trap '' TERM; say 'STATUS: up'; while :; do sleep 300; done")
    read_until(bench.start_optio("logs", session, "--follow"), "up")
    ran = bench.run("cancel", session, "--force")
    assert (ran.code, bench.record(session)["exit"]) == (0, -signal.SIGKILL)
    timeline = bench.record(session)["timeline"]
    asked, ended = (
        next(each["time"] for each in timeline if each["type"] == kind) for kind in ("stop", "session.ended")
    )
    assert seconds(ended) - seconds(asked) < 5, "it was given the time that TERM gives"


def seconds(time: str) -> float:
    hours, minutes, rest = time.partition("T")[2].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def test_adopt_all_gives_every_session_a_driver_that_has_none(bench: Bench) -> None:
    sessions = [bench.detached(GO + LOG + "say DONE") for _ in range(2)]
    driven = bench.detached(GO + LOG + "say DONE")
    for session in sessions:
        os.kill(bench.driver(session), signal.SIGKILL)
    kept = bench.driver(driven)
    ran = bench.run("adopt", "--all", "--json")
    assert [record["id"] for record in ran.events] == sessions
    assert bench.driver(driven) == kept
    bench.go()
    for session in (*sessions, driven):
        assert bench.run("attach", session).code == 0
    assert bench.run("adopt", "--all").out == ""


def test_adopt_says_why_it_leaves_a_session_alone(bench: Bench) -> None:
    ended = bench.script("true").events[0]["session"]
    driven = bench.detached("sleep 300")
    pid = bench.driver(driven)
    ran = bench.run("adopt", ended, driven)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        f"{ended} is left alone: it has ended",
        f"{driven} is left alone: it is driven by pid {pid}",
    ]
    bench.run("cancel", driven)


def test_a_session_record_says_at_least_what_programs_rely_on(bench: Bench) -> None:
    running = bench.detached("sleep 300")
    bench.driver(running)
    failed = bench.script("exit 7").events[0]["session"]
    records = {record["id"]: record for record in bench.run("ls", "--json").events}
    for record in records.values():
        assert {"id", "host", "agent", "state", "outcome", "driver", "created", "updated"} <= record.keys()
        assert record["updated"] >= record["created"]
    driver = records[running]["driver"]
    assert (records[running]["state"], records[running]["outcome"], driver["alive"]) == ("running", None, True)
    assert (records[failed]["state"], records[failed]["outcome"], records[failed]["driver"]) == (
        "ended",
        "failed",
        None,
    )
    assert records[failed]["exit"] == 7
    os.kill(driver["pid"], signal.SIGKILL)
    assert bench.record(running)["driver"]["alive"] is False
    assert f"gone (pid {driver['pid']})" in bench.run("ls").out
    bench.run("cancel", running)


def test_ls_shows_one_line_for_each_session_and_cuts_off_nothing_in_a_pipe(bench: Bench) -> None:
    assert bench.run("ls").out == "no sessions\n"
    reason = "because " * 40 + "of that"
    session = bench.script(LOG + f"say 'ERROR: {reason}'").events[0]["session"]
    heading, line = bench.run("ls").out.splitlines()
    assert heading.split() == ["ID", "STATE", "AGENT", "HOST", "AGE", "COST", "DRIVER", "END"]
    assert re.fullmatch(rf"{session} +failed +sh +local +\d+ s +{reason} *", line)


def test_show_answers_why_it_stopped(bench: Bench) -> None:
    session = bench.detached(LOG + "say 'STATUS: 40% testing'; say 'ATTENTION: which branch?';" + GO)
    read_until(bench.start_optio("logs", session, "--follow"), "branch")
    os.kill(bench.driver(session), signal.SIGKILL)
    bench.run("cancel", session, "--reason", "wrong branch")
    shown = bench.run("show", session).out
    wanted = [
        "state           cancelled", "reason          wrong branch", "status          40% testing",
        f"session {session} started", "the driver leaves: detached from the start", "(the driver before let go of it)",
        "ATTENTION: which branch?", "(the driver before died)", "stopping: wrong branch", "cancelled: wrong branch",
    ]  # fmt: skip
    timeline = shown.index("\ntimeline")
    places = [shown.find(part, 0 if place < 3 else timeline) for place, part in enumerate(wanted)]
    assert -1 not in places
    assert places == sorted(places)
    kinds = [event["type"] for event in bench.record(session)["timeline"]]
    kinds = [kind for kind in kinds if kind != "notice"]  # of processes that the program left, or not
    assert kinds == [
        "session.started", "driver.left", "driver.changed", "attention", "driver.changed", "stop", "session.ended",
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["attach", "logs", "show", "cancel", "drive", "adopt"])
def test_an_id_that_names_no_session_is_wrong_usage(bench: Bench, command: str) -> None:
    ran = bench.run(command, "zz")
    assert (ran.code, ran.out) == (2, "")
    assert "no session has an id that begins with 'zz'; `optio ls` lists them" in ran.err
    assert "Traceback" not in ran.err


def test_an_id_that_names_several_sessions_is_wrong_usage_and_names_them(bench: Bench) -> None:
    session = bench.script("true").events[0]["session"]
    exported = bench.run("export", session, "-").out
    for copy in ("zz1", "zz2"):
        (bench.cwd / copy).write_text(exported.replace(session, copy))
        assert bench.run("import", copy).out == f"{copy}\n"
    ran = bench.run("show", "zz")
    assert ran.code == 2
    assert "zz1, zz2" in ran.err
    assert "session         zz2" in bench.run("show", "zz2").out


def test_nothing_that_a_program_says_reaches_the_terminal_as_it_is(bench: Bench) -> None:
    (bench.cwd / HOSTILE).write_text("#!/bin/sh\n" + LOG + HOSTILE_AGENT)
    (bench.cwd / HOSTILE).chmod(0o700)
    ran = bench.run("run", "-v", "--deliverables", HOSTILE, "--", f"./{HOSTILE}", HOSTILE)
    # The directory that deliverables are to land in is the program itself: nothing is started.
    assert ran.code == 2
    ran = bench.run("run", "-v", "--deliverables", f"out{HOSTILE}", "--", f"./{HOSTILE}", HOSTILE)
    assert ran.code == 1
    session = bench.run("ls", "--json").record["id"]
    shown = [ran, *(bench.run(*words) for words in (
        ["ls"], ["show", session], ["logs", session, "-v"], ["attach", session, "-v"], ["cancel", session],
        ["prune", "--older-than", "0"],
    ))]  # fmt: skip
    for each in shown:
        for mark in ("\x1b", "\x07", "\u202e"):
            assert mark not in each.out + each.err
        assert "\\x1b[2J" in each.out


HOSTILE_AGENT = """
for word in STATUS ATTENTION noise; do say "$word: $1"; done
echo x | hand "$1"
say "DELIVERABLE: missing$1"
echo "$1"; echo "$1" >&2
say "ERROR: $1"
"""


def test_words_that_are_no_utf8_are_shown_and_are_json(bench: Bench) -> None:
    word = os.fsdecode(b"\xff")
    ran = bench.run("run", "--json", "--", "sh", "-c", LOG + "say DONE", word)
    assert ran.code == 0
    assert ran.data("session.started")[0]["command"][-1] == word
    session = ran.events[0]["session"]
    assert bench.run("show", session, "--json").record["command"][-1] == word
    assert bench.run("ls", "--json").record["command"][-1] == word
    assert "\\udcff" in bench.run("show", session).out


def test_a_session_whose_directory_was_removed_can_be_shown_and_is_lost_when_adopted(bench: Bench) -> None:
    session = bench.detached(LOG + "say 'STATUS: up';" + GO)
    os.kill(bench.driver(session), signal.SIGKILL)
    bench.go()
    wait_for(lambda: bench.run("jobs", "--json").record["state"] == "ended", "the end of the program")
    shutil.rmtree(bench.state / session)
    assert bench.run("show", session).code == 0
    ran = bench.run("attach", session, "--json")
    assert (ran.code, ran.ended["outcome"]) == (3, "lost")
    assert json.loads(bench.run("reap", "--json").out)["problem"] is None
    assert bench.run("jobs", "--json").out == ""
