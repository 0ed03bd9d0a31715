"""`open_host`: from a URL to a connected host that stands on a directory which is only its user's."""

import getpass
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from optio_host import LocalHost, RemoteHost, open_host
from optio_host.errors import ConnectFailed, FileRefused, HostError, HostKeyRefused
from optio_host.open import connected, private_root
from optio_host.paths import ensure_private_dir
from optio_host.types import KnownHosts
from sshd_rig import Sshd, sshd

Run = Callable[[Callable[[], object]], None]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    with sshd(
        tmp_path / "sshd", user=getpass.getuser(), settings=f"SetEnv XDG_STATE_HOME={tmp_path}/far HOME={tmp_path}/sshd"
    ) as server:
        home = tmp_path / "home"
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "config").write_text(
            f"Host far\n HostName 127.0.0.1\n Port {server.port}\n IdentityFile {server.key}\n IdentityAgent none\n"
            f" UserKnownHostsFile {server.known_hosts}\n"
        )
        monkeypatch.setenv("HOME", str(home))
        yield server


def test_this_machine_is_opened_on_the_directory_of_sessions(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    async def body() -> None:
        for url in ("local", "local:"):
            async with open_host(url) as host:
                assert isinstance(host, LocalHost)
                assert host.taskdir == str(tmp_path / "state" / "optio")
        assert os.stat(host.taskdir).st_mode & 0o777 == 0o700

    run(body)


def test_a_name_of_the_ssh_configuration_is_opened_where_its_login_keeps_sessions(
    run: Run, server: Sshd, tmp_path: Path
) -> None:
    async def body() -> None:
        async with open_host("far") as host:
            assert isinstance(host, RemoteHost)
            assert host.taskdir == str(tmp_path / "far" / "optio")
            assert (await host.run_command("pwd", cwd=host.taskdir)).stdout == f"{host.taskdir}\n"
        assert os.stat(host.taskdir).st_mode & 0o777 == 0o700

    run(body)


def test_a_url_may_name_the_directory_and_one_that_is_there_keeps_its_mode(
    run: Run, server: Sshd, tmp_path: Path
) -> None:
    there = tmp_path / "with 'blank"
    there.mkdir(mode=0o755)

    async def body() -> None:
        for name in ("with%20'blank", "made/on/the way".replace(" ", "%20")):
            async with open_host(f"ssh://far{tmp_path}/{name}") as host:
                assert os.path.isdir(host.taskdir)
        assert os.stat(host.taskdir).st_mode & 0o777 == 0o700

    run(body)
    assert there.stat().st_mode & 0o777 == 0o755


def test_nothing_is_made_there_before_it_is_asked_for(run: Run, server: Sshd, tmp_path: Path) -> None:
    async def body() -> None:
        async with connected("far"):
            pass

    run(body)
    assert not (tmp_path / "far").exists()


def test_an_unknown_host_key_is_refused(run: Run, server: Sshd, tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(HostKeyRefused, match="it is not known"):
            async with open_host("far", host_key=KnownHosts((str(tmp_path / "none"),))):
                pass

    run(body)


def test_a_host_that_cannot_be_reached_says_so_and_leaves_nothing_open(run: Run, server: Sshd) -> None:
    async def body() -> None:
        with pytest.raises(ConnectFailed, match="nothing listens on port 1"):
            async with open_host("ssh://far:1"):
                pass

    run(body)


def _open(path: Path) -> None:
    path.mkdir(mode=0o700)
    path.chmod(0o777)


def _below_open(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)


def _file(path: Path) -> None:
    path.write_text("")


def _link(path: Path) -> None:
    path.symlink_to("/")


def _below_file(path: Path) -> None:
    path.parent.write_text("")


def _ring(path: Path) -> None:
    path.parent.symlink_to(path.parent.name)


def _others(path: Path) -> None:
    path.mkdir()
    os.chown(path, 12345, 12345)


def _below_others(path: Path) -> None:
    _others(path.parent)


NEED_ROOT = (_others, _below_others)
BELOW = (_below_open, _below_file, _ring, _below_others)
UNSAFE = [_open, _below_open, _file, _link, _below_file, _ring, _others, _below_others]


@pytest.mark.parametrize("make", UNSAFE)
def test_a_directory_that_someone_else_could_exchange_is_refused_over_there_as_it_is_here(
    run: Run, server: Sshd, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    if make in NEED_ROOT and os.getuid() != 0:
        pytest.skip("needs root")
    path = tmp_path / "above" / "root" if make in BELOW else tmp_path / "root"
    make(path)
    with pytest.raises(FileRefused) as here:
        ensure_private_dir(str(path))

    async def body() -> None:
        with pytest.raises(FileRefused) as there:
            async with open_host(f"ssh://far{path}"):
                pass
        assert there.value.reason == f"(on ssh://far{path}) {here.value.reason}"

    run(body)


def test_a_directory_that_cannot_be_made_says_why(run: Run, server: Sshd) -> None:
    async def body() -> None:
        async with connected("far") as host:
            with pytest.raises(HostError, match="cannot be made a private directory on ssh://far/proc/no"):
                await private_root(host, "ssh://far/proc/no")

    run(body)


def test_importing_and_opening_this_machine_load_no_ssh() -> None:
    script = """
import anyio, sys
from optio_host import open_host

async def body():
    async with open_host("local:/tmp/../tmp"):
        pass

try:
    anyio.run(body)
except Exception:
    pass  # /tmp is others' to write
print("asyncssh" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
