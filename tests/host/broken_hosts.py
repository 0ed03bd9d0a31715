"""Hosts that break one promise each, in the ways that hosts of this kind have."""

import asyncio
import os
import signal
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from shlex import quote

from optio_host.cursor import START, Cursor
from optio_host.host import OUTPUT_LIMIT, EndOfWriting, Followed, ProcessHandle, ProgressCallback, RunResult, Source
from optio_host.lines import DEFAULT_LINE_LIMIT, Line
from optio_host.local.host import LocalHost

Env = dict[str, str] | None


class StderrIntoStdout(LocalHost):
    async def run_command(self, command: str, **options: object) -> RunResult:  # type: ignore[override]
        done = await super().run_command(command, **options)  # type: ignore[arg-type]
        return RunResult(done.stdout + done.stderr, "", done.exit_code)


class SignalsAsShellsCountThem(LocalHost):
    async def run_command(self, command: str, **options: object) -> RunResult:  # type: ignore[override]
        done = await super().run_command(command, **options)  # type: ignore[arg-type]
        return RunResult(done.stdout, done.stderr, done.exit_code if done.exit_code >= 0 else 128 - done.exit_code)


class OneBadByteAndNothing(LocalHost):
    async def run_command(self, command: str, **options: object) -> RunResult:  # type: ignore[override]
        done = await super().run_command(command, **options)  # type: ignore[arg-type]
        return RunResult("" if "\ufffd" in done.stdout else done.stdout, done.stderr, done.exit_code)


class SecretsOnTheCommandLine(LocalHost):
    async def run_command(self, command: str, *, env: Env = None, **options: object) -> RunResult:  # type: ignore[override]
        words = " ".join(f"{name}={quote(value)}" for name, value in (env or {}).items())
        return await super().run_command(f"env {words} /bin/sh -c {quote(command)}", **options)  # type: ignore[arg-type]


class KillsTheShellOnly(LocalHost):
    async def terminate_subprocess(self, handle: ProcessHandle, *, aggressive: bool) -> None:
        os.kill(handle.pid_like.pid, signal.SIGKILL)  # type: ignore[attr-defined]


class WritesInPlace(LocalHost):
    async def put_file_to_host(  # type: ignore[override]
        self, source: Source, absolute_target: str, *, expected_sha256: str | None = None, **options: object
    ) -> None:
        if isinstance(source, bytes):
            Path(absolute_target).write_bytes(source)
        await super().put_file_to_host(source, absolute_target, expected_sha256=expected_sha256)


class CopiesAgain(LocalHost):
    async def put_file_to_host(  # type: ignore[override]
        self, source: Source, absolute_target: str, *, skip_if_unchanged: bool = False, **options: object
    ) -> None:
        await super().put_file_to_host(source, absolute_target, **options)  # type: ignore[arg-type]


class QuotesNothing(LocalHost):
    async def remove_file(self, path: str) -> None:
        await self.run_command(f"rm -f {path}", cwd="/")


class ReadsWhateverItIs(LocalHost):
    async def fetch_bytes_from_host(self, absolute_path: str, *, progress_cb: ProgressCallback | None = None) -> bytes:
        file = os.open(absolute_path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.read(file, 1_000_000)
        finally:
            os.close(file)


class TrustsThePath(LocalHost):
    async def write_text(self, relpath: str, content: str) -> None:
        path = Path(self.workdir, relpath)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


class ExtractsAll(LocalHost):
    async def restore_workdir(self, stream: AsyncIterator[bytes]) -> None:
        stored = Path(self.taskdir, "archive")
        stored.write_bytes(b"".join([chunk async for chunk in stream]))
        with tarfile.open(stored) as archive:
            archive.extractall(self.workdir)
        stored.unlink()


class CutsLongLines(LocalHost):
    async def launch_subprocess(self, command: str, **options: object) -> ProcessHandle:  # type: ignore[override]
        handle = await super().launch_subprocess(command, **options)  # type: ignore[arg-type]
        return ProcessHandle(handle.pid_like, pieces(handle.stdout), handle.stderr, handle.stdin)


async def pieces(lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    async for line in lines:
        for start in range(0, len(line), 2_097_152):
            yield line[start : start + 2_097_152]


class ForgetsItsPlace(LocalHost):
    def follow(
        self,
        path: str,
        cursor: Cursor = START,
        *,
        limit: int = DEFAULT_LINE_LIMIT,
        until: EndOfWriting | None = None,
    ) -> AsyncGenerator[tuple[Followed, Cursor]]:
        return super().follow(path, START, limit=limit, until=until)


class HalfALineIsALine(LocalHost):
    async def follow(  # type: ignore[override]
        self, path: str, cursor: Cursor = START, **options: object
    ) -> AsyncGenerator[tuple[Followed, Cursor]]:
        offset = cursor.offset
        while True:
            for line in Path(path).read_bytes()[offset:].splitlines(keepends=True):
                offset += len(line)
                yield Line(line.rstrip(b"\r\n"), offset), Cursor("", offset)
            await asyncio.sleep(0.01)


class AnotherPort(LocalHost):
    async def establish_tunnel(self, remote_port: int, *, bind_addr: str = "127.0.0.1") -> int:
        return remote_port + 1


class InheritsEverything(LocalHost):
    async def launch_subprocess(self, command: str, **options: object) -> ProcessHandle:  # type: ignore[override]
        return await super().launch_subprocess(command, **{**options, "env_remove": None})  # type: ignore[arg-type]


class DropsTheLastByteOfInput(LocalHost):
    async def run_command(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Env = None,
        input: bytes | None = None,
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> RunResult:
        return await super().run_command(
            command, cwd=cwd, env=env, input=input and input[:-1], timeout=timeout, output_limit=output_limit
        )


class StreamsBlindly(LocalHost):
    async def stream_file(  # type: ignore[override]
        self, path: str, *, within: str | None = None, max_bytes: int | None = None
    ) -> AsyncGenerator[bytes]:
        offset = 0
        while chunk := Path(path).read_bytes()[offset : offset + 1_000_000]:
            offset += len(chunk)
            yield chunk


class Hangs(LocalHost):
    async def resolve_host_home(self) -> str:
        await asyncio.Event().wait()
        raise AssertionError


class PublishedOnly:
    """No more than the published surface: what a task author's own host has."""

    def __init__(self, host: LocalHost) -> None:
        self._host = host
        self.taskdir = host.taskdir
        self.workdir = host.workdir
        for name in (
            "connect", "disconnect", "setup_workdir", "write_text", "establish_tunnel", "tail_file", "cleanup_taskdir",
            "launch_subprocess", "terminate_subprocess", "remove_file", "put_file_to_host", "fetch_bytes_from_host",
            "resolve_host_home", "archive_workdir", "restore_workdir",
        ):  # fmt: skip
            setattr(self, name, getattr(host, name))

    async def run_command(
        self, command: str, *, cwd: str | None = None, env: dict[str, str] | None = None
    ) -> RunResult:
        done = await self._host.run_command(command, cwd=cwd, env=env)
        return RunResult(done.stdout, done.stderr, done.exit_code)
