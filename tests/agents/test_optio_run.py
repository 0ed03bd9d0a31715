"""The command `optio run`, as a person or a script meets it: the real program, real processes, real files."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from optio_bench import GO, LOG, REPLY, Bench, rest_of
from optio_bench import bench as bench


def test_a_whole_run_from_start_to_done(bench: Bench) -> None:
    ran = bench.script(LOG + "say 'STATUS: 50% half'; echo content | hand sub.txt; " + REPLY + "say 'DONE: all of it'")
    assert ran.code == 0
    assert [event["type"] for event in ran.events] == [
        "session.started", "status", "deliverable", "done", "session.ended",
    ]  # fmt: skip
    assert [event["seq"] for event in ran.events] == [1, 2, 3, 4, 5]
    assert {event["source"] for event in ran.events} == {"session", "log"}
    assert len({event["session"] for event in ran.events}) == 1
    assert ran.data("status") == [{"percent": 50, "message": "half"}]
    [landed] = ran.data("deliverable")
    assert Path(str(landed["path"])).read_text() == "content\n"
    assert Path(str(landed["path"])).parent.parent == bench.cwd
    assert (landed["name"], landed["size"]) == ("sub.txt", 8)
    assert ran.ended == {"outcome": "done", "reason": None, "summary": "all of it", "exit": 0}


def test_the_program_gets_an_answer_to_each_deliverable(bench: Bench) -> None:
    ran = bench.script(LOG + "echo x | hand a; " + REPLY + 'say "$(cat "$OPTIO_REPLIES")"; say DONE')
    assert ran.data("line") == [{"text": "System: deliverable a: accepted. thanks for the good work."}]


def test_an_error_is_a_failure_with_its_text_whatever_the_exit_status(bench: Bench) -> None:
    ran = bench.script(LOG + "say 'ERROR: no tests here'")
    assert (ran.code, ran.ended["outcome"], ran.ended["reason"]) == (1, "failed", "no tests here")
    assert ran.data("error") == [{"message": "no tests here"}]


def test_an_end_without_done_is_a_failure_even_with_exit_status_0(bench: Bench) -> None:
    ran = bench.script("true")
    assert (ran.code, ran.ended["outcome"], ran.ended["exit"]) == (1, "failed", 0)
    assert "without DONE" in str(ran.ended["reason"])


def test_the_exit_status_does_not_change_a_done(bench: Bench) -> None:
    ran = bench.script(LOG + "say DONE; exit 7")
    assert (ran.code, ran.ended["outcome"], ran.ended["exit"]) == (0, "done", 7)


def test_the_first_done_or_error_decides_and_later_ones_are_events(bench: Bench) -> None:
    ran = bench.script(LOG + "say 'DONE: first'; say 'ERROR: late'; say 'DONE: later'")
    assert (ran.code, ran.ended["summary"]) == (0, "first")
    assert [len(ran.data("error")), len(ran.data("done"))] == [1, 2]


def test_a_program_that_reads_its_stdin_finds_it_empty(bench: Bench) -> None:
    ran = bench.script('cat; echo "DONE: read it" >> "$OPTIO_LOG"')
    assert ran.ended["summary"] == "read it"


def test_a_last_line_without_a_newline_counts_when_the_program_has_ended(bench: Bench) -> None:
    assert bench.script('printf "DONE: no newline" >> "$OPTIO_LOG"').ended["summary"] == "no newline"


def test_what_a_program_writes_right_before_its_end_is_not_lost(bench: Bench) -> None:
    ran = bench.script(LOG + 'i=0; while [ $i -lt 3000 ]; do say "line $i"; i=$((i+1)); done; say DONE')
    assert [line["text"] for line in ran.data("line")] == [f"line {number}" for number in range(3000)]
    assert ran.code == 0


BAD_DELIVERABLES = {
    "outside": ('say "DELIVERABLE: /etc/passwd"', "not below"),
    "outside_by_dots": ('say "DELIVERABLE: ../optio.log"', "not below"),
    "through_a_symlink": ('ln -s /etc/passwd "$OPTIO_DELIVERABLES/x"; say "DELIVERABLE: x"', "outside"),
    "through_a_linked_directory": ('ln -s /etc "$OPTIO_DELIVERABLES/x"; say "DELIVERABLE: x/passwd"', "outside"),
    "fifo": ('mkfifo "$OPTIO_DELIVERABLES/x"; say "DELIVERABLE: x"', "FIFO|no regular file"),
    "directory": ('mkdir "$OPTIO_DELIVERABLES/x"; say "DELIVERABLE: x"', "directory"),
    "missing": ('say "DELIVERABLE: x"', "no such file"),
    "too_large": ('truncate -s 5G "$OPTIO_DELIVERABLES/x"; say "DELIVERABLE: x"', "limit"),
}


@pytest.mark.parametrize("case", BAD_DELIVERABLES)
def test_a_deliverable_that_must_not_be_taken_is_refused_and_the_program_is_told(bench: Bench, case: str) -> None:
    script, reason = BAD_DELIVERABLES[case]
    ran = bench.script(LOG + script + "; " + REPLY + 'say "$(cat "$OPTIO_REPLIES")"; say DONE')
    assert ran.code == 0
    assert not ran.data("deliverable")
    [refused] = ran.data("deliverable.refused")
    assert re.search(reason, str(refused["reason"]))
    [told] = ran.data("line")
    assert str(told["text"]).startswith("System: deliverable ")
    assert str(refused["reason"]) in str(told["text"])


@pytest.mark.parametrize("path", ["a", "./a", "deliverables/a", "./deliverables/a", '"$OPTIO_DELIVERABLES/a"'])
def test_a_deliverable_may_be_named_in_every_way_that_means_it(bench: Bench, path: str) -> None:
    ran = bench.script(LOG + f'echo x > "$OPTIO_DELIVERABLES/a"; say "DELIVERABLE: "{path}; say DONE')
    assert [landed["name"] for landed in ran.data("deliverable")] == ["a"]


def test_a_deliverable_announced_again_replaces_the_first_one(bench: Bench) -> None:
    ran = bench.script(LOG + "echo one | hand a; " + REPLY + "echo two | hand a; say DONE")
    first, second = ran.data("deliverable")
    assert first["path"] == second["path"]
    assert Path(str(second["path"])).read_text() == "two\n"


def test_a_file_of_the_person_is_never_replaced_by_a_deliverable(bench: Bench) -> None:
    mine = bench.cwd / "out" / "report.md"
    mine.parent.mkdir()
    mine.write_text("mine")
    ran = bench.script(LOG + "echo theirs | hand report.md; say DONE", "--deliverables", "out")
    [landed] = ran.data("deliverable")
    assert mine.read_text() == "mine"
    assert Path(str(landed["path"])).read_text() == "theirs\n"


def test_a_log_line_of_100_megabytes_is_one_event_and_the_next_line_is_read(bench: Bench) -> None:
    ran = bench.script('head -c 100000000 /dev/zero | tr "\\0" x >> "$OPTIO_LOG"; printf "\\nDONE\\n" >> "$OPTIO_LOG"')
    [line] = ran.data("line")
    assert (ran.code, line["size"], len(str(line["text"]))) == (0, 100_000_000, 1024)


def test_invalid_utf8_and_control_characters_end_nothing(bench: Bench) -> None:
    ran = bench.script('printf "STATUS: \\377\\033[2J\\n\\000\\nDONE\\n" >> "$OPTIO_LOG"')
    assert ran.code == 0
    assert ran.data("status") == [{"percent": None, "message": "\ufffd\x1b[2J"}]
    plain = bench.run("run", "--", "sh", "-c", 'printf "STATUS: \\033[2J\\nDONE\\n" >> "$OPTIO_LOG"')
    assert "\x1b" not in plain.out
    assert "\\x1b[2J" in plain.out


def test_a_log_replaced_by_a_directory_is_a_failure_that_says_so(bench: Bench) -> None:
    ran = bench.script('rm "$OPTIO_LOG"; mkdir "$OPTIO_LOG"; sleep 300')
    assert (ran.code, ran.ended["outcome"]) == (1, "failed")
    assert "no regular file" in str(ran.ended["reason"])


def test_a_truncated_log_is_told_and_read_again(bench: Bench) -> None:
    ran = bench.script(LOG + "echo x | hand a; " + REPLY + 'echo "DONE: over the log" > "$OPTIO_LOG"')
    assert ran.code == 0
    assert [reset["reason"] for reset in ran.data("log.reset")] in (["rewritten"], ["truncated"])


def test_a_program_that_forks_and_exits_ends_with_its_first_process(bench: Bench) -> None:
    ran = bench.script(LOG + 'say "STATUS: going on in the background"; sleep 300 &')
    assert (ran.code, ran.ended["outcome"], ran.ended["exit"]) == (1, "failed", 0)
    assert "left processes behind" in str(ran.data("notice")[0]["message"])
    assert processes_of(str(ran.data("session.started")[0]["taskdir"])) == []


def processes_of(taskdir: str) -> list[int]:
    """Everything alive that was started with this session's log in its environment."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"OPTIO_LOG={taskdir}/".encode() in environment and state != "Z":
            found.append(pid)
    return found


