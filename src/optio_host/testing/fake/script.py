"""What commands of a fake host answer: data, and the book in which the answers stand."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

Text = str | bytes
"""Output of a program; text is UTF-8."""

Matcher = str | re.Pattern[str] | Callable[[str], bool]
"""Which commands are meant: this very text, a pattern that matches all of it, or a function that says so."""


@dataclass(frozen=True, slots=True)
class Stdout:
    """The program writes to its stdout."""

    data: Text


@dataclass(frozen=True, slots=True)
class Stderr:
    """The program writes to its stderr."""

    data: Text


@dataclass(frozen=True, slots=True)
class Append:
    """The program appends to a file; a relative path begins at its working directory."""

    path: str
    data: Text


@dataclass(frozen=True, slots=True)
class WriteFile:
    """The program writes a whole file; its parents are made."""

    path: str
    data: Text


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """The program removes a file or a directory with all that is in it."""

    path: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The program does nothing for so many seconds of the clock of its host."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Expect:
    """The program reads just these bytes from its stdin. Other bytes, or an end before them, fail the test."""

    data: Text


@dataclass(frozen=True, slots=True)
class ExpectEnd:
    """The program reads on until its stdin is closed. Any byte before that fails the test."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The program ends with this status."""

    code: int = 0


@dataclass(frozen=True, slots=True)
class Die:
    """The program is ended by this signal."""

    signal: int


@dataclass(frozen=True, slots=True)
class Hang:
    """The program does nothing any more, until it is ended. `ignores_term`: only KILL ends it."""

    ignores_term: bool = False


Step = Stdout | Stderr | Append | WriteFile | RemoveFile | Wait | Expect | ExpectEnd | Exit | Die | Hang
"""What a scripted program does next. Behind the last step it exits with status 0."""


class ScriptFailed(AssertionError):
    """A fake host was asked for what no script answers, or a script was not followed to its end."""


@dataclass
class _Rule:
    match: Matcher
    answers: list[tuple[Step, ...]]
    repeat: bool
    used: int = 0

    def fits(self, command: str) -> bool:
        match self.match:
            case str():
                return self.match == command
            case re.Pattern():
                return self.match.fullmatch(command) is not None
            case _:
                return self.match(command)

    @property
    def left(self) -> int:
        return 0 if self.repeat else len(self.answers) - self.used

    @property
    def shown(self) -> str:
        match self.match:
            case str():
                return repr(self.match)
            case re.Pattern():
                return f"re.compile({self.match.pattern!r})"
            case _:
                return getattr(self.match, "__name__", repr(self.match))

    def take(self) -> tuple[Step, ...] | None:
        if self.repeat:
            return self.answers[0]
        if self.used == len(self.answers):
            return None
        self.used += 1
        return self.answers[self.used - 1]


@dataclass
class Book:
    """The answers of one fake machine, and everything that went against them.

    Attributes:
        problems: what failed, also where the code under test has caught the exception.
    """

    problems: list[str] = field(default_factory=list)
    _rules: list[_Rule] = field(default_factory=list)

    def add(self, match: Matcher, steps: tuple[Step, ...], *, repeat: bool) -> None:
        """One more answer, behind those to the same matcher."""
        last = self._rules[-1] if self._rules else None
        if last is not None and last.match == match and not repeat and not last.repeat:
            last.answers.append(steps)
        else:
            self._rules.append(_Rule(match, [steps], repeat))

    def answer(self, command: str) -> tuple[Step, ...] | None:
        """The next answer to a command; None when no rule is about it. ScriptFailed when the rules are used up."""
        fitting = [rule for rule in self._rules if rule.fits(command)]
        # What is declared for one run goes before what stands for any number of them.
        for rule in sorted(fitting, key=lambda each: each.repeat):
            if (steps := rule.take()) is not None:
                return steps
        if fitting:
            count = sum(rule.used for rule in fitting)
            raise self.failed(f"{command!r} was run once more than it has answers ({count})")
        return None

    def unexpected(self, command: str) -> ScriptFailed:
        """The error for a command that nobody answers."""
        expected = ", ".join(f"{rule.shown} ({rule.left} left)" for rule in self._rules if rule.left)
        return self.failed(
            f"no script answers the command {command!r}; still expected: {expected or 'nothing'}. "
            "Declare it with on(command, ...)"
        )

    def failed(self, problem: str) -> ScriptFailed:
        """Note a problem, and the error for it."""
        self.problems.append(problem)
        return ScriptFailed(problem)

    def unused(self) -> list[str]:
        """The answers that were never asked for, a line each."""
        return [
            f"{rule.shown} was run {rule.used} times, {len(rule.answers)} answers were given"
            for rule in self._rules
            if rule.left
        ]
