"""From a use of a tool that a person always allows to a rule of a policy file that allows just this, and its test case.

Pure, but for the file. What rules cannot say exactly is refused: nothing is allowed that was not asked about.
"""

import json
import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import PolicyError
from .call import ToolCall
from .case import TASKDIR, failures
from .mentions import plainly
from .parts import parts_of
from .policy import Policy
from .shell_words import Word
from .tool_input import SHELL

FILE_TOOLS = ("Read", "Write", "Edit", "MultiEdit", "NotebookEdit")
"""The tools that are about one file, and are allowed for that file, whatever is read or written there."""

NEW = """\
# What an agent may do without a person being asked. `optio policy check FILE` says what is wrong with it.
version = 1
extends = "built-in"
"""
"""What a policy file that is not there begins with."""


class NotExact(ValueError):
    """No rule allows just this use of a tool; the message says why."""


def rule_text(call: ToolCall, resolved: Mapping[str, str | None], reason: str) -> str:
    """A rule that allows a use of a tool, and a case that says so, as TOML.

    Parameters:
        call: the use.
        resolved: where the paths that it names lead; see `Policy.decide`.
        reason: for the rule.

    Raises NotExact.
    """
    rule: dict[str, str] = {}
    case: dict[str, str] = {}
    if call.tool == SHELL:
        words = [each.text for each in _only_command(call, resolved)]
        if any(call.taskdir in each for each in words):
            raise NotExact("it names the directory of its session, and no other session has that")
        rule["command"] = " ".join(shlex.quote(_literal(each)) for each in words)
        where = _plain(resolved.get(call.cwd), "where the working directory leads on the host is not known")
        case["command"] = str(call.input["command"])
        rule["cwd"], case["cwd"] = _placed(where, call, resolved)
    elif call.tool in FILE_TOOLS:
        [part, *_] = [each for each in parts_of(call, resolved) if not each.only_deny]
        if part.path is None or part.doubts:
            raise NotExact("; ".join(part.doubts) or "it names no file")
        rule["tool"], case["tool"] = call.tool, call.tool
        rule["path"], case["path"] = _placed(part.path, call, resolved)
    else:
        raise NotExact(f"rules cannot say what {call.tool} is called with, and would allow whatever it is called with")
    for key, value in (("host", call.host), ("agent", call.agent)):
        rule[key], case[key] = _literal(value), value
    return "\n".join([
        "", "[[rule]]", *_lines(rule), 'decision = "allow"', *_lines({"reason": reason}),
        "", "[[case]]", *_lines(case), 'expect = "allow"', "",
    ])  # fmt: skip


def with_rule(text: str, name: str, call: ToolCall, resolved: Mapping[str, str | None], reason: str) -> str:
    """The text of a policy file with such a rule at its end; as it is, if it allows this already.

    Raises PolicyError when it is no policy, when no rule can say or allow just this, or when the file says otherwise.
    """
    before = Policy.loads(text, name)
    said = before.decide(call, resolved)
    if said.verdict == "allow":
        return text
    if said.verdict == "deny":
        raise PolicyError(name, ((None, f"it denies this, and that was not changed: {said.reason}"),))
    try:
        more = rule_text(call, resolved, reason)
    except NotExact as error:
        raise PolicyError(name, ((None, f"no rule can allow just this: {error}"),)) from error
    end = "\r\n" if "\r\n" in text else "\n"
    after = text + ("" if text.endswith("\n") or not text else end) + more.replace("\n", end)
    try:
        policy = Policy.loads(after, name)
    except PolicyError as error:
        if any(re.match(r"\s*(rule|case)\s*=", line) for line in text.split("\n")):
            what = "its rules or cases are written in one list, which this does not add to: write them as [[rule]]"
            raise PolicyError(name, ((None, what),)) from error
        raise
    now = policy.decide(call, resolved)
    if now.verdict != "allow":
        raise PolicyError(name, ((None, f"no rule allows this: {now.reason}"),))
    were_wrong = {each.case.number for each in failures(before)}
    for each in failures(policy):
        if each.case.number not in were_wrong:
            raise PolicyError(name, ((each.case.line, f"{each.case} says {each.case.expect} of this"),))
    return after


def write_back(path: Path, text_before: str | None, text: str) -> None:
    """Put the new text into a policy file, whole or not at all.

    Parameters:
        path: the file; a symbolic link is followed.
        text_before: what stood in it; None: it was not there.
        text: what is to stand in it.

    Raises PolicyError when it was changed meanwhile; OSError.
    """
    target = Path(os.path.realpath(path))
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:50]}.")
    try:
        with open(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if text_before is not None:
            os.chmod(part, target.stat().st_mode & 0o7777)
        if read_policy(target) != text_before:
            raise PolicyError(str(path), ((None, "somebody has changed it meanwhile; nothing was written"),))
        os.replace(part, target)
    except BaseException:
        os.unlink(part)
        raise


def read_policy(path: Path) -> str | None:
    """The text of a policy file, line ends as they are; None when it is not there. Raises PolicyError, OSError."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise PolicyError(str(path), ((None, "it is not UTF-8, which TOML is"),)) from error


def _only_command(call: ToolCall, resolved: Mapping[str, str | None]) -> Sequence[Word]:
    """The one command that it runs."""
    commands: dict[tuple[Word, ...], None] = {}
    for part in parts_of(call, resolved):
        if part.only_deny:
            continue
        if part.words is None:
            because = "; ".join(part.doubts) or "a rule for its command would also allow it without the file"
            raise NotExact(f"{part.what}: {because}")
        if doubts := [each for each in part.doubts if part.words]:
            raise NotExact(f"{part.what}: {'; '.join(doubts)}")
        commands[part.words] = None
    if len(commands) != 1:
        raise NotExact("it runs several commands, and rules would allow each alone" if commands else "it runs nothing")
    return next(iter(commands))


def _placed(path: str, call: ToolCall, resolved: Mapping[str, str | None]) -> tuple[str, str]:
    """A path as a pattern that matches it alone, and as it stands in a case. The session's directory has a name."""
    taskdir = resolved.get(call.taskdir)
    above = plainly(taskdir) if taskdir else None
    if above and (path == above or path.startswith(f"{above}/")):
        below = path.removeprefix(above)
        return "{taskdir}" + _literal(below), TASKDIR + below
    return _literal(path), path


def _plain(path: str | None, problem: str) -> str:
    if path is None:
        raise NotExact(problem)
    return plainly(path)


def _literal(text: str) -> str:
    """A glob that matches this text alone."""
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", text)


def _lines(values: Mapping[str, str]) -> list[str]:
    return [f"{key} = {_quoted(value)}" for key, value in values.items()]


def _quoted(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotExact("it holds what is no text") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