def test_what_a_program_leaves_running_is_ended_and_named(bench: Bench) -> None:
    ran = bench.script(LOG + 'sleep 300 & setsid sh -c "trap : TERM; sleep 300" & say DONE', "--grace", "3")
    assert ran.code == 0
    assert "left processes behind" in str(ran.data("notice")[0]["message"])
    assert processes_of(str(ran.data("session.started")[0]["taskdir"])) == []


def test_a_time_limit_is_a_failure_that_says_so_and_nothing_survives(bench: Bench) -> None:
    ran = bench.script("sleep 300 & wait", "--timeout", "0.3")
    assert (ran.code, ran.ended["outcome"]) == (1, "failed")
    assert "time limit" in str(ran.ended["reason"])
    assert processes_of(str(ran.data("session.started")[0]["taskdir"])) == []


def started(process: "subprocess.Popen[str]") -> str:
    """Wait until the program itself has reported; the session's task directory."""
    assert process.stdout
    taskdir = ""
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == "session.started":
            taskdir = event["data"]["taskdir"]
        if event["type"] == "status":
            return taskdir
    raise AssertionError(rest_of(process))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_whole_tree_and_says_so(bench: Bench, number: int) -> None:
    process = bench.start(LOG + "sleep 300 & setsid sleep 300 & say 'STATUS: up'; wait")
    taskdir = started(process)
    assert len(processes_of(taskdir)) == 3
    process.send_signal(number)
    out, err = rest_of(process)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["data"]["outcome"] == "cancelled"
    assert "stopping" in err
    assert processes_of(taskdir) == []


