"""What the input of a tool says of files and commands. Pure.

The tools are those of Claude Code 2.1, by their names and inputs as they were recorded.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .mentions import absolute

SHELL = "Bash"
"""The tool that runs a command."""

FOR_A_PERSON = frozenset({"AskUserQuestion", "ExitPlanMode"})
"""Tools that put something to a person: no rule can answer for one."""

_PLAIN_SHELL_INPUT = frozenset({"command", "description", "timeout", "run_in_background"})

_PATH_OF = {
    "Read": "file_path",
    "Write": "file_path",
    "Edit": "file_path",
    "MultiEdit": "file_path",
    "NotebookEdit": "notebook_path",
    "NotebookRead": "notebook_path",
    "Glob": "path",
    "Grep": "path",
    "LS": "path",
}
_OTHERS = ("file_path", "notebook_path", "path", "filePath", "directory", "cwd")

SEARCHES_BELOW = frozenset({"Glob", "Grep", "LS"})
"""Tools that are about everything below a directory."""

_GLOB = re.compile(r"[*?\[{]")
# ".." and an absolute path may come of alternatives, too: {a,}/etc/*, {.,}./*, ?(x)/etc/*.
_LEAVES = re.compile(r"\.\.|\\|[{,(|]\s*[/~]|[{,(|]\s*[},|)]|[?*]\(|\.\s*[,}|)]|\.[{(](?:[^})]*[,|])?\s*\.")

DEEPEST = 20
"""Levels of an input that are looked into."""


@dataclass(frozen=True, slots=True)
class FilesOf:
    """The files that a tool is about.

    Attributes:
        paths: absolute, dot-segments and all.
        doubts: why they may be others as well.
    """

    paths: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def command_of(tool_input: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    """The command that a shell would run, and why this may not be all."""
    command = tool_input.get("command")
    if not isinstance(command, str):
        return "", ("it has no command",)
    unknown = sorted(set(tool_input) - _PLAIN_SHELL_INPUT)
    return command, (f"what {', '.join(map(repr, unknown))} means is not known",) if unknown else ()


def path_key(tool: str) -> str:
    """The name under which a tool takes its file."""
    return _PATH_OF.get(tool, "path")


def files_of(tool: str, tool_input: Mapping[str, object], cwd: str) -> FilesOf:
    """The files that a tool, which runs no command, would read or write."""
    keys = (_PATH_OF[tool],) if tool in _PATH_OF else _OTHERS
    given = [tool_input[key] for key in keys if tool_input.get(key) is not None]
    if tool in _PATH_OF and not given:
        if tool not in SEARCHES_BELOW:
            return FilesOf((), ("it names no file",))
        given = [cwd]  # which may be left out
    paths = [absolute(each, cwd) if isinstance(each, str) else None for each in given]
    doubts = tuple(
        f"{each!r} is no path that can be resolved" for each, path in zip(given, paths, strict=True) if not path
    )
    known = [each for each in paths if each]
    if tool == "Glob":
        return _below(known, tool_input.get("pattern"), doubts)
    return FilesOf(tuple(known), doubts)


def _below(paths: list[str], pattern: object, doubts: tuple[str, ...]) -> FilesOf:
    """What a glob may find below a directory, or elsewhere, if it says so."""
    if not isinstance(pattern, str) or not pattern.isprintable() or pattern.startswith("~"):
        return FilesOf(tuple(paths), (*doubts, "its pattern is none"))
    if _LEAVES.search(pattern):
        return FilesOf(tuple(paths), (*doubts, "its pattern may lead elsewhere"))
    fixed = pattern[: found.start()] if (found := _GLOB.search(pattern)) else pattern
    directory = fixed.rpartition("/")[0] or ("/" if fixed.startswith("/") else "")
    begins = [absolute(directory, each) for each in paths] if directory else paths
    return FilesOf(tuple(each for each in begins if each), doubts)


def texts_in(value: object, depth: int = DEEPEST) -> Iterator[str]:
    """Every text in an input, keys too."""
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key)
            yield from texts_in(each, depth - 1)
    elif depth and isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each, depth - 1)
