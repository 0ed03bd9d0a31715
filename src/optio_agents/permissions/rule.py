"""The rules of a policy, and what each is about. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from .call import ToolCall
from .patterns import CommandPattern, Options, PathPattern, Places, name_matches
from .shell_words import NOWHERE, Word

Pattern = TypeVar("Pattern")

APPEND = "Append"
"""What rules may call it when a redirection only adds to a file. It is a `Write` all the same."""


@dataclass(frozen=True, slots=True)
class OneOf(Generic[Pattern]):
    """Some patterns, without some others.

    Attributes:
        those: one of these matches; empty: everything does.
        but: none of these does.
    """

    those: tuple[Pattern, ...]
    but: tuple[Pattern, ...] = ()

    def matches(self, one: Callable[[Pattern], bool]) -> bool:
        """Whether what a pattern is tried on is meant."""
        return (not self.those or any(map(one, self.those))) and not any(map(one, self.but))


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a tool call does, for rules to judge.

    Attributes:
        what: the same, for a person.
        tool: the tool that does such things: a file that a command writes to is a `Write`.
        places: what the placeholders stand for.
        words: the command; None: it is none.
        path: the file or directory that it is about, absolute and without dot-segments; None: it names none.
        doubts: why no rule may allow it.
        word_for_word: no rule that leaves words open may allow it.
        only_deny: a rule that denies it counts, nothing else does.
        last: the path is in the last word of a command.
        appends: the file is only written to at its end.
        opened_for: the command that the shell opens the file for; None: it is no file of a redirection.
    """

    what: str
    tool: str
    places: Places
    words: tuple[Word, ...] | None = None
    path: str | None = None
    doubts: tuple[str, ...] = ()
    word_for_word: bool = False
    only_deny: bool = False
    last: bool = False
    appends: bool = False
    opened_for: tuple[Word, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. What it does not name may be anything.

    Attributes:
        number: its place in the file, from 1.
        decision: what it says of what it matches.
        reason: why, for a person.
        line: where it begins in the file; None: not known.
        origin: which file, if it is not the one that was asked for.
        tool, path, command, host, agent, subagent: what it is about.
        cwd: the directory that the agent works in.
        to: where the last word of the command leads, and `path` is about the others; None: `path` is about all.
        options: the options that the command may have; None: any.
    """

    number: int
    decision: Literal["allow", "deny", "ask"]
    reason: str = ""
    line: int | None = None
    origin: str = ""
    tool: OneOf[str] | None = None
    path: OneOf[PathPattern] | None = None
    command: OneOf[CommandPattern] | None = None
    options: Options | None = None
    to: OneOf[PathPattern] | None = None
    host: OneOf[str] | None = None
    agent: OneOf[str] | None = None
    subagent: OneOf[str] | None = None
    cwd: OneOf[PathPattern] | None = None

    def __str__(self) -> str:
        at = f" (line {self.line})" if self.line else ""
        return f"{self.origin} rule {self.number}{at}".lstrip()

    def is_about(self, part: Part, call: ToolCall) -> bool:
        """Whether it matches this part of a call, if it does not look at paths."""
        return (
            self._tool_matches(part)
            and _named(self.host, call.host)
            and _named(self.agent, call.agent)
            and _named(self.subagent, call.subagent)
            and self._cwd_matches(part)
            and self._command_matches(part)
            and (self.to is None or (part.words is not None and _ends_in_a_path(part.words)))
        )

    def path_matches(self, part: Part) -> bool:
        """Whether it matches the path of this part."""
        path = part.path
        wanted = self.to if part.last and self.to is not None else self.path
        return wanted is None or (
            path is not None and wanted.matches(lambda pattern: pattern.matches(path, part.places))
        )

    def leaves_open(self, words: tuple[Word, ...]) -> bool:
        """Whether what it says of a command holds for other commands too."""
        if self.command is None:
            return True
        return not any(each.literal and each.matches(words, None) for each in self.command.those)

    def _tool_matches(self, part: Part) -> bool:
        if self.tool is None or not part.appends:
            return _named(self.tool, part.tool)
        kinds = (part.tool, APPEND)
        meant, kept = OneOf(self.tool.those), OneOf((), self.tool.but)
        return any(_named(meant, each) for each in kinds) and all(_named(kept, each) for each in kinds)

    def _cwd_matches(self, part: Part) -> bool:
        cwd = part.places.cwd
        if self.cwd is None:
            return True
        if cwd is None:  # nobody knows where that is
            return self.decision != "allow"
        return self.cwd.matches(lambda pattern: pattern.matches(cwd, part.places))

    def _command_matches(self, part: Part) -> bool:
        words = part.words
        if self.command is None:
            # Which files a command names does not tell what it does with them.
            return not (self.decision == "allow" and self.path is not None and words is not None)
        if words is None and self.tool is not None and {part.tool, APPEND} & set(self.tool.those):
            words = part.opened_for
        return words is not None and self.command.matches(lambda pattern: pattern.matches(words, self.options))


def _named(names: OneOf[str] | None, name: str | None) -> bool:
    if names is None:
        return True
    if name is None:  # the agent itself is no subagent, of whatever name
        return not names.those
    return names.matches(lambda glob: name_matches(glob, name))


def _ends_in_a_path(words: tuple[Word, ...]) -> bool:
    # A device that is moved away, or replaced, is not nothing any more.
    return (
        len(words) > 1
        and not words[-1].text.startswith("-")
        and all(each.known and each.text not in ("", NOWHERE) for each in words[1:])
    )
