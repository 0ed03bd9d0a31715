"""`optio chat` at a real terminal: with an agent of ours, and with the real one, here and on another host."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from claude_rig import claude_rig
from conversation_rig import FAKE, INITIALIZE, Rule
from fake_claude import ANSWERED, asked, result
from model_api import Hold, Say, bash
from optio_bench import GO, Bench, rest_of, wait_for, wait_until_dead
from terminals import Terminal
from terminals import terminals as terminals
from test_cli_host import far as far

PROMPT = "\x1b[1m> \x1b[0m"
USER = '"type":"user"'


def said(text: str) -> dict[str, Any]:
    return {"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}}


def piece(text: str) -> dict[str, Any]:
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return {"type": "stream_event", "event": delta}


STARTED = {"type": "command_lifecycle", "command_uuid": "ID", "state": "started"}
HELLO = Rule("hello", STARTED, piece("Hel"), piece("lo.\n"), piece("It is \x1b[2J late."), said("Hello."), result())
WRITES = Rule("write", STARTED, piece("I am writing"))
ABORTED = result("", subtype="error_during_execution", is_error=True, terminal_reason="aborted_streaming")
STOPS = Rule('"interrupt"', ANSWERED, {**ABORTED, "user_message_uuids": []})


class Desk(Bench):
    """A bench with an agent of rules on its PATH."""

    def agent(self, *rules: Rule, ends: str = "exit 0") -> None:
        script = self.cwd.parent / "script"
        script.write_text(json.dumps({"rules": [*rules, INITIALIZE]}))
        programs = self.cwd.parent / "programs"
        programs.mkdir()
        program = programs / "claude"
        program.write_text(f'#!/bin/sh\n"{sys.executable}" -I -S "{FAKE}" "{script}"\n{ends}\n')
        program.chmod(0o755)
        self.env["PATH"] = f"{programs}:{os.environ['PATH']}"

    @property
    def session(self) -> str:
        """The one session that there is."""
        [record] = self.run("ls", "--json").events
        return str(record["id"])

    def told(self) -> list[str]:
        """Everything that was said to the agent."""
        [spool] = self.state.glob("*/run/1/stdin")
        lines = [json.loads(line) for line in spool.read_text().splitlines()]
        return [str(each["message"]["content"]) for each in lines if each["type"] == "user"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Desk]:
    bench = Desk(tmp_path)
    yield bench
    bench.close()


def chat(terminals: list[Terminal], bench: Bench, *arguments: str) -> Terminal:
    terminals.append(Terminal(bench, "chat", *arguments))
    return terminals[-1]


def end(terminal: Terminal) -> None:
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.ended() == 0


def test_words_come_as_they_are_said_once_and_can_do_nothing_to_the_terminal(
    bench: Desk, terminals: list[Terminal]
) -> None:
    bench.agent(HELLO)
    terminal = chat(terminals, bench)
    assert "Ctrl-D ends the chat" in terminal.until(PROMPT)
    terminal.type("hello\n")
    shown = terminal.until("late.").replace("\r", "")
    assert shown.endswith("Hello.\nIt is \\x1b[2J ")
    assert shown.count("Hello.") == 1
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.ended() == 0
    assert terminal.modes() == terminal.before
    assert "closed\x1b[0m after" in terminal.shown
    assert bench.record(bench.session)["outcome"] == "closed"
    assert bench.told() == ["hello"]


def test_a_tool_is_shown_with_its_question_and_what_it_gave_back(bench: Desk, terminals: list[Terminal]) -> None:
    use = {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "make"}}
    back = {"type": "tool_result", "tool_use_id": "t", "content": "one\ntwo\nthree\nfour\nfive"}
    asks = Rule(USER, STARTED, {"type": "assistant", "message": {"content": [use]}}, asked("q-1", input=use["input"]))
    answer = Rule(
        "q-1",
        {"type": "user", "message": {"content": [back]}},
        said("Made."),
        result(total_cost_usd=0.5, user_message_uuids=[]),
    )
    bench.agent(asks, answer)
    terminal = chat(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("make it\n")
    assert "Bash: make\npermission q-1: Bash\n  command:\n  | make\n" in terminal.until("e (edit) > ")
    terminal.type("y\n")
    assert "  one\n  two\n  three\n  ... 2 more lines\nMade.\n" in terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.ended() == 0
    assert "cost so far, as the agent says: $0.50" in terminal.shown
    assert "$0.50" in bench.run("ls").out


def test_ctrl_c_stops_the_turn_and_not_the_chat(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(WRITES, STOPS, HELLO)
    terminal = chat(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("write\n")
    terminal.until("I am writing")
    terminal.type("\x03")
    assert "interrupted" in terminal.until(PROMPT)
    terminal.type("\x03")
    assert "the agent does nothing now" in terminal.until(PROMPT)
    terminal.type("hello\n")
    terminal.until("late.")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.ended() == 0


def test_what_is_typed_meanwhile_waits_its_turn_and_pasted_lines_are_one_message(
    bench: Desk, terminals: list[Terminal]
) -> None:
    bench.agent(WRITES, STOPS, Rule(USER, STARTED, said("Yes."), result()))
    terminal = chat(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("write\n")
    terminal.until("I am writing")
    terminal.type("one\ntwo\n")
    wait_for(lambda: len(bench.told()) == 2, "the message")
    terminal.type("\x03")
    terminal.until(PROMPT)
    terminal.type("three\\\n")
    terminal.type("four\n")
    terminal.until(PROMPT)
    assert bench.told() == ["write", "one\ntwo", "three\nfour"]
    terminal.type("\x04")
    assert terminal.ended() == 0


@pytest.mark.parametrize("how", ["/leave", "closed terminal", "kill -9"])
def test_who_leaves_comes_back_to_where_it_was(bench: Desk, terminals: list[Terminal], how: str) -> None:
    bench.agent(WRITES, STOPS, HELLO)
    terminal = chat(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("write\n")
    terminal.until("I am writing")
    if how == "/leave":
        terminal.type("/leave\n")
        terminal.until(f"to come back: optio chat {bench.session}")
        assert terminal.ended() == 130
        driver = bench.driver(bench.session)
    elif how == "closed terminal":
        assert terminal.hang_up() == 130
        driver = bench.driver(bench.session)
    else:
        terminal.process.kill()
        terminal.ended()
        driver = 0
    second = chat(terminals, bench, bench.session[:4])
    assert ": write\n" in second.until("I am writing")
    second.type("\x03")
    second.until(PROMPT)
    second.type("hello\n")
    second.until("late.")
    second.until(PROMPT)
    second.type("\x04")
    assert second.ended() == 0
    assert bench.told() == ["write", "hello"]
    if driver:
        wait_until_dead(driver)


def test_who_joins_a_task_is_asked_and_leaves_it_going_on(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(Rule("Do it", STARTED, said("At work."), asked("q-1")), Rule("q-1", result(), exits=0),
                ends='echo "DONE: said" >> "$OPTIO_LOG"')  # fmt: skip
    running = bench.start_optio("run", "--json", "--agent", "claude", "Do it.")
    wait_for(lambda: bench.run("permissions", "--json").events, "the question")
    terminal = chat(terminals, bench, bench.session)
    assert "agent: At work." in terminal.until("e (edit) > ")
    terminal.type("\x04")  # leaves the question open
    terminal.until("left open")
    while terminal.process.poll() is None:  # what is typed before the question is gone is thrown away with it
        terminal.type("\x04")
        with suppress(subprocess.TimeoutExpired):
            terminal.process.wait(0.1)
    assert terminal.ended() == 130
    assert running.poll() is None
    assert bench.run("approve", "q-1").code == 0
    rest_of(running)
    assert running.returncode == 0


def test_wrong_usage_of_chat_says_what_to_do(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(Rule(USER, result(), exits=0))
    assert "needs a terminal" in bench.run("chat").err
    assert "say nothing but its ID" in bench.run("chat", "--model", "x", "3f").err
    program = bench.script('echo DONE >> "$OPTIO_LOG"').ended
    assert program["outcome"] == "done"
    terminal = chat(terminals, bench, bench.session)
    assert terminal.ended() == 2
    assert "holds no conversation" in terminal.shown


def test_a_chat_whose_agent_dies_says_so(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(Rule(USER, STARTED, result("No login.", is_error=True, terminal_reason="api_error"), exits=1))
    terminal = chat(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("hello\n")
    assert terminal.ended() == 1
    assert "No login." in terminal.shown
    assert bench.record(bench.session)["outcome"] == "failed"
    again = chat(terminals, bench, bench.session)
    assert again.ended() == 2
    assert "has ended" in again.shown


def test_a_text_comes_whole_after_one_that_was_cut_off(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(WRITES, STOPS, Rule(USER, STARTED, said("Not in pieces."), result()))
    terminal = chat(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("write\n")
    terminal.until("I am writing")
    terminal.type("\x03")
    terminal.until(PROMPT)
    terminal.type("hello\n")
    terminal.until("Not in pieces.\r\n")
    end(terminal)


def test_a_line_that_the_terminal_has_cut_is_not_sent_without_its_end(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(Rule(USER, STARTED, asked("q-1")), Rule("q-1", said("Made."), result(user_message_uuids=[])))
    terminal = chat(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("x" * 3000)
    terminal.type("x" * 3000)
    terminal.type("\nthe end\n")
    assert "nothing was sent" in terminal.until(PROMPT).replace("\n", " ")
    terminal.type("make it\n")
    terminal.until("e (edit) > ")
    terminal.type("n: " + "x" * 3000)
    terminal.type("x" * 3000)
    terminal.type("\n")
    assert "nothing was answered" in terminal.until("e (edit) > ")
    terminal.type("y\n")
    terminal.until("Made.")
    end(terminal)
    assert bench.told() == ["make it"]


def test_who_joins_sees_nothing_twice_however_long_the_agent_was_silent(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(HELLO)
    first = chat(terminals, bench)
    first.until(PROMPT)
    first.type("hello\n")
    first.until("late.")
    [log] = bench.state.glob("*/optio.log")
    log.write_text("".join(f"STATUS: {number}%\n" for number in range(30)))
    wait_for(lambda: bench.run("logs", "--json", bench.session).data("status")[29:], "the log")
    second = chat(terminals, bench, bench.session)
    second.until(PROMPT)
    second.type("hello\n")
    assert "Hel" not in second.until("Hel")
    second.until("late.")
    assert second.shown.count("Hello.") == 1
    end(second)
    assert first.ended() == 0


def test_an_agent_that_asks_after_done_is_still_answered(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(Rule("Do it", STARTED, asked("q-1")), Rule("q-1", asked("q-2")), Rule("q-2", result(), exits=0))
    running = bench.start_optio("run", "--json", "--agent", "claude", "Do it.")
    wait_for(lambda: bench.run("permissions", "--json").events, "the question")
    terminal = chat(terminals, bench, bench.session)
    terminal.until("e (edit) > ")
    [log] = bench.state.glob("*/optio.log")
    log.write_text("DONE: said\n")
    wait_for(lambda: bench.run("logs", "--json", bench.session).data("done"), "the log")
    for question in ("q-1", "q-2"):
        assert question in terminal.shown
        terminal.type("y\n")
        if question == "q-1":
            terminal.until("e (edit) > ")
    assert terminal.ended() == 0
    rest_of(running)


def test_ctrl_c_leaves_a_chat_that_takes_long_to_end(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(ends="touch deaf; until [ -e go ]; do sleep 0.05; done")
    terminal = chat(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("\x04")
    wait_for((bench.cwd / "deaf").exists, "the end of its input")
    terminal.type("\x03")
    assert terminal.ended() == 130
    driver = bench.driver(bench.session)
    bench.go()
    wait_until_dead(driver)
    assert bench.record(bench.session)["outcome"] == "closed"


def test_who_leaves_a_chat_that_nobody_could_come_back_to_ends_it(bench: Desk, terminals: list[Terminal]) -> None:
    bench.agent(HELLO)
    terminal = chat(terminals, bench, "--store", "memory:")
    terminal.until(PROMPT)
    terminal.type("/leave\n")
    assert terminal.ended() == 130
    assert "cancelled" in terminal.shown
    assert "to come back" not in terminal.shown
    second = chat(terminals, bench, "--store", "memory:")
    second.until(PROMPT)
    assert second.hang_up() == 130


def test_nothing_is_written_over_an_editor(bench: Desk, terminals: list[Terminal]) -> None:
    over = result(user_message_uuids=[])
    bench.agent(Rule("hello", STARTED, asked("q-1")), Rule('"interrupt"', said("Behind.")), Rule("q-1", over))
    bench.env["EDITOR"] = f"sh -c 'echo EDITING; {GO} echo EDITED'"
    bench.env.pop("VISUAL", None)
    terminal = chat(terminals, bench)
    terminal.until(PROMPT)
    terminal.type("hello\n")
    terminal.until("e (edit) > ")
    terminal.type("e\n")
    terminal.until("EDITING")
    assert bench.run("interrupt", bench.session).code == 0
    wait_for(lambda: bench.run("logs", "--json", bench.session).data("agent.text"), "its words")
    bench.go()
    assert "Behind." not in terminal.until("EDITED")
    terminal.until("Behind.")
    terminal.until("e (edit) > ")
    terminal.type("y\n")
    end(terminal)


SCRIPT = {
    "hello": [Say("Hello from the model.", thinking="Let me think.")],
    "write": [bash("echo hi > out.txt"), Say("I wrote it.")],
    "hold": [Hold("I am writing a long text")],
}


@pytest.mark.parametrize("where", ["here", "over ssh"])
def test_a_chat_with_the_real_program(
    bench: Desk, terminals: list[Terminal], where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with claude_rig(tmp_path / "claude", SCRIPT) as claude:
        there: list[str] = []
        if where == "over ssh":
            request.getfixturevalue("far")
            there = ["--host", "far", "--in", str(claude.cwd)]
        env = [word for name, value in claude.env.items() for word in ("--env", f"{name}={value}")]
        terminal = chat(terminals, bench, *there, "--executable", claude.program, *env)
        terminal.until(PROMPT)
        terminal.type("SCENARIO:hello\n")
        assert "thinking: Let me think.\nHello from the model." in terminal.until(PROMPT)
        terminal.type("SCENARIO:write\n")
        terminal.until("e (edit) > ")
        terminal.type("y\n")
        assert "I wrote it.\n" in terminal.until(PROMPT)
        terminal.type("SCENARIO:hold\n")
        terminal.until("I am writing a long text")
        terminal.type("\x03")
        assert "interrupted" in terminal.until(PROMPT)
        terminal.type("\x04")
        assert terminal.ended() == 0
        assert "to go on: optio chat --resume" in terminal.shown
