"""This machine as a host."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from ..clock import SYSTEM_CLOCK, Clock
from ..cursor import START, Cursor
from ..errors import HostError
from ..host import (
    OUTPUT_LIMIT,
    TERMINATE_GRACE,
    EndOfWriting,
    Followed,
    ProcessHandle,
    ProgressCallback,
    RunResult,
    Source,
)
from ..lines import DEFAULT_LINE_LIMIT
from ..tail import as_text
from . import files, stream
from .follow import follow
from .process import Child, run_to_end, start
from .watcher import Watcher

if TYPE_CHECKING:
    from ..trees import TreeCopy


class LocalHost:
    """Runs commands and reads and writes files on this machine. Implements `optio_host.Host` and what goes beyond it.

    Parameters:
        taskdir: absolute path of the directory that belongs to one task; its `workdir` is where commands run.
        clock: time, for tests.
    """

    def __init__(self, taskdir: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.taskdir = os.path.abspath(taskdir)
        self.workdir = os.path.join(self.taskdir, "workdir")
        self._clock = clock
        self._watcher = Watcher(clock)
        self._children: list[Child] = []

    def at(self, taskdir: str) -> "LocalHost":
        """A host on another task directory that shares this one's watcher."""
        other = LocalHost(taskdir, clock=self._clock)
        other._watcher = self._watcher
        return other

    async def connect(self) -> None:
        """Nothing to do on this machine."""

    async def disconnect(self) -> None:
        """Let go of the pipes of launched processes. The processes are the caller's to end."""
        while self._children:
            self._children.pop().close()

    async def setup_workdir(self) -> None:
        """Create the task directory and the workdir, each with mode 0700."""
        for directory in (self.taskdir, self.workdir):
            os.makedirs(directory, mode=0o700, exist_ok=True)
            os.chmod(directory, 0o700)

    async def cleanup_taskdir(self, aggressive: bool) -> None:
        """Remove the task directory. aggressive: what cannot be removed is left behind without an error."""
        try:
            await anyio.to_thread.run_sync(files.remove_tree, self.taskdir)
        except OSError:
            if not aggressive:
                raise

    async def resolve_host_home(self) -> str:
        """The home directory of this user."""
        return str(Path.home())

    async def establish_tunnel(self, remote_port: int, *, bind_addr: str = "127.0.0.1") -> int:
        """The port itself: what listens on this machine is reachable already."""
        return remote_port

    async def run_command(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        input: bytes | None = None,
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> RunResult:
        """See `optio_host.host.RunsCommands.run_command`."""
        child = start(command, cwd=self._directory(cwd), env=env, stdin=input is not None)
        return await run_to_end(child, input=input, timeout=timeout, output_limit=output_limit, clock=self._clock)

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
        """Start a command and return at once; see `optio_host.Host.launch_subprocess`."""
        child = start(
            command,
            cwd=self._directory(cwd),
            env=env,
            env_remove=env_remove,
            merge_stderr=merge_stderr,
            stdin=stdin,
        )
        self._children.append(child)
        return ProcessHandle(
            child.process, child.stdout.lines(), child.stderr.lines() if child.stderr else None, child.stdin
        )

    async def terminate_subprocess(self, handle: ProcessHandle, *, aggressive: bool) -> None:
        """End a process and all its children: TERM, then KILL after 5 s; aggressive: KILL at once.

        Raises ProcessesSurvived when something of it is still there.
        """
        for child in self._children:
            if child.process is handle.pid_like:
                await child.process.end(grace=0 if aggressive else TERMINATE_GRACE, clock=self._clock)
                if child.stdin:
                    child.stdin.abandon()
                return
        raise HostError(f"{handle.pid_like!r}: this process was not launched by this host, so it cannot be ended here")

    def follow(
        self,
        path: str,
        cursor: Cursor = START,
        *,
        limit: int = DEFAULT_LINE_LIMIT,
        until: EndOfWriting | None = None,
    ) -> AsyncGenerator[tuple[Followed, Cursor]]:
        """See `optio_host.host.FollowsFiles.follow`."""
        return follow(self._watcher, path, cursor, limit=limit, until=until)

    def tail_file(self, absolute_path: str) -> AsyncGenerator[str]:
        """Every line from the first on, then each as it is appended, without line ends. Never ends."""
        return as_text(self.follow(absolute_path))

    async def write_text(self, relpath: str, content: str) -> None:
        """Write a text file below the workdir; ValueError if it would leave it."""
        await files.write_text(self.workdir, relpath, content)

    async def remove_file(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""
        await files.remove_file(path)

    async def put_file_to_host(
        self,
        source: Source,
        absolute_target: str,
        *,
        expected_sha256: str | None = None,
        skip_if_unchanged: bool = False,
        progress_cb: ProgressCallback | None = None,
    ) -> None:
        """See `optio_host.Host.put_file_to_host`."""
        await files.put_file(
            source,
            absolute_target,
            expected_sha256=expected_sha256,
            skip_if_unchanged=skip_if_unchanged,
            progress_cb=progress_cb,
        )

    async def fetch_bytes_from_host(self, absolute_path: str, *, progress_cb: ProgressCallback | None = None) -> bytes:
        """See `optio_host.Host.fetch_bytes_from_host`."""
        return await stream.fetch_bytes(absolute_path, progress_cb=progress_cb)

    def stream_file(
        self, path: str, *, within: str | None = None, max_bytes: int | None = None
    ) -> AsyncGenerator[bytes]:
        """See `optio_host.host.StreamsFiles.stream_file`."""
        return stream.stream_file(path, within=within, max_bytes=max_bytes)

    async def put_tree(
        self,
        source: str,
        target: str,
        *,
        exclude: Sequence[str] = (),
        delete: bool = False,
        by_content: bool = False,
        progress_cb: ProgressCallback | None = None,
    ) -> "TreeCopy":
        """See `optio_host.host.CopiesTrees.put_tree`."""
        from .trees import copy_tree

        return await copy_tree(
            source, target, exclude=exclude, delete=delete, by_content=by_content, progress_cb=progress_cb
        )

    async def get_tree(
        self,
        source: str,
        target: str,
        *,
        exclude: Sequence[str] = (),
        delete: bool = False,
        by_content: bool = False,
        progress_cb: ProgressCallback | None = None,
    ) -> "TreeCopy":
        """See `optio_host.host.CopiesTrees.get_tree`."""
        from .trees import copy_tree

        return await copy_tree(
            source, target, exclude=exclude, delete=delete, by_content=by_content, progress_cb=progress_cb
        )

    def archive_workdir(self, exclude: Sequence[str] | None) -> AsyncIterator[bytes]:
        """The workdir as a gzip-compressed tar, in chunks."""
        from ..archive import yield_workdir_archive

        return yield_workdir_archive(self.workdir, exclude)

    async def restore_workdir(self, stream: AsyncIterator[bytes]) -> None:
        """Replace the content of the workdir by that of such an archive."""
        from ..archive import consume_workdir_archive

        await consume_workdir_archive(stream, self.workdir)

    def _directory(self, cwd: str | None) -> str:
        return os.path.join(self.workdir, cwd) if cwd else self.workdir
