"""A download is whole or it did not happen; the reason is curl's own."""

import http.server
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from optio_host.download import DownloadFailed, create_download_task
from optio_host.errors import HostError
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]

CONTENT = os.urandom(300_000)


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        owner = self.server
        assert isinstance(owner, Owner)
        owner.asked.append((self.path, self.headers.get("Authorization")))
        if self.path.startswith("/file"):
            self.answer(200, CONTENT, {"Content-Length": str(len(CONTENT))})
        elif self.path == "/unknown-length":
            self.answer(200, CONTENT, {})
        elif self.path == "/empty":
            self.answer(200, b"", {"Content-Length": "0"})
        elif self.path == "/cut":
            self.answer(200, CONTENT, {"Content-Length": str(len(CONTENT) + 1)})
        elif self.path == "/moved":
            self.answer(302, b"", {"Location": "/file", "Content-Length": "0"})
        elif self.path == "/to-local-file":
            self.answer(302, b"", {"Location": "file:///etc/passwd", "Content-Length": "0"})
        elif self.path == "/slow":
            self.answer(200, CONTENT[:150_000], {"Content-Length": str(len(CONTENT))})
            owner.go_on.wait(30)
            self.wfile.write(CONTENT[150_000:])
        else:
            self.answer(404, b"not here", {"Content-Length": "8"})

    def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Owner(http.server.ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Server)
        self.asked: list[tuple[str, str | None]] = []
        self.go_on = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the client went away, which is what some tests do

    def url(self, path: str, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.server_address[1]}{path}"


