"""The contract of a host, and the small values that go in and out of it.

`Host` is the published surface: a task author's own fake host has these methods and no others. What a host can do
beyond it is a protocol of its own (`FollowsFiles`, `StreamsFiles`), asked for with `isinstance` and never assumed.

Rules that hold on every host: commands are run by /bin/sh with the environment of the login (here: of this process)
and the additions given; the directory is the workdir unless `cwd` says otherwise, and a relative `cwd` is below the
workdir; every command stands in a session of its own, so that ending it ends its children too.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from .cursor import START, Cursor
from .errors import HostCommandError
from .lines import DEFAULT_LINE_LIMIT, Line, LongLine
from .outcome import Outcome
from .types import SSHConfig

if TYPE_CHECKING:
    from .trees import TreeCopy

__all__ = [
    "CopiesTrees",
    "EndOfWriting",
    "FileReset",
    "Followed",
    "FollowsFiles",
    "Host",
    "HostCommandError",
    "LinkState",
    "ProcessHandle",
    "ProgressCallback",
    "ReportsLink",
    "RunResult",
    "RunsCommands",
    "Source",
    "StreamsFiles",
    "make_host",
    "proc_wait",
]

ProgressCallback = Callable[[float | None, str | None], None]
"""Called with (percent from 0 to 100 or None when unknown, message or None)."""

Source = str | Path | bytes | AsyncIterator[bytes]
"""What a copy may come from: a path on this machine, the bytes themselves, or a stream of them."""


@dataclass
class RunResult:
    """What a finished command left.

    Attributes:
        stdout: what it wrote, decoded as UTF-8; a byte that is not UTF-8 becomes U+FFFD. Past the limit the head and
            the tail are kept, and a line between them says how much was left out.
        stderr: likewise.
        exit_code: its exit code, the negative signal number if a signal ended it; see `outcome.exit_code`.
        outcome: the same as a closed union; None from a host that does not tell.
        stdout_dropped: bytes of stdout that were left out.
        stderr_dropped: bytes of stderr that were left out.
    """

    stdout: str
    stderr: str
    exit_code: int
    outcome: Outcome | None = None
    stdout_dropped: int = 0
    stderr_dropped: int = 0


class Waitable(Protocol):
    """A process that can be waited for: what `ProcessHandle.pid_like` is on every host."""

    async def wait(self) -> int:
        """Return the exit code once it has ended; a negative one is a signal."""
        ...


class ProcessInput(Protocol):
    """The writing end of a process's stdin."""

    def write(self, data: bytes) -> None:
        """Queue bytes for the process."""
        ...

    async def drain(self) -> None:
        """Return when the process has taken enough of what was queued."""
        ...

    def close(self) -> None:
        """Give end of input once what was queued is written."""
        ...

    async def wait_closed(self) -> None:
        """Return when that has happened."""
        ...


@dataclass
class ProcessHandle:
    """A process that was launched on a host.

    Attributes:
        pid_like: what stands for the process; hand it to `proc_wait` or `terminate_subprocess`.
        stdout: its output as lines of bytes with their line ends.
        stderr: likewise; None when merged into stdout.
        stdin: its input; None unless asked for.
    """

    pid_like: Waitable
    stdout: AsyncIterator[bytes]
    stderr: AsyncIterator[bytes] | None = None
    stdin: ProcessInput | None = None


async def proc_wait(handle: ProcessHandle) -> int:
    """Wait for a launched process on any kind of host; its exit code, negative for a signal."""
    return await handle.pid_like.wait()


@dataclass(frozen=True, slots=True)
class FileReset:
    """A followed file is not the one it was: what comes next is read from the beginning of what is there now.

    Attributes:
        reason: how it was noticed.
        dropped: bytes of an unfinished line of the old content that will never be completed.
    """

    reason: Literal["truncated", "replaced", "rewritten"]
    dropped: int


Followed = Line | LongLine | FileReset


