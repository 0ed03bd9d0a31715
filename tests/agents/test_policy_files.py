"""Policy files: what may stand in one, what is refused and on which line, and which rule decides."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optio_agents.errors import PolicyError
from optio_agents.permissions import Decision, Policy, ToolCall, as_written
from optio_agents.permissions.case import failures

CWD, TASKDIR = "/home/user/project", "/home/user/.local/state/optio/session"
DOCUMENT = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()


def decide(policy: Policy, tool: str = "Bash", subagent: str | None = None, **given_input: object) -> Decision:
    call = ToolCall(tool, given_input, CWD, TASKDIR, subagent=subagent)
    return policy.decide(call, as_written(call))


def rules(text: str) -> Policy:
    return Policy.loads("version = 1\n" + text)


def problems(text: str) -> list[tuple[int | None, str]]:
    with pytest.raises(PolicyError) as caught:
        Policy.loads(text, "p.toml")
    return list(caught.value.problems)


def test_of_the_rules_that_match_the_last_one_decides() -> None:
    policy = rules(
        """
        [[rule]]
        tool = "Read"
        decision = "allow"
        [[rule]]
        tool = "R*"
        path = "secret/**"
        decision = "deny"
        reason = "it is secret"
        [[rule]]
        path = "secret/public.md"
        decision = "ask"
        """
    )
    assert decide(policy, "Read", file_path="a").verdict == "allow"
    assert decide(policy, "Read", file_path="secret/a/b").verdict == "deny"
    assert decide(policy, "Read", file_path="secret").verdict == "deny"
    assert decide(policy, "Read", file_path="secret/public.md").verdict == "ask"
    assert decide(policy, "Read", file_path="secrets").verdict == "allow"
    assert decide(policy, "Write", file_path="a").verdict == "ask"


def test_explain_says_which_rule_by_number_and_line_and_its_reason_for_every_part() -> None:
    policy = Policy.loads(
        """version = 1

[[rule]]
command = "git status"
decision = "allow"
reason = "it only looks"

