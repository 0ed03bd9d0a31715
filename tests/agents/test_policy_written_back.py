"""What a person always allows becomes a rule for just that; what no rule can say exactly is refused, never widened."""

import os
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_claude import asked
from hypothesis import example, given, settings
from hypothesis import strategies as st
from optio_bench import wait_for
from test_cli_asking import Desk

from optio_agents.errors import PolicyError
from optio_agents.permissions import Policy, ToolCall, as_written
from optio_agents.permissions.case import failures
from optio_agents.permissions.written_back import NEW, with_rule, write_back

CWD, TASKDIR = "/home/user/project", "/home/user/.local/state/optio/s1"
REASON = "a person always allowed it"
PLAIN = "version = 1\n"


def call(tool: str = "Bash", cwd: str = CWD, host: str = "local", **given_input: object) -> ToolCall:
    return ToolCall(tool, given_input, cwd, TASKDIR, host)


def added(text: str, use: ToolCall) -> str:
    return with_rule(text, "p.toml", use, as_written(use), REASON)


def verdict(text: str, use: ToolCall) -> str:
    return Policy.loads(text).decide(use, as_written(use)).verdict


def refusal(text: str, use: ToolCall) -> str:
    with pytest.raises(PolicyError) as caught:
        added(text, use)
    return str(caught.value)


def test_a_rule_and_its_case_are_added_behind_what_a_person_has_written() -> None:
    text = '# mine\nversion = 1 # one\n\n[[rule]]\ncommand="make *"   # any\ndecision="ask"'
    after = added(text, call(command="make 'a b' && make 'a b'", description="it makes"))
    assert after.startswith(f"{text}\n")
    assert after.removeprefix(f"{text}\n") == (
        '\n[[rule]]\ncommand = "make \'a b\'"\ncwd = "/home/user/project"\nhost = "local"\nagent = "claude"\n'
        f'decision = "allow"\nreason = "{REASON}"\n'
        "\n[[case]]\ncommand = \"make 'a b' && make 'a b'\"\ncwd = \"/home/user/project\"\n"
        'host = "local"\nagent = "claude"\nexpect = "allow"\n'
    )
    assert failures(Policy.loads(after)) == ()
    assert added(after, call(command="make 'a b'")) == after  # once is enough
    assert "\n" not in added(PLAIN.replace("\n", "\r\n"), call(command="make")).replace("\r\n", "")


USES = [
    call(command="git push origin main"),
    call(command="rm -- '*.o' '[x]' 'a?'"),
    call(command="./run.sh \"it's\" 'a\\b' --name=x"),
    call(command="bash -c 'make test'"),
    call(command="make", host="build-*"),
    call("Write", file_path=f"{CWD}/a [1]*.md", content="x"),
    call("Edit", file_path="/etc/**/x", old_string="a", new_string="b"),
    call("Read", file_path="../other/é.txt"),
    call("NotebookEdit", notebook_path=f"{CWD}/a.ipynb", new_source="1"),
]
OTHERS = [
    *USES,
    *(call(command=each) for each in (
        "git push origin", "git push origin main x", "git push origin mai", "git push", "rm -- x.o x a1", "rm -- '*.o'",
        "git push origin main; rm x", "git push origin main > /etc/x", "X=1 make", "make x",
        "bash -c 'make test; rm x'",
        "bash -c make", "./run.sh", "cd / && make", "cd .. && make", "sudo make", "make < /etc/passwd",
    )),
    call(command="git push origin main", cwd="/home/user/other"),
    call(command="make", cwd="/", host="build-*"),
    call(command="make"),
    call(command="make", host="build-1"),
    call("Write", file_path=f"{CWD}/a 1x.md", content="x"),
    call("Write", file_path="/etc/a/x", content="x"),
    call("Read", file_path=f"{CWD}/a [1]*.md"),
    call("Read", file_path="/home/user/other/"),
    call("Bash"),
    call("mcp__calc__add", a=1),
]  # fmt: skip


