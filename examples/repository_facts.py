"""What git knows about a repository: its history, the files of its last commit, and how it grew.

Everything is read from git's objects and nothing from the working tree, so what is reported is what is committed, and
a file that was deleted, a link, a FIFO or a bare repository cannot get in the way.
"""

import ast
import re
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import TracebackType

Tell = Callable[[float, str], None]
"""Called with (percent of the whole work, what is being done)."""

LARGEST_READ = 4_000_000  # bytes: a larger file is counted, not read
MOST_SNAPSHOTS = 40
MOST_SNAPSHOT_FILES = 60_000  # files looked at over all snapshots, so that a huge repository does not take hours

_C = ("//", "/*", "*")
_HASH = ("#",)
_KINDS: list[tuple[str, tuple[str, ...], str]] = [
    ("Python", _HASH, ".py .pyi .pyw"),
    ("Shell", _HASH, ".sh .bash .zsh .ksh .fish .bats"),
    ("JavaScript", _C, ".js .mjs .cjs .jsx"),
    ("TypeScript", _C, ".ts .mts .cts .tsx"),
    ("C", _C, ".c .h"),
    ("C++", _C, ".cc .cpp .cxx .hh .hpp .hxx"),
    ("Rust", _C, ".rs"),
    ("Go", _C, ".go"),
    ("Java", _C, ".java"),
    ("Kotlin", _C, ".kt .kts"),
    ("Swift", _C, ".swift"),
    ("C#", _C, ".cs"),
    ("PHP", _C, ".php"),
    ("Ruby", _HASH, ".rb .rake .gemspec"),
    ("Perl", _HASH, ".pl .pm .t"),
    ("Lua", ("--",), ".lua"),
    ("SQL", ("--",), ".sql"),
    ("Haskell", ("--",), ".hs"),
    ("Lisp", (";",), ".el .lisp .clj .scm"),
    ("Make", _HASH, ".mk makefile gnumakefile"),
    ("Docker", _HASH, ".dockerfile dockerfile"),
    ("CSS", ("/*", "*"), ".css .scss .less"),
    ("HTML", (), ".html .htm .xhtml"),
    ("XML", (), ".xml .xsl .svg"),
    ("YAML", _HASH, ".yml .yaml"),
    ("TOML", _HASH, ".toml"),
    ("JSON", (), ".json .jsonl"),
    ("Prose", (), ".md .rst .txt .adoc .tex license readme changelog authors copying"),
]
LANGUAGES = {suffix: name for name, _, suffixes in _KINDS for suffix in suffixes.split()}
COMMENTS = {name: markers for name, markers, _ in _KINDS if markers}

_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """the and for from with into not that this are was were has have its but all can only when now also than more
        use used using via per one some out instead after before will does which""",
    )
)


class Problem(Exception):
    """The report cannot be made; the message says why and what would help."""


@dataclass(frozen=True)
class Commit:
    """One commit; time is in seconds since 1970, the rest counts changed lines of text."""

    time: int
    author: str
    subject: str
    added: int
    removed: int


@dataclass
class Changes:
    """What all commits together did to one file, followed through its renames."""

    commits: int = 0
    added: int = 0
    removed: int = 0


@dataclass(frozen=True)
class History:
    """Every commit that HEAD can reach, oldest first."""

    commits: list[Commit]
    files: dict[str, Changes]
    words: Counter[str]


@dataclass(frozen=True)
class SourceFile:
    """One file of the last commit. A binary file, or one too large to read, has no lines (None)."""

    path: str
    language: str
    size: int
    lines: int | None
    comments: int = 0


@dataclass(frozen=True)
class Function:
    """A Python function: where it starts and how many lines it has."""

    path: str
    name: str
    line: int
    lines: int


@dataclass
class Tree:
    """The files of the last commit and what stands in them."""

    files: list[SourceFile] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    unparsable: list[str] = field(default_factory=list)

    def lines_by_language(self) -> Counter[str]:
        """Lines of text for each language."""
        lines: Counter[str] = Counter()
        for file in self.files:
            lines[file.language] += file.lines or 0
        return lines


