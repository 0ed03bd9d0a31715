"""The real Claude Code under the real command, its questions answered from another terminal; its model is a script."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from claude_rig import ClaudeRig, claude_rig
from model_api import Hold, Say, Use, bash
from optio_bench import Bench, rest_of, wait_for, wait_until_dead

from optio_agents.cli.visible import visible

HAND_OVER = (
    'printf "all is well\\n" > "$OPTIO_DELIVERABLES/report.md" && '
    'printf "DELIVERABLE: %s/report.md\\n" "$OPTIO_DELIVERABLES" >> "$OPTIO_LOG"'
)
DONE = 'printf "DONE: reported\\n" >> "$OPTIO_LOG"'
SCRIPT = {
    "task": [bash(HAND_OVER), Say("I wait for the acknowledgement."), bash(DONE), Say("That was it.")],
    "write": [bash("echo hi > out.txt"), bash(DONE), Say("That was it.")],
    "night": [
        bash('echo "STATUS: 10% begun" >> "$OPTIO_LOG"'),
        bash(HAND_OVER),
        bash("make deploy"),
        bash(DONE),
        Say("That was it."),
    ],
    "hold": [Hold("I am writing")],
    "fetch": [Use((("mcp__optio__fetch", {"number": 7}),)), bash(DONE), Say("That was it.")],
}

EXTENSIONS = """
import pathlib, time
from optio_agents.extensions import PreToolUse, PreToolUseDecision, ToolContext, pre_tool_use, tool

HERE = pathlib.Path(__file__).parent


@tool
def fetch(number: int, context: ToolContext) -> str:
    (HERE / "called").open("a").write(f"{context.redelivered}\\n")
    while not (HERE / "go").exists():
        time.sleep(0.02)
    return f"fetched {number}"


@pre_tool_use(matcher="Bash")
def allow(use: PreToolUse) -> PreToolUseDecision:
    return PreToolUseDecision("allow")
"""


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[ClaudeRig]:
    with claude_rig(tmp_path / "claude", SCRIPT) as rig:
        yield rig


@pytest.fixture
def bench(tmp_path: Path, claude: ClaudeRig) -> Iterator[Bench]:
    """A bench whose PATH has the program."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "claude").symlink_to(claude.program)
    bench = Bench(tmp_path)
    bench.env.update(claude.env, PATH=f"{programs}:{os.environ['PATH']}")
    yield bench
    bench.close()


def question(bench: Bench, but: str = "") -> dict[str, Any]:
    """An open question, once there is one; `but` this one, which was answered."""
    return wait_for(
        lambda: [each for each in bench.run("permissions", "--json").events if each["id"] != but], "a question"
    )[0]


def test_a_task_is_done_with_its_questions_answered_from_another_terminal(bench: Bench, claude: ClaudeRig) -> None:
    running = bench.start_optio("run", "--json", "--agent", "claude", "SCENARIO:task", "--deliverables", "out")
    first = question(bench)
    assert (first["kind"], first["tool"], first["input"]["command"]) == ("permission", "Bash", HAND_OVER)
    allowed = bench.run("approve", first["id"][:8])
    assert (allowed.code, allowed.out, allowed.err) == (0, f"allowed: Bash: {visible(HAND_OVER)}\n", "")
    second = question(bench, but=first["id"])
    assert second["input"]["command"] == DONE
    assert bench.run("approve", second["id"]).code == 0
    out, err = rest_of(running)
    assert (running.returncode, err) == (0, "")
    assert (bench.cwd / "out" / "report.md").read_text() == "all is well\n"
    said = [json.loads(line) for line in out.splitlines()]
    assert [each["data"]["reason"] for each in said if each["type"] == "turn.ended"] == ["completed", "completed"]
    told = claude.api.requests[2]["messages"][-1]["content"]
    assert "System: deliverable report.md: accepted" in str(told)
    assert "## Log channel" in str(claude.api.requests[0]["messages"])


