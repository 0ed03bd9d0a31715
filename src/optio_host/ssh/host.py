"""A machine over SSH as a host."""

import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

import anyio

from ..clock import SYSTEM_CLOCK, Clock
from ..cursor import START, Cursor
from ..errors import HostError, TransferFailed
from ..host import (
    OUTPUT_LIMIT,
    TERMINATE_GRACE,
    EndOfWriting,
    Followed,
    LinkState,
    ProcessHandle,
    ProgressCallback,
    RunResult,
    Source,
)
from ..lines import DEFAULT_LINE_LIMIT, lines_of
from ..tail import as_text
from ..trees import TreeCopy
from ..types import SSHConfig
from . import command as commands
from . import get, put, trees, workdir
from .forward import ANY_PORT, Address, Forward
from .link import Link
from .reader import FarReader
from .reverse import ReverseForward
from .tunnels import Tunnels


class RemoteHost:
    """Runs commands, reads and writes files on a machine over SSH. Implements `optio_host.Host` and what is beyond it.

    Parameters:
        ssh_config: how to reach it.
        taskdir: absolute path there of the directory that belongs to one task; its `workdir` is where commands run.
        clock: time, for tests.
    """

    def __init__(self, ssh_config: SSHConfig, taskdir: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._link = Link(ssh_config, clock=clock)
        if not taskdir.startswith("/"):
            raise ValueError(f"{taskdir!r}: a task directory on {self._link.target} is an absolute path there")
        self.taskdir = posixpath.normpath(taskdir)
        self.workdir = posixpath.join(self.taskdir, "workdir")
        self._config = ssh_config
        self._clock = clock
        self._owns_link = True
        self._reader = FarReader(self._link, clock=clock)
        self._tunnels = Tunnels(self._link, clock)
        self._launched: list[commands.RemoteProcess] = []
        self._home: str | None = None

    def at(self, taskdir: str) -> "RemoteHost":
        """A host on another task directory that shares this one's connections; they are closed with this one."""
        other = RemoteHost(self._config, taskdir, clock=self._clock)
        other._link = self._link
        other._owns_link = False
        other._reader = self._reader
        other._tunnels = self._tunnels
        return other

    def on_state(self, listener: Callable[[LinkState], None]) -> Callable[[], None]:
        """Call a function with every change of the link from now on; returns what ends that."""
        return self._link.on_state(listener)

    async def connect(self) -> None:
        """Make a connection, so that what is wrong with it is known now. Raises ConnectFailed."""
        self._link.reopen()
        await self._link.connection()

    async def disconnect(self) -> None:
        """Close the connections. Launched processes are the caller's to end; runs go on in any case."""
        launched, self._launched = self._launched, []
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for process in launched:
                    tasks.start_soon(process.channel.close)
        if self._owns_link:
            await self._reader.aclose()
            await self._tunnels.close()
            await self._link.close()

    async def setup_workdir(self) -> None:
        """Create the task directory and the workdir, each with mode 0700."""
        await workdir.make_directories(self._link, self.taskdir, self.workdir, clock=self._clock)

    async def cleanup_taskdir(self, aggressive: bool) -> None:
        """Remove the task directory. aggressive: what cannot be removed is left behind without an error."""
        try:
            await workdir.remove_tree(self._link, self.taskdir, clock=self._clock)
        except TransferFailed:
            if not aggressive:
                raise

    async def resolve_host_home(self) -> str:
        """The home directory of the user there."""
        if self._home is None:
            result = await self.run_command("cd && pwd -P && echo .", cwd="/")
            if result.exit_code != 0 or not result.stdout.endswith("\n.\n"):
                raise HostError(f"{self._link.target}: the user has no home directory there: {result.stderr.strip()}")
            self._home = result.stdout.removesuffix("\n.\n")
        return self._home

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
        """See `optio_host.host.RunsCommands.run_command`; a link that breaks in the middle gives the outcome `Lost`."""
        return await commands.run_command(
            self._link,
            command,
            cwd=self._directory(cwd),
            env=env,
            input=input,
            timeout=timeout,
            output_limit=output_limit,
            clock=self._clock,
        )

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
        channel = await commands.launch(
            self._link,
            command,
            cwd=self._directory(cwd),
            env=env,
            env_remove=env_remove,
            merge_stderr=merge_stderr,
            stdin=stdin,
        )
        process = commands.RemoteProcess(channel)
        self._launched.append(process)
        return ProcessHandle(
            process,
            lines_of(channel.read),
            None if merge_stderr else lines_of(channel.read_stderr),
            commands.RemoteInput(channel) if stdin else None,
        )

    async def terminate_subprocess(self, handle: ProcessHandle, *, aggressive: bool) -> None:
        """End a process and all its children: TERM, then KILL after 5 s; aggressive: KILL at once.

        Raises ProcessesSurvived when something of it is still there, HostError when nobody can say.
        """
        for process in self._launched:
            if process is handle.pid_like:
                await self._link.end_tree(process.channel, grace=0 if aggressive else TERMINATE_GRACE)
                return
        raise HostError(f"{handle.pid_like!r}: this process was not launched by this host, so it cannot be ended here")

    async def establish_tunnel(self, remote_port: int, *, bind_addr: str = "127.0.0.1") -> int:
        """Make a TCP port of the host reachable from here; the port to connect to on this machine.

        It stays the same when the link breaks, and when this is called again. A connection that is made while the link
        is broken waits for it, 40 s at most; one that the host refuses is reset.

        Parameters:
            remote_port: the port, on the loopback interface there.
            bind_addr: address of this machine to listen on. With another than loopback, other machines reach it too.
        """
        return await self._tunnels.establish(remote_port, bind_addr)

    async def open_forward(self, to: Address, *, listen: Address = ANY_PORT) -> Forward:
        """Listen on this machine, and lead whoever connects to an address of the host. Closed in `disconnect`.

        Parameters:
            to: a port or unix socket as the host sees it.
            listen: a port or unix socket of this machine; a socket gets mode 0600, and what is at its path is kept.

        Raises OSError when it cannot be listened on.
        """
        return await self._tunnels.forward(to, listen)

    async def open_reverse_forward(self, to: Address, *, listen: Address = ANY_PORT) -> ReverseForward:
        """Listen on the host, and lead whoever connects there to an address of this machine. Closed in `disconnect`.

        When the link breaks it is made again at the same address; `ReverseForward.state` tells.

        Parameters:
            to: a port or unix socket of this machine. Every user of the host that reaches `listen` reaches it.
            listen: a port or unix socket as the host sees it. Loopback unless said otherwise, and most servers allow
                nothing else.

        Raises ConnectFailed, and HostError when the host refuses.
        """
        return await self._tunnels.reverse(to, listen)

    def follow(
        self,
        path: str,
        cursor: Cursor = START,
        *,
        limit: int = DEFAULT_LINE_LIMIT,
        until: EndOfWriting | None = None,
    ) -> AsyncGenerator[tuple[Followed, Cursor]]:
        """See `optio_host.host.FollowsFiles.follow`; a link that breaks is mended, and no line lost or doubled."""
        return self._reader.follow(path, cursor, limit=limit, until=until)

    def tail_file(self, absolute_path: str) -> AsyncGenerator[str]:
        """Every line from the first on, then each as it is appended, without line ends. Never ends."""
        return as_text(self.follow(absolute_path))

    async def write_text(self, relpath: str, content: str) -> None:
        """Write a text file below the workdir; ValueError if it would leave it."""
        await put.write_text(self._link, self.workdir, relpath, content, clock=self._clock)

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
        await put.put_file(
            self._link,
            source,
            absolute_target,
            expected_sha256=expected_sha256,
            skip_if_unchanged=skip_if_unchanged,
            progress_cb=progress_cb,
            clock=self._clock,
        )

    async def fetch_bytes_from_host(self, absolute_path: str, *, progress_cb: ProgressCallback | None = None) -> bytes:
        """See `optio_host.Host.fetch_bytes_from_host`."""
        return await get.fetch_bytes(self._link, absolute_path, progress_cb=progress_cb, clock=self._clock)

    def stream_file(
        self, path: str, *, within: str | None = None, max_bytes: int | None = None
    ) -> AsyncGenerator[bytes]:
        """See `optio_host.host.StreamsFiles.stream_file`."""
        return get.stream_file(self._link, path, within=within, max_bytes=max_bytes, clock=self._clock)

    async def remove_file(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""
        await workdir.remove_file(self._link, path, clock=self._clock)

    async def put_tree(
        self,
        source: str,
        target: str,
        *,
        exclude: Sequence[str] = (),
        delete: bool = False,
        by_content: bool = False,
        progress_cb: ProgressCallback | None = None,
    ) -> TreeCopy:
        """See `optio_host.host.CopiesTrees.put_tree`."""
        return await trees.put_tree(
            self._link,
            source,
            target,
            exclude=exclude,
            delete=delete,
            by_content=by_content,
            progress_cb=progress_cb,
            clock=self._clock,
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
    ) -> TreeCopy:
        """See `optio_host.host.CopiesTrees.get_tree`."""
        return await trees.get_tree(
            self._link,
            source,
            target,
            exclude=exclude,
            delete=delete,
            by_content=by_content,
            progress_cb=progress_cb,
            clock=self._clock,
        )

    def archive_workdir(self, exclude: Sequence[str] | None) -> AsyncIterator[bytes]:
        """The workdir as a gzip-compressed tar, in chunks."""
        return workdir.archive_workdir(self._link, self.workdir, exclude, clock=self._clock)

    async def restore_workdir(self, stream: AsyncIterator[bytes]) -> None:
        """Replace the content of the workdir by that of such an archive."""
        await workdir.restore_workdir(self._link, stream, self.workdir, clock=self._clock)

    def _directory(self, cwd: str | None) -> str:
        return posixpath.join(self.workdir, cwd) if cwd else self.workdir
