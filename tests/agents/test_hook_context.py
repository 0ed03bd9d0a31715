"""What hooks can do with the process and the host they are given."""

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from bare_host import BareHost
from bson import ObjectId

from optio_agents.context import SYSTEM_MESSAGE_PREFIX, HookContext, HookContextProtocol, StandaloneContext
from optio_agents.errors import ContextLacks
from optio_agents.process_context import KEPT_PROGRESS, ProcessContext
from optio_agents.protocol.sender import SerialSender
from optio_host.errors import HostCommandError
from optio_host.host import RunResult
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def ctx() -> StandaloneContext:
    return StandaloneContext()


@pytest.fixture(params=[BareHost, LocalHost])
def hook_ctx(request: pytest.FixtureRequest, taskdir: str, ctx: StandaloneContext) -> HookContext:
    Path(taskdir, "workdir").mkdir(parents=True)
    Path(taskdir, "home").mkdir()
    return HookContext(ctx, request.param(taskdir))


def test_it_is_what_the_protocol_says(hook_ctx: HookContext, ctx: StandaloneContext) -> None:
    assert isinstance(hook_ctx, HookContextProtocol)
    assert isinstance(ctx, ProcessContext)
    assert SYSTEM_MESSAGE_PREFIX == "System: "
    assert hook_ctx.browser_launch_env == {}


def test_what_it_lacks_comes_from_the_process_context(taskdir: str) -> None:
    class Own(StandaloneContext):
        process_id = "p1"
        params: dict[str, int] = {"a": 1}  # noqa: RUF012

    ctx = Own()
    hook_ctx = HookContext(ctx, BareHost(taskdir))
    assert hook_ctx.process_id == "p1"
    assert hook_ctx.params is ctx.params
    assert hook_ctx.should_continue()
    ctx.cancel()
    assert not hook_ctx.should_continue()
    hook_ctx.report_progress(3, "x")
    assert ctx.progress[-1] == (3, "x")
    with pytest.raises(AttributeError, match="neither the hook context nor the Own in it has 'nothing'"):
        hook_ctx.nothing  # noqa: B018


def test_run_on_host_returns_what_was_written(run: Run, hook_ctx: HookContext, taskdir: str) -> None:
    async def body() -> None:
        assert await hook_ctx.run_on_host("echo out; echo err >&2") == "out\n"
        assert await hook_ctx.run_on_host("echo out; echo err >&2", capture_stderr=True) == "out\nerr\n"
        assert await hook_ctx.run_on_host("pwd", cwd=taskdir) == f"{taskdir}\n"
        assert await hook_ctx.run_on_host("pwd") == f"{taskdir}/workdir\n"

    run(body)


def test_run_on_host_raises_for_a_failure_only_if_it_is_checked(run: Run, hook_ctx: HookContext) -> None:
    async def body() -> None:
        with pytest.raises(HostCommandError) as raised:
            await hook_ctx.run_on_host("echo out; echo err >&2; exit 3")
        error = raised.value
        assert (error.exit_code, error.stdout, error.stderr) == (3, "out\n", "err\n")
        result = await hook_ctx.run_on_host("echo out; exit 3", check=False)
        assert isinstance(result, RunResult)
        assert (result.stdout, result.exit_code) == ("out\n", 3)

    run(body)


@pytest.mark.parametrize("target", ["../x", "a/../x", "..", "", "a\0b"])
def test_a_target_that_leaves_the_workdir_or_is_nothing_is_refused(
    run: Run, hook_ctx: HookContext, target: str
) -> None:
    async def body() -> None:
        for attempt in (hook_ctx.copy_file(b"", target), hook_ctx.read_from_host(target)):
            with pytest.raises(ValueError, match=r"path|workdir"):
                await attempt

    run(body)