@pytest.fixture
def server() -> Iterator[Owner]:
    with Owner() as owner:
        thread = threading.Thread(target=owner.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield owner
        owner.go_on.set()
        owner.shutdown()
        thread.join()


class Context:
    def __init__(self, on_report: Callable[[], object] | None = None) -> None:
        self.reports: list[tuple[float | None, str | None]] = []
        self.cancelled = False
        self._on_report = on_report or (lambda: None)

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        self.reports.append((percent, message))
        self._on_report()

    def should_continue(self) -> bool:
        return not self.cancelled


def download(run: Run, url: str, target: Path, ctx: Context | None = None, **options: object) -> None:
    task = create_download_task("id", "Download", url=url, target=str(target), **options)  # type: ignore[arg-type]

    async def body() -> None:
        await task.execute(ctx or Context())

    run(body)


def test_the_task_is_one_of_optio_core(tmp_path: Path) -> None:
    from optio_core.models import TaskInstance

    task = create_download_task("id", "name", url="https://h/x", target=str(tmp_path / "x"), description="why")
    assert isinstance(task, TaskInstance)
    assert (task.process_id, task.name, task.description) == ("id", "name", "why")


@pytest.mark.parametrize("path", ["/file", "/unknown-length", "/moved", "/file?token=1&b=[1-2]{a}$(touch$IFS'evil')"])
def test_a_file_arrives_whole(run: Run, server: Owner, tmp_path: Path, path: str) -> None:
    target = tmp_path / "new" / 'it\'s a "file" $HOME\n-rf'
    ctx = Context()
    download(run, server.url(path), target, ctx)
    assert target.read_bytes() == CONTENT
    assert os.listdir(target.parent) == [target.name]
    assert ctx.reports[-1] == (100, f"Downloaded {target.name}")
    assert server.asked[0][0] == path


def test_an_empty_file_arrives_too(run: Run, server: Owner, tmp_path: Path) -> None:
    download(run, server.url("/empty"), tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b""


def test_a_new_file_gets_what_the_umask_leaves(run: Run, server: Owner, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        download(run, server.url("/file"), tmp_path / "target")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o640


def test_percents_are_told_while_it_comes(run: Run, server: Owner, tmp_path: Path) -> None:
    ctx = Context()
    ctx._on_report = lambda: server.go_on.set() if ctx.reports[-1][0] == 50.0 else None
    download(run, server.url("/slow"), tmp_path / "target", ctx)
    assert (50.0, None) in ctx.reports
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_a_cancelled_download_ends_without_an_error_or_a_file(run: Run, server: Owner, tmp_path: Path) -> None:
    ctx = Context()
    (tmp_path / "target").write_bytes(b"old")

    def cancel() -> None:
        ctx.cancelled = ctx.reports[-1][0] == 50.0

    ctx._on_report = cancel
    download(run, server.url("/slow"), tmp_path / "target", ctx, cleanup_on_fail=False)
    assert os.listdir(tmp_path) == ["target"]
    assert (tmp_path / "target").read_bytes() == b"old"


def test_a_download_whose_task_is_cancelled_leaves_nothing(run: Run, server: Owner, tmp_path: Path) -> None:
    begun = anyio.Event()
    ctx = Context(lambda: begun.set())
    task = create_download_task("id", "Download", url=server.url("/slow"), target=str(tmp_path / "target"))

    async def body() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(task.execute, ctx)
            await begun.wait()
            group.cancel_scope.cancel()

    run(body)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing", "404"),
        ("/cut", "transfer closed"),
        ("/to-local-file", "[Pp]rotocol .*file.* (not supported|disabled)"),
    ],
)
def test_a_failure_is_told_in_curls_words(run: Run, server: Owner, tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "target").write_bytes(b"old")
    with pytest.raises(DownloadFailed, match=rf"{path}: curl: \(\d+\) .*{reason}"):
        download(run, server.url(path), tmp_path / "target")
    assert os.listdir(tmp_path) == ["target"]
    assert (tmp_path / "target").read_bytes() == b"old"


def test_the_partial_file_is_kept_when_asked(run: Run, server: Owner, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as caught:
        download(run, server.url("/cut"), tmp_path / "target", cleanup_on_fail=False)
    [kept] = tmp_path.iterdir()
    assert kept.read_bytes() == CONTENT
    assert str(caught.value).endswith(f"what came is in {kept}")
    assert (caught.value.url, caught.value.target) == (server.url("/cut"), str(tmp_path / "target"))
    assert caught.value.exit_code > 0
    assert caught.value.stderr_tail.startswith("curl: ")


def test_a_server_that_is_not_there(run: Run, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DownloadFailed, match=r"curl: \(7\)"):
            download(run, f"http://127.0.0.1:{unused.getsockname()[1]}/x", tmp_path / "target")


def test_a_directory_as_target(run: Run, server: Owner, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="is a directory"):
        download(run, server.url("/file"), tmp_path)
    assert os.listdir(tmp_path) == []
    assert server.asked == []


def test_a_file_in_the_way_of_a_parent(run: Run, server: Owner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadFailed, match="mkdir"):
        download(run, server.url("/file"), tmp_path / "file" / "target")


def test_a_host_without_curl(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "rm", "mkdir"):
        (tmp_path / "bin" / tool).symlink_to(f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(DownloadFailed, match="curl is not installed"):
        download(run, "http://127.0.0.1/x", tmp_path / "target")


def test_secrets_of_a_url_are_in_no_command_line_and_no_message(run: Run, server: Owner, tmp_path: Path) -> None:
    lines: list[str] = []
    ctx = Context()

    def look() -> None:
        lines.append(
            subprocess.run(["ps", "-axww", "-o", "command"], capture_output=True, text=True, check=True).stdout
        )
        server.go_on.set()

    ctx._on_report = look
    download(run, server.url("/slow", "me:hunter2@"), tmp_path / "target", ctx)
    assert lines
    assert any("curl --config" in each for each in lines)
    assert not any("hunter2" in each for each in lines)
    assert server.asked[0][1] is not None
    with pytest.raises(DownloadFailed) as caught:
        download(run, server.url("/missing?token=hunter2", "me:hunter2@"), tmp_path / "target")
    assert "hunter2" not in str(caught.value)


def test_it_runs_on_the_host_that_is_given(run: Run, server: Owner, tmp_path: Path) -> None:
    launched: list[str] = []

    class Watched(LocalHost):
        async def launch_subprocess(self, command: str, **options: object) -> object:  # type: ignore[override]
            launched.append(command)
            return await super().launch_subprocess(command, **options)  # type: ignore[arg-type]

    async def body() -> None:
        host = Watched(str(tmp_path / "task"))
        await host.connect()
        target = str(tmp_path / "target")
        task = create_download_task("id", "Download", url=server.url("/file"), target=target, host=host)
        await task.execute(Context())
        await host.disconnect()

    run(body)
    assert len(launched) == 1
    assert (tmp_path / "target").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "url",
    ["", "file:///etc/passwd", "/etc/passwd", "-o/tmp/x", "scp://h/x", "http://h/a b", 'http://h/\noutput = "/x"'],
)
def test_a_url_that_is_none_is_refused_at_once(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match=r"can be downloaded|blanks"):
        create_download_task("id", "name", url=url, target=str(tmp_path / "x"))


def test_a_quote_in_a_url_stays_in_it(run: Run, server: Owner, tmp_path: Path) -> None:
    path = '/file"\\n-o'
    download(run, server.url(path), tmp_path / "target")
    assert server.asked[0][0] == path
    assert os.listdir(tmp_path) == ["target"]


def test_a_relative_target_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="absolute"):
        create_download_task("id", "name", url="https://h/x", target="x")


def test_without_optio_core_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optio_core.models", None)
    with pytest.raises(HostError, match="pip install optio-core"):
        create_download_task("id", "name", url="https://h/x", target="/x")
