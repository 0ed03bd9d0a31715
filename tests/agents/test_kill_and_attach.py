"""A real `kill -9` of whoever drives, and `optio attach` after it: every line once, and the right end."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optio_bench import Bench, read_until, rest_of, wait_until_dead

OPTIO = str(Path(sys.executable).parent / "optio")

COUNT = 200
"""Lines that the program writes before it waits for the test, and again behind that."""

PROGRAM = """
log() {{ echo "$1" >>"$OPTIO_LOG"; }}
count() {{ i=$1; while [ "$i" -lt "$2" ]; do log "STATUS: line $i."; i=$((i + 1)); done; }}
count 0 {count}
until [ -e go ]; do sleep 0.02; done
count {count} {twice}
echo content >"$OPTIO_DELIVERABLES/a"; log 'DELIVERABLE: a'
until [ -s "$OPTIO_REPLIES" ]; do sleep 0.02; done
log '{end}'
"""
ALL = [f"line {number}." for number in range(2 * COUNT)]

Event = dict[str, Any]


class Machine(Bench):
    """A bench with one session on it."""

    def only(self) -> dict[str, Any]:
        """The only session, as `optio ls` shows it."""
        return self.run("ls", "--json").record

    def let_the_lease_run_out(self) -> None:
        """As if its owner had not renewed it for a minute."""
        with sqlite3.connect(self.state / "journal.db") as journal:
            journal.execute("UPDATE leases SET renewed = renewed - 60")
        journal.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.close()


def run_words(end: str = "DONE: counted", *options: str) -> list[str]:
    return ["run", *options, "--", "sh", "-c", PROGRAM.format(count=COUNT, twice=2 * COUNT, end=end)]


def killed(process: "subprocess.Popen[str]") -> list[str]:
    """Kill it; what it had printed and nobody had read."""
    process.send_signal(signal.SIGKILL)
    out, err = rest_of(process)
    assert (process.returncode, err) == (-signal.SIGKILL, "")
    return out.splitlines()


def events(lines: list[str]) -> list[Event]:
    return [json.loads(line) for line in lines]


def texts(history: list[Event]) -> list[str]:
    return [each["data"]["message"] for each in history if each["type"] == "status"]


def assert_whole(history: list[Event]) -> None:
    """Every event is there once and in order, and so is every line that the program wrote."""
    assert [each["seq"] for each in history] == list(range(1, len(history) + 1))
    assert texts(history) == ALL
    for kind in ("session.started", "deliverable", "session.ended"):
        assert [each["type"] for each in history].count(kind) == 1
    assert (history[0]["type"], history[-1]["type"]) == ("session.started", "session.ended")


def united(*parts: list[Event]) -> list[Event]:
    """What several readers saw, by number; they must not contradict each other."""
    by_number: dict[int, Event] = {}
    for event in (each for part in parts for each in part):
        assert by_number.setdefault(event["seq"], event) == event
    return [by_number[number] for number in sorted(by_number)]


def assert_nothing_runs(machine: Machine) -> None:
    """No program, no supervisor and no driver is left; a driver that has written the end may be about to exit."""
    for pid in machine.everything():
        wait_until_dead(pid)
    assert not machine.everything()


@pytest.mark.parametrize("seen", [0, 7, COUNT - 1])
@pytest.mark.parametrize(("end", "code"), [("DONE: counted", 0), ("ERROR: lost count", 1)])
def test_attach_after_kill_9_of_run_shows_every_line_once_and_ends_as_run_would_have(
    machine: Machine, seen: int, end: str, code: int
) -> None:
    run = machine.start_optio(*run_words(end, "--json"))
    before = read_until(run, f'"line {seen}."')
    before += killed(run)
    machine.go()
    attach = machine.run("attach", json.loads(before[0])["session"], "--json")
    assert (attach.code, attach.err) == (code, "")
    history = events(attach.out.splitlines())
    assert_whole(history)
    assert united(events(before), history) == history
    assert history[-1]["data"]["outcome"] == ("done" if code == 0 else "failed")
    assert [each["data"]["reason"] for each in history if each["type"] == "driver.changed"] == ["died"]
    assert_nothing_runs(machine)


def test_attach_goes_on_where_the_reader_of_the_killed_run_stood(machine: Machine) -> None:
    run = machine.start_optio(*run_words("DONE", "--json"))
    before = events(read_until(run, f'"line {COUNT // 2}."') + killed(run))
    machine.go()
    attach = machine.run("attach", before[0]["session"], "--json", "--from", str(before[-1]["seq"] + 1))
    assert_whole(before + events(attach.out.splitlines()))


def test_a_program_that_ended_while_nobody_drove_it_is_brought_to_its_end_by_attach(machine: Machine) -> None:
    script = 'echo "STATUS: up" >>"$OPTIO_LOG"; until [ -e go ]; do sleep 0.02; done; echo DONE >>"$OPTIO_LOG"; : >gone'
    run = machine.start_optio("run", "--json", "--", "sh", "-c", script)
    session = json.loads(read_until(run, '"up"')[0])["session"]
    killed(run)
    watched = subprocess.run(
        ["sh", "-c", "touch go; until [ -e gone ]; do sleep 0.02; done"], cwd=machine.cwd, timeout=30
    )
    assert watched.returncode == 0
    attach = machine.run("attach", session, "--json")
    assert attach.code == 0
    kinds = [each["type"] for each in events(attach.out.splitlines())]
    assert kinds == ["session.started", "status", "driver.changed", "done", "session.ended"]


def test_a_person_reads_every_line_once_after_kill_9_of_run(machine: Machine) -> None:
    run = machine.start_optio(*run_words())
    read_until(run, "line 7.")
    killed(run)
    machine.go()
    attach = machine.run("attach", machine.only()["id"])
    assert (attach.code, attach.err) == (0, "")
    assert re.findall(r"line \d+\.", attach.out) == ALL
    assert len(re.findall(r"deliverable a \(8 B\)", attach.out)) == 1
    assert re.search(r"done after .*: counted", attach.out)
    assert_nothing_runs(machine)


def test_attach_after_kill_9_of_the_background_driver_of_a_detached_run(machine: Machine) -> None:
    assert machine.run(*run_words("DONE: counted", "--detach", "--json")).code == 0
    first = machine.driver(machine.only()["id"])
    os.kill(first, signal.SIGKILL)
    machine.go()
    attach = machine.run("attach", machine.only()["id"], "--json")
    assert (attach.code, attach.err) == (0, "")
    history = events(attach.out.splitlines())
    assert_whole(history)
    assert [each["data"]["reason"] for each in history if each["type"] == "driver.changed"] == ["released", "died"]
    assert_nothing_runs(machine)


@pytest.mark.parametrize("wakes", ["while the other drives", "after the end"])
def test_a_driver_that_was_paused_until_its_lease_ran_out_writes_nothing_more_and_says_so(
    machine: Machine, wakes: str
) -> None:
    paused = machine.start_optio(*run_words("DONE: counted", "--json"))
    before = read_until(paused, f'"line {COUNT - 1}."')
    paused.send_signal(signal.SIGSTOP)
    session = json.loads(before[0])["session"]
    machine.let_the_lease_run_out()
    other = machine.start_optio("attach", session, "--json")
    taken_over = read_until(other, '"driver.changed"')
    if wakes == "while the other drives":
        paused.send_signal(signal.SIGCONT)
    machine.go()
    out, err = rest_of(other)
    assert (other.returncode, err) == (0, "")
    history = events(taken_over + out.splitlines())
    if wakes == "after the end":
        paused.send_signal(signal.SIGCONT)
    out, err = rest_of(paused)
    assert paused.returncode == 0
    assert "another driver has taken over" in err
    assert_whole(history)
    assert events(before + out.splitlines()) == history, "the driver that woke up late wrote something"
    assert [each["data"]["reason"] for each in history if each["type"] == "driver.changed"] == ["expired"]
    assert events(machine.run("logs", session, "--json").out.splitlines()) == history
    assert_nothing_runs(machine)
