"""The launchers in front of the PATH: what they write, and what nobody can make them write."""

import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import pytest

from optio_agents.browser_shims import LAUNCHERS, prepare_browser_shims
from optio_agents.protocol.events import BrowserEvent
from optio_agents.protocol.features import BrowserMode
from optio_agents.protocol.protocol import get_protocol
from optio_host.errors import HostCommandError
from optio_host.host import Host, RunResult

Run = Callable[[Callable[[], Awaitable[object]]], None]
SHELLS = [shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(shell[0])]
REDIRECT = get_protocol(browser="redirect")


class DirectoryHost:
    """A task author's own fake host: no more of the published methods than launchers need."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = str(workdir)

    async def write_text(self, relpath: str, content: str) -> None:
        target = Path(self.workdir) / relpath
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    async def run_command(
        self, command: str, *, cwd: str | None = None, env: dict[str, str] | None = None
    ) -> RunResult:
        run = partial(subprocess.run, ["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
        done = await anyio.to_thread.run_sync(run)
        return RunResult(done.stdout, done.stderr, done.returncode)


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    directory = tmp_path / 'it\'s a "work" $dir'
    directory.mkdir()
    (directory / "optio.log").touch()
    return directory


def prepare(run: Run, workdir: Path, mode: BrowserMode, log_path: str | None = None) -> dict[str, str] | None:
    result: list[dict[str, str] | None] = []

    async def body() -> None:
        host = cast(Host, DirectoryHost(workdir))
        result.append(await prepare_browser_shims(host, mode, log_path=log_path))

    run(body)
    return result[0]


def launch(workdir: Path, name: str, *arguments: str, shell: list[str] | None = None) -> int:
    command = [*(shell or []), f"{workdir}/bin/{name}", *arguments]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, timeout=30).returncode


def test_ignore_writes_nothing(run: Run, workdir: Path) -> None:
    assert prepare(run, workdir, "ignore") is None
    assert not (workdir / "bin").exists()


@pytest.mark.parametrize("mode", ["suppress", "redirect"])
def test_the_launchers_are_in_front_of_the_path(run: Run, workdir: Path, mode: BrowserMode) -> None:
    assert prepare(run, workdir, mode) == {
        "BROWSER": f"{workdir}/bin/xdg-open",
        "PATH": f"{workdir}/bin:{os.environ['PATH']}",
    }
    names = sorted(entry.name for entry in (workdir / "bin").iterdir())
    assert names == ["gio", "open", "sensible-browser", "www-browser", "xdg-open"]
    assert all(os.access(workdir / "bin" / name, os.X_OK) for name in names)


def test_another_mode_is_refused(run: Run, workdir: Path) -> None:
    with pytest.raises(ValueError, match="ignore, suppress or redirect"):
        prepare(run, workdir, "open")  # type: ignore[arg-type]


def test_a_host_that_cannot_make_them_executable_is_an_error(
    run: Run, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(self: DirectoryHost, command: str, **options: object) -> RunResult:
        return RunResult("", "read-only file system", 1)

    monkeypatch.setattr(DirectoryHost, "run_command", failing)
    with pytest.raises(HostCommandError, match="read-only file system"):
        prepare(run, workdir, "suppress")


def test_a_host_without_a_path_does_not_get_the_current_directory(
    run: Run, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(self: DirectoryHost, command: str, **options: object) -> RunResult:
        return RunResult("", "", 0)

    monkeypatch.setattr(DirectoryHost, "run_command", silent)
    added = prepare(run, workdir, "suppress")
    assert added is not None
    assert "" not in added["PATH"].split(":")


@pytest.mark.parametrize("name", LAUNCHERS)
def test_suppressed_launchers_do_nothing(run: Run, workdir: Path, name: str) -> None:
    prepare(run, workdir, "suppress")
    assert launch(workdir, name, "https://example.com") == 0
    assert (workdir / "optio.log").read_bytes() == b""


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_writes_one_entry_that_the_parser_reads(
    run: Run, workdir: Path, name: str, shell: list[str]
) -> None:
    prepare(run, workdir, "redirect")
    url = "https://example.com/a b?c=%20&d='e'#$(id)`id`\\n%s"
    arguments = ["open", url] if name == "gio" else ["--new-window", url]
    assert launch(workdir, name, *arguments, shell=shell) == 0
    lines = (workdir / "optio.log").read_text().splitlines()
    assert lines == [f'BROWSER: "{url}"']
    assert REDIRECT.parse_log_line(lines[0]) == BrowserEvent(url)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_an_address_with_a_newline_cannot_write_done(run: Run, workdir: Path, shell: list[str], end: str) -> None:
    prepare(run, workdir, "redirect")
    assert launch(workdir, "xdg-open", f"https://a{end}DONE: forged", shell=shell) == 0
    assert (workdir / "optio.log").read_bytes() == b'BROWSER: "https://a"\n'


def test_control_characters_of_an_address_are_dropped(run: Run, workdir: Path) -> None:
    prepare(run, workdir, "redirect")
    assert launch(workdir, "open", "https://\x1b[31ma\x07\x7f/\u00e9") == 0
    assert (workdir / "optio.log").read_text(encoding="utf-8") == 'BROWSER: "https://[31ma/\u00e9"\n'


@pytest.mark.parametrize("arguments", [[], ["--help"], [""], ["\nDONE"]])
def test_without_an_address_nothing_is_written(run: Run, workdir: Path, arguments: list[str]) -> None:
    prepare(run, workdir, "redirect")
    assert launch(workdir, "xdg-open", *arguments) == 0
    assert (workdir / "optio.log").read_bytes() == b""


def test_other_commands_of_gio_are_no_addresses(run: Run, workdir: Path) -> None:
    prepare(run, workdir, "redirect")
    assert launch(workdir, "gio", "info", "https://a") == 0
    assert (workdir / "optio.log").read_bytes() == b""


def test_a_log_that_cannot_be_written_is_a_failure_of_the_launcher(run: Run, workdir: Path) -> None:
    prepare(run, workdir, "redirect", log_path=f"{workdir}/missing/optio.log")
    assert launch(workdir, "xdg-open", "https://a") != 0


def test_the_log_may_be_elsewhere(run: Run, workdir: Path) -> None:
    log = workdir / "other 'log'"
    prepare(run, workdir, "redirect", log_path=str(log))
    assert launch(workdir, "www-browser", "https://a") == 0
    assert log.read_bytes() == b'BROWSER: "https://a"\n'


def test_a_protocol_prepares_its_own_mode(run: Run, workdir: Path) -> None:
    async def body() -> None:
        host = cast(Host, DirectoryHost(workdir))
        assert await get_protocol().prepare_browser_shims(host) is None
        assert await REDIRECT.prepare_browser_shims(host) is not None

    run(body)
