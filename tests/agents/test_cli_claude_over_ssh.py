"""The real Claude Code on another host under the real command `optio`, which may die; its model is a script."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from claude_rig import ClaudeRig, claude_rig
from model_api import Say, bash
from optio_bench import Bench, rest_of, wait_for
from optio_bench import bench as bench
from test_cli_host import far as far

from sshd_rig import Sshd

HAND_OVER = (
    'printf "all is well\\n" > "$OPTIO_DELIVERABLES/report.md" && '
    'printf "DELIVERABLE: %s/report.md\\n" "$OPTIO_DELIVERABLES" >> "$OPTIO_LOG"'
)
DONE = 'printf "DONE: reported\\n" >> "$OPTIO_LOG"'
SCRIPT = {
    "task": [bash(HAND_OVER), Say("I wait for the acknowledgement."), bash(DONE), Say("That was it.")],
    "write": [bash("echo hi > out.txt"), bash(DONE), Say("That was it.")],
}


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[ClaudeRig]:
    with claude_rig(tmp_path / "claude", SCRIPT) as rig:
        yield rig


def on_far(claude: ClaudeRig) -> list[str]:
    """The options that run it there."""
    env = [word for name, value in claude.env.items() for word in ("--env", f"{name}={value}")]
    there = ["--agent", "claude", "--executable", claude.program, "--in", str(claude.cwd)]
    return ["run", "--json", "--host", "far", *there, *env]


def question(bench: Bench, but: str = "") -> dict[str, Any]:
    """An open question, once there is one; `but` this one, which was answered."""
    return wait_for(
        lambda: [each for each in bench.run("permissions", "--json").events if each["id"] != but], "a question"
    )[0]


def test_a_task_on_another_host_is_done_with_its_questions_answered_from_another_terminal(
    bench: Bench, far: Sshd, claude: ClaudeRig
) -> None:
    running = bench.start_optio(*on_far(claude), "--deliverables", "out", "SCENARIO:task")
    first = question(bench)
    assert first["input"]["command"] == HAND_OVER
    assert bench.run("approve", first["id"]).code == 0
    second = question(bench, but=first["id"])
    assert second["input"]["command"] == DONE
    assert bench.run("approve", second["id"]).code == 0
    out, err = rest_of(running)
    assert (running.returncode, err) == (0, "")
    assert (bench.cwd / "out" / "report.md").read_text() == "all is well\n"
    said = [json.loads(line) for line in out.splitlines()]
    assert [each["data"]["reason"] for each in said if each["type"] == "turn.ended"] == ["completed", "completed"]
    assert "System: deliverable report.md: accepted" in str(claude.api.requests[2]["messages"][-1]["content"])


def test_a_question_asked_on_another_host_before_kill_9_is_answered_after_it_once(
    bench: Bench, far: Sshd, claude: ClaudeRig
) -> None:
    running = bench.start_optio(*on_far(claude), "SCENARIO:write")
    asked = question(bench)
    running.kill()
    rest_of(running)
    assert bench.run("approve", asked["id"]).code == 0  # and starts a driver, which dials again
    second = question(bench, but=asked["id"])
    spool = Path(bench.record(asked["session"])["taskdir"], "run", "1", "stdin").read_text()
    assert spool.count(f'"request_id":"{asked["id"]}"') == 1
    assert [json.loads(line)["type"] for line in spool.splitlines()] == ["control_request", "user", "control_response"]
    assert bench.run("approve", second["id"]).code == 0
    ended = bench.run("attach", "--json", asked["session"])
    assert (ended.code, ended.ended["outcome"]) == (0, "done")
    assert (claude.cwd / "out.txt").read_text() == "hi\n"
    assert [each["id"] for each in ended.data("question.answered")] == [asked["id"], second["id"]]


def test_a_program_that_only_a_login_shell_finds_is_refused_with_its_path_and_runs_when_that_is_named(
    bench: Bench, far: Sshd, tmp_path: Path
) -> None:
    local = tmp_path / "home there" / ".local" / "bin"
    local.mkdir(parents=True)
    program = local / "claude"
    program.write_text("#!/bin/sh\necho 9.9.9\n")
    program.chmod(0o755)
    refused = bench.run("run", "--host", "far", "--agent", "claude", "hello")
    looked = bench.run("doctor", "--host", "far", "--agent", "claude", "--json")
    for code, said in (refused.code, refused.err), (looked.code, looked.out):
        assert code == 1
        assert os.uname().nodename in said
        assert f"it is at {program}" in said
        assert "--executable" in said
    assert bench.run("ls").out == "no sessions\n"
    named = bench.run("doctor", "--host", "far", "--agent", "claude", "--executable", str(program), "--json")
    found = {each["what"]: each for each in named.events}["claude"]
    assert (named.code, found["verdict"], found["found"]) == (0, "ok", f"9.9.9 ({program})")


def test_a_host_without_the_program_is_named_and_nothing_is_started(bench: Bench, far: Sshd) -> None:
    missing = "/no/such/claude"
    ran = bench.run("run", "--host", "far", "--agent", "claude", "--executable", missing, "hello")
    assert ran.code == 1
    assert f"{missing}: there is no such program on {far.user}@{os.uname().nodename}" in ran.err
    assert "install Claude Code there" in ran.err
    nowhere = bench.run("run", "--host", "far", "--agent", "claude", "--in", "/no/such", "hello")
    assert nowhere.code == 2
    assert "there is no such directory on far" in nowhere.err
    assert bench.run("ls").out == "no sessions\n"


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_an_executable_without_an_agent_is_wrong_usage(bench: Bench, command: str) -> None:
    ran = bench.run(command, "--executable", "/bin/true")
    assert ran.code == 2
    assert "--agent" in ran.err
