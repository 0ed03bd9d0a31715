"""A real OpenSSH server on loopback, as root or as a plain user, with keys made for the test. Ended by pid."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from left_out import require

USER = "optio-test"


@dataclass(frozen=True)
class Sshd:
    """A running server.

    Attributes:
        port: where it listens, on 127.0.0.1.
        user: who can log in.
        key: path of the private key that can.
        known_hosts: path of a file that names the server's key.
        home: home directory of `user`.
        directory: holds keys, configuration and `log`; writable by `user`.
        pid: of the server.
    """

    port: int
    user: str
    key: str
    known_hosts: str
    home: str
    directory: Path
    pid: int

    def log(self) -> str:
        """What the server has written so far."""
        return (self.directory / "log").read_text(errors="replace")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def plain_user() -> str:
    """The name of a user that is not root and can log in; made if this is root, else this user itself."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        pwd.getpwnam(USER)
    except KeyError:
        # Several test processes may do this at once.
        subprocess.run(["useradd", "-m", "-s", "/bin/sh", USER], check=False, capture_output=True)
        subprocess.run(["usermod", "-p", "*", USER], check=True, capture_output=True)
    return USER


@contextmanager
def sshd(directory: Path, *, user: str | None = None, settings: str = "") -> Iterator[Sshd]:
    """A server for one test.

    Parameters:
        directory: where its files go; made. /tmp-like: a plain user must be able to enter it.
        user: who logs in; this user if None. Another one only as root.
        settings: further lines of sshd_config.
    """
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin:/usr/local/sbin")
    if program is None:
        require("sshd")
    assert program is not None
    name = user or pwd.getpwuid(os.getuid()).pw_name
    account = pwd.getpwnam(name)
    directory.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for key in ("hostkey", "clientkey"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / key], check=True)
    shutil.copy(directory / "clientkey.pub", directory / "authorized_keys")
    port = free_port()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {(directory / 'hostkey.pub').read_text()}")
    (directory / "conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/hostkey\nPidFile {directory}/pid\n"
        f"AuthorizedKeysFile {directory}/authorized_keys\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\n"
        f"MaxStartups 200:30:400\nAllowUsers {name}\n{settings}\n"
    )
    for path in (directory, directory / "authorized_keys"):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    # It goes into the background by itself, so that it is no child of this process and not taken for one of a test.
    subprocess.run([program, "-f", directory / "conf", "-E", directory / "log"], check=True, timeout=20)
    pid = _pid_of(directory)
    try:
        yield Sshd(
            port, name, str(directory / "clientkey"), str(directory / "known_hosts"), account.pw_dir, directory, pid
        )
    finally:
        os.kill(pid, signal.SIGTERM)
        _wait_until_it_let_go_of(directory)


def _wait_until_it_let_go_of(directory: Path) -> None:
    # It removes its pid file when it ends: whoever removes the directory meanwhile finds a file less than was listed.
    deadline = time.monotonic() + 10
    while (directory / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def _pid_of(directory: Path) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        # Written when it listens.
        written = (directory / "pid").read_text() if (directory / "pid").exists() else ""
        if written.endswith("\n"):
            return int(written)
        time.sleep(0.01)
    pytest.fail(f"sshd did not come up: {(directory / 'log').read_text()}")