[[rule]]
command = "rm **"
decision = "deny"
reason = "never by an agent"
"""
    )
    decision = decide(policy, command="git status && rm -rf x > y")
    assert decision.verdict == "deny"
    assert decision.reason == "rm -rf x [/home/user/project/x]: rule 2 (line 8), never by an agent"
    assert (
        decision.explain().splitlines()[0]
        == "allow git status [/home/user/project/status]: rule 1 (line 3), it only looks"
    )
    assert "ask   Write [/home/user/project/y]: no rule matches" in decision.explain().splitlines()


def test_a_command_is_matched_word_by_word_and_not_as_text() -> None:
    policy = rules(
        """
        [[rule]]
        command = ["npm run *", "git log **", "make [a-c]", 'git commit -m "fix *"']
        decision = "allow"
        """
    )
    allowed = ["npm run lint", "npm 'run' lint", "git log", "git log -3 a b", "make b", "git commit -m 'fix all of it'"]
    asked = [
        "npm run",
        "npm run a b",
        "npm runx a",
        "git logs",
        "git",
        "make d",
        "git commit -m fixed",
        "git commit -m",
    ]
    assert [decide(policy, command=each).verdict for each in allowed] == ["allow"] * len(allowed)
    assert [decide(policy, command=each).verdict for each in asked] == ["ask"] * len(asked)


def test_options_that_are_not_listed_keep_a_rule_from_matching() -> None:
    policy = rules(
        """
        [[rule]]
        command = "tool show **"
        options = "-a -b -# -name --long"
        decision = "allow"
        """
    )
    allowed = [
        "-a",
        "-ab",
        "-a5 x",
        "-b1,3-5",
        "-name x",
        "--long",
        "--long=3",
        "-- x",
        "-",
        "x -a y",
    ]
    asked = ["-c", "-ac", "-nam", "--lon", "--longer", "--other=3", "-name=x", "-- -c", "--long= -c"]
    assert [decide(policy, command=f"tool show {each}").verdict for each in allowed] == ["allow"] * len(allowed)
    assert [decide(policy, command=f"tool show {each}").verdict for each in asked] == ["ask"] * len(asked)
    assert decide(policy, command="tool -a show x").verdict == "ask"


def test_a_pattern_with_an_exclamation_mark_takes_away() -> None:
    policy = rules(
        """
        [[rule]]
        path = ["/**", "!src/**", "!**/*.md"]
        tool = ["!Write", "!Edit"]
        decision = "allow"
        """
    )
    said = [decide(policy, "Read", file_path=each).verdict for each in ("a", "/etc/x", "src/a", "b.md", "/b.md")]
    assert said == ["allow", "allow", "ask", "ask", "ask"]
    assert decide(policy, "Write", file_path="a").verdict == "ask"


def test_a_path_rule_allows_no_command_that_it_does_not_name() -> None:
    policy = rules('[[rule]]\npath = "{cwd}/**"\ndecision = "allow"\n')
    assert decide(policy, "Write", file_path="a").verdict == "allow"
    assert decide(policy, command="python3 a.py").verdict == "ask"
    assert decide(policy, command="python3").verdict == "ask"


def test_two_asterisks_alone_are_below_the_working_directory() -> None:
    policy = rules('[[rule]]\npath = "**"\ndecision = "allow"\n')
    said = [decide(policy, "Read", file_path=each).verdict for each in ("a/b", CWD, "/etc/x", "..")]
    assert said == ["allow", "allow", "ask", "ask"]
    anywhere = rules('[[rule]]\npath = "/**"\ndecision = "allow"\n')
    assert decide(anywhere, "Read", file_path="/etc/x").verdict == "allow"


def test_appending_is_writing_and_a_rule_can_tell_it_from_overwriting() -> None:
    policy = rules(
        """
        [[rule]]
        command = ["a **", "b **"]
        decision = "allow"
        [[rule]]
        tool = ["Write", "!Append"]
        path = "over"
        decision = "allow"
        [[rule]]
        tool = "Append"
        path = "on"
        decision = "allow"
        [[rule]]
        tool = "Append"
        command = "a **"
        options = ""
        path = "a"
        decision = "allow"
        [[rule]]
        tool = "Write"
        path = "never"
        decision = "deny"
        """
    )
    allowed = ["a > over", "a >> on", "b &>> on", "a >> a", "a x | b"]
    asked = ["a >> over", "a > on", "a > a", "b >> a", "a | b >> a", "a -x >> a", "b > a >> on", ">> a"]
    assert [decide(policy, command=each).verdict for each in allowed] == ["allow"] * len(allowed)
    assert [decide(policy, command=each).verdict for each in asked] == ["ask"] * len(asked)
    assert decide(policy, command="a >> never").verdict == "deny"
    assert decide(policy, "Write", file_path="a").verdict == "ask"
    assert decide(policy, "Append", file_path="a").verdict == "ask"


@pytest.mark.parametrize("tool", ["", 'tool = "*"\n', 'tool = "Bash"\n', 'tool = "!Read"\n', 'tool = "W*"\n'])
def test_a_rule_for_commands_that_does_not_name_writing_allows_no_redirection(tool: str) -> None:
    policy = rules(f'[[rule]]\ncommand = "a **"\n{tool}options = ""\npath = "**"\ndecision = "allow"\n')
    assert decide(policy, command="a x").verdict == ("ask" if "W" in tool else "allow")
    assert decide(policy, command="a x > y").verdict == decide(policy, command="a x >> y").verdict == "ask"


def test_where_the_last_word_leads_is_judged_by_itself() -> None:
    policy = rules('[[rule]]\ncommand = "copy **"\noptions = "-v"\npath = "in/**"\nto = "out/**"\ndecision = "allow"\n')
    allowed = ["copy in/a out", "copy in/a in/b out/c", "copy -v in/a out/c", "copy out"]
    asked = [
        "copy out in", "copy in/a in/b", "copy out/a out/b", "copy in/a", "copy", "copy in/a out -v",
        "copy -t in/a out",
        "copy in/a /dev/null", "copy /dev/null out", "copy in/a ''", "copy '' out", "copy in/a ../out",
        "copy in/a x=out",
        "copy in/a 'out/a\nb'",
    ]  # fmt: skip
    assert [decide(policy, command=each).verdict for each in allowed] == ["allow"] * len(allowed)
    assert [decide(policy, command=each).verdict for each in asked] == ["ask"] * len(asked)
    [(line, what)] = problems('version = 1\n[[rule]]\nto = "out"\ndecision = "deny"\n')
    assert (line, what.startswith("rule 1: to: ")) == (3, True)
    [(line, what)] = problems('version = 1\n[[rule]]\ncommand = "a"\nto = "out"\ndecision = "allow"\n')
    assert (line, "options" in what) == (4, True)


def test_the_agent_itself_is_no_subagent() -> None:
    policy = rules('[[rule]]\ntool = "A"\ndecision = "allow"\n[[rule]]\nsubagent = "*"\ndecision = "deny"\n')
    assert decide(policy, "A").verdict == "allow"
    assert decide(policy, "A", subagent="x").verdict == "deny"
    only_itself = rules('[[rule]]\nsubagent = "!*"\ndecision = "allow"\n')
    assert (decide(only_itself, "A").verdict, decide(only_itself, "A", subagent="x").verdict) == ("allow", "ask")


def test_nothing_matches_is_ask() -> None:
    policy = rules("")
    assert decide(policy, "Read", file_path="a").reason == "Read [/home/user/project/a]: no rule matches"
    assert decide(policy, command="ls").verdict == "ask"


def test_what_the_built_in_policy_denies_stays_denied_in_one_that_extends_it() -> None:
    policy = rules('extends = "built-in"\n[[rule]]\ncommand = "cat **"\ndecision = "allow"\nreason = "ours"\n')
    assert decide(policy, command="cat /etc/hosts").reason.endswith("rule 1 (line 3), ours")
    denied = decide(policy, command=f"cat {TASKDIR}/run/1/env")
    assert denied.verdict == "deny"
    assert "built-in rule" in denied.reason
    assert decide(policy, "Read", file_path="a").verdict == "allow"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(None, "version: it is missing")]),
        ("version = 2", [(1, "version: input should be 1")]),
        ('version = "1"', [(1, "version: input should be 1")]),
        ("version = 1\nrules = 1", [(2, "rules: extra inputs are not permitted")]),
        ("version = 1\nx = [", [(None, "this is no TOML: Invalid value (at end of document)")]),
        ("version = 1\n\n[[rule]]", [(3, "rule 1: decision: it is missing")]),
        (
            'version = 1\n\n[[rule]]\ndecision = "allow"\n\n[[rule]]\ntool = "x"\ndecision = "maybe"',
            [(8, "rule 2: decision: input should be 'allow', 'deny' or 'ask'")],
        ),
        (
            'version = 1\n[[rule]]\ncomand = "x"\ndecision = "deny"',
            [(3, "rule 1: comand: extra inputs are not permitted")],
        ),
        (
            'version = 1\n[[rule]]\ndecision = "deny"\ncommand = "a \'b"',
            [(4, "rule 1: command: No closing quotation")],
        ),
        (
            'version = 1\n[[rule]]\ndecision = "deny"\ncommand = " "',
            [(4, "rule 1: command: a command has at least one word")],
        ),
        (
            'version = 1\n[[rule]]\ndecision = "deny"\ntool = []',
            [(4, "rule 1: tool: it is empty; leave it out if it may be anything")],
        ),
        ('version = 1\n[[rule]]\ndecision = "deny"\ntool = ""', [(4, "rule 1: tool: it is empty")]),
        (
            'version = 1\n[[rule]]\ndecision = "deny"\npath = "a/../b"',
            [(4, "rule 1: path: 'a/../b': a path has a name, and no .. in it")],
        ),
        (
            'version = 1\n[[rule]]\ndecision = "deny"\noptions = "-n"',
            [(4, "rule 1: options: there are options only where there is a command")],
        ),
        ('version = 1\n[[case]]\nexpect = "ask"', [(2, "case 1: tool: it has no command")]),
        (
            'version = 1\n[[case]]\ncommand = "ls"\ncwd = "src"\nexpect = "ask"',
            [(4, "case 1: cwd: 'src' does not begin with /")],
        ),
        ('version = 1\nextends = "mine"', [(2, "extends: input should be 'built-in'")]),
    ],
)  # fmt: skip
def test_an_error_says_what_is_wrong_and_on_which_line(text: str, expected: list[tuple[int | None, str]]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize("path", ["~/x", "{home}/x", "{cwd}x", ""])
def test_a_path_that_nobody_can_place_is_refused(path: str) -> None:
    [(line, what)] = problems(f'version = 1\n[[rule]]\ndecision = "deny"\npath = "{path}"')
    assert line == 4
    assert what.startswith("rule 1: path: ")


@pytest.mark.parametrize("options", ["n", "-", "--", "-n --a=b", "x -n"])
def test_options_that_are_none_are_refused(options: str) -> None:
    [(line, what)] = problems(f'version = 1\n[[rule]]\ndecision = "deny"\ncommand = "a"\noptions = "{options}"')
    assert (line, what.partition("write -r")[1]) == (5, "write -r")


def test_every_problem_is_told_at_once() -> None:
    found = problems('version = 1\n[[rule]]\npath = ".."\ncommand = ""\ndecision = "ask"\n[[case]]\nexpect = "ask"')
    assert [line for line, _ in found] == [3, 4, 6]


def test_a_rule_that_allows_a_command_by_its_paths_has_to_say_which_options() -> None:
    text = 'version = 1\n[[rule]]\ncommand = "cat **"\npath = "{{cwd}}/**"\ndecision = "{}"\n'
    [(line, what)] = problems(text.format("allow"))
    assert line == 4
    assert "options" in what
    assert Policy.loads(text.format("deny")).rules
    assert Policy.loads(text.format("allow") + 'options = ""').rules


def test_lines_are_not_guessed_where_tables_are_written_in_another_way() -> None:
    inline = Policy.loads('version = 1\nrule = [{ decision = "deny" }]')
    assert str(inline.rules[0]) == "rule 1"
    assert problems('version = 1\nrule = [{ decision = "no" }]')[0][0] is None
    hidden = 'version = 1\n[[rule]]\nreason = """\n[[rule]]\n"""\ndecision = "no"\n'
    assert problems(hidden)[0][0] is None


def test_a_file_that_cannot_be_read_or_is_no_text_is_said_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"missing\.toml: it cannot be read: No such file"):
        Policy.load(tmp_path / "missing.toml")
    with pytest.raises(PolicyError, match="it cannot be read: Is a directory"):
        Policy.load(tmp_path)
    (tmp_path / "bytes").write_bytes(b"version = 1\n\xff")
    with pytest.raises(PolicyError, match="bytes:2: it is not UTF-8"):
        Policy.load(tmp_path / "bytes")
    (tmp_path / "big").write_bytes(b"#" * 1_000_001)
    with pytest.raises(PolicyError, match="larger than 1000000 bytes"):
        Policy.load(str(tmp_path / "big"))


def test_a_case_that_fails_is_told_with_what_came_out_instead() -> None:
    policy = rules('[[case]]\ncommand = "ls {cwd}"\nexpect = "allow"\n[[case]]\ncommand = "ls"\nexpect = "ask"\n')
    [failure] = failures(policy)
    assert (str(failure.case), failure.decision.verdict) == ("case 1 (line 2)", "ask")
    assert failure.case.call.input == {"command": "ls /home/user/project"}


SCALAR = st.one_of(
    st.text(max_size=8), st.integers(), st.sampled_from(["allow", "{cwd}/**", "**", "-n", "[", "!", "~"])
)
VALUE = st.one_of(SCALAR, st.lists(SCALAR, max_size=2))
KEY = st.sampled_from(["tool", "path", "command", "options", "decision", "reason", "host", "x"])


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, int):
        return str(value)
    escaped = "".join(each if each.isalnum() and each.isascii() else f"\\U{ord(each):08X}" for each in str(value))
    return f'"{escaped}"'


@settings(max_examples=settings().max_examples // 3)
@given(table=st.dictionaries(KEY, VALUE, max_size=5))
def test_whatever_stands_in_a_rule_is_a_rule_or_a_policy_error(table: dict[str, object]) -> None:
    text = "version = 1\n[[rule]]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in table.items())
    try:
        policy = Policy.loads(text)
    except PolicyError:
        return
    assert decide(policy, command="ls -n a").verdict in ("allow", "ask", "deny")


@given(text=st.text(max_size=60))
def test_whatever_the_file_is_it_is_a_policy_or_a_policy_error(text: str) -> None:
    with pytest.raises(PolicyError):
        Policy.loads("[" + text)


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL))
def test_the_examples_of_the_document_are_policies_and_their_cases_come_out(example: str) -> None:
    policy = Policy.loads(example, "docs/policy.md")
    assert policy.cases
    assert failures(policy) == ()
