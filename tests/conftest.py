"""Every test ends with nothing left: no task, child, descriptor, thread or temporary directory."""

import gc
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import settings

from left_out import pytest_terminal_summary as pytest_terminal_summary
from optio_host.testing.clock import ManualClock
from optio_host.testing.leaks import footprint, running_tasks
from ssh_rig import own_sshd
from sshd_rig import Sshd

settings.register_profile("quick", max_examples=200, deadline=None)
settings.register_profile("ci", max_examples=1_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_configure(config: pytest.Config) -> None:
    """Give this run a temporary directory of its own, so that what it leaves there is not taken for another run's."""
    directory = tempfile.mkdtemp(prefix="optio-tests-")
    os.environ["TMPDIR"] = tempfile.tempdir = directory
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = footprint()
    yield
    gc.collect()
    left = footprint().left_since(before)
    assert not left, "this test left behind:\n  " + "\n  ".join(left)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def run() -> Callable[[Callable[[], Awaitable[object]]], None]:
    """Run an async function to its end, and check that it left no task."""

    def runner(body: Callable[[], Awaitable[object]]) -> None:
        async def checked() -> None:
            with anyio.fail_after(60):
                await body()
            assert not running_tasks(), f"this test left tasks: {running_tasks()}"

        anyio.run(checked)

    return runner


@pytest.fixture
def taskdir(tmp_path: Path) -> str:
    return str(tmp_path / "task")


@pytest.fixture(scope="session")
def sshd_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real sshd for this user, for all tests that only need one."""
    with own_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server
