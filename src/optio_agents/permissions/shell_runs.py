"""Commands that run other commands, or change what later ones do. Pure."""

import re
from collections.abc import Iterator
from posixpath import basename

from .shell import read
from .shell_words import Command, Word

RUNNERS = frozenset(
    "ash at bash batch builtin busybox cash catchsegv choom chroot chronic chrt command coproc csh dash "  # noqa: SIM905
    "dbus-run-session doas env eval exec expect fakeroot fd fdfind fish flock gdb i386 ionice jobs ksh linux32 linux64 "
    "ltrace mksh nice noglob nohup nocorrect npx nsenter numactl parallel perf pipenv pkexec poetry prlimit rbash "
    "repeat run-parts runuser screen script setarch setpriv setsid sg sh split ssh ssh-agent start-stop-daemon stdbuf "
    "strace su sudo systemd-run taskset tcsh time timeout tmux toybox unbuffer unshare uv uvx watch x86_64 xargs yash "
    "zsh - find entr".split()
)
"""They run what their arguments, or their input, say: those that are known. No list of them is complete."""

CHANGERS = frozenset(
    "alias autoload bind bindkey cd chdir compgen complete declare dirs disable emulate enable export fc fg bg "  # noqa: SIM905
    "function functions getln getopts hash history integer let local mapfile popd pushd read readarray readonly set "
    "setopt shopt source strftime sysopen sysread trap typeset ulimit umask unalias unfunction unset unsetopt zcompile "
    "zformat zmodload zle zparseopts zregexparse zstat zstyle . [ [[ test vared".split()
)
"""They change what later commands do or where, or calculate, which may run a command; no rule can allow that."""

_LEAVING = frozenset({"break", "bye", "continue", "exit", "logout", "return", "shift"})

_SEARCHES_BELOW = frozenset(
    "ack ag du fd fdfind find git-grep rg rsync tar tree ugrep zip".split()  # noqa: SIM905
)
_SEARCHES_BELOW_IF_TOLD = frozenset({"cp", "diff", "egrep", "fgrep", "grep", "ls", "zgrep"})
_TOLD = re.compile(r"-[A-Za-z]*[rR]|--(dereference-)?recursive|--directories|-d")

_SAYS_TEXT = re.compile(r"%[%sbcq]")

FIND_RUNS = frozenset({"-exec", "-execdir", "-ok", "-okdir"})

DEEPEST = 3
"""How often a command within the arguments of a command is looked for."""

MOST = 200
"""Commands that are looked at within the arguments of one."""


def runs_others(command: Command) -> bool:
    """Whether it may run others."""
    name = _name(command)
    if name in ("find", "fd", "fdfind"):
        return any(not each.known or each.text in FIND_RUNS or name != "find" for each in command.words[1:])
    return name in RUNNERS


def changes_the_shell(command: Command) -> bool:
    """Whether what comes after it may mean something else than it says."""
    name, arguments = _name(command), command.words[1:]
    if name == "printf":
        # -v and %n set a variable. For a number in the format zsh calculates, and that may run a command.
        return bool(arguments) and not _only_prints(arguments[0])
    if name in _LEAVING:  # zsh calculates the number
        return any(not each.known or not each.text.isdecimal() for each in arguments)
    if name in ("print", "wait"):  # both set a variable when an option says so
        return any(not each.known or each.text.startswith("-") for each in arguments)
    return name in CHANGERS


def searches_below(command: Command) -> bool:
    """Whether it reads whatever stands below the directories that it names, or below the working directory."""
    name = _name(command)
    told = any(not each.known or _TOLD.match(each.text) for each in command.words[1:])
    return name in _SEARCHES_BELOW or (name in _SEARCHES_BELOW_IF_TOLD and told)


def writes_into(command: Command) -> bool:
    """Whether, if its last word is a directory, it writes there under the names of the others."""
    return _name(command) in ("cp", "install", "ln", "mv", "rsync")


def _only_prints(form: Word) -> bool:
    return form.known and not form.text.startswith("-") and "%" not in _SAYS_TEXT.sub("", form.text)


def hidden_in(command: Command) -> Iterator[Command]:
    """What a command may run in its turn, if it is one of those: too much rather than too little, at most `MOST`."""
    for _, each in zip(range(MOST), _hidden(command, DEEPEST), strict=False):
        yield each


def _hidden(command: Command, depth: int) -> Iterator[Command]:
    if not depth or not (runs_others(command) or changes_the_shell(command)):
        return
    words = command.words[1:]
    known = [each.text for each in words if each.known]
    values = [value for each in known if (value := each.partition("=")[2])]  # --filter='rm a'
    for text in [*known, *values, " ".join(each.text for each in words)]:
        for each in read(text).commands:
            yield each
            yield from _hidden(each, depth - 1)
    for start in range(1, len(words)):
        yield Command(words[start:])


def _name(command: Command) -> str:
    first = command.words[0] if command.words else Word("")
    return basename(first.text)
