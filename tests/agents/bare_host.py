"""A host with the published methods and nothing more, as the author of a task type writes one for their own tests."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio

from optio_host.host import ProcessHandle, ProgressCallback, RunResult, Source


class BareHost:
    """Files are files below `taskdir`, commands are run by a shell. Not quick, not safe, not restartable."""

    def __init__(self, taskdir: str) -> None:
        self.taskdir = taskdir
        self.workdir = f"{taskdir}/workdir"
        self.commands: list[str] = []
        self._appended = anyio.Event()

    def append(self, path: str, data: bytes) -> None:
        """Append to a file, as an agent would, and wake whoever tails it. For tests; no method of a host."""
        with open(path, "ab") as file:
            file.write(data)
        self._appended.set()
        self._appended = anyio.Event()

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    async def setup_workdir(self) -> None:
        os.makedirs(self.workdir, mode=0o700)

    async def write_text(self, relpath: str, content: str) -> None:
        target = Path(self.workdir, relpath)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    async def establish_tunnel(self, remote_port: int, *, bind_addr: str = "127.0.0.1") -> int:
        return remote_port

    async def tail_file(self, absolute_path: str) -> AsyncIterator[str]:
        seen = 0
        while True:
            appended = self._appended
            lines = Path(absolute_path).read_bytes().split(b"\n")[:-1]
            for line in lines[seen:]:
                seen += 1
                yield line.decode("utf-8", "replace")
            await appended.wait()

    async def cleanup_taskdir(self, aggressive: bool) -> None:
        if os.path.lexists(self.taskdir):
            shutil.rmtree(self.taskdir, ignore_errors=aggressive)

    async def launch_subprocess(
        self,
        command: str,
        *,
        env: dict[str, str] | None = None,
        env_remove: Sequence[str] | None = None,
        cwd: str | None = None,
        merge_stderr: bool = True,
        stdin: bool = False,
    ) -> ProcessHandle:
        process = await asyncio.create_subprocess_shell(command, cwd=self.workdir, stdout=subprocess.PIPE)
        assert process.stdout is not None
        return ProcessHandle(process, process.stdout)

    async def terminate_subprocess(self, handle: ProcessHandle, *, aggressive: bool) -> None:
        raise NotImplementedError

    async def remove_file(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    async def put_file_to_host(
        self,
        source: Source,
        absolute_target: str,
        *,
        expected_sha256: str | None = None,
        skip_if_unchanged: bool = False,
        progress_cb: ProgressCallback | None = None,
    ) -> None:
        if isinstance(source, str | Path):
            content = await anyio.Path(source).read_bytes()
        elif isinstance(source, bytes):
            content = source
        else:
            content = b"".join([chunk async for chunk in source])
        target = anyio.Path(absolute_target)
        if skip_if_unchanged and await target.exists() and await target.read_bytes() == content:
            if progress_cb:
                progress_cb(None, "already up to date")
            return
        await target.write_bytes(content)
        if progress_cb:
            progress_cb(100.0, None)

    async def fetch_bytes_from_host(self, absolute_path: str, *, progress_cb: ProgressCallback | None = None) -> bytes:
        return await anyio.Path(absolute_path).read_bytes()

    async def run_command(
        self, command: str, *, cwd: str | None = None, env: dict[str, str] | None = None
    ) -> RunResult:
        self.commands.append(command)
        done = await anyio.run_process(["/bin/sh", "-c", command], cwd=cwd or self.workdir, env=env, check=False)
        return RunResult(
            done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"), done.returncode
        )

    async def resolve_host_home(self) -> str:
        return f"{self.taskdir}/home"

    async def archive_workdir(self, exclude: Sequence[str]) -> AsyncIterator[bytes]:
        raise NotImplementedError
        yield b""

    async def restore_workdir(self, stream: AsyncIterator[bytes]) -> None:
        raise NotImplementedError


class PaperHost(BareHost):
    """The same for tests that run nothing: no command does anything, and all of them succeed."""

    async def run_command(
        self, command: str, *, cwd: str | None = None, env: dict[str, str] | None = None
    ) -> RunResult:
        self.commands.append(command)
        return RunResult("", "", 0)