@pytest.mark.parametrize("text", [PLAIN, NEW], ids=["nothing", "built-in"])
def test_just_the_use_is_allowed_and_nothing_that_is_near_to_it(text: str) -> None:
    before = Policy.loads(text)
    for use in USES:
        after = Policy.loads(added(text, use))
        assert after.decide(use, as_written(use)).verdict == "allow", use
        assert failures(after) == ()
        for other in OTHERS:
            if other != use:
                paths = as_written(other)
                assert after.decide(other, paths).verdict == before.decide(other, paths).verdict, (use, other)


WORDS = st.one_of(
    st.sampled_from(
        ["make", "rm", "-rf", "--", "*", "a*b", "[a]", "?", "!", "!x", "", " ", "a b", "'", '"', "\\", "x=1"]
    ),
    st.sampled_from(
        ["/etc/passwd", "..", "~", "{cwd}", "{taskdir}/x", "**", "#", "\u00e9", "\n", "\\", "-n", "bash", "-c"]
    ),
    st.text(alphabet="ab*?[]!-/ ", max_size=4),
)
COMMANDS = st.lists(WORDS, min_size=1, max_size=4)


@settings(max_examples=settings().max_examples // 4)
@given(COMMANDS, COMMANDS)
@example(["make", "**"], ["make", "a", "b"])
@example(["rm", "[a]"], ["rm", "a"])
@example(["!x"], ["y"])
def test_a_rule_for_one_command_allows_no_other(first: list[str], second: list[str]) -> None:
    """Whatever the words are: a rule that is written is for these, one by one."""
    use, other = call(command=shlex.join(first)), call(command=shlex.join(second))
    try:
        after = added(PLAIN, use)
    except PolicyError:
        return
    assert verdict(after, use) == "allow"
    assert (verdict(after, other) == "allow") == (first == second)
    assert verdict(after, call(command=f"{use.input['command']} && {other.input['command']}")) != "allow" or (
        first == second
    )


NAMES = st.text(alphabet="ab*?[]!{}. ", min_size=1, max_size=5).filter(lambda each: each not in (".", ".."))


@settings(max_examples=settings().max_examples // 4)
@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(NAMES, min_size=1, max_size=3))
@example(["**"], ["a", "b"])
@example(["{cwd}"], ["a"])
def test_a_rule_for_one_file_allows_no_other(first: list[str], second: list[str]) -> None:
    use, other = (call("Write", file_path="/" + "/".join(each), content="x") for each in (first, second))
    try:
        after = added(PLAIN, use)
    except PolicyError:
        return
    assert verdict(after, use) == "allow"
    assert (verdict(after, other) == "allow") == (first == second)


@pytest.mark.parametrize(
    ("use", "why"),
    [
        (call(command="make && make install"), "several commands"),
        (call(command="echo 2 > version.txt"), "without the file"),
        (call(command="echo $HOME"), "no rule can allow just this"),
        (call(command="X=1 make"), "no rule can allow just this"),
        (call(command="cat <<E\nE"), "no rule can allow just this"),
        (call(command="export X=1"), "it changes the shell"),
        (call(command="bash -c 'ls *'"), "does not name it word for word"),
        (call(command="make", shell="zsh"), "'shell'"),
        (call(command=f"cat {TASKDIR}/optio.log"), "the directory of its session"),
        (call("Bash"), "it has no command"),
        (call("Grep", pattern="x", path=CWD), "whatever it is called with"),
        (call("mcp__calc__add", a=1), "whatever it is called with"),
        (call("AskUserQuestion", questions=[]), "whatever it is called with"),
        (call("Write", content="x"), "it names no file"),
        (call("Write", file_path="~/x", content="x"), "no path that can be resolved"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_rule_says_exactly_or_may_allow_is_refused(use: ToolCall, why: str) -> None:
    assert why in refusal(PLAIN, use)


def test_what_the_file_says_otherwise_stays_as_it_is() -> None:
    denies = PLAIN + '[[rule]]\ncommand = "rm **"\ndecision = "deny"\nreason = "in words"\n'
    assert "in words" in refusal(denies, call(command="rm x"))
    assert "denies" in refusal(NEW, call("Write", file_path=f"{TASKDIR}/run/1/stdin", content="x"))
    says = PLAIN + '[[case]]\ncommand = "make"\nexpect = "ask"\ncwd = "/home/user/project"\n'
    assert "case 1 (line 2) says ask" in refusal(says, call(command="make"))
    assert "[[rule]]" in refusal(PLAIN + "rule = []\n", call(command="make"))
    assert "it is missing" in refusal("", call(command="make"))


def test_a_path_that_leads_elsewhere_is_allowed_where_it_leads() -> None:
    use = call("Write", file_path=f"{CWD}/link/x", content="x")
    resolved = {**as_written(use), f"{CWD}/link/x": "/srv/x"}
    after = with_rule(PLAIN, "p", use, resolved, REASON)
    assert Policy.loads(after).decide(use, resolved).verdict == "allow"
    assert verdict(after, use) == "ask"
    with pytest.raises(PolicyError, match="is not known"):
        with_rule(PLAIN, "p", use, {**resolved, f"{CWD}/link/x": None}, REASON)


def test_a_scratch_directory_is_known_by_its_place_in_the_session() -> None:
    use = call(command="make", cwd=f"{TASKDIR}/workdir")
    after = added(PLAIN, use)
    [rule] = tomllib.loads(after)["rule"]
    assert rule["cwd"] == "{taskdir}/workdir"
    other = ToolCall("Bash", {"command": "make"}, "/x/s2/workdir", "/x/s2")
    assert verdict(after, other) == "allow"
    assert verdict(after, call(command="make")) == "ask"


def test_a_file_is_written_whole_or_not_at_all_and_a_link_to_it_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "policy.toml", tmp_path / "link"
    file.write_text(PLAIN)
    file.chmod(0o640)
    link.symlink_to(file)
    write_back(link, PLAIN, NEW)
    assert (file.read_text(), link.is_symlink(), file.stat().st_mode & 0o777) == (NEW, True, 0o640)
    with pytest.raises(PolicyError, match="changed it meanwhile"):
        write_back(file, PLAIN, "other")
    assert file.read_text() == NEW
    assert os.listdir(tmp_path) == ["policy.toml", "link"] or sorted(os.listdir(tmp_path)) == ["link", "policy.toml"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Desk]:
    bench = Desk(tmp_path)
    yield bench
    bench.close()


def test_always_from_a_terminal_is_a_rule_in_the_file_which_then_allows_it(bench: Desk) -> None:
    bench.agent(asked("q-1", input={"command": "make report"}))
    file = bench.cwd / "policy.toml"
    session = bench.run("run", "--detach", "--agent", "claude", "Do it.").out.strip()
    wait_for(lambda: bench.run("permissions", "--json").out, "a question")
    file.write_text(PLAIN + '[[rule]]\ncommand = "make **"\ndecision = "deny"\n')
    refused = bench.run("approve", "q-1", "--always", "--policy", "policy.toml")
    assert (refused.code, "it denies this" in refused.err) == (2, True)
    file.unlink()
    done = bench.run("approve", "q-1", "--always", "--policy", "policy.toml")
    assert (done.code, done.out) == (0, "allowed: Bash: make report\nadded to policy.toml\n")
    assert bench.run("attach", session).code == 0
    policy = Policy.load(file)
    assert failures(policy) == ()
    assert any(session in each.reason for each in policy.rules)
    [tried] = bench.run("policy", "try", "policy.toml", "--session", session, "--json").events
    assert (tried["question"], tried["verdict"]) == ("q-1", "allow")
