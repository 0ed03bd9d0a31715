"""`optio policy`: a file is checked, and tried on what an agent has asked, without anything being answered."""

from pathlib import Path

import anyio
import pytest
from optio_bench import Bench
from optio_bench import bench as bench

from optio_agents.journal import Batch, Driver, Question, SessionRecord, Snapshot, open_store

CWD, TASKDIR = "/srv/app", "/home/user/.local/state/optio/3f"
GOOD = """version = 1

[[rule]]
command = "npm test"
decision = "allow"
reason = "the project's own tests"

[[rule]]
command = "rm **"
subagent = "!*"
decision = "deny"

[[case]]
command = "npm test"
expect = "allow"
"""


def policy(bench: Bench, text: str, name: str = "policy.toml") -> Path:
    path = bench.cwd / name
    path.write_text(text)
    return path


def test_a_file_that_is_right_exits_0(bench: Bench) -> None:
    policy(bench, GOOD)
    ran = bench.run("policy", "check", "policy.toml")
    assert (ran.code, ran.out, ran.err) == (0, "policy.toml: 2 rules, 1 cases\n", "")
    as_json = bench.run("policy", "check", "policy.toml", "--json")
    expected = {"file": "policy.toml", "rules": 2, "cases": 1, "errors": [], "failed": []}
    assert (as_json.code, as_json.record) == (0, expected)


def test_a_case_that_comes_out_otherwise_exits_1_and_says_what_came_out_and_why(bench: Bench) -> None:
    policy(bench, GOOD + '\n[[case]]\ncommand = "npm test; rm x\\u001b[2J"\nexpect = "allow"\n')
    ran = bench.run("policy", "check", "policy.toml")
    assert ran.code == 1
    first, *parts, last = ran.out.splitlines()
    assert first == "policy.toml:17: case 2: Bash: npm test; rm x\\x1b[2J: deny, and allow is expected"
    assert "      allow npm test [/home/user/project/test]: rule 1 (line 3), the project's own tests" in parts
    assert last == "policy.toml: 2 rules, 2 cases, 1 of them failed"
    [failed] = bench.run("policy", "check", "policy.toml", "--json").record["failed"]
    assert (failed["line"], failed["expected"], failed["verdict"]) == (17, "allow", "deny")
    assert ("rm", 2, 8) in {(part["what"][:2], part["rule"], part["line"]) for part in failed["parts"]}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (GOOD.replace("decision", "decides", 1), 3, "rule 1: decision: it is missing"),
        (GOOD.replace("1", "one", 1), None, "this is no TOML: Invalid value (at line 1, column 11)"),
    ],
)
def test_a_file_that_is_wrong_exits_2_and_says_where(bench: Bench, text: str, line: int | None, problem: str) -> None:
    policy(bench, text)
    ran = bench.run("policy", "check", "policy.toml")
    assert (ran.code, ran.out) == (2, "")
    at = f"policy.toml:{line}" if line else "policy.toml"
    assert ran.err.splitlines()[0] == f"{at}: {problem}"
    as_json = bench.run("policy", "check", "policy.toml", "--json")
    assert as_json.code == 2
    assert {"line": line, "problem": problem} in as_json.record["errors"]


def test_a_file_that_is_not_there_exits_2(bench: Bench) -> None:
    ran = bench.run("policy", "check", "missing.toml")
    assert (ran.code, ran.err) == (2, "missing.toml: it cannot be read: No such file or directory\n")


def test_the_policy_that_ships_has_a_name(bench: Bench) -> None:
    assert bench.run("policy", "check", "built-in").code == 0


@pytest.mark.parametrize("verb", ["check", "try"])
def test_each_verb_explains_itself_with_an_example(bench: Bench, verb: str) -> None:
    ran = bench.run("policy", verb, "--help")
    assert ran.code == 0
    assert f"optio policy {verb}" in ran.out.partition("Examples:")[2]


def recorded(bench: Bench) -> str:
    """A session in which five questions were asked; where its journal is."""
    url = f"sqlite://{bench.cwd / 'journal.db'}"

    def question(name: str, tool: str, tool_input: dict[str, object], **more: object) -> Question:
        fields = {"data": {"tool_name": tool, "input": tool_input}, **more}
        return Question.model_validate({"id": name, "kind": "permission", "asked": 1.0, **fields})

    def bash(command: str) -> dict[str, object]:
        return {"command": command, "description": "x"}

    allowed = {"status": "answered", "answer": {"behavior": "allow", "by": "cli"}, "closed": 2.0}
    subagents = {"data": {"tool_name": "Bash", "input": bash("rm x"), "agent_id": "a1"}}
    questions = (
        question("q1", "Bash", bash("npm test"), **allowed),
        question("q2", "Bash", bash("npm test && rm -rf \x1b[2J"), **allowed),
        question("q3", "Write", {"file_path": f"{CWD}/a", "content": "x"}, status="withdrawn", closed=2.0),
        question("q4", "Bash", bash("rm x"), **subagents),
        question("q5", "Bash", {}, data={}),
    )
    record = SessionRecord(id="3f00", host="build-7", agent="claude", created=1.0, cwd=CWD, taskdir=TASKDIR)

    async def store_them() -> None:
        async with open_store(url) as store:
            lease = await store.create(record, Driver(id="d", hostname="h", pid=1))
            await store.commit(lease, Batch(after=0, questions=questions))

    anyio.run(store_them)
    return url


async def kept(url: str) -> Snapshot:
    async with open_store(url) as store:
        return await store.snapshot("3f00")


def test_a_policy_is_tried_on_everything_a_session_has_asked(bench: Bench) -> None:
    url = recorded(bench)
    policy(bench, GOOD)
    ran = bench.run("policy", "try", "policy.toml", "--session", "3f", "--store", url)
    assert (ran.code, ran.err) == (0, "")
    lines = [line for line in ran.out.splitlines() if not line.startswith("  ")]
    assert lines[0] == "allow Bash: npm test  (q1, then: allow)"
    assert lines[1] == "deny  Bash: npm test && rm -rf \\x1b[2J  (q2, then: allow)"
    assert lines[2].startswith("ask   Write: ")
    assert lines[3] == "ask   Bash: rm x  (q4)"
    assert lines[-1] == "5 questions: allow 1, ask 3, deny 1"
    assert "rule 1 (line 3), the project's own tests" in ran.out

    as_json = bench.run("policy", "try", "policy.toml", "--session", "3f", "--store", url, "--json")
    assert [each["verdict"] for each in as_json.events] == ["allow", "deny", "ask", "ask", "ask"]
    assert [each["answered"] for each in as_json.events] == ["allow", "allow", None, None, None]
    assert [part["rule"] for part in as_json.events[0]["parts"]] == [1]


def test_trying_answers_nothing_and_changes_nothing(bench: Bench) -> None:
    url = recorded(bench)
    before = anyio.run(kept, url)
    assert len(before.questions) == 5
    assert bench.run("policy", "try", "built-in", "--session", "3f", "--store", url).code == 0
    assert anyio.run(kept, url) == before


def test_trying_on_a_session_that_is_unknown_exits_2(bench: Bench) -> None:
    url = recorded(bench)
    ran = bench.run("policy", "try", "built-in", "--session", "77", "--store", url)
    assert ran.code == 2
    assert "no session" in ran.err
