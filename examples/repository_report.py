"""A report over the git repository it is run in: a page of Markdown and a picture.

    python examples/repository_report.py

It is an ordinary program and writes both into the directory it is run in. Whoever starts it can hear from it and
take what it makes through three environment variables, each of which may be missing:

    OPTIO_LOG           a file it appends to, one line at a time: `STATUS: 40% reading history`,
                        `DELIVERABLE: /path/report.md`, and in the end `DONE: summary` or `ERROR: message`
    OPTIO_DELIVERABLES  the directory it puts files in
    OPTIO_REPLIES       a file in which each announced deliverable is acknowledged by a line
                        `System: deliverable report.md: ...`
"""

import os
import re
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from repository_facts import LARGEST_READ, History, Problem, Snapshot, Tree, git, read_growth, read_history, read_tree
from repository_picture import draw, visible

PICTURE, REPORT = "repository.png", "report.md"
ACKNOWLEDGED_WITHIN = 30.0  # seconds; then the program goes on without an answer


class Log:
    """Where this program says how far it is. Without OPTIO_LOG that is its own output."""

    def __init__(self) -> None:
        self._path = os.environ.get("OPTIO_LOG")
        self._replies = os.environ.get("OPTIO_REPLIES")
        self._directory = Path(os.environ.get("OPTIO_DELIVERABLES") or ".").absolute()
        self._percent = -1

    def write(self, line: str) -> None:
        """Append one line, whatever the text holds: a line end inside would make two of it."""
        data = visible(" ".join(line.split())).encode() + b"\n"
        if self._path is None:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            return
        with open(self._path, "ab", buffering=0) as log:
            log.write(data)

    def status(self, percent: float, message: str) -> None:
        """Say how far the whole work is, once for each percent."""
        if int(percent) > self._percent:
            self._percent = int(percent)
            self.write(f"STATUS: {self._percent}% {message}")

    def deliver(self, name: str, content: bytes) -> None:
        """Hand over a file: written aside and renamed, so that it is whole when it is announced."""
        target = self._directory / name
        unfinished = self._directory / f".{name}.{os.getpid()}"
        unfinished.write_bytes(content)
        unfinished.replace(target)
        replies_seen = self._read_replies()
        self.write(f"DELIVERABLE: {target}")
        if self._replies is not None:
            self._wait_for_acknowledgement(name, len(replies_seen))

    def _wait_for_acknowledgement(self, name: str, seen: int) -> None:
        deadline = time.monotonic() + ACKNOWLEDGED_WITHIN
        while time.monotonic() < deadline:
            *lines, _unfinished = self._read_replies()[seen:].split(b"\n")
            for line in lines:
                if line.startswith(b"System: deliverable ") and f"{name}:".encode() in line:
                    return
            time.sleep(0.02)
        self.write(f"STATUS: nobody acknowledged {name} within {ACKNOWLEDGED_WITHIN:.0f} s; going on")

    def _read_replies(self) -> bytes:
        try:
            return Path(self._replies).read_bytes() if self._replies is not None else b""
        except FileNotFoundError:
            return b""  # nobody has replied yet


def main() -> int:
    """Make the report; the exit status."""
    log = Log()
    try:
        log.write(f"DONE: {make_report(log)}")
    except Problem as problem:
        log.write(f"ERROR: {problem}")
        return 1
    except Exception as error:
        traceback.print_exc()
        log.write(f"ERROR: {type(error).__name__}: {error}")
        return 1
    return 0


def make_report(log: Log) -> str:
    """Read the repository, draw, write and hand over; a summary in one line."""
    name, notes = examine()
    history = read_history(lambda percent, message: log.status(0.25 * percent, message))
    tree = read_tree(lambda percent, message: log.status(25 + 0.25 * percent, message))
    growth = read_growth(lambda percent, message: log.status(50 + 0.3 * percent, message))
    log.status(80, "drawing the picture")
    try:
        log.deliver(PICTURE, draw(name, summary(history, tree), history, tree, growth))
        pictured = True
    except ImportError as error:
        notes.append(f"There is no picture: {error}. `pip install matplotlib` would bring one.")
        pictured = False
    log.status(95, "writing the report")
    log.deliver(REPORT, write_report(name, notes, pictured, history, tree, growth).encode())
    log.status(100, "finished")
    return f"{name}: {summary(history, tree)}"


