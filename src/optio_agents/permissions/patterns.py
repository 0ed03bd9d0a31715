"""How a rule says what it is about: globs of names, of paths and of commands. Pure.

In a name, `*`, `?` and `[...]` are as in a shell. Paths and commands are sequences, of segments and of words: such a
glob is for one of them, whole, and `**` stands for any number of them, none as well.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from typing import TypeVar

from .shell_words import Word

Item = TypeVar("Item")

_PLACE = re.compile(r"\{(cwd|taskdir)\}(?=/|$)")


@cache
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


def name_matches(glob: str, name: str) -> bool:
    """Whether a name is one of those that a glob stands for. Upper and lower case differ."""
    return _compiled(glob).match(name) is not None


def _word_matches(glob: str, word: Word) -> bool:
    return name_matches(glob, word.text) if word.known else glob == "*"


def _sequence_matches(globs: Sequence[str], items: Sequence[Item], one: Callable[[str, Item], bool]) -> bool:
    # Greedy, with one place to come back to, the last `**`: the time is bounded by the product of the lengths.
    glob = item = 0
    back: tuple[int, int] | None = None
    while item < len(items):
        if glob < len(globs) and globs[glob] == "**":
            back = (glob, item)
            glob += 1
        elif glob < len(globs) and one(globs[glob], items[item]):
            glob, item = glob + 1, item + 1
        elif back is not None:
            back = (back[0], back[1] + 1)
            glob, item = back[0] + 1, back[1]
        else:
            return False
    return all(each == "**" for each in globs[glob:])


@dataclass(frozen=True, slots=True)
class Options:
    """The options that a command may have for a rule to match.

    Attributes:
        letters: those of one letter, which may stand together behind one dash.
        numbers: whether digits may stand there too, with commas and dashes between them, as in -n5 or -f1,3-5.
        words: all others, as they are written; `--name` is also `--name=VALUE`.
    """

    letters: frozenset[str]
    numbers: bool
    words: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> "Options":
        """Read `-r -n -# -name --include`. Raises ValueError, saying what is wrong."""
        words = text.split()
        for word in words:
            if not word.startswith("-") or word in ("-", "--") or "=" in word:
                raise ValueError(f"{word!r} is no option; write -r for a letter, -# for numbers, --name or -name")
        letters = frozenset(word[1] for word in words if len(word) == 2)
        return cls(letters - {"#"}, "-#" in words, frozenset(word for word in words if len(word) > 2))

    def accept(self, word: str) -> bool:
        """Whether this word, which begins with a dash, is nothing but options that are listed."""
        if word in self.words:
            return True
        if word.startswith("--"):
            return "=" in word and word.partition("=")[0] in self.words
        return all(each in self.letters or (self.numbers and each in "0123456789,-") for each in word[1:])


@dataclass(frozen=True, slots=True)
class CommandPattern:
    """Which commands a rule is about.

    Attributes:
        globs: one for each word; `**` for any number of words.
    """

    globs: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "CommandPattern":
        """Read a pattern, written as a command is. Raises ValueError, saying what is wrong."""
        globs = tuple(shlex.split(text))
        if not globs:
            raise ValueError("a command has at least one word")
        return cls(globs)

    @property
    def literal(self) -> bool:
        """Whether it stands for one command only, word for word."""
        return all(_is_literal(each) for each in self.globs)

    def matches(self, words: Sequence[Word], options: Options | None) -> bool:
        """Whether a command is one of those.

        Parameters:
            words: the command.
            options: the options it may have beside what the pattern says, behind the words that the pattern begins
                with and that hold no glob; None: an option is a word like any other.
        """
        fixed = next((n for n, glob in enumerate(self.globs) if not _is_literal(glob)), len(self.globs))
        if len(words) < fixed or not all(map(_word_matches, self.globs[:fixed], words)):
            return False
        if options is not None:
            found = _without_options(words[fixed:], options)
            if found is None:
                return False
            words = [*words[:fixed], *found]
        return _sequence_matches(self.globs, words, _word_matches)


def _without_options(words: Sequence[Word], options: Options) -> list[Word] | None:
    """The operands among arguments; None when there is an option that is not listed."""
    operands: list[Word] = []
    ended = False
    for word in words:
        if word.text == "--" and not ended:
            ended = True
        elif word.text.startswith("-") and word.text != "-":  # a dash alone is standard input: an operand
            # Behind two dashes it is an operand for most programs, and an option for some: find, for one.
            if ended or not word.known or not options.accept(word.text):
                return None
        else:
            operands.append(word)
    return operands


def _is_literal(glob: str) -> bool:
    return not set("*?[") & set(glob)


@dataclass(frozen=True, slots=True)
class Places:
    """What `{cwd}` and `{taskdir}` stand for; None: nobody knows, and no path is there.

    Attributes:
        cwd: the directory that the agent works in.
        taskdir: the directory of its session.
    """

    cwd: str | None
    taskdir: str | None


@dataclass(frozen=True, slots=True)
class PathPattern:
    """Which paths a rule is about.

    Attributes:
        place: what it begins at: "cwd", "taskdir", or "" for the root.
        globs: one for each segment below; `**` for any number of them.
    """

    place: str
    globs: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "PathPattern":
        """Read a pattern. Raises ValueError, saying what is wrong."""
        found = _PLACE.match(text)
        place = found[1] if found else "" if text.startswith(("/", "**/")) else "cwd"
        rest = text[found.end() :] if found else text
        globs = tuple(each for each in rest.split("/") if each not in ("", "."))
        if not text or ".." in globs:
            raise ValueError(f"{text!r}: a path has a name, and no .. in it")
        if text.startswith("~") or (text.startswith("{") and not found):
            raise ValueError(f"{text!r}: a path begins with /, {{cwd}}/, {{taskdir}}/ or **/, or is one below {{cwd}}")
        return cls(place, globs)

    def matches(self, path: str, places: Places) -> bool:
        """Whether an absolute path without dot-segments is one of those."""
        segments = _segments(path)
        if self.place:
            above = places.cwd if self.place == "cwd" else places.taskdir
            if above is None:
                return False
            start = _segments(above)
            if segments[: len(start)] != start:
                return False
            segments = segments[len(start) :]
        return _sequence_matches(self.globs, segments, name_matches)


def _segments(path: str) -> list[str]:
    return [each for each in path.split("/") if each]
