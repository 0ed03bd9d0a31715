"""What the readers of shell commands see: commands, their words and their redirections. Pure."""

from dataclasses import dataclass

NOWHERE = "/dev/null"
"""Reading it and writing to it is nothing."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command.

    Attributes:
        text: what the command gets; if it is not known, what is written there.
        known: whether it is known before the command runs: it holds no variable, no glob, no substitution.
    """

    text: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class Redirect:
    """A file that the shell opens for a command.

    Attributes:
        writes: whether it may be written to.
        target: its path.
        appends: whether it is only written to at its end.
    """

    writes: bool
    target: Word
    appends: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A simple command.

    Attributes:
        words: its name and its arguments; none at all when there are only redirections.
        redirects: the files that are opened for it.
    """

    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()

    def __str__(self) -> str:
        return " ".join(each.text or "''" for each in self.words)


@dataclass(frozen=True, slots=True)
class Unclear:
    """Something because of which nobody can say what a script does.

    Attributes:
        what: where, as it is written.
        why: what is the matter with it.
    """

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Script:
    """What a shell would run.

    Attributes:
        commands: every simple command that was found, in the order they are written, nested ones as well.
        unclear: why these may not be all, or not be run like this; empty: they are.
    """

    commands: tuple[Command, ...]
    unclear: tuple[Unclear, ...] = ()
