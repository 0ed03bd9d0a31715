"""What the hooks of a task type get: the process they are part of and the host they work on, in one object."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Literal, Protocol, overload, runtime_checkable
from uuid import uuid4

from optio_host.errors import HostCommandError
from optio_host.host import Host, ProgressCallback, RunResult, Source

from .errors import ContextLacks
from .process_context import BlobReader, LoadsBlobs, ProcessContext, RunsChildTasks, StandaloneContext, tell
from .protocol.replies import SYSTEM_MESSAGE_PREFIX, system_line
from .protocol.sender import SerialSender

if TYPE_CHECKING:
    from bson import ObjectId

__all__ = [
    "SYSTEM_MESSAGE_PREFIX",
    "HookContext",
    "HookContextProtocol",
    "ProcessContext",
    "StandaloneContext",
]

BLOB_CHUNK = 1024 * 1024
"""Bytes read at a time from a stored blob."""

ALREADY_UP_TO_DATE = "already up to date"
"""What a host says of a copy that it skipped; part of the published contract."""


@runtime_checkable
class HookContextProtocol(Protocol):
    """What hooks may rely on, for type annotations and for fakes of it."""

    browser_launch_env: dict[str, str]

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        """See `ProcessContext.report_progress`."""
        ...

    def should_continue(self) -> bool:
        """See `ProcessContext.should_continue`."""
        ...

    async def run_on_host(
        self, command: str, *, check: bool = True, capture_stderr: bool = False, cwd: str | None = None
    ) -> str | RunResult:
        """See `HookContext.run_on_host`."""
        ...

    async def copy_file(
        self, source: "Source | ObjectId", target: str | PurePath, *, skip_if_unchanged: bool = False
    ) -> None:
        """See `HookContext.copy_file`."""
        ...

    async def read_from_host(self, path: str | PurePath, *, silent: bool = False) -> bytes:
        """See `HookContext.read_from_host`."""
        ...

    async def read_text_from_host(self, path: str | PurePath, *, silent: bool = False) -> str:
        """See `HookContext.read_text_from_host`."""
        ...

    async def download_file(
        self, url: str, target: str | PurePath, *, description: str | None = None, cleanup_on_fail: bool = True
    ) -> None:
        """See `HookContext.download_file`."""
        ...

    async def send_to_agent(self, message: str) -> bool:
        """See `HookContext.send_to_agent`."""
        ...


class HookContext:
    """The process and the host of one session. Any attribute it has not itself is the one of the process context.

    Paths on the host: an absolute path is taken as it is; `~` and `~/x` begin at the home directory there; anything
    else is below the workdir. ValueError for an empty path, for one with a NUL, and for `..` below the workdir.

    Parameters:
        ctx: the process context.
        host: the host of the session.
        sender: the way to the agent; None: there is none.

    Attributes:
        browser_launch_env: additions to the agent's environment that make it find the session's browser launchers.
    """

    def __init__(self, ctx: ProcessContext, host: Host, *, sender: SerialSender | None = None) -> None:
        self._ctx = ctx
        self._host = host
        self._sender = sender
        self.browser_launch_env: dict[str, str] = {}

    def __getattr__(self, name: str) -> object:
        # copy and pickle look for attributes before __init__ has run.
        if name.startswith("__") or "_ctx" not in self.__dict__:
            raise AttributeError(name)
        try:
            return getattr(self._ctx, name)
        except AttributeError:
            kind = type(self._ctx).__name__
            raise AttributeError(f"neither the hook context nor the {kind} in it has {name!r}") from None

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        """See `ProcessContext.report_progress`."""
        self._ctx.report_progress(percent, message)

    def should_continue(self) -> bool:
        """See `ProcessContext.should_continue`."""
        return self._ctx.should_continue()

    @overload
    async def run_on_host(
        self, command: str, *, check: Literal[True] = True, capture_stderr: bool = False, cwd: str | None = None
    ) -> str: ...

    @overload
    async def run_on_host(
        self, command: str, *, check: Literal[False], capture_stderr: bool = False, cwd: str | None = None
    ) -> RunResult: ...

    @overload
    async def run_on_host(
        self, command: str, *, check: bool, capture_stderr: bool = False, cwd: str | None = None
    ) -> str | RunResult: ...

    async def run_on_host(
        self, command: str, *, check: bool = True, capture_stderr: bool = False, cwd: str | None = None
    ) -> str | RunResult:
        """Run a command on the host to its end.

        Parameters:
            command: for /bin/sh.
            check: True: return what it wrote, raise HostCommandError on a non-zero exit. False: return the RunResult.
            capture_stderr: append what it wrote to stderr to the returned text.
            cwd: directory; the workdir if None.
        """
        result = await self._host.run_command(command, cwd=cwd)
        if not check:
            return result
        if result.exit_code != 0:
            raise HostCommandError(command, result.exit_code, result.stdout, result.stderr)
        return result.stdout + result.stderr if capture_stderr else result.stdout

    async def copy_file(
        self, source: "Source | ObjectId", target: str | PurePath, *, skip_if_unchanged: bool = False
    ) -> None:
        """Copy to a file of the host, reporting progress. Raises what `Host.put_file_to_host` raises.

        Parameters:
            source: a path on this machine, the bytes, an async iterator of bytes, or the id of a blob that the process
                context can load.
            target: path on the host.
            skip_if_unchanged: copy nothing when the target has these bytes already.
        """
        path = await self._path_on_host(target)
        name = PurePosixPath(path).name
        if not isinstance(source, str | Path | bytes | AsyncIterator):
            source = self._blob(source)
        tell(self._ctx, None, f"Copying {name}...")
        progress = _copy_progress(self._ctx, name)
        await self._host.put_file_to_host(source, path, skip_if_unchanged=skip_if_unchanged, progress_cb=progress)

    async def read_from_host(self, path: str | PurePath, *, silent: bool = False) -> bytes:
        """The content of a file of the host; FileNotFoundError when it is not there. silent: report no progress."""
        there = await self._path_on_host(path)
        if silent:
            return await self._host.fetch_bytes_from_host(there)
        tell(self._ctx, None, f"Reading {PurePosixPath(there).name}...")
        return await self._host.fetch_bytes_from_host(there, progress_cb=lambda done, text: tell(self._ctx, done, text))

    async def read_text_from_host(self, path: str | PurePath, *, silent: bool = False) -> str:
        """The same as text; UnicodeDecodeError when it is not UTF-8."""
        return (await self.read_from_host(path, silent=silent)).decode()

    async def download_file(
        self, url: str, target: str | PurePath, *, description: str | None = None, cleanup_on_fail: bool = True
    ) -> None:
        """Let the host download a file, as a child task of this process.

        Parameters:
            url: what to download.
            target: path on the host.
            description: what the child task says of itself.
            cleanup_on_fail: remove the partial file of a failed download.

        Raises ContextLacks when the process cannot have child tasks; else what the context raises for a failed one.
        """
        path = await self._path_on_host(target)
        if not isinstance(self._ctx, RunsChildTasks):
            raise ContextLacks(self._ctx, "run_child_task", "download_file")
        from optio_host.download import create_download_task

        parent = getattr(self._ctx, "process_id", "session")
        task = create_download_task(
            f"{parent}.download-{uuid4().hex[:12]}",
            f"Download {PurePosixPath(path).name}",
            url=url,
            target=path,
            host=self._host,
            description=description,
            cleanup_on_fail=cleanup_on_fail,
        )
        await self._ctx.run_child_task(task)

    async def send_to_agent(self, message: str) -> bool:
        """Say something to the agent, as one line beginning with `System: `; line ends become blanks.

        Whether it was handed over; when it was not, a progress report says why.
        """
        line = system_line(message)
        if self._sender is None:
            tell(self._ctx, None, f"this session has no channel to the agent; not sent: {line}")
            return False
        return await self._sender.send(line)

    async def _path_on_host(self, path: str | PurePath) -> str:
        text = os.fspath(path)
        if not text or "\0" in text:
            raise ValueError(f"{text!r}: a path on the host is not empty and has no NUL")
        if text.startswith("/"):
            return text
        if text == "~" or text.startswith("~/"):
            return await self._host.resolve_host_home() + text[1:]
        if ".." in text.split("/"):
            raise ValueError(f"{text!r}: '..' would lead out of the workdir; name the file by an absolute path")
        return f"{self._host.workdir}/{text}"

    def _blob(self, file_id: "ObjectId") -> AsyncIterator[bytes]:
        from bson import ObjectId

        if not isinstance(file_id, ObjectId):
            raise TypeError(
                f"copy_file from {type(file_id).__name__}: pass a path, bytes, an async iterator or an ObjectId"
            )
        if not isinstance(self._ctx, LoadsBlobs):
            raise ContextLacks(self._ctx, "load_blob", "copy_file from an ObjectId")
        return _chunks(self._ctx.load_blob(file_id))


async def _chunks(opening: AbstractAsyncContextManager[BlobReader]) -> AsyncIterator[bytes]:
    async with opening as blob:
        while chunk := await blob.read(BLOB_CHUNK):
            yield chunk


def _copy_progress(ctx: ProcessContext, name: str) -> ProgressCallback:
    """What a host says of a copy, in the words of the published reports."""
    verifying = False

    def progress(percent: float | None, message: str | None) -> None:
        nonlocal verifying
        if message == ALREADY_UP_TO_DATE:
            tell(ctx, percent, f"Already up to date: {name}")
        elif not verifying and percent is not None and percent >= 99:
            # The bytes are over; what is left is to hash, flush and rename.
            verifying = True
            tell(ctx, percent, f"Verifying {name}...")
        else:
            tell(ctx, percent, message)

    return progress
