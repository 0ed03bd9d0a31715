"""An agent's questions in the terminal of whoever started it or attached to it: a real terminal, an agent of ours."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conversation_rig import FAKE, INITIALIZE, Rule
from fake_claude import asked, result
from optio_bench import Bench, rest_of, wait_for, wait_until_dead
from terminals import Terminal
from terminals import terminals as terminals

ALLOWED, DENIED = '"behavior":"allow"', '"behavior":"deny"'
PROMPT, PLAN_PROMPT, REASON_PROMPT = "e (edit) > ", "(keep planning), n: WHY, r (type the reason) > ", "reason: "
OVER = Rule('"control_response"', result(), exits=0)
LONG = "echo begin; " + "echo x; " * 2_000 + "echo end"


class Desk(Bench):
    """A bench with agents on its PATH, and terminals."""

    def agent(self, *asks: dict[str, Any]) -> None:
        """An agent that asks these, one after the other; with the last answer its work is done."""
        rules = [Rule('"type":"user"', asks[0], once=True)]
        rules += [Rule(f'"{each["request_id"]}"', after) for each, after in pairwise(asks)]
        script = self.cwd.parent / "script"
        script.write_text(json.dumps({"rules": [INITIALIZE, *rules, OVER]}))
        programs = self.cwd.parent / "programs"
        programs.mkdir()
        program = programs / "claude"
        said = 'echo "DONE: said" >> "$OPTIO_LOG"'
        program.write_text(f'#!/bin/sh\n"{sys.executable}" -I -S "{FAKE}" "{script}"\n{said}\n')
        program.chmod(0o755)
        self.env["PATH"] = f"{programs}:{os.environ['PATH']}"

    def answers(self) -> list[dict[str, Any]]:
        """What the agent was answered to its questions."""
        [spool] = self.state.glob("*/run/1/stdin")
        told = [json.loads(line) for line in spool.read_text().splitlines()]
        return [each["response"]["response"] for each in told if each["type"] == "control_response"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Desk]:
    bench = Desk(tmp_path)
    yield bench
    bench.close()


def run_in(terminals: list[Terminal], bench: Desk, *arguments: str) -> Terminal:
    terminals.append(Terminal(bench, *(arguments or ("run", "--agent", "claude", "Do it."))))
    return terminals[-1]


def test_a_question_is_shown_whole_and_allowed_with_y(bench: Desk, terminals: list[Terminal]) -> None:
    tricky = LONG + "\x1b[2J\n\u202ersync"
    bench.agent(asked("q-1", input={"command": tricky, "description": "look"}))
    terminal = run_in(terminals, bench)
    shown = terminal.until(PROMPT)
    assert "permission q-1: Bash\n" in shown
    assert f"  | {LONG}\\x1b[2J\n  | \\u202ersync\n" in shown
    terminal.type("y\n")
    assert terminal.ended() == 0
    assert [each["behavior"] for each in bench.answers()] == ["allow"]
    assert terminal.modes() == terminal.before


@pytest.mark.parametrize(
    "typed", [("n: not here\n",), ("r\n", "not here\n"), ("what?\n", "\n", "yy\n", "N: not here\n")]
)
def test_a_no_goes_to_the_agent_with_its_reason(bench: Desk, terminals: list[Terminal], typed: tuple[str, ...]) -> None:
    bench.agent(asked("q-1"))
    terminal = run_in(terminals, bench)
    terminal.until(PROMPT)
    for number, line in enumerate(typed):
        terminal.type(line)
        if number < len(typed) - 1:
            terminal.until(REASON_PROMPT if line == "r\n" else PROMPT)
    assert terminal.ended() == 0
    assert bench.answers() == [{"behavior": "deny", "message": "not here"}]


def test_questions_are_asked_one_after_the_other_and_what_was_typed_ahead_answers_none(
    bench: Desk, terminals: list[Terminal]
) -> None:
    bench.agent(asked("q-1"), asked("q-2", input={"command": "rm -r x"}))
    terminal = run_in(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("y\ny\ny\n")
    assert "rm -r x" in terminal.until(PROMPT)
    terminal.type("n\n")
    assert terminal.ended() == 0
    assert [each["behavior"] for each in bench.answers()] == ["allow", "deny"]


def test_a_question_that_is_answered_elsewhere_meanwhile_is_asked_no_longer(
    bench: Desk, terminals: list[Terminal]
) -> None:
    bench.agent(asked("q-1"), asked("q-2"))
    terminal = run_in(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("y")  # and no Enter: it must not become the answer to the next question
    assert bench.run("deny", "q-1", "-m", "no").code == 0
    terminal.until("question q-1: deny, by pid ")
    terminal.until("permission q-2: Bash")
    terminal.until(PROMPT)
    terminal.type("n\n")
    assert terminal.ended() == 0
    assert [each["behavior"] for each in bench.answers()] == ["deny", "deny"]


def test_a_withdrawn_question_is_asked_no_longer(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(asked("q-1"))
    terminal = run_in(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("\x03")
    assert terminal.ended() == 130
    assert "question q-1 is withdrawn" in terminal.shown
    assert bench.answers() == []
    assert terminal.modes() == terminal.before


def test_what_runs_may_be_edited(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(asked("q-1", input={"command": "make", "description": "build"}))
    edit = bench.cwd / "edit"
    edit.write_text('#!/bin/sh\n[ -e once ] && sed -i s/make/touch/ "$1" && exit\n> once; echo "{" > "$1"\n')
    edit.chmod(0o755)
    bench.env["VISUAL"] = str(edit)
    terminal = run_in(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("e\n")
    assert "is no JSON" in terminal.until(PROMPT)
    terminal.type("e\n")
    assert terminal.ended() == 0
    assert bench.answers() == [{"behavior": "allow", "updatedInput": {"command": "touch", "description": "build"}}]


def test_choices_are_answered_by_number_and_in_own_words(bench: Desk, terminals: list[Terminal]) -> None:
    options = [{"label": "Red", "description": "the red one"}, {"label": "Blue", "description": ""}]
    parts = [
        {"question": "Which colour?", "header": "Colour", "multiSelect": False, "options": options},
        {"question": "Which ones?", "header": "Ones", "multiSelect": True, "options": options},
        {"question": "Why?", "header": "Why", "multiSelect": False, "options": options},
    ]
    bench.agent(asked("q-1", tool_name="AskUserQuestion", input={"questions": parts}))
    terminal = run_in(terminals, bench)
    assert "    1  Red: the red one" in terminal.until("to refuse > ")
    terminal.type("3\n")
    assert "2 choices" in terminal.until("to refuse > ")
    terminal.type("2\n")
    assert "Which ones?" in terminal.until("to refuse > ")
    terminal.type("1, 2\n")
    assert "Why?" in terminal.until("to refuse > ")
    terminal.type("I like it\n")
    assert terminal.ended() == 0
    answers = {"Which colour?": "Blue", "Which ones?": "Red, Blue", "Why?": "I like it"}
    assert bench.answers() == [{"behavior": "allow", "updatedInput": {"questions": parts, "answers": answers}}]


def test_a_plan_is_approved_or_planned_on(bench: Desk, terminals: list[Terminal]) -> None:
    plan = {"tool_name": "ExitPlanMode", "input": {"plan": "First\nthen"}}
    bench.agent(asked("q-1", **plan), asked("q-2", **plan))
    terminal = run_in(terminals, bench)
    assert "  | First\n  | then\n" in terminal.until(PLAN_PROMPT)
    terminal.type("n\n")
    terminal.until(PLAN_PROMPT)
    terminal.type("y\n")
    assert terminal.ended() == 0
    first, second = bench.answers()
    assert (first["behavior"], "Keep planning" in first["message"]) == ("deny", True)
    assert second["behavior"] == "allow"


def test_who_attaches_is_asked_and_who_leaves_an_answer_open_may_go(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(asked("q-1"))
    session = bench.run("run", "--detach", "--agent", "claude", "Do it.").out.strip()
    first = run_in(terminals, bench, "attach", session)
    first.until(PROMPT)
    first.type("\x04")
    first.until("left open; to answer it: optio approve q-1")
    second = run_in(terminals, bench, "attach", session)
    second.until(PROMPT)
    first.type("\x03")
    assert first.ended() == 130
    second.type("y\n")
    assert second.ended() == 0
    assert [each["behavior"] for each in bench.answers()] == ["allow"]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_without_a_terminal_or_for_a_program_a_question_waits(
    bench: Desk, terminals: list[Terminal], options: tuple[str, ...]
) -> None:
    bench.agent(asked("q-1"))
    arguments = ("run", *options, "--agent", "claude", "Do it.")
    if options:
        terminal = run_in(terminals, bench, *arguments)
        terminal.until('"question.asked"')
        terminal.type("y\n")
    else:
        running = bench.start_optio(*arguments)
    [waiting] = wait_for(lambda: bench.run("permissions", "--json").events, "the question")
    assert waiting["id"] == "q-1"
    assert bench.run("approve", "q-1").code == 0
    if options:
        assert terminal.ended() == 0
        assert "allow?" not in terminal.shown
    else:
        out, _ = rest_of(running)
        assert running.returncode == 0
        assert "allow?" not in out
    assert len(bench.answers()) == 1


def test_a_terminal_that_is_closed_during_a_question_leaves_it_open(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(asked("q-1"))
    terminal = run_in(terminals, bench)
    terminal.until(PROMPT)
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.ended() == 130
    [waiting] = bench.run("permissions", "--json").events
    driver = bench.driver(waiting["session"])
    assert bench.run("approve", "q-1").code == 0
    wait_until_dead(driver)
    assert len(bench.answers()) == 1