def test_a_second_signal_kills_a_program_that_ignores_the_first(bench: Bench) -> None:
    process = bench.start(
        LOG + "trap 'say \"STATUS: ignored\"' TERM; say 'STATUS: up'; while :; do sleep 300 & wait; done"
    )
    taskdir = started(process)
    process.send_signal(signal.SIGINT)
    assert process.stdout
    assert "SIGINT" in process.stdout.readline()
    assert "ignored" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest_of(process)
    assert process.returncode == 130
    assert processes_of(taskdir) == []


def test_a_reader_that_goes_away_or_never_reads_does_not_stop_the_session(bench: Bench) -> None:
    process = bench.start(
        LOG
        + "say 'STATUS: up'; "
        + 'i=0; while [ $i -lt 5000 ]; do say "line $i"; i=$((i+1)); done; echo x | hand a; '
        + REPLY
        + "say DONE"
    )
    started(process)
    assert process.stdout
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert process.stderr
    assert process.stderr.read() == ""
    process.stderr.close()


def test_environment_files_and_assignments_reach_the_program(bench: Bench) -> None:
    (bench.cwd / "env").write_text("# comment\nA=from file\nB='quoted $HOME'\n")
    ran = bench.run(
        "run", "--json", "--env-file", "env", "--env", "A=given", "--env", "C", "--",
        "sh", "-c", 'echo "$A|$B|$C" >> "$OPTIO_LOG"', C="passed",
    )  # fmt: skip
    assert ran.data("line") == [{"text": "given|quoted $HOME|passed"}]


def test_a_program_runs_where_it_was_told_to(bench: Bench) -> None:
    (bench.cwd / "sub").mkdir()
    script = 'pwd >> "$OPTIO_LOG"; ls -A >> "$OPTIO_LOG"'
    assert bench.script(script, "--in", "sub").data("line") == [{"text": str(bench.cwd / "sub")}]
    [scratch] = bench.script(script, "--scratch").data("line")
    assert str(scratch["text"]).endswith("/workdir")


