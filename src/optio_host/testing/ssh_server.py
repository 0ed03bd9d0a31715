"""An SSH server in this process, for tests: real commands on this machine, and the misbehaviour of real servers.

It stands in for OpenSSH where the two were compared: every command in a session of its own, its exit reported when it
ends although others hold its streams, left running when the connection breaks.
"""

import secrets
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import asyncssh
from anyio.abc import TaskGroup
from asyncssh.constants import OPEN_CONNECT_FAILED
from asyncssh.packet import Boolean, String, UInt32

from ..local.pipes import PipeReader
from ..local.process import DEFAULT_PATH, Child, start
from ..local.tree import RUN_TAG, Root, end_tree
from ..outcome import signal_name

CHUNK = 64 * 1024
"""Bytes of one read from a command or from the client."""

CLOSING = 5.0
"""Seconds in which the connections must be closed at the end."""


class SSHServer:
    """Listens on a free port of 127.0.0.1 and runs what it is asked to, as this user.

        async with SSHServer(tmp_path) as server:
            host = RemoteHost(SSHConfig(server.host, server.user, server.key_path, port=server.port), taskdir)

    The commands see HOME, USER, SHELL and PATH, and nothing else of this process's environment. Forwards are allowed in
    both directions, TCP ports and Unix sockets. At the end every process it started is killed, with its children.

    Parameters:
        directory: where it keeps its keys and the home directory; made.
        rc: what the login shell does before each command, as rc files do: "echo hello; echo hello >&2" (noise),
            "exit 1", "sleep 1" (a slow one).
        banner: text sent before authentication.
        max_sessions: commands that run at the same time on one connection; more are refused. OpenSSH has 10.
        answers_keepalive: False: it does not answer keepalive requests, as a hung machine does.

    Attributes:
        host: address to connect to.
        port: TCP port.
        user: login name; no other is let in.
        key_path: path of the private key that is let in.
        known_hosts: path of a file that names its host key.
        home: home directory of the commands.
        connections: how many were ever authenticated.
        commands: every command it was asked to run, as it came.
    """

    host = "127.0.0.1"
    user = "tester"

    def __init__(
        self,
        directory: str | Path,
        *,
        rc: str = "",
        banner: str = "",
        max_sessions: int = 10,
        answers_keepalive: bool = True,
    ) -> None:
        self.port = 0
        self.key_path = str(Path(directory, "key"))
        self.known_hosts = str(Path(directory, "known_hosts"))
        self.home = str(Path(directory, "home"))
        self.connections = 0
        self.commands: list[str] = []
        self.rc = rc
        self.banner = banner
        self.max_sessions = max_sessions
        self.answers_keepalive = answers_keepalive
        self._tag = secrets.token_hex(8)
        self._open: set[asyncssh.SSHServerConnection] = set()
        self._running: set[Child] = set()

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        client, server = self._make_keys()
        keys = asyncssh.import_authorized_keys(client.export_public_key("openssh").decode())
        self._acceptor = await asyncssh.listen(
            self.host,
            0,
            server_factory=lambda: _Login(self),
            server_host_keys=[server],
            authorized_client_keys=keys,
            encoding=None,
            agent_forwarding=False,
        )
        self.port = self._acceptor.get_port()
        self._write_known_hosts(server)
        self._tasks: TaskGroup = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything and kill what still runs."""
        with anyio.CancelScope(shield=True):
            self._acceptor.close()
            await self._acceptor.wait_closed()
            await self.drop()
            for child in list(self._running):
                await child.process.end(grace=0)
            # What a command left behind when it ended.
            await end_tree(Root(-1, "", self._tag), grace=0)
        self._tasks.cancel_scope.cancel()
        # The block's own error is not handed in: it would come out wrapped into a group.
        await self._tasks.__aexit__(None, None, None)

    async def drop(self) -> None:
        """Break every connection; the commands go on, as they do with OpenSSH."""
        opened = list(self._open)
        for connection in opened:
            connection.abort()
        with anyio.move_on_after(CLOSING):
            for connection in opened:
                await connection.wait_closed()

    def opened(self, connection: asyncssh.SSHServerConnection) -> None:
        """A connection was made."""
        self._open.add(connection)

    def closed(self, connection: asyncssh.SSHServerConnection) -> None:
        """A connection has ended."""
        self._open.discard(connection)

    def begin(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        """Run what a client asks for."""
        self.commands.append(process.command or "")
        tagged = f"export {RUN_TAG}=${RUN_TAG}:{self._tag}\n"
        # A login shell without a command reads its script from stdin.
        command = process.command if process.command is not None else "exec /bin/sh"
        child = start(
            f"{tagged}{self.rc}\n{command}",
            cwd=self.home,
            env={
                "HOME": self.home,
                "USER": self.user,
                "LOGNAME": self.user,
                "SHELL": "/bin/sh",
                "PATH": DEFAULT_PATH,
                **dict(process.env),
            },
            env_remove=["*"],
            stdin=True,
        )
        self._running.add(child)
        self._tasks.start_soon(self._serve, process, child)

    def _make_keys(self) -> tuple[asyncssh.SSHKey, asyncssh.SSHKey]:
        Path(self.home).mkdir(parents=True, exist_ok=True)
        client, server = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        client.write_private_key(self.key_path)
        Path(self.key_path).chmod(0o600)
        return client, server

    def _write_known_hosts(self, server: asyncssh.SSHKey) -> None:
        key = server.export_public_key("openssh").decode()
        Path(self.known_hosts).write_text(f"[{self.host}]:{self.port} {key}")

    async def _serve(self, process: "asyncssh.SSHServerProcess[bytes]", child: Child) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_feed, process.stdin, child)
                try:
                    async with anyio.create_task_group() as streams:
                        for reader, writer in ((child.stdout, process.stdout), (child.stderr, process.stderr)):
                            assert reader is not None
                            streams.start_soon(_hand_on, reader, writer)
                        _report(process.channel, await child.process.wait())
                finally:
                    process.channel.close()
                tasks.cancel_scope.cancel()
        finally:
            child.close()
            if child.process.returncode is not None:
                self._running.discard(child)


class _Login(asyncssh.SSHServer):
    """What one connection may do."""

    def __init__(self, server: SSHServer) -> None:
        self._server = server
        self._sessions: set[_Session] = set()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.opened(conn)
        if not self._server.answers_keepalive:
            # asyncssh has no other way to leave a request without an answer.
            name = "_process_keepalive_at_openssh_dot_com_global_request"
            setattr(conn, name, lambda packet: None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.closed(self._connection)

    def begin_auth(self, username: str) -> bool:
        if self._server.banner:
            self._connection.send_auth_banner(self._server.banner)
        return True

    def auth_completed(self) -> None:
        self._server.connections += 1

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return False  # only the authorized key

    def session_requested(self) -> "_Session":
        if len(self._sessions) >= self._server.max_sessions:
            # The code and the words of OpenSSH 9.2.
            raise asyncssh.ChannelOpenError(OPEN_CONNECT_FAILED, "open failed")
        return _Session(self._server, self._sessions)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return True

    def unix_connection_requested(self, dest_path: str) -> bool:
        return True

    def unix_server_requested(self, listen_path: str) -> bool:
        return True


class _Session(asyncssh.SSHServerProcess[bytes]):
    """One command; has its place among those of its connection until its channel is closed."""

    def __init__(self, server: SSHServer, sessions: "set[_Session]") -> None:
        super().__init__(server.begin, None, 3, False)
        self._sessions = sessions
        sessions.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sessions.discard(self)
        super().connection_lost(exc)


async def _feed(stdin: "asyncssh.SSHReader[bytes]", child: Child) -> None:
    """From the client to the command; both the client's end of input and a broken connection are its end of input."""
    assert child.stdin is not None
    # Either the connection broke or the command no longer reads.
    with suppress(asyncssh.Error, OSError):
        while chunk := await stdin.read(CHUNK):
            child.stdin.write(chunk)
            await child.stdin.drain()
    child.stdin.close()


async def _hand_on(reader: PipeReader, writer: "asyncssh.SSHWriter[bytes]") -> None:
    """From the command to the client; when that is gone, the command writes into a broken pipe."""
    with suppress(asyncssh.Error, OSError):
        while chunk := await reader.read():
            writer.write(chunk)
            await writer.drain()
    reader.close()


def _report(channel: "asyncssh.SSHServerChannel[bytes]", returncode: int) -> None:
    # channel.exit() would close the channel, while OpenSSH keeps it open until the streams have ended.
    if channel.is_closing():
        return
    if returncode < 0:
        name = signal_name(-returncode).removeprefix("SIG")
        channel._send_request(b"exit-signal", String(name), Boolean(False), String(""), String(""))
    else:
        channel._send_request(b"exit-status", UInt32(returncode))
