"""What `make demo` runs and says to try; what the documents say of the source; and the code in the documents."""

import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from left_out import require, require_module

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "examples" / "repository_report.py"
COUNT = ROOT / "examples" / "slow_count.sh"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
TIMEOUT = 60.0


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit of one file."""
    require("git")
    directory = tmp_path / "well kept"
    directory.mkdir()
    git(directory, "init", "--quiet", "--initial-branch=main")
    commit(directory, {"hello.py": b'"""Say hello."""\n\n\ndef hello():\n    print("hello")\n'}, "Say hello")
    return directory


def git(directory: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(directory), *arguments]
    subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, check=True)


def commit(directory: Path, files: dict[str | bytes, bytes], subject: str) -> None:
    for name, content in files.items():
        Path(os.fsdecode(directory), os.fsdecode(name)).write_bytes(content)
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", f"--message={subject}")


def environment(**more: str) -> dict[str, str]:
    """What a program is given: the same dates everywhere, and nothing of this machine's git settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "OPTIO_"))}
    dates = dict.fromkeys(["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"], "2024-02-29T12:00:00Z")
    alone = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    return {**inherited, **dates, **alone, **more}


def report(directory: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM)],
        cwd=directory,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@contextmanager
def log_of(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a log as they are written, without waiting by the clock: the log is a FIFO."""
    os.mkfifo(path)
    # Open for writing too, or there would be an end of file between two lines of the program.
    with open(os.open(path, os.O_RDWR), "rb", buffering=0) as log:
        yield (line.decode().rstrip("\n") for line in iter(log.readline, b""))


def test_each_file_is_whole_when_it_is_announced_and_done_comes_last(repository: Path, tmp_path: Path) -> None:
    require_module("matplotlib")
    deliverables, replies = tmp_path / "deliverables", tmp_path / "replies"
    deliverables.mkdir()
    told = {"OPTIO_LOG": str(tmp_path / "log"), "OPTIO_DELIVERABLES": str(deliverables), "OPTIO_REPLIES": str(replies)}
    seen: list[str] = []
    with log_of(tmp_path / "log") as lines:
        command = [sys.executable, str(PROGRAM)]
        with subprocess.Popen(command, cwd=repository, env=environment(**told)) as program:
            try:
                for line in lines:
                    seen.append(line)
                    if line.startswith(("DONE", "ERROR")):
                        break
                    if line.startswith("DELIVERABLE: "):
                        announced = Path(line.removeprefix("DELIVERABLE: "))
                        assert announced.parent == deliverables
                        assert_whole(announced)
                        with replies.open("a") as answers:
                            answers.write(
                                f"System: deliverable {announced.name}: accepted. thanks for the good work.\n"
                            )
                assert program.wait(TIMEOUT) == 0
            finally:
                program.kill()
    percents = [int(found.group(1)) for line in seen if (found := re.match(r"STATUS: (\d+)% ", line))]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100
    assert [Path(line).name for line in seen if line.startswith("DELIVERABLE: ")] == ["repository.png", "report.md"]
    assert not [line for line in seen if "nobody acknowledged" in line]
    assert seen[-1] == "DONE: well kept: 1 commit by 1 author, 1 file, 5 lines, 2024-02-29"
    assert sorted(os.listdir(deliverables)) == ["report.md", "repository.png"]


def assert_whole(announced: Path) -> None:
    content = announced.read_bytes()
    if announced.suffix == ".png":
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", content[16:24]) == (1800, 1260)
        assert content.endswith(b"IEND\xaeB`\x82")
    else:
        assert content.decode().endswith("docstrings only in Python.\n")
        assert b"](repository.png)" in content


def test_the_program_knows_nothing_of_optio() -> None:
    for source in PROGRAM.parent.glob("repository_*.py"):
        assert not re.search(r"^\s*(import|from) optio", source.read_text(), re.MULTILINE), source


def test_without_the_variables_it_is_an_ordinary_program(repository: Path) -> None:
    done = report(repository)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("DONE: well kept: 1 commit ")
    assert "| `hello` | 2 | `hello.py:4` |" in (repository / "report.md").read_text()


def test_a_file_of_the_repository_is_not_overwritten(repository: Path) -> None:
    commit(repository, {"report.md": b"ours\n"}, "Report by hand")
    done = report(repository)
    assert done.returncode == 1
    assert done.stdout.startswith("ERROR: repository.png or report.md here belongs to the repository")
    assert (repository / "report.md").read_bytes() == b"ours\n"


def test_when_nobody_acknowledges_it_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTIO_LOG", "log")
    monkeypatch.setenv("OPTIO_REPLIES", "replies")
    import repository_report

    monkeypatch.setattr(repository_report, "ACKNOWLEDGED_WITHIN", 0.01)
    (tmp_path / "replies").write_text("System: deliverable report.md: an answer to an earlier one\n")
    repository_report.Log().deliver("report.md", b"new")
    announced, complaint = (tmp_path / "log").read_text().splitlines()
    assert announced == f"DELIVERABLE: {tmp_path}/report.md"
    assert complaint.startswith("STATUS: nobody acknowledged report.md")


@pytest.mark.parametrize("odd", [b"two\nlines.py", b" blanks .py", b"not \xff utf-8.py", b'"quoted"|`.py', b"-rf"])
def test_any_file_name_is_reported_in_one_visible_line(repository: Path, odd: bytes) -> None:
    commit(repository, {odd: b"x = 1\n" * 7}, "Odd")
    done = report(repository, PYTHONWARNINGS="error")
    assert (done.returncode, done.stderr) == (0, "")
    page = (repository / "report.md").read_text()
    shown = odd.decode(errors="backslashreplace").replace("\n", "\\n").replace("|", "\\|")
    assert [line for line in page.splitlines() if shown in line and "| 7 |" in line]


def test_renames_deletions_and_files_that_are_no_text(repository: Path) -> None:
    git(repository, "mv", "hello.py", "renamed.py")
    commit(repository, {"data.bin": b"\0" * 5000, "broken.py": b"def (\n", "gone.py": b""}, "Move")
    (repository / "gone.py").unlink()
    (repository / "link").symlink_to("/etc/passwd")
    commit(repository, {"latin.txt": b"\xe9t\xe9"}, "Remove | and `quote`")
    done = report(repository)
    assert (done.returncode, done.stderr) == (0, "")
    page = (repository / "report.md").read_text()
    assert "| `renamed.py` | 2 | 5 | 0 |  |" in page
    assert "| `gone.py` | 2 | 0 | 0 | removed |" in page
    assert "5,000 bytes together; the largest is `data.bin`" in page
    assert "1 Python file could not be parsed by this Python: `broken.py`." in page
    assert "3 commits by 1 author, 4 files, 7 lines" in page


def test_from_a_subdirectory_the_report_is_over_the_whole_repository(repository: Path) -> None:
    (repository / "below").mkdir()
    commit(repository, {"below/deep.py": b"y = 2\n"}, "Below")
    done = report(repository / "below")
    assert (done.returncode, done.stderr) == (0, "")
    assert "`hello.py`" in (repository / "below" / "report.md").read_text()


def test_a_repository_whose_last_commit_has_no_files(repository: Path) -> None:
    git(repository, "rm", "--quiet", "hello.py")
    commit(repository, {}, "Empty")
    done = report(repository)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 commits by 1 author, 0 files, 0 lines" in done.stdout


def test_a_shallow_clone_says_that_it_is_one(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"more.py": b"z = 3\n"}, "More")
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(tmp_path / "shallow"))
    done = report(tmp_path / "shallow")
    assert (done.returncode, done.stderr) == (0, "")
    assert "This is a shallow clone" in (tmp_path / "shallow" / "report.md").read_text()


def test_a_history_longer_than_what_is_drawn_one_by_one(repository: Path) -> None:
    author = b"Ada <ada@example.org>"
    stream = b"reset refs/heads/long\n"
    for number in range(60):
        body = b"line\n" * number
        stream += b"commit refs/heads/long\ncommitter %s %d +0000\n" % (author, 10**9 + number * 10**6)
        stream += b"data 4\nmore\nM 100644 inline a.txt\ndata %d\n%s\n" % (len(body), body)
    subprocess.run(
        ["git", "-C", str(repository), "fast-import", "--quiet"], input=stream, check=True, env=environment()
    )
    git(repository, "switch", "--quiet", "long")
    done = report(repository, PYTHONWARNINGS="error")
    assert (done.returncode, done.stderr) == (0, "")
    page = (repository / "report.md").read_text()
    assert "Growth was measured at 40 commits of the main line" in page
    assert "| Ada | 60 | 59 | 0 | 2001-09-09 | 2003-07-23 |" in page


def test_a_repository_without_commits_is_a_clear_error(tmp_path: Path) -> None:
    require("git")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "empty")
    done = report(tmp_path / "empty")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (
        "ERROR: the repository empty has no commit on its current branch; make one and start again\n"
    )


def test_outside_a_repository_is_a_clear_error(tmp_path: Path) -> None:
    require("git")
    done = report(tmp_path, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("ERROR: not a git repository")


def test_a_directory_that_cannot_be_written_is_an_error_and_not_done(repository: Path) -> None:
    done = report(repository, OPTIO_DELIVERABLES=str(repository / "hello.py"))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("ERROR: NotADirectoryError")


def test_without_matplotlib_there_is_a_report_that_says_so(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "matplotlib.py").write_text("raise ImportError('matplotlib is not here')\n")
    done = report(repository, PYTHONPATH=str(tmp_path / "shadow"))
    assert (done.returncode, done.stderr) == (0, "")
    page = (repository / "report.md").read_text()
    assert "There is no picture: matplotlib is not here." in page
    assert "![" not in page


def test_a_count_is_written_as_it_goes_and_handed_over_at_its_end(tmp_path: Path) -> None:
    told = {"OPTIO_LOG": str(tmp_path / "log"), "OPTIO_DELIVERABLES": str(tmp_path)}
    subprocess.run([COUNT, "3", "0"], cwd=tmp_path, env=environment(**told), timeout=TIMEOUT, check=True)
    assert (tmp_path / "log").read_text().splitlines() == [
        "STATUS: 33% 1",
        "STATUS: 66% 2",
        "STATUS: 100% 3",
        f"DELIVERABLE: {tmp_path}/count.txt",
        "DONE: counted to 3",
    ]
    assert [line.split()[0] for line in (tmp_path / "count.txt").read_text().splitlines()] == ["1", "2", "3"]


def test_what_the_demo_says_to_try_works_as_it_stands(tmp_path: Path) -> None:
    """The commands that `make demo` prints: start, list, kill -9 the driver, attach, logs. Every number comes once."""
    binaries = Path(sys.executable).parent
    printed = re.findall(r'^\t@echo "  (.*)"$', (ROOT / "Makefile").read_text(), re.MULTILINE)
    start, ls, kill, attach, logs = (command.replace("$(BIN)", str(binaries)) for command in printed)
    (tmp_path / "examples").mkdir()
    shutil.copy(COUNT, tmp_path / "examples")
    # The program waits behind its first number until its driver is dead, however slow this machine is.
    hold = tmp_path / "hold"
    hold.touch()
    (tmp_path / "sleep").write_text(f"#!/bin/sh\nwhile [ -e {hold} ]; do {shutil.which('sleep')} 0.05; done\n")
    (tmp_path / "sleep").chmod(0o700)
    surroundings = environment(
        XDG_STATE_HOME=str(tmp_path / "state"), PATH=f"{tmp_path}:{os.environ['PATH']}", COLUMNS="200"
    )

    def sh(command: str) -> str:
        return subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        ).stdout

    session = sh(start).strip()
    while not (driver := re.search(rf"^{session} .* pid (\d+) ", sh(ls), re.MULTILINE)):
        pass  # it is just starting
    sh(kill.replace("PID", driver[1]))
    hold.unlink()
    assert re.search(r"^done after .*: counted to 60$", sh(attach.replace("ID", session)), re.MULTILINE)
    numbers = re.findall(r"% (\d+)$", sh(logs.replace("ID", session)), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 61)]
    assert len((tmp_path / f"optio-{session}" / "count.txt").read_text().splitlines()) == 60


def section(heading: str) -> str:
    return ARCHITECTURE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_the_architecture_names_every_file_of_the_source_and_no_other() -> None:
    named: list[str] = []
    above: list[str] = []
    for line in section("The rooms").split("```")[1].strip().splitlines():
        found = re.fullmatch(r"( *)(\S+)(?: +(\S.*))?", line)
        assert found, line
        assert found[3] or found[2] == "src/", f"{line}: says nothing of it"
        above[len(found[1]) // 2 :] = [found[2]]
        if not found[2].endswith("/"):
            named.append("".join(above))
    there = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sorted(named) == sorted(str(path.relative_to(ROOT)) for path in there)


def source() -> dict[Path, str]:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.sh")]
    return {path: path.read_text() for path in files}


def test_every_test_that_the_architecture_names_exists() -> None:
    places = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "src").rglob("conformance*.py")]
    places += (ROOT / "src").rglob("conformance/*.py")
    defined = set(re.findall(r"^(?:async )?def (\w+)\(", "\n".join(map(Path.read_text, places)), re.MULTILINE))
    rows = re.findall(r"^\| [^|]+ \| (`.*) \|$", section("What must hold"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) > 50
    assert not named - defined


def test_every_file_and_method_that_the_walks_name_exists() -> None:
    walks = ARCHITECTURE.split("\n## The arrows", 1)[1].split("\n## What must hold", 1)[0]
    files = source()
    paths = [str(path.relative_to(ROOT)) for path in files]
    for name in re.findall(r"[\w/]+\.(?:py|sh)\b", walks):
        assert [path for path in paths if path.endswith(f"/{name}")], name
    for kind, member in re.findall(r"`(_?[A-Z]\w+)\.(\w+)`", walks):
        homes = [text for text in files.values() if re.search(rf"^class {kind}\b", text, re.MULTILINE)]
        assert [text for text in homes if re.search(rf"(def |self\.| ){member}\b", text)], f"{kind}.{member}"
    everything = "\n".join(files.values())
    for name in re.findall(r"`(\w+)`", walks):
        assert re.search(rf"\b{name}\b", everything), name


def code_blocks() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        text = document.read_text()
        for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield f"{document.name}:{text.count(chr(10), 0, found.start()) + 1}", found.group(1)


@pytest.mark.parametrize(("place", "code"), [pytest.param(*block, id=block[0]) for block in code_blocks()])
def test_code_in_the_documents_runs_as_it_stands(place: str, code: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(code)
    command = [sys.executable, "-W", "error", str(script)]
    if "\ndef test_" in code:
        plugin = ["-p", "optio_host.testing.pytest_plugin", "-p", "no:cacheprovider"]
        command[3:3] = ["-m", "pytest", "-W", "error", *plugin]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state"), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"{place} failed:\n{done.stdout}{done.stderr}"
    assert done.stderr == ""
