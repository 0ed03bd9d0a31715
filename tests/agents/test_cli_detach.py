"""Sessions without a terminal: --detach, a terminal that is closed, drivers in the background, limits, --notify."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from optio_bench import GO, LOG, OPTIO, REPLY, Bench, read_until, rest_of, wait_for, wait_until_dead
from optio_bench import bench as bench


def test_detach_prints_the_id_and_a_driver_in_the_background_goes_on(bench: Bench) -> None:
    ran = bench.run(
        "run", "--detach", "--deliverables", "out", "--", "sh", "-c", GO + LOG + "echo x | hand a; say DONE"
    )
    assert (ran.code, ran.err) == (0, "")
    session = ran.out.strip()
    assert bench.driver(session)
    bench.go()
    assert bench.run("attach", session).code == 0
    assert (bench.cwd / "out" / "a").read_text() == "x\n"


def test_detach_with_json_prints_the_record(bench: Bench) -> None:
    record = bench.run("run", "--detach", "--json", "--", "sh", "-c", LOG + "say DONE").record
    assert (record["state"], record["outcome"], record["host"]) == ("running", None, "local")
    assert bench.run("attach", record["id"]).code == 0


def test_detach_needs_a_store_that_lasts(bench: Bench) -> None:
    ran = bench.run("run", "--detach", "--store", "memory:", "--", "true")
    assert (ran.code, ran.out) == (2, "")
    assert "--detach needs a store that outlives this command" in ran.err


def test_a_hangup_hands_the_session_over_and_every_line_is_there_once(bench: Bench) -> None:
    running = bench.start(LOG + "say 'STATUS: 1'; " + GO + "say 'STATUS: 2'; echo x | hand a; " + REPLY + "say DONE")
    session = json.loads(read_until(running, '"1"')[0])["session"]
    running.send_signal(signal.SIGHUP)
    _, err = rest_of(running)
    assert running.returncode == 130
    assert f"session {session} goes on without this terminal" in err
    assert f"to come back: optio attach {session}" in err
    assert bench.driver(session) != running.pid
    bench.go()
    ran = bench.run("attach", session, "--json")
    assert ran.code == 0
    assert [status["message"] for status in ran.data("status")] == ["1", "2"]
    [landed] = ran.data("deliverable")
    assert Path(landed["path"]).parent.parent == bench.cwd


def test_a_terminal_that_is_closed_hands_the_session_over(bench: Bench) -> None:
    script = LOG + "say 'ATTENTION: up';" + GO + "say DONE"
    ours, theirs = os.openpty()
    # The first terminal that the leader of a session opens is its own; closing our end is closing its window.
    running = subprocess.Popen(
        ["sh", "-c", 'exec <"$0" >"$0" 2>&1; exec "$@"', os.ttyname(theirs), OPTIO, "run", "--", "sh", "-c", script],
        cwd=bench.cwd,
        env=bench.env,
        start_new_session=True,
    )
    shown = b""
    while b"ATTENTION" not in shown:
        shown += os.read(ours, 4096)
    os.close(theirs)
    os.close(ours)
    assert running.wait(timeout=30) == 130
    session = bench.run("ls", "--json").record["id"]
    assert bench.driver(session) != running.pid
    bench.go()
    assert bench.run("attach", session).code == 0
    assert "driver.left" in [event["type"] for event in bench.record(session)["timeline"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_output_that_nobody_reads_holds_up_neither_the_session_nor_a_signal(bench: Bench, number: int) -> None:
    script = (
        LOG + 'i=0; while [ $i -lt 3000 ]; do say "line $i"; i=$((i+1)); done; say "STATUS: up"; ' + GO + "say DONE"
    )
    running = bench.start(script)
    session = wait_for(lambda: bench.run("ls", "--json").out, "the session")
    session = json.loads(session)["id"]
    followed = bench.start_optio("logs", session, "--follow", "--json")
    assert len(read_until(followed, '"up"')) > 3000, "the driver stopped where its reader did"
    running.send_signal(number)
    if number == signal.SIGHUP:
        bench.go()
    rest, _ = rest_of(followed)
    outcome = json.loads(rest.splitlines()[-1])["data"]["outcome"]
    assert outcome == ("done" if number == signal.SIGHUP else "cancelled")
    if number == signal.SIGINT:
        running.send_signal(number)  # the session has ended; only the output is still waited for
    assert running.wait(timeout=30) == 130


def test_a_driver_in_the_background_lets_go_when_told_to_and_the_program_goes_on(bench: Bench) -> None:
    session = bench.detached(GO + LOG + "say DONE")
    driver = bench.driver(session)
    os.kill(driver, signal.SIGTERM)
    wait_until_dead(driver)
    record = bench.record(session)
    assert (record["state"], record["driver"]) == ("running", None)
    assert record["timeline"][-1]["data"] == {"reason": "the driver was stopped by SIGTERM"}
    assert bench.run("jobs", "--json").record["state"] == "running"
    bench.go()
    ran = bench.run("drive", session, "--json")
    assert (ran.code, ran.record["outcome"]) == (0, "done")
    assert (bench.state / session / "driver.log").read_text() == ""


def test_a_driver_drives_for_longer_than_it_waits_for_another_one(bench: Bench) -> None:
    session = bench.detached(GO + LOG + "say DONE")
    driver = bench.driver(session)
    os.kill(driver, signal.SIGTERM)
    wait_until_dead(driver)
    following = bench.start_optio("logs", session, "--follow", "--json")
    code = "import sys; from optio_agents.cli import drive, main; drive.PATIENCE = 0.5; sys.argv[0] = 'optio'; main()"
    driving = subprocess.Popen(
        [str(Path(OPTIO).parent / "python"), "-c", code, "drive", session], cwd=bench.cwd, env=bench.env
    )
    read_until(following, f"pid {driving.pid} ")
    # Three looks at a session take longer than that patience.
    assert [bench.record(session)["driver"]["pid"] for _ in range(3)] == [driving.pid] * 3
    bench.go()
    assert driving.wait(timeout=30) == 0
    assert bench.record(session)["outcome"] == "done"


def test_a_person_is_told_when_they_are_asked_for_and_when_it_has_ended(bench: Bench) -> None:
    told = bench.cwd / "told"
    notify = 'echo "$OPTIO_SESSION $OPTIO_EVENT $OPTIO_TEXT" >> told'
    session = bench.detached(
        LOG + "say 'ATTENTION: which branch?';" + GO + "say 'DONE: well'", "--notify", f"cd {bench.cwd}; {notify}"
    )
    read_until(bench.start_optio("logs", session, "--follow"), "which branch")
    os.kill(bench.driver(session), signal.SIGKILL)
    bench.go()
    assert bench.run("attach", session).code == 0
    assert told.read_text().splitlines()[-1] == f"{session} ended done: well"


LIMITS = {
    "timeout": (["--timeout", "1s"], "sleep 300", "time limit"),
    "idle": (["--idle", "1s"], "sleep 300", "without any sign of life"),
    "output": (
        ["--max-output", "50k"],
        "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done",
        "past the limit",
    ),
    "room": (["--min-free", "900T"], "sleep 300", "too little room"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_stops_the_program_and_says_so(bench: Bench, limit: str) -> None:
    options, script, reason = LIMITS[limit]
    ran = bench.run("run", "--json", *options, "--", "sh", "-c", script)
    assert (ran.code, ran.ended["outcome"]) == (1, "failed")
    assert reason in ran.ended["reason"]


def test_a_program_that_nobody_drives_any_more_is_stopped_on_its_host(bench: Bench) -> None:
    session = bench.detached("sleep 300", "--orphan-timeout", "15s")
    driver = bench.driver(session)
    os.kill(driver, signal.SIGKILL)
    wait_for(lambda: bench.run("jobs", "--json").record["state"] == "ended", "the dead-man's rule")
    ran = bench.run("attach", session, "--json")
    assert (ran.code, ran.ended["outcome"]) == (1, "failed")
    assert "no driver was seen for too long" in ran.ended["reason"]


WRONG = {
    "orphan timeout": (["--orphan-timeout", "5s"], "a driver may be silent for up to 15s"),
    "no time at all": (["--timeout", "0"], "nothing could run at all"),
    "no output at all": (["--max-output", "0"], "is no size"),
    "no size": (["--min-free", "lots"], "'lots' is no size"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_limit_that_could_not_be_kept_is_wrong_usage(bench: Bench, case: str) -> None:
    options, message = WRONG[case]
    ran = bench.run("run", *options, "--", "true")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not bench.state.exists()