def examine() -> tuple[str, list[str]]:
    """The name of this repository and what a reader must know about it; Problem when there is nothing to report."""
    try:
        directory = Path(os.fsdecode(git("rev-parse", "--absolute-git-dir").rstrip(b"\n")))
    except FileNotFoundError:
        raise Problem("git is not installed; install it and start again") from None
    name = directory.parent.name if directory.name == ".git" else directory.name.removesuffix(".git")
    try:
        git("rev-parse", "--quiet", "--verify", "HEAD")
    except Problem:
        raise Problem(f"the repository {name} has no commit on its current branch; make one and start again") from None
    if "OPTIO_DELIVERABLES" not in os.environ and git("ls-files", "--", PICTURE, REPORT):
        raise Problem(
            f"{PICTURE} or {REPORT} here belongs to the repository; set OPTIO_DELIVERABLES to another directory"
        )
    shallow = git("rev-parse", "--is-shallow-repository") == b"true\n"
    return name, ["This is a shallow clone: its oldest commit stands for all that came before."] if shallow else []


def summary(history: History, tree: Tree) -> str:
    """The repository in one line."""
    lines = sum(file.lines or 0 for file in tree.files)
    authors = len({commit.author for commit in history.commits})
    first, last = (
        day(min(commit.time for commit in history.commits)),
        day(max(commit.time for commit in history.commits)),
    )
    return (
        f"{count(len(history.commits), 'commit')} by {count(authors, 'author')}, {count(len(tree.files), 'file')}, "
        f"{count(lines, 'line')}, " + (first if first == last else f"{first} to {last}")
    )