def test_a_question_asked_before_kill_9_is_answered_after_it_from_another_terminal_once(bench: Bench) -> None:
    running = bench.start_optio("run", "--json", "--agent", "claude", "SCENARIO:write")
    asked = question(bench)
    running.kill()
    rest_of(running)
    assert bench.run("approve", asked["id"]).code == 0  # and starts a driver
    assert bench.run("approve", question(bench, but=asked["id"])["id"]).code == 0
    ended = bench.run("attach", "--json", asked["session"])
    assert ended.code == 0
    assert (bench.cwd / "out.txt").read_text() == "hi\n"
    answered = [each["id"] for each in ended.data("question.answered")]
    assert answered[0] == asked["id"]
    assert len(answered) == len(set(answered)) == 2
    spool = Path(bench.record(asked["session"])["taskdir"], "run", "1", "stdin").read_text()
    assert spool.count(f'"request_id":"{asked["id"]}"') == 1


def test_hooks_and_tools_from_a_file_serve_each_driver_of_a_session_for_as_long_as_the_file_is_the_same(
    bench: Bench,
) -> None:
    file = bench.cwd / "extensions.py"
    file.write_text("import missing_module")
    wrong = bench.run("run", "--agent", "claude", "--tools", "extensions.py", "SCENARIO:fetch")
    assert (wrong.code, "missing_module" in wrong.err) == (2, True)
    file.write_text(EXTENSIONS)
    options = ("--policy", "none", "--hooks", "extensions.py", "--tools", "extensions.py:fetch")
    session = bench.run("run", "--detach", "--agent", "claude", *options, "SCENARIO:fetch").out.strip()
    called = bench.cwd / "called"
    wait_for(called.exists, "the call")
    driver = bench.driver(session)
    os.kill(driver, signal.SIGKILL)
    wait_until_dead(driver)
    file.write_text(EXTENSIONS + "\n# by somebody else\n")
    refused = bench.run("drive", session)
    assert refused.code != 0
    assert "it is not what it was when the session was started" in refused.err
    file.write_text(EXTENSIONS)
    (bench.cwd / "go").touch()
    assert bench.run("adopt", session).out.strip() == session
    ended = bench.run("attach", "--json", session)
    assert (ended.code, ended.ended["summary"]) == (0, "reported")
    assert called.read_text() == "False\nTrue\n"
    assert [each["text"] for each in ended.data("tool.answered")] == ["fetched 7"]
    assert [each["decision"] for each in ended.data("hook.answered")] == ["allow"]


def test_of_two_answers_the_first_wins_and_the_second_is_told(bench: Bench) -> None:
    session = bench.run("run", "--detach", "--agent", "claude", "SCENARIO:write").out.strip()
    asked = question(bench)
    answers = [bench.start_optio(verb, asked["id"]) for verb in ("approve", "deny")]
    ends = [(rest_of(each), each.returncode) for each in answers]
    assert sorted(code != 0 for _, code in ends) == [False, True]
    assert any("too late" in err or "no open question" in err for (_, err), _ in ends)
    bench.run("cancel", session)


def test_a_denial_reaches_the_agent_with_its_reason(bench: Bench, claude: ClaudeRig) -> None:
    session = bench.run("run", "--detach", "--agent", "claude", "SCENARIO:write").out.strip()
    asked = question(bench)
    assert bench.run("deny", asked["id"], "--message", "Not on this branch.").code == 0
    question(bench, but=asked["id"])
    assert "Not on this branch." in str(claude.api.requests[1]["messages"][-1])
    assert not (bench.cwd / "out.txt").exists()
    assert bench.run("cancel", session).code == 0


def test_a_denial_may_end_the_turn_from_another_terminal(bench: Bench, claude: ClaudeRig) -> None:
    session = bench.run("run", "--detach", "--agent", "claude", "SCENARIO:write").out.strip()
    denied = bench.run("deny", question(bench)["id"], "--stop")
    assert (denied.code, denied.out) == (0, "denied and stopped: Bash: echo hi > out.txt\n")
    [turn] = wait_for(lambda: bench.run("logs", "--json", session).data("turn.ended"), "the end of the turn")
    assert (turn["reason"], turn["denied"]) == ("aborted_tools", ["Bash"])
    assert len(claude.api.requests) == 1
    assert bench.run("cancel", session).code == 0


def test_an_approval_may_change_what_will_run(bench: Bench) -> None:
    session = bench.run("run", "--detach", "--agent", "claude", "SCENARIO:write").out.strip()
    asked = question(bench)
    edited = json.dumps({"command": "echo other > other.txt"})
    assert bench.run("approve", asked["id"], "--input", edited).code == 0
    question(bench, but=asked["id"])
    assert (bench.cwd / "other.txt").read_text() == "other\n"
    assert not (bench.cwd / "out.txt").exists()
    assert bench.run("cancel", session).code == 0


