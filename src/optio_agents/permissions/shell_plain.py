r"""The plain part of the shell language, read as bash and zsh both read it. Pure.

Plain are words, quotes, `&& || | |& ; &`, newlines, parentheses, comments and redirections to files, without anything
that is expanded but variables whose values are known. It is a reader of its own beside the grammar: what the two read
differently is allowed by no rule. The rules are those of POSIX.1-2017, Shell Command Language, 2.2 (quoting) and 2.3
(tokens).
"""

import re

from .shell_variables import NO_VARIABLES, Variables
from .shell_words import Command, Redirect, Word

_UNQUOTED = re.compile(r"[A-Za-z0-9_@%+:,./=~-]+")
_OPERATOR = re.compile(r"&&|\|\||\|&|&>>|&>|<<<|<<|<>|<\(|>\(|>>|>\||>&|<&|[;&|<>()\n]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_JOINS = ("&&", "||", "|", "|&")
_DUPLICATE = re.compile(r"(?:\d|-)(?=[\s;&|<>()]|$)", re.ASCII)

# A string to split takes three lines, and a list of words as many lines as words.
_RESERVED = frozenset(
    "if then elif else fi for select foreach while until repeat do done case esac function time coproc end in "  # noqa: SIM905
    "nocorrect".split()
)


class NotPlain(Exception):
    """The text is not in the plain part of the language; the message says why not."""


def read_plain(text: str, variables: Variables = NO_VARIABLES) -> tuple[Command, ...]:
    """The commands of a script, in order. Raises NotPlain."""
    return _Reader(text, variables).read()


class _Reader:
    def __init__(self, text: str, variables: Variables) -> None:
        self._text = text
        self._variables = variables
        self._at = 0
        self._done: list[Command] = []
        self._words: list[Word] = []
        self._redirects: list[Redirect] = []
        self._depth = 0
        self._behind_group = False  # ")" was read, and no operator since
        self._needs_more = False  # "&&" or the like was read, and no command since

    def read(self) -> tuple[Command, ...]:
        while self._at < len(self._text):
            here = self._text[self._at]
            if here in " \t":
                self._at += 1
            elif here == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif found := _OPERATOR.match(self._text, self._at):
                self._at = found.end()
                self._operator(found[0])
            else:
                self._word_of_command()
        if self._depth or self._needs_more:
            raise NotPlain("it ends in the middle of a command")
        self._end_command()
        return tuple(self._done)

    def _operator(self, operator: str) -> None:
        match operator:
            case "\n":
                if not self._needs_more:
                    self._end_command()
            case ";" | "&" | "&&" | "||" | "|" | "|&":
                if not self._anything():
                    raise NotPlain(f"{operator} stands behind no command")
                self._end_command()
                self._needs_more = operator in _JOINS
            case "(":
                if self._anything() or self._text.startswith("(", self._at):
                    raise NotPlain("( stands behind something else")
                self._depth += 1
                self._needs_more = True
            case ")":
                if not self._depth or self._needs_more:
                    raise NotPlain(") has no ( before it, or nothing in between")
                self._end_command()
                self._depth -= 1
                self._behind_group = True
            case ">&" | "<&":
                found = _DUPLICATE.match(self._text, self._at)
                if not found:
                    raise NotPlain(f"{operator} is followed by something other than a digit or -")
                self._at = found.end()
            case ">" | ">>" | ">|" | "&>" | "&>>" | "<":
                self._redirect(writes=operator != "<", appends=operator in (">>", "&>>"))
            case _:
                raise NotPlain(f"{operator} is not understood")

    def _redirect(self, writes: bool, appends: bool) -> None:
        while self._text.startswith((" ", "\t"), self._at):
            self._at += 1
        if self._at == len(self._text) or self._text[self._at] == "#" or _OPERATOR.match(self._text, self._at):
            raise NotPlain("a redirection leads nowhere")
        target, quoted = self._word()
        if self._text.startswith(("<", ">"), self._at) and not quoted and target.isdigit():
            raise NotPlain("a number stands between two redirections")
        self._redirects.append(Redirect(writes, Word(target), appends))

    def _word_of_command(self) -> None:
        began = self._at
        if self._behind_group:
            raise NotPlain("a word stands behind )")
        value, quoted = self._word()
        if not self._words and (_ASSIGNMENT.match(self._text, began) or ("=" in value and not quoted)):
            raise NotPlain("it may set a variable")
        if not self._words and not quoted:
            if value.startswith("%"):
                raise NotPlain("% names a job")
            if value in _RESERVED:
                raise NotPlain(f"{value} begins a construct")
        if self._text.startswith(("<", ">"), self._at) and not quoted and value.isdigit():
            if len(value) > 1 or self._at - began > 1:
                raise NotPlain("a file descriptor of more than one digit")
            return  # the number of a file descriptor: it belongs to the redirection
        self._words.append(Word(value))
        self._needs_more = False

    def _word(self) -> tuple[str, bool]:
        """What it stands for, and whether anything in it is quoted, or a variable."""
        pieces: list[str] = []
        quoted = False
        if self._text[self._at] in "=~":
            raise NotPlain(f"a word begins with {self._text[self._at]}")
        while self._at < len(self._text):
            here = self._text[self._at]
            if found := _UNQUOTED.match(self._text, self._at):
                if re.search(r"[:=]~", pieces[-1][-1:] + found[0] if pieces else found[0]):
                    raise NotPlain("~ may stand for a home directory")
                pieces.append(found[0])
                self._at = found.end()
            elif here in " \t" or _OPERATOR.match(self._text, self._at):
                break
            elif here in "'\"\\":
                quoted = True
                pieces.append(self._quoted(here))
            elif here == "$":
                quoted = True  # what a variable holds is no operator, no number of a file and no reserved word
                pieces.append(self._variable(quoted=False))
            else:
                raise NotPlain(f"{here} stands outside quotes")
        return "".join(pieces), quoted

    def _quoted(self, mark: str) -> str:
        self._at += 1
        if mark == "\\":
            escaped = self._text[self._at : self._at + 1]
            if not escaped or not " " <= escaped <= "~":
                raise NotPlain("a backslash stands before a newline, or before nothing")
            self._at += 1
            return escaped
        if mark == "'":
            end = self._text.find("'", self._at)
            if end < 0:
                raise NotPlain("a quote is not closed")
            value = self._text[self._at : end]
            self._at = end + 1
            return value
        return self._double_quoted()

    def _double_quoted(self) -> str:
        pieces: list[str] = []
        while self._at < len(self._text):
            here = self._text[self._at]
            behind = self._text[self._at + 1 : self._at + 2]
            if here == "$" and behind not in ('"', " "):
                pieces.append(self._variable(quoted=True))
                continue
            self._at += 1
            if here == '"':
                return "".join(pieces)
            if here == "`" or (here == "\\" and behind in ("", "\n")):
                raise NotPlain(f"{here} stands between double quotes")
            if here == "\\" and behind in ("$", "`", '"', "\\"):
                self._at += 1
                pieces.append(behind)
            else:
                pieces.append(here)
        raise NotPlain("a quote is not closed")

    def _variable(self, quoted: bool) -> str:
        found = self._variables.at(self._text, self._at, quoted)
        if found is None:
            raise NotPlain("something is expanded that is not known")
        value, self._at = found
        return value

    def _anything(self) -> bool:
        return bool(self._words or self._redirects or self._behind_group)

    def _end_command(self) -> None:
        if self._words or self._redirects:
            self._done.append(Command(tuple(self._words), tuple(self._redirects)))
        self._words, self._redirects = [], []
        self._behind_group = self._needs_more = False
