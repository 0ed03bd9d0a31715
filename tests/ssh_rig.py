"""A `RemoteHost` on a real sshd or on the server in this process, with the link in the hands of the test."""

import getpass
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from optio_host.host import OUTPUT_LIMIT, RunResult
from optio_host.ssh.host import RemoteHost
from optio_host.testing.ssh_server import SSHServer
from optio_host.types import KnownHosts, SSHConfig
from sshd_rig import Sshd, sshd


def config_for(server: Sshd | SSHServer, *, port: int | None = None, **more: object) -> SSHConfig:
    """How to reach a server; at another port through a relay."""
    key = server.key if isinstance(server, Sshd) else server.key_path
    checked = KnownHosts((server.known_hosts,))
    if port is not None:
        lines = Path(server.known_hosts).read_text().splitlines(keepends=True)
        there = [each.replace(f":{server.port} ", f":{port} ") for each in lines if f":{server.port} " in each]
        with open(server.known_hosts, "a") as file:
            file.writelines(each for each in there if each not in lines)
    settings: dict[str, object] = {"host_key": checked, "config_files": (), "agent": False, "jump": (), **more}
    return SSHConfig("127.0.0.1", server.user, key, server.port if port is None else port, **settings)  # type: ignore[arg-type]


@asynccontextmanager
async def connected(config: SSHConfig, taskdir: str) -> AsyncIterator[RemoteHost]:
    """A connected host on a task directory that is there."""
    host = RemoteHost(config, taskdir)
    try:
        await host.connect()
        made = await host.run_command(f"mkdir -p '{host.workdir}'", cwd="/")
        assert made.exit_code == 0, made
        yield host
    finally:
        await host.disconnect()


@contextmanager
def own_sshd(directory: Path, settings: str = "") -> Iterator[Sshd]:
    """A real server for this user, with another home, so that what rc files cost is not paid for each command."""
    home = directory / "home"
    home.mkdir(parents=True)
    with sshd(directory, user=getpass.getuser(), settings=f"SetEnv HOME={home}\n{settings}") as server:
        yield server


class HereOverSsh(RemoteHost):
    """This machine by a real sshd, with this process's place for the state of runs.

    Attributes:
        path: PATH of the commands, if it is to be another one than the login's.
    """

    path: str | None = None

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
        here = {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"], **({"PATH": self.path} if self.path else {})}
        return await super().run_command(
            command, cwd=cwd, env={**here, **(env or {})}, input=input, timeout=timeout, output_limit=output_limit
        )