@dataclass(frozen=True)
class Snapshot:
    """How the repository stood at one commit of the main line: lines of text by language."""

    time: int
    lines: Counter[str]


def git(*arguments: str) -> bytes:
    """What a git command prints; Problem with git's own words when it fails."""
    done = subprocess.run(_command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise Problem(words.splitlines()[0] if words else f"git {arguments[0]} failed with status {done.returncode}")
    return done.stdout


def _command(*arguments: str) -> list[str]:
    # What a person set for their own eyes must not change what is read here.
    settings = ("color.ui=false", "diff.renames=true", "diff.relative=false", "log.showSignature=false")
    plain = [part for setting in (*settings, "i18n.logOutputEncoding=UTF-8") for part in ("-c", setting)]
    return ["git", *plain, *arguments]


def read_history(tell: Tell) -> History:
    """Go through all commits, newest first as git gives them, one by one."""
    total = int(git("rev-list", "--count", "HEAD"))
    commits: list[Commit] = []
    files: dict[str, Changes] = {}
    words: Counter[str] = Counter()
    name_now: dict[str, str] = {}  # the name that an older name has become
    for head, changes in _logged_commits():
        time, author, subject = head.decode(errors="replace").split("\x1f", 2)
        for added, removed, old, new in changes:
            name = name_now.get(new, new)
            name_now[old] = name
            change = files.setdefault(name, Changes())
            change.commits += 1
            change.added += added
            change.removed += removed
        commits.append(Commit(int(time), author, subject, sum(c[0] for c in changes), sum(c[1] for c in changes)))
        words.update(set(re.findall(r"[^\W\d_]{3,}", subject.lower())) - _STOP_WORDS)
        tell(100 * len(commits) / total, f"reading history: commit {len(commits)} of {total}")
    return History(commits[::-1], files, words)


def _logged_commits() -> Iterator[tuple[bytes, list[tuple[int, int, str, str]]]]:
    """For each commit its heading and its changes: (lines added, lines removed, old name, new name)."""
    head: bytes | None = None
    changes: list[tuple[int, int, str, str]] = []
    tokens = _tokens("log", "-z", "--numstat", "--format=tformat:%x01%ct%x1f%aN%x1f%s", "HEAD")
    for token in tokens:
        if token.startswith(b"\x01"):
            if head is not None:
                yield head, changes
            head, changes = token[1:], []
            continue
        added, removed, name = token.lstrip(b"\n").split(b"\t", 2)
        old = new = name or next(tokens)  # a rename has no name here, but two tokens of its own
        if not name:
            new = next(tokens)
        lines = [0 if count == b"-" else int(count) for count in (added, removed)]  # "-" stands for a binary file
        changes.append((lines[0], lines[1], _text(old), _text(new)))
    if head is not None:
        yield head, changes


def _tokens(*arguments: str) -> Iterator[bytes]:
    """The output of a git command, cut at its NULs as it comes."""
    with subprocess.Popen(_command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        rest = b""
        while chunk := process.stdout.read(1 << 14):
            *whole, rest = (rest + chunk).split(b"\0")
            yield from whole
    if process.returncode != 0:
        raise Problem(f"git {arguments[0]} failed with status {process.returncode}; 'git fsck' may tell more")


def _text(path: bytes) -> str:
    return path.decode(errors="surrogateescape")


def read_tree(tell: Tell) -> Tree:
    """Read every file of the last commit: its language, lines and comments, and the functions of Python files."""
    entries = list_tree("HEAD")
    tree = Tree()
    with Blobs() as blobs:
        for number, (blob, path) in enumerate(entries, 1):
            size, content = blobs.read(blob)
            language = language_of(path)
            lines = line_count(content)
            comments = 0
            if content is not None and lines is not None:
                comments = _comment_lines(content, COMMENTS.get(language, ()))
                if language == "Python":
                    comments += _read_python(path, content, tree)
            tree.files.append(SourceFile(path, language, size, lines, comments))
            tell(100 * number / len(entries), f"reading files: {number} of {len(entries)}")
    return tree


def read_growth(tell: Tell) -> list[Snapshot]:
    """Count the lines of the repository as it stood at commits spread evenly over the main line, oldest first."""
    main_line = git("log", "--first-parent", "--reverse", "--format=tformat:%H %ct", "HEAD").decode().splitlines()
    limit = min(MOST_SNAPSHOTS, max(2, MOST_SNAPSHOT_FILES // max(1, len(list_tree("HEAD")))))
    known: dict[str, int] = {}
    snapshots: list[Snapshot] = []
    chosen = spread(main_line, limit)
    with Blobs() as blobs:
        for number, (commit, time) in enumerate((line.split() for line in chosen), 1):
            lines: Counter[str] = Counter()
            entries = list_tree(commit)
            for done, (blob, path) in enumerate(entries, 1):
                if blob not in known:
                    known[blob] = line_count(blobs.read(blob)[1]) or 0
                lines[language_of(path)] += known[blob]
                percent = 100 * (number - 1 + done / len(entries)) / len(chosen)
                tell(percent, f"measuring growth: snapshot {number} of {len(chosen)}")
            # Clocks differ between machines; a chart over time must not run backwards.
            snapshots.append(Snapshot(max(int(time), snapshots[-1].time if snapshots else 0), lines))
    return snapshots


def spread(items: list[str], limit: int) -> list[str]:
    """At most `limit` of the items, evenly spaced, with the first and the last."""
    if len(items) <= limit:
        return items
    return [items[round(place * (len(items) - 1) / (limit - 1))] for place in range(limit)]


def list_tree(commit: str) -> list[tuple[str, str]]:
    """The regular files of a commit as (blob, path); links and submodules are left out."""
    entries = []
    for entry in git("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")[:-1]:
        mode, _, rest = entry.partition(b" ")
        if mode.startswith(b"100"):
            blob, path = rest.removeprefix(b"blob ").split(b"\t", 1)
            entries.append((blob.decode(), _text(path)))
    return entries


class Blobs:
    """The contents of files by their object name, from one long-running git."""

    def __enter__(self) -> "Blobs":
        """Start git."""
        self._git = subprocess.Popen(
            _command("cat-file", "--batch"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 16
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let git end."""
        self._git.__exit__(kind, error, trace)

    def read(self, blob: str) -> tuple[int, bytes | None]:
        """Size and content; the content is None for a blob that is too large or that this clone does not have."""
        assert self._git.stdin is not None
        assert self._git.stdout is not None
        self._git.stdin.write(blob.encode() + b"\n")
        self._git.stdin.flush()
        answer = self._git.stdout.readline().split()
        if not answer:
            raise Problem("git cat-file ended early; 'git fsck' may tell more")
        if answer[-1] == b"missing":
            return 0, None
        size = int(answer[2])
        if size <= LARGEST_READ:
            return size, self._git.stdout.read(size + 1)[:-1]
        left = size + 1
        while left:
            left -= len(self._git.stdout.read(min(left, 1 << 20)))
        return size, None


def language_of(path: str) -> str:
    """The language of a file by its suffix, or by its name when that says it; the suffix itself when it is unknown."""
    name = PurePosixPath(path).name.lower()
    suffix = PurePosixPath(name).suffix
    return LANGUAGES.get(suffix) or LANGUAGES.get(name) or (suffix if suffix.isascii() and suffix else "Other")


def line_count(content: bytes | None) -> int | None:
    """How many lines; None for what is no text, told as git does by a NUL near the beginning."""
    if content is None or b"\0" in content[:8000]:
        return None
    return content.count(b"\n") + (not content.endswith(b"\n") and content != b"")


def _comment_lines(content: bytes, markers: tuple[str, ...]) -> int:
    starts = tuple(marker.encode() for marker in markers)
    return sum(line.lstrip().startswith(starts) for line in content.split(b"\n")) if starts else 0


def _read_python(path: str, content: bytes, tree: Tree) -> int:
    """Add the functions of a Python file to the tree; return how many lines its docstrings have."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in someone else's source
            module = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree.unparsable.append(path)
        return 0
    documented = 0
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            tree.functions.append(Function(path, node.name, node.lineno, length))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())) as text, *_]:
                    documented += (text.end_lineno or text.lineno) - text.lineno + 1
    return documented