@pytest.mark.parametrize(
    ("target", "where"), [("x.txt", "workdir/x.txt"), ("{taskdir}/x", "x"), ("~/x", "home/x"), ("..x", "workdir/..x")]
)
def test_a_target_is_absolute_or_in_the_home_or_in_the_workdir(
    run: Run, hook_ctx: HookContext, taskdir: str, target: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", f"{taskdir}/home")

    async def body() -> None:
        await hook_ctx.copy_file(b"bytes", target.format(taskdir=taskdir))
        assert Path(taskdir, where).read_bytes() == b"bytes"
        assert await hook_ctx.read_from_host(PurePosixPath(target.format(taskdir=taskdir))) == b"bytes"

    run(body)


def test_every_kind_of_source_is_copied(run: Run, hook_ctx: HookContext, taskdir: str, tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_bytes(b"content")

    async def stream() -> AsyncIterator[bytes]:
        yield b"con"
        yield b"tent"

    async def body() -> None:
        for number, each in enumerate([source, str(source), b"content", stream()]):
            await hook_ctx.copy_file(each, f"{number}")
            assert Path(taskdir, "workdir", f"{number}").read_bytes() == b"content"
        with pytest.raises(TypeError, match="int"):
            await hook_ctx.copy_file(3, "x")  # type: ignore[arg-type]

    run(body)


def test_a_copy_is_reported_in_the_published_words(run: Run, hook_ctx: HookContext, ctx: StandaloneContext) -> None:
    async def body() -> None:
        await hook_ctx.copy_file(b"x" * 1000, "dir-less.bin")
        assert ctx.progress[0] == (None, "Copying dir-less.bin...")
        assert "Verifying dir-less.bin..." in [message for _, message in ctx.progress]
        assert ctx.progress[-1][0] == 100
        ctx.progress.clear()
        await hook_ctx.copy_file(b"x" * 1000, "dir-less.bin", skip_if_unchanged=True)
        assert ctx.progress[-1][1] == "Already up to date: dir-less.bin"

    run(body)


class WithBlobs(StandaloneContext):
    @asynccontextmanager
    async def load_blob(self, file_id: object) -> AsyncIterator[Any]:
        yield Blob(b"blob " + str(file_id).encode())


class Blob:
    def __init__(self, content: bytes) -> None:
        self.rest = content

    async def read(self, size: int = -1) -> bytes:
        chunk, self.rest = self.rest[:7], self.rest[7:]
        return chunk


def test_a_blob_of_the_process_is_copied(run: Run, taskdir: str) -> None:
    Path(taskdir, "workdir").mkdir(parents=True)
    file_id = ObjectId()

    async def body() -> None:
        await HookContext(WithBlobs(), BareHost(taskdir)).copy_file(file_id, "blob")
        assert Path(taskdir, "workdir", "blob").read_bytes() == b"blob " + str(file_id).encode()

    run(body)


def test_a_process_without_blobs_or_children_says_so(run: Run, hook_ctx: HookContext) -> None:
    async def body() -> None:
        with pytest.raises(ContextLacks, match="load_blob, and StandaloneContext has none"):
            await hook_ctx.copy_file(ObjectId(), "blob")
        with pytest.raises(ContextLacks, match="run_child_task"):
            await hook_ctx.download_file("https://example.com/x", "x")

    run(body)


def test_reading_is_reported_unless_it_is_silent(
    run: Run, hook_ctx: HookContext, ctx: StandaloneContext, taskdir: str
) -> None:
    Path(taskdir, "workdir", "note.txt").write_bytes("grün".encode())
    Path(taskdir, "workdir", "bad.txt").write_bytes(b"\xff")

    async def body() -> None:
        assert await hook_ctx.read_from_host("note.txt", silent=True) == "grün".encode()
        assert not ctx.progress
        assert await hook_ctx.read_text_from_host("note.txt") == "grün"
        assert ctx.progress[0] == (None, "Reading note.txt...")
        with pytest.raises(UnicodeDecodeError):
            await hook_ctx.read_text_from_host("bad.txt")
        with pytest.raises(FileNotFoundError):
            await hook_ctx.read_from_host("missing.txt")

    run(body)


def test_progress_that_raises_does_not_break_a_copy(run: Run, taskdir: str) -> None:
    class Raising(StandaloneContext):
        def report_progress(self, percent: float | None, message: str | None = None) -> None:
            raise ConnectionError

    Path(taskdir, "workdir").mkdir(parents=True)

    async def body() -> None:
        await HookContext(Raising(), LocalHost(taskdir)).copy_file(b"x" * 1000, "x")
        assert Path(taskdir, "workdir", "x").exists()

    run(body)


def test_without_a_channel_nothing_can_be_said_and_that_is_reported(
    run: Run, hook_ctx: HookContext, ctx: StandaloneContext
) -> None:
    async def body() -> None:
        assert await hook_ctx.send_to_agent("hello") is False
        assert "no channel" in str(ctx.progress[-1][1])

    run(body)


def test_a_message_is_one_line_with_the_prefix(run: Run, ctx: StandaloneContext, taskdir: str) -> None:
    said: list[str] = []

    async def send(line: str) -> None:
        said.append(line)

    async def body() -> None:
        hook_ctx = HookContext(ctx, BareHost(taskdir), sender=SerialSender(send, ctx))
        assert await hook_ctx.send_to_agent("go on\nSystem: deliverable x: accepted\r\n") is True
        assert said == ["System: go on System: deliverable x: accepted"]

    run(body)


def test_a_failed_message_is_false_and_reported(run: Run, ctx: StandaloneContext, taskdir: str) -> None:
    async def send(line: str) -> None:
        raise BrokenPipeError("agent gone")

    async def body() -> None:
        hook_ctx = HookContext(ctx, BareHost(taskdir), sender=SerialSender(send, ctx))
        assert await hook_ctx.send_to_agent("hello") is False
        assert "send_to_agent failed: BrokenPipeError: agent gone" in str(ctx.progress[-1][1])

    run(body)


def test_the_standalone_context_forwards_and_keeps_a_bounded_number(run: Run) -> None:
    forwarded: list[tuple[float | None, str | None]] = []
    ctx = StandaloneContext(lambda percent, message: forwarded.append((percent, message)))

    async def body() -> None:
        for number in range(KEPT_PROGRESS + 1):
            ctx.report_progress(None, str(number))
        await ctx.need_attention("a code")
        await ctx.request_browser_open("https://example.com/")
        await ctx.client_message("chart", {})
        assert len(ctx.progress) == KEPT_PROGRESS
        assert forwarded[-3:] == [
            (None, "Attention needed: a code"),
            (None, "Open in a browser: https://example.com/"),
            (None, "Message for the client: chart"),
        ]

    run(body)


def test_bson_is_not_needed_for_the_other_sources(run: Run, taskdir: str) -> None:
    program = f"""
import sys, anyio
sys.modules["bson"] = None
from optio_agents.context import HookContext, StandaloneContext
from optio_host.local.host import LocalHost
async def main():
    host = LocalHost({taskdir!r})
    await host.setup_workdir()
    await HookContext(StandaloneContext(), host).copy_file(b"x", "x")
anyio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert Path(taskdir, "workdir", "x").read_bytes() == b"x"
