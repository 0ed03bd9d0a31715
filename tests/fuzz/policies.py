"""Policy files, and the shell commands that they judge."""

import shutil
from pathlib import Path

from agents.test_policy_shell import runs_as_read, verdict
from fuzz.hosts import scratch
from fuzz.target import Choices, target
from optio_agents.errors import PolicyError
from optio_agents.permissions import Policy, ToolCall, as_written

LINES = (
    "version = 1", "[[rule]]", 'tool = "Bash"', 'tool = ["Read", "W*"]', 'decision = "allow"', 'decision = "deny"',
    'decision = "ask"', 'command = "git **"', 'command = ["ls", "cat *"]', 'path = "src/**"', 'path = "/etc/*"',
    'reason = "so"', "[[case]]", 'expect = "allow"', 'input = {command = "ls"}', 'subagent = true', 'options = ["-x"]',
    "version = 2", "rule = 3", 'decision = "maybe"', 'path = "~/x"', "x = [", '"',
)  # fmt: skip
CALLS = (
    ToolCall("Bash", {"command": "git status; ls -x > /etc/x"}, "/w", "/t"),
    ToolCall("Read", {"file_path": "src/../a"}, "/w", "/t"),
    ToolCall("Write", {"file_path": "/etc/passwd", "content": ""}, "/w", "/t", subagent="a"),
    ToolCall("", {}, "/w", "/t"),
)


@target
def policy_files(data: bytes) -> None:
    """A policy is understood, or refused with the lines that are wrong; without rules that allow, none is allowed."""
    choices = Choices(data)
    lines = []
    while choices.left and len(lines) < 30:
        lines.append(choices.text(30) if choices.below(4) == 3 else choices.pick(LINES))
    text = "\n".join(lines)
    try:
        policy = Policy.loads(text)
    except PolicyError as error:
        assert error.problems
        assert all(line is None or 1 <= line <= text.count("\n") + 1 for line, _ in error.problems)
        return
    for call in CALLS:
        decision = policy.decide(call, as_written(call))
        assert decision.verdict in ("allow", "ask", "deny")
        assert decision.verdict != "allow" or any(rule.decision == "allow" for rule in policy.rules)


PIECES = (
    "args", "args ", " ", "a", "b-c", "-x", "'", '"', "\\", "$", "`", "$(", ")", "(", "${", "}", "{", "{a,b}", "*", "?",
    "[a]", "~", "!", "#", "%", "^", "=", "1", "\n", ";", ";;", "&", "&&", "|", "||", "|&", ">", ">>", ">&", "<", "<<",
    "<<<", "<(", "$'", '$"', "if", "then", "fi", "for", "do", "done", "in", "case", "esac", "time", "[[", "]]", "((",
    "))", "é", "\u00a0", "\r", "\v", "\x00", "EOF", "$x", "$1", "\\\n", "@(", "+=", "$L", '"$L', "${L}", "${B", "$G",
    "L=", "x", " args ", "git", "git status", "denied",
)  # fmt: skip


@target
def shell_commands(data: bytes) -> None:
    """What a policy allows is what a real bash runs, word for word; what it denies stays denied with more around it."""
    choices = Choices(data)
    raw = choices.below(4) == 3
    text = choices.rest().decode("utf-8", "replace") if raw else "".join(choices.pieces(PIECES, 24))
    said = verdict(text)
    if said == "allow" and shutil.which("bash"):
        directory = Path(scratch(), "bash")
        directory.mkdir(exist_ok=True)
        runs_as_read(text, directory)
    assert verdict(f"denied x; {text}") != "allow"
    assert verdict(f"{text}\ndenied x") != "allow"
