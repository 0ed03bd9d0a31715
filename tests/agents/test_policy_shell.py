"""What the readers of shell commands see, held against a real bash, against each other, and against rewriting."""

import json
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from left_out import require
from optio_agents.permissions import Policy, ToolCall, as_written
from optio_agents.permissions.shell import LONGEST, read
from optio_agents.permissions.shell_plain import NotPlain, read_plain
from optio_agents.permissions.shell_variables import Variables
from optio_agents.permissions.shell_words import Script

CWD, TASKDIR = "/home/user/project", "/home/user/.local/state/optio/session"
VALUES = {"L": "/t/o.log", "B": "a b", "F": "f", "N": "2", "E": "", "D": "-x", "G": "*", "Q": "a'b", "T": "~"}
KNOWN = Variables.of(VALUES)
CORPUS = [json.loads(line) for line in (Path(__file__).parent / "policy_corpus.jsonl").read_text().splitlines()]

SOME = settings().max_examples // 5
"""Each of these examples runs a bash or judges several commands, which takes some milliseconds."""

RULES = """
version = 1
[[rule]]
command = ["args **", "git status"]
decision = "allow"
[[rule]]
command = "denied **"
decision = "deny"
"""
POLICY = Policy.loads(RULES)

PIECES = st.sampled_from(
    [
        "args", "args ", " ", "  ", "\t", "a", "b-c", "-x", "x=1", "/", "..", "'", "'", '"', '"', "\\", "\\", "$", "`",
        "$(", ")", "(", "${", "}", "{", "{a,b}", "*", "?", "[a]", "~", "!", "#", "%", "^", "=", "1", "2", "12",
        "\n", ";", ";;", "&", "&&", "|", "||", "|&", ">", ">>", ">&", "&>", "<", "<<", "<<<", "<(", "<&", ">|", "<>",
        "$'", '$"', "if", "then", "fi", "for", "do", "done", "in", "case", "esac", "function", "time", "[[", "]]", "((",
        "))", "é", "\u00a0", "\u200b", "\r", "\v", "\x00", "\x1b", "EOF", "$x", "$$", "$1", "\\\n", "@(", "!(", "+=",
        "$L", '"$L', "${L}", "${B", "$G", "$N", "$F", "L=", "B", "L",
    ]
)  # fmt: skip
WILD = st.lists(PIECES, max_size=12).map("".join)

# Plain more often than not: words in every way of quoting, and what may stand between commands.
CHARACTERS = st.sampled_from("ab \t'\"\\$`*?[]{}~!#&|;<>()=%^-+,.:/@é\n0123456789")
TEXT = st.text(CHARACTERS, max_size=6)
QUOTED = st.one_of(
    st.sampled_from(["a", "-x", "a.b", "x=1", "1", "+5", "%s", "a~1", "@", "::", "--", "/x"]),
    TEXT.map(lambda text: "'" + text.replace("'", "") + "'"),
    TEXT.map(lambda text: '"' + text + '"'),
    st.sampled_from(list("ab \\'\"$`*;|&<>()#~!=")).map(lambda character: "\\" + character),
    st.sampled_from(
        ["$L", "${L}", '"$L"', '"${B}"', '"a  $B $L"', '"$L/$"', '"\\$L$N"', "$N", "$F", '"$D"', '"$G"', "$B"]
    ),
)
WORD = st.lists(QUOTED, min_size=1, max_size=3).map("".join)
SIMPLE = st.lists(WORD, max_size=4).map(lambda words: " ".join(["args", *words]))
BETWEEN = st.sampled_from([";", " ; ", "&&", " && ", "|", " |& ", "\n", " \n\n ", " &\n", " # it's\n"])
SCRIPT = st.builds(
    lambda first, rest: first + "".join(between + command for between, command in rest),
    SIMPLE,
    st.lists(st.tuples(BETWEEN, SIMPLE), max_size=3),
)


def call(command: str) -> ToolCall:
    return ToolCall("Bash", {"command": command}, CWD, TASKDIR, variables=VALUES)


def verdict(command: str, policy: Policy = POLICY) -> str:
    asked = call(command)
    return policy.decide(asked, as_written(asked)).verdict