def test_an_agent_is_interrupted_and_told_something_else_from_another_terminal(bench: Bench, claude: ClaudeRig) -> None:
    session = bench.run("run", "--detach", "--agent", "claude", "SCENARIO:hold").out.strip()
    claude.api.until_held()
    assert bench.run("interrupt", session).code == 0
    assert bench.run("send", session, "SCENARIO:write instead").code == 0
    question(bench)
    turns = wait_for(lambda: bench.run("logs", "--json", session).data("turn.ended"), "the interrupted turn")
    assert turns[0]["reason"] == "aborted_streaming"
    assert bench.run("cancel", session).code == 0


def test_a_question_is_shown_whole_to_a_person(bench: Bench) -> None:
    session = bench.run("run", "--detach", "--agent", "claude", "SCENARIO:task").out.strip()
    asked = question(bench)
    listed = bench.run("permissions")
    assert listed.out.splitlines()[0].startswith(f"{asked['id']}  session {session}  permission, for ")
    assert listed.out.splitlines()[1] == f"  Bash: {visible(HAND_OVER)}"
    assert bench.run("cancel", session).code == 0
    assert bench.run("permissions", "--json").out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--agent", "claude"), "say what the agent shall do"),
        (("run", "--resume", "x", "--", "true"), "--agent"),
        (("run", "--policy", "none", "--", "true"), "--agent"),
        (("run", "--agent", "claude", "--policy", "/no/such.toml", "hello"), "/no/such.toml"),
        (("approve", "5f3a"), "optio permissions"),
        (("approve", "5f3a", "--input", "{"), "no JSON"),
        (("approve", "5f3a", "--input", "5"), "no JSON object"),
        (("send", "5f3a", "text"), "5f3a"),
        (("interrupt", "5f3a"), "5f3a"),
    ],
)
def test_wrong_usage_says_what_to_do(bench: Bench, arguments: tuple[str, ...], words: str) -> None:
    ran = bench.run(*arguments)
    assert ran.code == 2
    assert words in ran.err


def test_a_program_that_holds_no_conversation_is_not_talked_to(bench: Bench) -> None:
    session = bench.detached("sleep 60")
    said = bench.run("send", session, "hello")
    assert said.code == 1
    assert "holds no conversation" in said.err
    assert bench.run("cancel", session).code == 0


def test_an_agent_that_is_not_installed_is_refused_before_anything_is_started(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "programs" / "claude").unlink()
    ran = bench.run("run", "--agent", "claude", "hello")
    assert ran.code in (1, 2)
    assert "claude" in ran.err
    assert bench.run("ls").out == "no sessions\n"


def test_under_the_built_in_policy_the_log_channel_is_used_unasked_and_the_rest_is_asked(bench: Bench) -> None:
    del bench.env["OPTIO_POLICY"]
    running = bench.start_optio("run", "--json", "--agent", "claude", "SCENARIO:night")

    def for_a_person() -> list[dict[str, Any]]:
        return [each for each in bench.run("permissions", "--json").events if each["waits_for"] == "person"]

    [asked] = wait_for(for_a_person, "a question to a person")
    assert asked["input"]["command"] == "make deploy"
    assert bench.run("deny", asked["id"], "--message", "Not tonight.").code == 0
    out, err = rest_of(running)
    assert (running.returncode, err) == (0, "")
    said = [json.loads(line) for line in out.splitlines()]
    answered = [each["data"]["by"].partition(":")[0] for each in said if each["type"] == "question.answered"]
    assert [each == "the policy" for each in answered] == [True, True, False, True]
    assert [each["data"]["name"] for each in said if each["type"] == "deliverable"] == ["report.md"]


def test_an_agent_that_is_not_logged_in_says_so_and_the_session_has_failed(bench: Bench) -> None:
    del bench.env["ANTHROPIC_API_KEY"]
    ran = bench.run("run", "--json", "--agent", "claude", "SCENARIO:write")
    assert ran.code == 1
    assert "Not logged in" in ran.ended["reason"]
