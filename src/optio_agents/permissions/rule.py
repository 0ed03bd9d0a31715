"""The rules of a policy, and what each is about. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from .call import ToolCall
from .patterns import CommandPattern, Options, PathPattern, Places, name_matches
from .shell_words import Word

Pattern = TypeVar("Pattern")


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
    """

    what: str
    tool: str
    places: Places
    words: tuple[Word, ...] | None = None
    path: str | None = None
    doubts: tuple[str, ...] = ()
    word_for_word: bool = False
    only_deny: bool = False


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
    host: OneOf[str] | None = None
    agent: OneOf[str] | None = None
    subagent: OneOf[str] | None = None

    def __str__(self) -> str:
        at = f" (line {self.line})" if self.line else ""
        return f"{self.origin} rule {self.number}{at}".lstrip()

    def is_about(self, part: Part, call: ToolCall) -> bool:
        """Whether it matches this part of a call, if it does not look at paths."""
        return (
            _named(self.tool, part.tool)
            and _named(self.host, call.host)
            and _named(self.agent, call.agent)
            and _named(self.subagent, call.subagent)
            and self._command_matches(part.words)
        )

    def path_matches(self, part: Part) -> bool:
        """Whether it matches the path of this part."""
        path = part.path
        return self.path is None or (
            path is not None and self.path.matches(lambda pattern: pattern.matches(path, part.places))
        )

    def leaves_open(self, words: tuple[Word, ...]) -> bool:
        """Whether what it says of a command holds for other commands too."""
        if self.command is None:
            return True
        return not any(each.literal and each.matches(words, None) for each in self.command.those)

    def _command_matches(self, words: tuple[Word, ...] | None) -> bool:
        if self.command is None:
            # Which files a command names does not tell what it does with them.
            return not (self.decision == "allow" and self.path is not None and words is not None)
        return words is not None and self.command.matches(lambda pattern: pattern.matches(words, self.options))


def _named(names: OneOf[str] | None, name: str | None) -> bool:
    if names is None:
        return True
    if name is None:  # the agent itself is no subagent, of whatever name
        return not names.those
    return names.matches(lambda glob: name_matches(glob, name))