def in_bash(script: str, directory: Path) -> Counter[tuple[str, ...]]:
    """The calls of `args` that a real bash makes, with their words."""
    # A file for each call: those of a pipeline run at the same time.
    say = f"args() {{ printf '%s\\0' \"$#\" \"$@\" > '{directory}'/called.$BASHPID.$((++calls)); }}\n"
    bash = shutil.which("bash")
    assert bash
    subprocess.run(
        [bash, "--norc", "--noprofile", "-c", f"{say}{script}\nwait"],
        cwd=directory,
        env={"PATH": "/nowhere", "LC_ALL": "C.UTF-8", **VALUES},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    called: Counter[tuple[str, ...]] = Counter()
    for file in directory.glob("called.*"):
        _, *words, _ = file.read_bytes().decode(errors="surrogateescape").split("\0")
        called[tuple(words)] += 1
        file.unlink()
    return called


def seen(script: Script) -> Counter[tuple[str, ...]]:
    return Counter(tuple(each.text for each in command.words[1:]) for command in script.commands)


def runs_as_read(text: str, directory: Path) -> bool:
    """Whether a text is plain, and then: whether bash runs what was read in it, with these words, and nothing else."""
    script = read(text, KNOWN)
    names = {command.words[0].text for command in script.commands if command.words}
    if script.unclear or names != {"args"} or any(command.redirects for command in script.commands):
        return False
    called = in_bash(text, directory)
    if "||" in text:
        assert called <= seen(script), text
    else:
        assert called == seen(script), text
    return True


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("bash")
    return tmp_path_factory.mktemp("bash")


@settings(max_examples=SOME)
@given(text=SCRIPT)
@example('args "$L" ${L}x"$B"; args $N')
@example('args "a\\$b" \'c\'"d"e\\ f')
@example("args '' \"\" a''b")
@example('args "a\\b\\\\c\\"d"')
@example("args a\\#b # c'd\nargs e")
def test_what_is_read_is_what_bash_runs_word_for_word(directory: Path, text: str) -> None:
    runs_as_read(text, directory)


@settings(max_examples=SOME)
@given(before=WILD, text=SIMPLE, behind=WILD)
def test_what_is_allowed_whatever_stands_around_it_is_what_bash_runs(
    directory: Path, before: str, text: str, behind: str
) -> None:
    if verdict(before + text + behind) == "allow":
        runs_as_read(before + text + behind, directory)


OPENED = st.sampled_from(
    [">", ">>", ">|", "&>", "&>>", "<", "2>", "1>>", " > ", " 2>>", ">&1 >", "2>&1>", "> 'x y'", ">x\\ "]
)
FILES = st.sampled_from(["f", "g-1", "'h i'", '"j"', "k\\ l", "1", "2", "m.n ", "o a ", "$F", '"$B"', "${N} "])
OPENING = st.lists(st.tuples(st.sampled_from(["args", "", "a", " b", "2"]), OPENED, FILES), min_size=1, max_size=4).map(
    lambda parts: "args " + "".join(map("".join, parts))
)


@settings(max_examples=SOME)
@given(scripts=st.lists(OPENING, min_size=1, max_size=2), between=BETWEEN)
def test_every_file_that_bash_writes_was_read_as_a_write(directory: Path, scripts: list[str], between: str) -> None:
    text = between.join(scripts)
    script = read(text, KNOWN)
    assume(not script.unclear)
    in_bash(text, directory)
    written = {each.name for each in directory.iterdir()}
    for name in written:
        (directory / name).unlink()
    redirects = [each for command in script.commands for each in command.redirects]
    assert written <= {each.target.text for each in redirects if each.writes}, text
    assert all(each.writes for each in redirects) <= bool(written), text


@settings(max_examples=SOME)
@given(text=OPENING)
@example("args >> f > f")
@example("args &>> $F")
def test_a_file_that_was_read_as_appended_to_keeps_what_it_held(directory: Path, text: str) -> None:
    script = read(text, KNOWN)
    assume(not script.unclear)
    opened = [each for command in script.commands for each in command.redirects if each.writes]
    names = {each.target.text for each in opened}
    for name in names:
        (directory / name).write_text("held")
    in_bash(text, directory)
    kept = {name for name in names if (directory / name).read_text().startswith("held")}
    for name in names:
        (directory / name).unlink()
    assert names - {each.target.text for each in opened if not each.appends} <= kept, text


@pytest.mark.parametrize(
    "text",
    [
        "$L", "${L}", '"$L"', '"${L}"', "a$L", "a=$L", "$L/b", '"$L"$L', '"$B"', '" $B  ${B} "', '"\\$L$L"', "$L$N",
        '"$L\\$"', '"$"$L',
    ],
)  # fmt: skip
def test_a_variable_that_is_known_stands_for_its_value_as_in_bash(directory: Path, text: str) -> None:
    assert runs_as_read(f"args {text}", directory)


def test_a_number_that_a_variable_holds_is_a_word_and_no_file_descriptor(directory: Path) -> None:
    script = read("args $N>f", KNOWN)
    assert not script.unclear
    assert in_bash("args $N>f", directory) == seen(script) == Counter([("2",)])
    (directory / "f").unlink()


@pytest.mark.parametrize(
    "text",
    [
        "$B", "$E", '"$E"', "$D", '"$D"', '"$G"', '"$Q"', '"$T"', "$La", '"$L[0]"', '"$L:h"', "$L[0]", '"${L}[0]"',
        '"$Lé"', '"$X"', "$1", '"${L:-x}"', "${#L}", "${L:0:1}", "${L/a/b}", "${!L}", "${L@Q}", "$$L", "$#L", "$(L)",
        "$((L))", "$[L]", "$'L'", '$"$L"', "`L`", "${ L}", "${L }", "$\\L", "${L", '"${L"',
    ],
)  # fmt: skip
def test_nothing_else_that_is_expanded_is_known(text: str) -> None:
    with pytest.raises(NotPlain):
        read_plain(f"args {text}", KNOWN)
    assert verdict(f"args {text}") == "ask"


@pytest.mark.parametrize(
    "text",
    [
        "L=x", "L+=x", "L=$L", "L='x'", "export L=x", "export L", "declare L=x", "typeset L", "local L=x", "unset L",
        "readonly L", "read L", "read -r L < f", "mapfile L", "readarray L", "getopts x L", "printf -v L x", "set -a",
        "printf -vL x", "printf '%n' L", "printf %sx%5n L L", "wait -n -p L", "let L=1", "((L=1))", "eval L=x",
        "source f", ". f", "for L in x; do args; done", "select L in x; do args; done", "args ${L:=x}", "alias L=x",
        "args $((L=1))", "shopt -s x", "coproc L { args; }", "exec {L}> f", "args {L}> f", "f() { L=x; }; f",
        "[[ x =~ (x) ]]", "test -v L", "trap L=x DEBUG", "print -v L x", "zparseopts L",
    ],
)  # fmt: skip
def test_no_rule_allows_a_command_that_may_change_a_variable(text: str) -> None:
    everything = Policy.loads('version = 1\n[[rule]]\ntool = "*"\ndecision = "allow"\n')
    assert verdict('args >> "$L"', everything) == "allow"
    assert verdict(f'{text}; args >> "$L"', everything) == "ask"
    assert verdict(f'args a | {text} && args >> "$L"', everything) == "ask"


NOT_PLAIN = [
    "if true", "then ls", "for x", "while x", "case x", "function f", "time ls", "coproc ls", "repeat 3 ls", "done",
    "A='b' ls",
    "A=b ls", "%1", "ls $x", "ls *", "ls ?", "ls [a]", "ls {a", "ls ~", "ls a:~", "ls =a", "ls a#b", "! ls", "ls ^",
    "ls é", "ls `x`", 'ls "$x"', 'ls "`x`"', 'ls "a', "ls 'a", "ls \\", "ls \\\n", 'ls "\\\n"', "ls <<a", "ls <<<a",
    "ls <>a", "ls <(a)", "ls >(a)", "ls >&a", "ls 12>a", "ls >1>a", "ls >", "ls > ;", "ls > #a", "ls &&", "ls |",
    "&& ls", "; ls", "ls ;; ls", "(ls", "ls)", "()", "((ls))", "(ls) a", "ls (a)", "ls\r", "ls\v", "{ ls; }",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_is_not_plain_is_refused_without_the_grammar_too(text: str) -> None:
    with pytest.raises(NotPlain):
        read_plain(text)


def test_most_of_what_is_plain_is_read_as_plain(directory: Path) -> None:
    texts = [
        "args a",
        "args 'a b' \"c d\" e\\ f",
        "args a; args b && args c | args d",
        "args a # b\nargs c",
        "(args a)",
    ]
    assert all(runs_as_read(text, directory) for text in texts)


def test_no_text_that_was_found_by_fuzzing_is_read_otherwise_than_bash_runs_it(directory: Path) -> None:
    for text in CORPUS:
        assert verdict(text) in ("allow", "ask", "deny")
        runs_as_read(text, directory)


JOINED = st.sampled_from(
    [
        "{a} && {d}", "{a}; {d}", "{a};{d}", "{a} | {d}", "{a} |& {d}", "{a} || {d}", "{a} & {d}", "{a}&{d}",
        "{a}\n{d}", "{d}; {a}", "{d} | {a}", "({a}; {d})", "{{ {a}; {d}; }}", "! {d}", "{a} $({d})", "{a} `{d}`",
        '{a} "$({d})"', '{a} "`{d}`"', "{a} <({d})", "{a} > >({d})", "{a} <<< $({d})", "{a} <<E\n$({d})\nE",
        "if {a}; then {d}; fi", "for x in a; do {d}; done", "while {d}; do {a}; done", "case x in x) {d};; esac",
        "f() {{ {d}; }}; f", "[[ -n $({d}) ]]", "X=1 {d}", "{a} ${{x:-$({d})}}", "{a} $(( $({d}) ))", "{a} # x\n{d}",
        "{a} \\\n; {d}", "time {d}", "exec {d}", "eval {d}", "command {d}", "env {d}", "sudo {d}", "nohup {d}",
        "xargs {d}", "timeout 5 {d}",
    ]
)  # fmt: skip
DENIED = st.sampled_from(["denied", "denied x", "'denied' x", '"denied"', "d\\enied", "den''ied -x", "/bin/denied x"])


@settings(max_examples=SOME)
@given(shape=JOINED, allowed=SIMPLE, denied=DENIED)
def test_a_denied_command_is_denied_however_it_is_joined_to_an_allowed_one(
    shape: str, allowed: str, denied: str
) -> None:
    joined = shape.format(a=allowed, d=denied)
    # A command that is not plain in itself may swallow the rest, as a quote does that is left open.
    plain = not read(allowed, KNOWN).unclear and "#" not in allowed
    assert verdict(joined) == "deny" if plain else verdict(joined) != "allow"


@settings(max_examples=SOME)
@given(shape=JOINED, outer=JOINED, allowed=SIMPLE, denied=DENIED)
def test_no_nesting_makes_a_denied_command_allowed(shape: str, outer: str, allowed: str, denied: str) -> None:
    assume(not read(allowed, KNOWN).unclear and "#" not in allowed)
    inner = shape.format(a=allowed, d=denied)
    assert verdict(outer.format(a=inner, d=allowed)) != "allow"
    assert verdict(outer.format(a=allowed, d=inner)) != "allow"


@settings(max_examples=SOME)
@given(command=DENIED, before=WILD, behind=WILD)
def test_nothing_written_around_a_denied_command_makes_bash_run_it_allowed(
    directory: Path, command: str, before: str, behind: str
) -> None:
    text = f"{before} {command} {behind}"
    if verdict(text) == "allow":  # then it is a word, and bash must take it for one
        script = f"denied() {{ args DENIED; }}\n{text}"
        assert ("DENIED",) not in in_bash(script, directory), text


@given(text=st.one_of(st.text(max_size=80), st.binary(max_size=80).map(lambda data: data.decode("latin-1"))))
@example("\ud800")
@example("echo '\udcff'")
@example("\x00")
def test_no_text_makes_it_raise_and_none_is_allowed_that_is_not_plain(text: str) -> None:
    allowed = verdict(text) == "allow"
    assert not allowed or not read(text, KNOWN).unclear


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), WILD),
    lambda each: st.one_of(st.lists(each, max_size=3), st.dictionaries(st.text(max_size=10), each, max_size=3)),
    max_leaves=6,
)
KEYS = st.sampled_from(["command", "file_path", "path", "pattern", "notebook_path", "description", "x"])
TOOLS = st.sampled_from(["Bash", "Read", "Write", "Glob", "Grep", "LS", "AskUserQuestion", "mcp__a__b", "", "\x00"])


@settings(max_examples=SOME)
@given(tool=TOOLS, given_input=st.dictionaries(KEYS, JSON, max_size=4), cwd=st.sampled_from([CWD, "", "x", "/"]))
def test_no_input_of_any_tool_makes_it_raise(tool: str, given_input: dict[str, object], cwd: str) -> None:
    asked = ToolCall(tool, given_input, cwd, TASKDIR)
    decision = POLICY.decide(asked, as_written(asked))
    assert decision.parts
    assert decision.explain()
    assert decision.reason


@pytest.mark.parametrize("piece", ["(", "$(", "a=(", "<<a\n", "[[", "{", "`", "${a", "if ", "a;", "((", "<(", '"$('])
def test_no_command_takes_long_to_judge(piece: str) -> None:
    began = time.process_time()
    assert verdict(piece * (LONGEST // len(piece))) == "ask"
    assert verdict(f"sudo '{piece * (LONGEST // len(piece) - 10)}'") == "ask"
    assert time.process_time() - began < 10


def test_a_command_too_long_to_read_is_asked() -> None:
    assert verdict("args " + "a" * (LONGEST - 5)) == "allow"
    assert verdict("args " + "a" * LONGEST) == "ask"
