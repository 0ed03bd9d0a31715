"""Policy files: TOML, checked, with the lines where things stand."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ..errors import PolicyError
from .call import ToolCall
from .case import CWD, TASKDIR, Case, variables
from .lines import Lines
from .patterns import CommandPattern, Options, PathPattern
from .policy import BUILT_IN, Policy, built_in_text
from .rule import OneOf, Rule
from .tool_input import SHELL, path_key

VERSION = 1

LARGEST = 1_000_000
"""Bytes of a policy file."""

Patterns = str | list[str]
Parsed = TypeVar("Parsed")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RuleTable(_Table):
    """`[[rule]]`, as it stands in the file; docs/policy.md says what the keys mean."""

    decision: Literal["allow", "deny", "ask"]
    reason: str = ""
    tool: Patterns | None = None
    path: Patterns | None = None
    command: Patterns | None = None
    options: str | None = None
    to: Patterns | None = None
    host: Patterns | None = None
    agent: Patterns | None = None
    subagent: Patterns | None = None
    cwd: Patterns | None = None


class CaseTable(_Table):
    """`[[case]]`, as it stands in the file."""

    expect: Literal["allow", "deny", "ask"]
    tool: str = SHELL
    command: str | None = None
    path: str | None = None
    input: dict[str, JsonValue] = {}
    host: str = "local"
    agent: str = "claude"
    subagent: str | None = None
    cwd: str = CWD
    taskdir: str = TASKDIR


class PolicyTable(_Table):
    """A policy file."""

    version: Literal[1]
    extends: Literal["built-in"] | None = None
    rule: list[RuleTable] = Field(default=[])
    case: list[CaseTable] = Field(default=[])


def read_file(path: Path) -> Policy:
    """Read a policy file. Raises PolicyError."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise PolicyError(str(path), ((None, f"it is larger than {LARGEST} bytes; is this a policy?"),))
        return read_text(content.decode(), str(path))
    except OSError as error:
        raise PolicyError(str(path), ((None, f"it cannot be read: {error.strerror or error}"),)) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyError(str(path), ((line, "it is not UTF-8, which TOML is"),)) from error


def read_text(text: str, name: str) -> Policy:
    """Read a policy. Raises PolicyError."""
    lines = Lines(text)
    try:
        table = PolicyTable.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(name, ((None, f"this is no TOML: {error}"),)) from error
    except RecursionError as error:
        raise PolicyError(name, ((None, "this is no TOML that can be read: it is nested too deeply"),)) from error
    except ValidationError as error:
        raise PolicyError(
            name, tuple(lines.problem(each["loc"], _said(each["msg"])) for each in error.errors())
        ) from None
    reader = _Reader(lines, BUILT_IN if name == BUILT_IN else "")
    shipped = read_text(built_in_text(), BUILT_IN).rules if table.extends else ()
    rules = tuple(reader.rule(number, each) for number, each in enumerate(table.rule, 1))
    cases = tuple(reader.case(number, each) for number, each in enumerate(table.case, 1))
    if reader.problems:
        raise PolicyError(name, tuple(reader.problems))
    # What the built-in policy denies stays denied: a rule that allows, say, all of `cat` shall not undo it unnoticed.
    before = tuple(each for each in shipped if each.decision != "deny")
    behind = tuple(each for each in shipped if each.decision == "deny")
    return Policy((*before, *rules, *behind), cases)


class _Reader:
    def __init__(self, lines: Lines, origin: str) -> None:
        self._lines = lines
        self._origin = origin
        self.problems: list[tuple[int | None, str]] = []

    def rule(self, number: int, table: RuleTable) -> Rule:
        def parsed(key: str, value: Patterns | None, parse: Callable[[str], Parsed]) -> OneOf[Parsed] | None:
            if value is None:
                return None
            those: list[Parsed] = []
            but: list[Parsed] = []
            for each in [value] if isinstance(value, str) else value:
                try:
                    (but if each.startswith("!") else those).append(parse(each.removeprefix("!")))
                except ValueError as error:
                    self._wrong("rule", number, key, str(error))
            if value == []:
                self._wrong("rule", number, key, "it is empty; leave it out if it may be anything")
            return OneOf(tuple(those), tuple(but))

        options: Options | None = None
        if table.options is not None:
            try:
                options = Options.parse(table.options)
            except ValueError as error:
                self._wrong("rule", number, "options", str(error))
            if table.command is None:
                self._wrong("rule", number, "options", "there are options only where there is a command")
        elif table.decision == "allow" and table.command is not None and (table.path or table.to) is not None:
            self._wrong("rule", number, "to" if table.path is None else "path", OPTIONS_NEEDED)
        if table.to is not None and table.command is None:
            self._wrong("rule", number, "to", "it is about the last word of a command, and there is no command")
        return Rule(
            number=number,
            decision=table.decision,
            reason=table.reason,
            line=self._lines.of("rule", number),
            origin=self._origin,
            tool=parsed("tool", table.tool, _name),
            path=parsed("path", table.path, PathPattern.parse),
            command=parsed("command", table.command, CommandPattern.parse),
            options=options,
            to=parsed("to", table.to, PathPattern.parse),
            host=parsed("host", table.host, _name),
            agent=parsed("agent", table.agent, _name),
            subagent=parsed("subagent", table.subagent, _name),
            cwd=parsed("cwd", table.cwd, _directory),
        )

    def case(self, number: int, table: CaseTable) -> Case:
        given = dict(table.input)
        for key, value in (("command", table.command), (path_key(table.tool), table.path)):
            if value is not None:
                given[key] = value
        tool_input = {key: _placed(value, table) for key, value in given.items()}
        if not tool_input and table.tool == SHELL:
            self._wrong("case", number, "tool", "it has no command")
        for key, place in (("cwd", table.cwd), ("taskdir", table.taskdir)):
            if not place.startswith("/"):
                self._wrong("case", number, key, f"{place!r} does not begin with /")
        call = ToolCall(
            table.tool,
            tool_input,
            cwd=table.cwd,
            taskdir=table.taskdir,
            host=table.host,
            agent=table.agent,
            subagent=table.subagent,
            variables=variables(table.taskdir),
        )
        return Case(number, call, table.expect, self._lines.of("case", number))

    def _wrong(self, table: str, number: int, key: str, what: str) -> None:
        self.problems.append(self._lines.problem((table, number - 1, key), what))


OPTIONS_NEEDED = (
    "a rule that allows a command by the paths it names has to say which options it may have, as in "
    'options = "-n -r --color", or "" for none: an option may hide a path'
)


def _placed(value: JsonValue, table: CaseTable) -> JsonValue:
    match value:
        case str():
            return value.replace("{cwd}", table.cwd).replace("{taskdir}", table.taskdir)
        case list():
            return [_placed(each, table) for each in value]
        case dict():
            return {key: _placed(each, table) for key, each in value.items()}
        case _:
            return value


def _name(glob: str) -> str:
    if not glob:
        raise ValueError("it is empty")
    return glob


def _directory(text: str) -> PathPattern:
    pattern = PathPattern.parse(text)
    if pattern.place == "cwd":
        raise ValueError(f"{text!r}: it is what {{cwd}} stands for, and begins with /, {{taskdir}}/ or **/")
    return pattern


def _said(message: str) -> str:
    return "it is missing" if message == "Field required" else message[:1].lower() + message[1:]