class EndOfWriting(Protocol):
    """An event that says that nobody writes to a file any more, such as `anyio.Event`."""

    def is_set(self) -> bool:
        """Whether it has happened."""
        ...

    def wait(self) -> Awaitable[object]:
        """Return when it has happened."""
        ...


@runtime_checkable
class Host(Protocol):
    """A place where commands run and files live. Paths are absolute paths on that host unless it says otherwise."""

    taskdir: str
    workdir: str

    async def connect(self) -> None:
        """Make the host ready for use, also after `disconnect`. Calling it again does nothing."""
        ...

    async def disconnect(self) -> None:
        """Let go of everything held for this host: connections, watchers, local children of `run_command`."""
        ...

    async def setup_workdir(self) -> None:
        """Create the task directory and the workdir, each with mode 0700."""
        ...

    async def write_text(self, relpath: str, content: str) -> None:
        """Write a text file below the workdir, as UTF-8, creating its parents; ValueError if it would leave it."""
        ...

    async def establish_tunnel(self, remote_port: int, *, bind_addr: str = "127.0.0.1") -> int:
        """Make a TCP port of the host reachable from here; the port to connect to on this machine."""
        ...

    def tail_file(self, absolute_path: str) -> AsyncIterator[str]:
        """Every line of a file from the first on, then each as it is appended, without line ends. Never ends."""
        ...

    async def cleanup_taskdir(self, aggressive: bool) -> None:
        """Remove the task directory. aggressive: what cannot be removed is left behind without an error."""
        ...

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
        """Start a command and return at once. env_remove: glob patterns of inherited names to drop."""
        ...

    async def terminate_subprocess(self, handle: ProcessHandle, *, aggressive: bool) -> None:
        """End a process and all its children: TERM, then KILL after 5 s; aggressive: KILL at once."""
        ...

    async def remove_file(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""
        ...

    async def put_file_to_host(
        self,
        source: Source,
        absolute_target: str,
        *,
        expected_sha256: str | None = None,
        skip_if_unchanged: bool = False,
        progress_cb: ProgressCallback | None = None,
    ) -> None:
        """Copy to the host: whole, verified and in one step, or not at all (TransferFailed)."""
        ...

    async def fetch_bytes_from_host(self, absolute_path: str, *, progress_cb: ProgressCallback | None = None) -> bytes:
        """The content of a file; FileNotFoundError when it is not there, FileRefused when it is no regular file."""
        ...

    async def run_command(
        self, command: str, *, cwd: str | None = None, env: dict[str, str] | None = None
    ) -> RunResult:
        """Run a command to its end. Never raises for a non-zero exit."""
        ...

    async def resolve_host_home(self) -> str:
        """The home directory of the user on that host."""
        ...

    def archive_workdir(self, exclude: Sequence[str] | None) -> AsyncIterator[bytes]:
        """The workdir as a gzip-compressed tar, in chunks; None leaves out `archive.DEFAULT_WORKDIR_EXCLUDES`."""
        ...

    async def restore_workdir(self, stream: AsyncIterator[bytes]) -> None:
        """Empty the workdir, then extract such an archive into it."""
        ...


OUTPUT_LIMIT = 16 * 1024 * 1024
"""Bytes kept of each output stream of a command unless the caller says otherwise: half from the head, half the tail."""


TERMINATE_GRACE = 5.0
"""Seconds between TERM and KILL in `terminate_subprocess`, as published."""

KILL_GRACE = 2.0
"""Seconds between TERM and KILL for a command that timed out or whose caller was cancelled."""


class RunsCommands(Protocol):
    """A host whose `run_command` takes input and holds limits."""

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
        """Run a command to its end: its own exit, or the end of its tree after `timeout` seconds (`TimedOut`).

        Parameters:
            command: for /bin/sh -c.
            cwd: directory; relative to the workdir; the workdir if None.
            env: additions to the inherited environment.
            input: what it reads from stdin; None is an empty stdin.
            timeout: seconds until its whole process tree is killed.
            output_limit: bytes kept of each of stdout and stderr.
        """
        ...


@runtime_checkable
class FollowsFiles(Protocol):
    """A host that can follow a file from any position, which is what makes a reader restartable."""

    def follow(
        self,
        path: str,
        cursor: Cursor = START,
        *,
        limit: int = DEFAULT_LINE_LIMIT,
        until: EndOfWriting | None = None,
    ) -> AsyncGenerator[tuple[Followed, Cursor]]:
        """Each complete line behind the cursor, and each as it is appended; with the cursor behind it.

        Parameters:
            path: absolute path; the file need not exist yet.
            cursor: where to begin.
            limit: longest line in bytes that comes whole; a longer one comes as `LongLine`.
            until: once it is set, what is there is read to its end, an unfinished last line comes as a line, and the
                iteration ends; without it the iteration never ends.

        Raises FileRefused when the path is no regular file.
        """
        ...


@runtime_checkable
class StreamsFiles(Protocol):
    """A host that can hand over a file in chunks, refusing what a deliverable must not be."""

    def stream_file(
        self, path: str, *, within: str | None = None, max_bytes: int | None = None
    ) -> AsyncGenerator[bytes]:
        """A regular file in chunks, opened first and judged on the open file.

        Parameters:
            path: absolute path; symbolic links are resolved on the host.
            within: a directory that the resolved file must lie in.
            max_bytes: the largest size that is handed over.

        Raises FileNotFoundError; FileRefused for no regular file, one outside, too large, or changed while read.
        """
        ...


@dataclass(frozen=True, slots=True)
class LinkState:
    """What the link to a host is doing.

    Attributes:
        state: "connecting" the first time; "lost" when its last connection broke; "reconnecting"; "failed" when a try
            to connect did not work; "closed" for good.
        reason: why, for "lost" and "failed".
    """

    state: Literal["connecting", "connected", "lost", "reconnecting", "failed", "closed"]
    reason: str = ""


@runtime_checkable
class ReportsLink(Protocol):
    """A host at the end of a link that can break."""

    def on_state(self, listener: Callable[[LinkState], None]) -> Callable[[], None]:
        """Call a function with every change of the link from now on; returns what ends that."""
        ...


@runtime_checkable
class CopiesTrees(Protocol):
    """A host that can take and give whole directories, and leaves alone what is the same already.

    Files are the same when size, permission bits and time of the last change (whole seconds) are. Symbolic links that
    stay inside are copied as links; links that may lead out, FIFOs, sockets and devices are left out and reported.
    Permission bits and times of files are kept, owners are not. Each file appears in its place in one step; a copy that
    breaks before all has arrived changes nothing, one that breaks while files are moved to their places may be done in
    part, and can be repeated. Nothing is deleted unless asked for.
    """

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
        """Copy a directory of this machine to the host.

        Parameters:
            source: absolute path here.
            target: absolute path there; created if need be.
            exclude: glob patterns; what matches one with a segment or the whole relative path is left alone.
            delete: what is in the target and not in the source is removed.
            by_content: files are the same when their SHA-256 and permission bits are; the time does not count.
            progress_cb: told the percents, and 100 at the end.

        Raises FileNotFoundError without the source, ValueError for a relative path, FileRefused where one side has a
        directory and the other a file, TransferFailed when something cannot be read or written, LinkLost.
        """
        ...

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
        """Copy a directory of the host to this machine; otherwise as `put_tree`."""
        ...


def make_host(*, ssh: SSHConfig | None, taskdir: str) -> Host:
    """The host for a configuration: None is this machine."""
    if ssh is not None:
        from .ssh.host import RemoteHost

        return RemoteHost(ssh, taskdir)
    from .local.host import LocalHost

    return LocalHost(taskdir)


def __getattr__(name: str) -> object:
    if name == "LocalHost":
        from .local.host import LocalHost

        return LocalHost
    if name == "RemoteHost":
        from .ssh.host import RemoteHost

        return RemoteHost
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
