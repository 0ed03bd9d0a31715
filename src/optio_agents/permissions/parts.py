"""A tool call taken apart into what rules judge: the whole of it may be allowed only if every part is. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from posixpath import basename

from .call import ToolCall
from .mentions import absolute, mentioned, plainly
from .patterns import Places
from .rule import APPEND, Part
from .shell import read
from .shell_runs import changes_the_shell, hidden_in, runs_others, searches_below, writes_into
from .shell_variables import Variables
from .shell_words import NOWHERE, Command, Redirect, Word
from .tool_input import FOR_A_PERSON, SEARCHES_BELOW, SHELL, command_of, files_of, texts_in

Resolved = Mapping[str, str | None]
"""By each of `named_paths`: where it leads on the host, symbolic links resolved; None: that cannot be said."""

UNKNOWN_WORD = "a word of it is not known before it runs"
UNRESOLVED = "where its path leads on the host is not known"
BELOW = "it searches a directory that the session's own is in"
CHANGES = "it changes what comes after it, or may calculate"
A_QUESTION = "it is a question to a person"

_ANYWHERE = Places(None, None)


@dataclass(frozen=True, slots=True)
class _Named:
    """A part before its paths are resolved; None: it names a path that cannot be.

    Attributes:
        below: it is about everything below its paths, too.
        inside: names that it may write to in its last path, if that is a directory.
    """

    part: Part
    paths: tuple[str | None, ...] = ()
    mentions: tuple[str, ...] = ()
    below: bool = False
    inside: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[str, ...]:
        """The paths of those names."""
        return tuple(f"{path}/{name}" for path in self.paths if path for name in self.inside)


def named_paths(call: ToolCall) -> tuple[str, ...]:
    """The paths that have to be resolved on the host before a call is decided on: absolute, dot-segments and all.

    Among them are the working directory and the session's directory. Resolve them as `realpath -m` does: the last
    segments need not exist.
    """
    found = dict.fromkeys([call.cwd, call.taskdir])
    for each in _named(call, (call.taskdir,)):
        found.update(dict.fromkeys(path for path in (*each.paths, *each.mentions, *each.entries) if path is not None))
    return tuple(found)


def as_written(call: ToolCall) -> dict[str, str | None]:
    """What `named_paths` are if there is no symbolic link anywhere: for tests and dry runs, where there is no host."""
    return {each: _clean(each) for each in named_paths(call)}


def parts_of(call: ToolCall, resolved: Resolved) -> tuple[Part, ...]:
    """What a call does, as the parts that rules judge; none at all when it does nothing.

    A path is there as it is resolved, to be judged, and as it is written, for rules that deny it.
    """
    real = Places(_clean(resolved.get(call.cwd)), _clean(resolved.get(call.taskdir)))
    written = Places(_clean(call.cwd), _clean(call.taskdir))
    roots = tuple(dict.fromkeys(each for each in (call.taskdir, real.taskdir) if each))
    parts: dict[Part, None] = {}
    for named in _named(call, roots):
        part = replace(named.part, places=real)
        # Where no link is in the way, an entry is judged by the directory that it is in.
        led_away = tuple(each for each in named.entries if _clean(resolved.get(each)) != _entry_of(each, resolved))
        for path in (*named.paths, *led_away) or (("",) if not part.only_deny or part.words else ()):
            judged = _judged(part, path, resolved)
            # Which words of a command are its directories is not known: it may name none, and mean the one it is in.
            searched = (judged.path, real.cwd) if part.words is not None else (judged.path,)
            if named.below and any(_is_above(each, real.taskdir) for each in searched):
                judged = replace(judged, doubts=(*judged.doubts, BELOW))
            parts[judged] = None
        for path in (*named.paths, *led_away, *named.mentions):
            if path is not None:
                denied = replace(part, what=f"{part.what} [{path}]", only_deny=True)
                parts[replace(denied, path=plainly(path), places=written)] = None
                parts[replace(denied, path=_clean(resolved.get(path)))] = None
    return tuple(parts)


def _judged(part: Part, path: str | None, resolved: Resolved) -> Part:
    """A part with one of its paths resolved; "" is none at all."""
    if path == "":
        return part
    leads_to = None if path is None else _clean(resolved.get(path))
    what = part.what if path is None else f"{part.what} [{path}]"
    if leads_to is not None:
        arrow = "" if path is None or leads_to == plainly(path) else f" -> {leads_to}"
        return replace(part, what=what + arrow, path=leads_to)
    # An argument need not be a path at all, so a rule that does not look at paths may allow the command.
    doubts = part.doubts if part.words is not None else (*part.doubts, UNRESOLVED)
    return replace(part, what=f"{what} (not resolved)", doubts=doubts)


def _is_above(path: str | None, below: str | None) -> bool:
    return path is not None and below is not None and below.startswith(path.rstrip("/") + "/")


def _entry_of(path: str, resolved: Resolved) -> str | None:
    directory, _, name = path.rpartition("/")
    leads_to = _clean(resolved.get(directory))
    return None if leads_to is None else plainly(f"{leads_to}/{name}")


def _clean(path: str | None) -> str | None:
    return plainly(path) if path and path.startswith("/") else None


def _named(call: ToolCall, roots: tuple[str, ...]) -> Iterator[_Named]:
    if call.tool == SHELL:
        yield from _of_shell(call, roots)
        return
    files = files_of(call.tool, call.input, call.cwd)
    doubts = (*files.doubts, A_QUESTION) if call.tool in FOR_A_PERSON else files.doubts
    mentions = _mentions(texts_in(call.input), call, roots)
    part = Part(call.tool, call.tool, _ANYWHERE, doubts=doubts)
    yield _Named(part, files.paths, mentions, below=call.tool in SEARCHES_BELOW)


def _of_shell(call: ToolCall, roots: tuple[str, ...]) -> Iterator[_Named]:
    text, doubts = command_of(call.input)
    script = read(text, Variables.of(call.variables))
    for what, why in [*((each.what, each.why) for each in script.unclear), *((SHELL, each) for each in doubts)]:
        yield _Named(Part(what, SHELL, _ANYWHERE, doubts=(why,)))
    others = {key: value for key, value in call.input.items() if key != "command"}
    # What was not understood may name paths in places where no word of a command is.
    texts = [*texts_in(others), *([text] if script.unclear else [])]
    yield _Named(Part(SHELL, SHELL, _ANYWHERE, only_deny=True), (), _mentions(texts, call, roots))
    for command in script.commands:
        for redirect in command.redirects:
            if redirect.target != Word(NOWHERE):
                yield from _of_redirect(redirect, command, call, roots)
        if command.words and not _stays(command, call.cwd):
            yield from _of_command(command, call, roots)


def _of_command(command: Command, call: ToolCall, roots: tuple[str, ...]) -> Iterator[_Named]:
    doubts: list[str] = []
    if not all(each.known for each in command.words):
        doubts.append(UNKNOWN_WORD)
    if changes_the_shell(command):
        doubts.append(CHANGES)
    part = Part(str(command), SHELL, _ANYWHERE, command.words, None, tuple(doubts), runs_others(command))
    first, *arguments = command.words
    named = [path for each in arguments[:-1] if each.known for path in _arguments(each.text)]
    if "/" in first.text:
        named.insert(0, first.text)
    ends = [path for each in arguments[-1:] if each.known for path in _arguments(each.text)]
    mentions = _mentions((each.text for each in command.words), call, roots)
    below = searches_below(command)
    if named or not ends:
        yield _Named(part, _absolute(named, call), mentions, below)
    if ends:
        inside = tuple(dict.fromkeys(basename(each) for each in named)) if writes_into(command) else ()
        yield _Named(replace(part, last=True), _absolute(ends, call), () if named else mentions, below, inside)
    for each in dict.fromkeys(plain for one in (command, *hidden_in(command)) for plain in (one, _by_name(one))):
        if each.words and each.words != command.words:
            yield _Named(Part(f"{each} in {command}", SHELL, _ANYWHERE, each.words, only_deny=True))


def _absolute(paths: Iterable[str], call: ToolCall) -> tuple[str | None, ...]:
    return tuple(dict.fromkeys(absolute(each, call.cwd) for each in paths))


def _by_name(command: Command) -> Command:
    """The same without the directory that its program is in."""
    first = command.words[0] if command.words else Word("")
    return Command((Word(basename(first.text), first.known), *command.words[1:]))


def _of_redirect(redirect: Redirect, command: Command, call: ToolCall, roots: tuple[str, ...]) -> Iterator[_Named]:
    target = redirect.target
    tool = "Write" if redirect.writes else "Read"
    doubts = () if target.known else (UNKNOWN_WORD,)
    part = Part(
        APPEND if redirect.appends else tool,
        tool,
        _ANYWHERE,
        doubts=doubts,
        appends=redirect.appends,
        opened_for=command.words,
    )
    path = absolute(target.text, call.cwd) if target.known else None
    mentions = _mentions([target.text], call, roots)
    yield _Named(part, (path,), mentions)
    yield _Named(replace(part, tool=SHELL, opened_for=None, only_deny=True), (), (*([path] if path else []), *mentions))


def _arguments(text: str) -> list[str]:
    """What of an argument may be a path: all of it, if it is no option; and what stands behind an = or a first @."""
    found = [] if text.startswith("-") and text != "-" else [text]
    _, _, value = text.partition("=")
    listed = text[1:] if text.startswith("@") else ""
    return [each for each in (*found, value, listed) if each and each != NOWHERE]


def _stays(command: Command, cwd: str) -> bool:
    """Whether it goes to where it is already."""
    words = [each.text for each in command.words if each.known]
    if len(words) != len(command.words) or len(words) != 2 or words[0] != "cd":
        return False
    return words[1].startswith("/") and words[1].rstrip("/") == cwd.rstrip("/")


def _mentions(texts: Iterable[str], call: ToolCall, roots: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for text in texts for path in mentioned(text, call.cwd, roots)))
