"""Fixtures for tests of code that drives a host. Loaded by pytest on its own; nothing is imported before it is used.

No fixture is asynchronous and none needs a plugin for asynchronous tests: a host opens nothing before its first use,
so it belongs to whatever event loop a test runs it in, and is let go of there, with `connected`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..local.host import LocalHost
    from ..ssh.host import RemoteHost
    from .fake import FakeHost

_fake_hosts = pytest.StashKey["list[FakeHost]"]()


@pytest.fixture
def fake_host(request: pytest.FixtureRequest) -> "FakeHost":
    """A `FakeHost` with an empty workdir. The test fails at its end if the host's scripts were not followed."""
    from .fake import FakeHost

    host = FakeHost()
    host.files.mkdir(host.workdir, mode=0o700)
    request.node.stash.setdefault(_fake_hosts, []).append(host)
    return host


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Look whether the scripts were followed: as part of the test, and only if nothing else has failed."""
    yield
    for host in item.stash.get(_fake_hosts, []):
        host.verify()


@pytest.fixture
def local_host(tmp_path: Path) -> "LocalHost":
    """A `LocalHost` on a task directory below `tmp_path` that does not exist yet."""
    from ..local.host import LocalHost

    return LocalHost(str(tmp_path / "local" / "task"))


@pytest.fixture
def ssh_host(tmp_path: Path) -> "Iterator[RemoteHost]":
    """A `RemoteHost` that logs in to an SSH server in this process and runs its commands on this machine.

    The server has a thread and an event loop of its own. At the end everything that it started is killed.
    """
    from anyio.from_thread import start_blocking_portal

    from ..ssh.host import RemoteHost
    from ..types import KnownHosts, SSHConfig
    from .ssh_server import SSHServer

    (tmp_path / "ssh").mkdir()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(SSHServer(tmp_path / "ssh")) as server:
        config = SSHConfig(
            server.host,
            server.user,
            server.key_path,
            server.port,
            host_key=KnownHosts((server.known_hosts,)),
            jump=(),
            agent=False,
            config_files=(),
        )
        yield RemoteHost(config, str(tmp_path / "ssh" / "task"))


@pytest.fixture
def leaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Callable[[], list[str]]]":
    """Fails the test at its end if it left a task, a child process, an open file, a thread or a temporary directory.

    Called in between, it says what would be left now, a line each.
    """
    import tempfile

    from .leaks import Watch

    tmp_path_factory.getbasetemp()  # pytest makes it where temporary directories are; not in this one's
    # A place of its own: what other processes put into the common one is not this test's.
    with tempfile.TemporaryDirectory(prefix="leaks-") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        monkeypatch.setenv("TMPDIR", directory)
        watch = Watch()
        yield watch.left
        left = watch.left_in_the_end()
    if left:
        pytest.fail("this test left behind:\n  " + "\n  ".join(left), pytrace=False)
