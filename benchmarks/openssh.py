"""The far side of the measurements, a real sshd on loopback, and OpenSSH's own clients as peers on one connection."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from table import LeftOut

# The tests start sshd in the same way.
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from optio_host.ssh.host import RemoteHost
from optio_host.types import SSHConfig
from ssh_rig import config_for, connected
from sshd_rig import Sshd, plain_user, sshd

PROGRAMS = ("ssh", "scp", "sshd", "ssh-keygen")
CIPHER = "aes128-gcm@openssh.com"
"""What ours takes; OpenSSH by itself takes a slower one."""


@dataclass(frozen=True)
class Place:
    """A server, and a peer that is connected to it.

    Attributes:
        server: the server.
        config: how ours reaches it.
        work: a directory that both sides use.
        options: arguments of ssh, scp and `rsync -e` that use the peer's connection to the host "far".
    """

    server: Sshd
    config: SSHConfig
    work: Path
    options: tuple[str, ...]

    def ssh(self, *command: str) -> list[str]:
        """The command line that runs something over there."""
        return ["ssh", *self.options, "far", *command]

    @asynccontextmanager
    async def host(self) -> AsyncIterator[RemoteHost]:
        """Ours, connected."""
        async with connected(self.config, str(self.work / "task")) as host:
            yield host


@contextmanager
def far_side(*, slow_login: float = 0, sessions: int = 10) -> Iterator[Place]:
    """A server for a row or several.

    Parameters:
        slow_login: seconds that the rc file of the login shell takes.
        sessions: sessions on one connection that it allows; 10 is its default.
    """
    for program in PROGRAMS:
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            raise LeftOut(f"{program} is not installed")
    # $TMPDIR may be one that only this user can enter.
    with tempfile.TemporaryDirectory(prefix="optio-bench-", dir="/tmp") as name:
        directory = Path(name)
        work = directory / "work"
        home = directory / "home"
        for each in (directory, work, home):
            each.mkdir(exist_ok=True)
            each.chmod(0o777)
        settings = f"MaxSessions {sessions}\nSetEnv HOME={home}\nSubsystem sftp internal-sftp\n"
        user = plain_user()
        if slow_login:
            user = _user_with_rc_file()
            for rc in (".bashrc", ".zshenv"):
                (home / rc).write_text(f"sleep {slow_login}\n")
        with sshd(directory / "sshd", user=user, settings=settings) as server:
            options = _client(directory, server)
            with _master(options, directory / "master"):
                yield Place(server, config_for(server), work, options)


def _user_with_rc_file() -> str:
    """Only some shells read an rc file for `ssh HOST COMMAND`."""
    account = pwd.getpwuid(os.getuid())
    if Path(account.pw_shell).name not in ("bash", "zsh"):
        raise LeftOut(f"the login shell of {account.pw_name} is {account.pw_shell}; bash or zsh reads an rc file")
    return account.pw_name


def _client(directory: Path, server: Sshd) -> tuple[str, ...]:
    (directory / "client").write_text(
        f"Host far\nHostName 127.0.0.1\nPort {server.port}\nUser {server.user}\nIdentityFile {server.key}\n"
        f"IdentitiesOnly yes\nUserKnownHostsFile {server.known_hosts}\nStrictHostKeyChecking yes\nBatchMode yes\n"
        f"ControlPath {directory}/master\nCiphers {CIPHER}\nLogLevel ERROR\n"
    )
    return "-F", str(directory / "client")


@contextmanager
def _master(options: tuple[str, ...], socket: Path) -> Iterator[None]:
    master = subprocess.Popen(["ssh", *options, "-M", "-N", "far"], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not socket.exists():
            if master.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"ssh -M did not connect ({master.returncode})")
            time.sleep(0.02)
        yield
    finally:
        master.terminate()
        master.wait()
