"""A host in memory, for tests: no network, no processes, no waiting."""

import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

from ...cursor import START, Cursor
from ...host import (
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
from ...lines import DEFAULT_LINE_LIMIT
from ...tail import as_text
from ..clock import ManualClock
from . import archive, files
from .command import LaunchedProcess, end_tree, run_to_end
from .faults import Effect, Fault
from .follow import follow
from .link import Call
from .machine import HOME, CommandRun, Machine
from .process import Input
from .script import Exit, Matcher, Stderr, Stdout, Step, Text
from .tree import FileTree


class FakeHost:
    """A host whose files are in memory and whose commands answer what a test says. Implements `optio_host.Host`.

    It behaves as a machine over SSH does, also when that fails: the same errors, the same outcomes. The same test with
    the same seed has the same history. Use it in a `with` block, or call `verify` at the end: a command that nobody
    answers, and an answer that nobody asks for, fail the test even if the code under test catches the exception.

    Parameters:
        taskdir: absolute path of its task directory.
        clock: time on it; None: one that jumps whenever everybody waits, `ManualClock(jump_after=0)`.
        seed: of everything that is left to chance.
        faults: what goes wrong, and when.
        tunnels: which port here stands for which port of the host.

    Attributes:
        clock: hand it to the code under test, so that its time is the host's.
        files: the file tree, to prepare and to look at. What a test does there crosses no connection.
    """

    def __init__(
        self,
        taskdir: str = "/srv/task",
        *,
        clock: ManualClock | None = None,
        seed: int = 0,
        faults: Sequence[Fault] = (),
        tunnels: Mapping[int, int] | None = None,
    ) -> None:
        self.clock = clock or ManualClock(jump_after=0)
        self._machine = Machine(self.clock, seed, faults, tunnels or {})
        self._stand(taskdir)

    def _stand(self, taskdir: str) -> None:
        if not taskdir.startswith("/"):
            raise ValueError(f"{taskdir!r}: the task directory of a host is an absolute path there")
        self.taskdir = posixpath.normpath(taskdir)
        self.workdir = posixpath.join(self.taskdir, "workdir")

    def at(self, taskdir: str) -> "FakeHost":
        """A host on another task directory of the same machine."""
        other = FakeHost.__new__(FakeHost)
        other.clock, other._machine = self.clock, self._machine
        other._stand(taskdir)
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.verify()

    # For the test.

    @property
    def files(self) -> FileTree:
        """The files of the machine."""
        return self._machine.files

    @property
    def history(self) -> tuple[Call, ...]:
        """Every call and every fault, in order."""
        return tuple(self._machine.link.history)

    @property
    def commands(self) -> tuple[CommandRun, ...]:
        """Every command that was run or launched, in order."""
        return tuple(self._machine.commands)

    @property
    def connections(self) -> int:
        """How many connections were made to it."""
        return self._machine.link.connections

    def on(
        self,
        command: Matcher,
        *steps: Step,
        stdout: Text = "",
        stderr: Text = "",
        exit_code: int = 0,
        repeat: bool = False,
    ) -> None:
        """Declare what a command answers, whether it is run or launched.

        Called again for the same command, it declares the answer to its next run. A command that has been run more
        often than it has answers raises ScriptFailed; so does `verify` for one that was run less often.

        Parameters:
            command: its text, a pattern that matches all of it, or a function of it that says yes or no.
            steps: what the program does, one step after the other; without any it writes `stdout` and `stderr` and
                exits with `exit_code`.
            repeat: answer so any number of times, none included, once no other answer is left.
        """
        if steps and (stdout or stderr or exit_code):
            raise ValueError("say it in steps, or by stdout, stderr and exit_code; not both")
        self._machine.book.add(command, steps or (Stdout(stdout), Stderr(stderr), Exit(exit_code)), repeat=repeat)

    def happen(self, effect: Effect) -> None:
        """Let something go wrong now."""
        self._machine.happen(effect)

    def verify(self) -> None:
        """Raise ScriptFailed for everything that went against the scripts, and for what of them was never used."""
        self._machine.verify()

    # For the code under test.

    async def connect(self) -> None:
        """Make a connection. Raises ConnectFailed."""
        await self._machine.link.begin("connect")

    async def disconnect(self) -> None:
        """Close the connection. Programs go on, as on a machine; the next call makes a new one."""
        self._machine.link.close()

    def on_state(self, listener: Callable[[LinkState], None]) -> Callable[[], None]:
        """Call a function with every change of the link from now on; returns what ends that."""
        return self._machine.link.on_state(listener)

    async def setup_workdir(self) -> None:
        """Create the task directory and the workdir, each with mode 0700."""
        operation = await self._machine.link.begin("setup_workdir", self.taskdir)
        await operation.reach()
        for directory in (self.taskdir, self.workdir):
            self.files.mkdir(directory)
            self.files.chmod(directory, 0o700)
        await operation.answer()

    async def cleanup_taskdir(self, aggressive: bool) -> None:
        """Remove the task directory. aggressive: what cannot be removed is left behind without an error."""
        operation = await self._machine.link.begin("cleanup_taskdir", self.taskdir)
        await operation.reach()
        try:
            self.files.remove(self.taskdir)
        except FileNotFoundError:
            pass
        except OSError:
            if not aggressive:
                raise
        await operation.answer()

    async def resolve_host_home(self) -> str:
        """The home directory of the user: /home/user."""
        operation = await self._machine.link.begin("resolve_host_home")
        await operation.answer()
        return HOME

    async def establish_tunnel(self, remote_port: int, *, bind_addr: str = "127.0.0.1") -> int:
        """The port that `tunnels` names for a port of the host; ScriptFailed for any other."""
        operation = await self._machine.link.begin("establish_tunnel", str(remote_port))
        await operation.answer()
        if remote_port not in self._machine.tunnels:
            raise self._machine.book.failed(f"no tunnel to port {remote_port} was declared; pass tunnels={{...}}")
        return self._machine.tunnels[remote_port]

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
        """See `optio_host.host.RunsCommands.run_command`; a link that breaks in the middle gives the outcome `Lost`.

        Raises ScriptFailed for a command that nobody answers.
        """
        return await run_to_end(
            self._machine,
            await self._machine.link.begin("run_command", command),
            command,
            cwd=self._directory(cwd),
            env=env,
            input=input,
            timeout=timeout,
            output_limit=output_limit,
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
        """Start a command and return at once. Raises ScriptFailed for one that nobody answers."""
        operation = await self._machine.link.begin("launch_subprocess", command)
        await operation.reach()
        process = self._machine.start(
            command, cwd=self._directory(cwd), env=env, env_remove=env_remove, merge_stderr=merge_stderr
        )
        if not stdin:
            process.feed_eof()
        launched = LaunchedProcess(process, operation)
        return ProcessHandle(
            launched,
            launched.lines(process.stdout),
            None if merge_stderr else launched.lines(process.stderr),
            Input(process) if stdin else None,
        )

    async def terminate_subprocess(self, handle: ProcessHandle, *, aggressive: bool) -> None:
        """End a process: TERM, then KILL after 5 s; aggressive: KILL at once."""
        process = self._machine.process_of(handle)
        await end_tree(self._machine, process, grace=0 if aggressive else TERMINATE_GRACE)

    def follow(
        self,
        path: str,
        cursor: Cursor = START,
        *,
        limit: int = DEFAULT_LINE_LIMIT,
        until: EndOfWriting | None = None,
    ) -> AsyncGenerator[tuple[Followed, Cursor]]:
        """See `optio_host.host.FollowsFiles.follow`."""
        return follow(self._machine.link, self.files, path, cursor, limit=limit, until=until)

    def tail_file(self, absolute_path: str) -> AsyncGenerator[str]:
        """Every line from the first on, then each as it is appended, without line ends. Never ends."""
        return as_text(self.follow(absolute_path))

    async def write_text(self, relpath: str, content: str) -> None:
        """Write a text file below the workdir; ValueError if it would leave it."""
        operation = await self._machine.link.begin("write_text", relpath)
        target = files.target_below(self.files, self.workdir, relpath)
        await files.put(
            operation,
            self.files,
            content.encode(),
            target,
            expected_sha256=None,
            skip_if_unchanged=False,
            progress_cb=None,
        )

    async def remove_file(self, path: str) -> None:
        """Remove a file; one that is not there is fine. FileRefused for a directory."""
        operation = await self._machine.link.begin("remove_file", path)
        await operation.reach()
        files.remove(self.files, path)
        await operation.answer()

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
        operation = await self._machine.link.begin("put_file_to_host", absolute_target)
        await files.put(
            operation,
            self.files,
            source,
            absolute_target,
            expected_sha256=expected_sha256,
            skip_if_unchanged=skip_if_unchanged,
            progress_cb=progress_cb,
        )

    async def fetch_bytes_from_host(self, absolute_path: str, *, progress_cb: ProgressCallback | None = None) -> bytes:
        """See `optio_host.Host.fetch_bytes_from_host`."""
        operation = await self._machine.link.begin("fetch_bytes_from_host", absolute_path)
        return await files.fetch(operation, self.files, absolute_path, progress_cb)

    async def stream_file(
        self, path: str, *, within: str | None = None, max_bytes: int | None = None
    ) -> AsyncGenerator[bytes]:
        """See `optio_host.host.StreamsFiles.stream_file`."""
        operation = await self._machine.link.begin("stream_file", path)
        chunks = files.stream(operation, self.files, path, within=within, max_bytes=max_bytes)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def archive_workdir(self, exclude: Sequence[str] | None) -> AsyncGenerator[bytes]:
        """The workdir as a gzip-compressed tar, in chunks."""
        operation = await self._machine.link.begin("archive_workdir", self.workdir)
        async with aclosing(archive.pack(operation, self.files, self.workdir, exclude)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def restore_workdir(self, stream: AsyncIterator[bytes]) -> None:
        """Replace the content of the workdir by that of such an archive."""
        operation = await self._machine.link.begin("restore_workdir", self.workdir)
        await archive.unpack(operation, self.files, self.workdir, stream)

    def _directory(self, cwd: str | None) -> str:
        return posixpath.join(self.workdir, cwd) if cwd else self.workdir
