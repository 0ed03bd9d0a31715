"""The few commands that a fake host knows without a script: what the driver of a session asks of every host.

This is no shell. Known are `mkdir -p`, `rm -f`, `rm -rf`, `chmod MODE`, `true`, `printf %s "$NAME"` with plain or
quoted words, joined by `&&`; and the three questions that a driver asks, by the marks in their answers.
"""

import re
import shlex
import stat
from collections.abc import Mapping
from posixpath import join, normpath

from .script import Exit, Stderr, Stdout, Step
from .tree import FileTree, Node

_UNFINISHED = re.compile(r"for run in (?P<taskdir>.+)/run/\*/; do\n.*optio-unfinished ", re.DOTALL)
_DELIVERABLE = re.compile(
    r"root=\$\(cd (?P<workdir>.+?) && pwd.*\{ realpath (?P<path>.+?) 2>.*optio-deliverable ", re.DOTALL
)
_SEED = re.compile(
    r"cd (?P<workdir>[^\n]+) \|\| exit\n.*printf 'optio-seed '\n"
    r'for path in (?P<shallow>.*); do look "\$path" -prune \|\| exit; done\n'
    r'for path in (?P<deep>.*); do look "\$path" \|\| exit; done\n',
    re.DOTALL,
)

_VARIABLE = re.compile(r'printf %s "\$(\w+)"')


def builtin(command: str, files: FileTree, cwd: str, env: Mapping[str, str]) -> tuple[Step, ...] | None:
    """Do what a known command does, and what it then writes and ends with; None for any other."""
    if found := _VARIABLE.fullmatch(command.strip()):
        return (Stdout(env.get(found[1], "")),)
    if found := _UNFINISHED.search(command):
        return (Stdout(_unfinished(files, _unquoted(found["taskdir"]))),)
    if found := _DELIVERABLE.search(command):
        return (Stdout(_deliverable(files, _unquoted(found["workdir"]), _unquoted(found["path"]))),)
    if found := _SEED.search(command):
        shallow, deep = shlex.split(found["shallow"]), shlex.split(found["deep"])
        return (Stdout(_seed(files, _unquoted(found["workdir"]), shallow, deep)),)
    parts = _parts(command)
    if parts is None or not all(_is_known(words) for words in parts):
        return None
    try:
        for words in parts:
            _do(words, files, cwd)
    except OSError as error:
        return Stderr(f"{error.filename}: {error.strerror}\n"), Exit(1)
    return ()


def _parts(command: str) -> list[list[str]] | None:
    """The simple commands of a list joined by "&&"; None for one that only a shell understands."""
    if re.search(r"[$`\\*?\[~#\n]", re.sub(r"'[^']*'", "", command)):
        return None
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    try:
        for word in lexer:
            if word == "&&":
                parts.append([])
            elif word and set(word) <= set("();<>|&"):
                return None
            else:
                parts[-1].append(word)
    except ValueError:
        return None
    return parts


def _is_known(words: list[str]) -> bool:
    match words:
        case ["true"]:
            return True
        case ["mkdir", "-p", *paths] | ["rm", "-f" | "-rf", *paths]:
            pass
        case ["chmod", mode, *paths] if re.fullmatch("[0-7]{3,4}", mode):
            pass
        case _:
            return False
    return bool(paths) and not any(path.startswith("-") for path in paths)


def _do(words: list[str], files: FileTree, cwd: str) -> None:
    match words:
        case ["mkdir", _, *paths]:
            for path in paths:
                files.mkdir(join(cwd, path))
        case ["rm", _, *paths]:
            for path in paths:
                try:
                    files.remove(join(cwd, path))
                except FileNotFoundError:
                    continue
        case ["chmod", mode, *paths]:
            for path in paths:
                files.chmod(join(cwd, path), int(mode, 8))
        case _:
            pass


def _unquoted(word: str) -> str:
    return "".join(shlex.split(word))


def _unfinished(files: FileTree, taskdir: str) -> str:
    """As optio_agents' clean start asks: the runs below a task directory that have begun and not ended."""
    try:
        runs = files.listing(f"{taskdir}/run")
    except OSError:
        return ""
    unfinished = [run for run in runs if files.exists(f"{taskdir}/run/{run}/claim")]
    unfinished = [run for run in unfinished if not files.exists(f"{taskdir}/run/{run}/exit")]
    return "".join(f"optio-unfinished {taskdir}/run/{run}/\n" for run in unfinished)


def _deliverable(files: FileTree, workdir: str, path: str) -> str:
    """As optio_agents asks before it fetches a deliverable: what it is and where, symbolic links resolved."""
    try:
        root, resolved = files.realpath(workdir), files.realpath(normpath(path))
        node = files.node(resolved)
    except OSError:
        return "optio-deliverable missing 0 "
    return f"optio-deliverable {_kind(node, resolved, root)} {len(node.data)} {resolved}"


def _kind(node: Node, resolved: str, root: str) -> str:
    if not resolved.startswith(f"{root}/deliverables/"):
        return "outside"
    if node.kind != stat.S_IFREG:
        return "irregular"
    return "regular" if node.mode & 0o400 else "unreadable"


def _seed(files: FileTree, workdir: str, shallow: list[str], deep: list[str]) -> str:
    """As optio_agents asks before it captures or plants a seed: what is there, symbolic links not followed."""
    records: list[str] = []
    pending = [(path, False) for path in shallow] + [(path, True) for path in deep]
    while pending:
        path, below = pending.pop()
        try:
            node = files.node(join(workdir, path), follow=False)
        except OSError:
            continue
        kind = "d" if node.is_dir else "o" if not node.is_file else "x" if node.mode & 0o100 else "f"
        records.append(f"{kind}{path}")
        if below and node.is_dir:
            pending += [(f"{path}/{name}", True) for name in node.entries]
    return "optio-seed " + "".join(f"{record}\0" for record in [*records, "whole"])