def write_report(
    name: str, notes: list[str], pictured: bool, history: History, tree: Tree, growth: list[Snapshot]
) -> str:
    """The whole page as Markdown."""
    commit = git("log", "-1", "--format=%h").decode().strip()
    parts = [
        f"# {prose(name)}",
        f"{summary(history, tree)}. Measured at commit `{commit}`.",
        f"![How {prose(name)} grew and what it is made of]({PICTURE})" if pictured else "",
        "## What stands out",
        "\n".join(f"- {finding}" for finding in findings(history, tree, growth)),
        "## History",
        author_table(history),
        "The words that most commit messages share: "
        + (", ".join(f"{prose(word)} ({number})" for word, number in top(dict(history.words), 12)) or "none")
        + ".",
        "### Files that change most",
        change_table(history, tree),
        "## Files",
        language_table(tree),
        "### Longest files",
        file_table(tree),
        "### Longest Python functions" if tree.functions else "",
        function_table(tree),
        "## How this was measured",
        "\n".join(f"- {note}" for note in [*notes, *measured(growth)]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def findings(history: History, tree: Tree, growth: list[Snapshot]) -> list[str]:
    """What a maintainer may want to look at first, with the numbers that say so."""
    found = []
    commits, lines = len(history.commits), sum(file.lines or 0 for file in tree.files)
    authors: dict[str, int] = {}
    for commit in history.commits:
        authors[commit.author] = authors.get(commit.author, 0) + 1
    author, share = top(authors, 1)[0]
    if len(authors) == 1:
        found.append(f"All commits are by one person, {prose(author)}.")
    elif share > commits / 2:
        found.append(
            f"{prose(author)} made {percent(share, commits)} of the commits; {len(authors) - 1} others the rest."
        )
    if commits >= 10:
        path, changes = max(history.files.items(), key=lambda item: (item[1].commits, item[0]), default=("", None))
        if changes is not None:
            found.append(f"{code(path)} changes most: in {percent(changes.commits, commits)} of the commits.")
    longest = sorted((file.lines or 0 for file in tree.files), reverse=True)
    if len(longest) > 20 and lines:
        found.append(f"The 5 longest of {len(longest):,} files hold {percent(sum(longest[:5]), lines)} of the lines.")
    middle = growth[len(growth) // 2]
    if len(growth) > 10 and (before := middle.lines.total()) != lines:
        found.append(f"Since {day(middle.time)} it went from {count(before, 'line')} to {count(lines, 'line')}.")
    tests = sum(file.lines or 0 for file in tree.files if re.search(r"(^|[/_.-])tests?([/_.-]|$)", file.path))
    found.append(f"{percent(tests, lines)} of the lines are tests, going by the names of files and directories.")
    if tree.functions:
        function = max(tree.functions, key=lambda function: function.lines)
        long = sum(function.lines > 60 for function in tree.functions)
        found.append(
            f"{len(tree.functions):,} Python functions, {long:,} of them longer than 60 lines; the longest is "
            f"{code(function.name)} with {function.lines} in {code(function.path)}."
        )
    if tree.unparsable:
        paths = ", ".join(code(path) for path in tree.unparsable[:5])
        found.append(f"{count(len(tree.unparsable), 'Python file')} could not be parsed by this Python: {paths}.")
    return found


def author_table(history: History) -> str:
    """Who committed, how much, and when first and last."""
    rows = []
    by_author: dict[str, list[int]] = {}
    for number, commit in enumerate(history.commits):
        by_author.setdefault(commit.author, []).append(number)
    for author, numbers in sorted(by_author.items(), key=lambda item: (-len(item[1]), item[0]))[:15]:
        commits = [history.commits[number] for number in numbers]
        added, removed = sum(commit.added for commit in commits), sum(commit.removed for commit in commits)
        first, last = min(commit.time for commit in commits), max(commit.time for commit in commits)
        rows.append((prose(author), f"{len(commits):,}", f"{added:,}", f"{removed:,}", day(first), day(last)))
    return table("Author|Commits:|Lines added:|Removed:|First|Last", rows, len(by_author))


def change_table(history: History, tree: Tree) -> str:
    """Where the work happens."""
    here = {file.path for file in tree.files}
    ordered = sorted(history.files.items(), key=lambda item: (-item[1].commits, -item[1].added, item[0]))
    rows = [
        (
            code(path),
            f"{change.commits:,}",
            f"{change.added:,}",
            f"{change.removed:,}",
            "" if path in here else "removed",
        )
        for path, change in ordered[:15]
    ]
    return table("File|Commits:|Lines added:|Removed:|Today", rows, len(ordered))


def language_table(tree: Tree) -> str:
    """What the repository is made of."""
    rows = []
    lines = tree.lines_by_language()
    total = lines.total()
    for language, number in sorted(lines.items(), key=lambda item: (-item[1], item[0])):
        files = [file for file in tree.files if file.language == language]
        comments = sum(file.comments for file in files)
        remarks = percent(comments, number) if comments else ""
        rows.append((language, f"{len(files):,}", f"{number:,}", percent(number, total), remarks))
    return table("Language|Files:|Lines:|Share:|Comments and docstrings:", rows, len(rows))


def file_table(tree: Tree) -> str:
    """The files with the most lines, and those without lines by their size."""
    text = sorted(tree.files, key=lambda file: (-(file.lines or 0), file.path))[:10]
    rows = [(code(file.path), file.language, f"{file.lines:,}", f"{file.size:,}") for file in text if file.lines]
    binary = [file for file in tree.files if file.lines is None]
    page = table("File|Language|Lines:|Bytes:", rows, sum(file.lines is not None for file in tree.files))
    if binary:
        largest = max(binary, key=lambda file: file.size)
        page += (
            f"\n\n{count(len(binary), 'file')} without lines (binary, or over {LARGEST_READ // 1_000_000} MB), "
            f"{sum(file.size for file in binary):,} bytes together; the largest is {code(largest.path)}."
        )
    return page


def function_table(tree: Tree) -> str:
    """The Python functions with the most lines."""
    longest = sorted(tree.functions, key=lambda function: (-function.lines, function.path, function.line))[:10]
    rows = [
        (code(function.name), f"{function.lines:,}", code(f"{function.path}:{function.line}")) for function in longest
    ]
    return table("Function|Lines:|Where", rows, len(tree.functions)) if rows else ""


def measured(growth: list[Snapshot]) -> list[str]:
    """What the numbers mean."""
    return [
        "Everything is read from what is committed; uncommitted work, links and submodules are not counted.",
        "Changes follow files through renames as git finds them; merges add no lines of their own. Dates are UTC.",
        f"Growth was measured at {count(len(growth), 'commit')} of the main line, with every file that stood there.",
        "Languages go by the names of files. Comments are lines that begin as a comment; docstrings only in Python.",
    ]


def table(heading: str, rows: Sequence[tuple[str, ...]], of: int) -> str:
    """A Markdown table; columns whose heading ends in a colon are numbers; `of` is how many rows there are in all."""
    columns = heading.split("|")
    lines = [" | ".join(column.rstrip(":") for column in columns)]
    lines.append(" | ".join("---:" if column.endswith(":") else "---" for column in columns))
    lines += [" | ".join(row) for row in rows]
    more = f"\n\n… and {of - len(rows):,} more." if of > len(rows) else ""
    return "\n".join(f"| {line} |" for line in lines) + more


def prose(text: str) -> str:
    """Someone's words, so that Markdown shows them as they are."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", visible(text))


def code(text: str) -> str:
    """A name as code, whatever it holds."""
    text = visible(text).replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def top(counts: dict[str, int], number: int) -> list[tuple[str, int]]:
    """The largest counts, in an order that is always the same."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def count(number: int, noun: str) -> str:
    """The number and its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def percent(part: int, whole: int) -> str:
    """The part in percent."""
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def day(seconds: int) -> str:
    """A time of a commit as a date."""
    return f"{datetime.fromtimestamp(min(max(seconds, 0), 253_370_764_800), UTC):%Y-%m-%d}"


if __name__ == "__main__":
    sys.exit(main())