WRONG_USAGE = {
    "unknown option": (["run", "--nonsense", "--", "true"], "--nonsense"),
    "no program": (["run"], "no program given"),
    "missing program": (["run", "--", "no-such-program"], "no-such-program"),
    "missing program in a directory": (["run", "--", "./no-such"], "./no-such"),
    "missing directory": (["run", "--in", "missing", "--", "true"], "missing"),
    "two directories": (["run", "--in", ".", "--scratch", "--", "true"], "--scratch"),
    "bad time": (["run", "--timeout", "soon", "--", "true"], "soon"),
    "unset variable": (["run", "--env", "NOT_SET_HERE", "--", "true"], "NOT_SET_HERE"),
    "missing env file": (["run", "--env-file", "missing", "--", "true"], "missing"),
    "deliverables below a file": (["run", "--deliverables", "file/x", "--", "true"], "file"),
    "deliverables in a directory that takes nothing": (["run", "--deliverables", "/proc/x", "--", "true"], "/proc"),
    "unknown command": (["walk"], "walk"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_USAGE)
def test_wrong_usage_is_exit_2_with_a_clear_message_and_changes_nothing(bench: Bench, case: str) -> None:
    (bench.cwd / "file").write_text("in the way")
    arguments, named = WRONG_USAGE[case]
    ran = bench.run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert named in ran.err
    assert "Traceback" not in ran.err
    assert os.listdir(bench.cwd) == ["file"]
    assert not Path(bench.env["XDG_STATE_HOME"]).exists()


def test_a_state_directory_that_cannot_be_made_is_a_clear_error(bench: Bench) -> None:
    ran = bench.run("run", "--", "true", XDG_STATE_HOME="/proc/nowhere")
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "/proc/nowhere" in ran.err
    assert "Traceback" not in ran.err


def test_a_person_without_a_terminal_reads_plain_lines_and_a_summary(bench: Bench) -> None:
    ran = bench.run(
        "run", "--deliverables", "out", "--", "sh", "-c",
        LOG + "say 'STATUS: 50% half'; say noise; say 'ATTENTION: look here'; echo x | hand a; say 'DONE: good'",
    )  # fmt: skip
    assert ran.code == 0
    for part in (" 50% half", "ATTENTION: look here", "deliverable a (2 B) -> ./out/a", "done after", ": good"):
        assert part in ran.out
    assert "noise" not in ran.out
    assert ran.err == ""


def test_a_failure_shows_the_last_of_the_output(bench: Bench) -> None:
    ran = bench.run("run", "--", "sh", "-c", "echo fine; echo 'no such module' >&2; exit 3")
    assert ran.code == 1
    for part in ("no such module", "failed after", "exited with status 3"):
        assert part in ran.out


def test_output_that_cannot_be_read_any_more_is_said_and_ends_nothing(bench: Bench) -> None:
    """Whoever only shows it must not end what the program does: it can replace its own files."""
    swap = 'd=${OPTIO_LOG%/*}/run/1; until [ -s "$d/stderr" ]; do sleep 0.05; done; rm "$d/stderr"; mkfifo "$d/stderr";'
    script = LOG + "echo begun >&2;" + swap + GO + "say DONE"
    running = bench.start_optio("run", "-v", "--", "sh", "-c", script)
    assert running.stderr is not None
    said = running.stderr.readline()
    assert "cannot be shown any more" in said
    assert "no regular file" in said
    bench.go()
    rest_of(running)
    assert running.returncode == 0


def test_verbose_shows_the_output_and_lines_that_are_no_entries(bench: Bench) -> None:
    ran = bench.run("run", "-v", "--", "sh", "-c", LOG + "echo to-stdout; echo to-stderr >&2; say noise; say DONE")
    for part in ("to-stdout", "to-stderr", "noise"):
        assert part in ran.out


def test_help_shows_examples(bench: Bench) -> None:
    for arguments in (["--help"], ["run", "--help"], ["prompt", "--help"]):
        ran = bench.run(*arguments)
        assert ran.code == 0
        assert "Examples:" in ran.out


def test_the_prompt_names_the_variables_that_run_sets(bench: Bench) -> None:
    ran = bench.run("prompt")
    assert all(f"${name}" in ran.out for name in ("OPTIO_LOG", "OPTIO_DELIVERABLES", "OPTIO_REPLIES"))
