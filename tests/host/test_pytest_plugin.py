"""The fixtures of the pytest plugin, in a pytest of their own: without a plugin for async tests, and with anyio's."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Outcome = tuple[int, str]

RunTests = Callable[..., Outcome]


@pytest.fixture
def run_tests(tmp_path: Path) -> RunTests:
    """Run a file of tests with the plugin; its exit code and what pytest said."""

    def run(text: str, *options: str) -> Outcome:
        (tmp_path / "test_it.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options, "test_it.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    return run


PLUGIN = ("-p", "optio_host.testing.pytest_plugin")
ANYIO = ("-p", "anyio")

SAME_TEST = """
import anyio
import pytest
from optio_host.testing.connection import connected

async def use(host):
    async with connected(host):
        await host.write_text("greeting.txt", "hello")
        assert (await host.run_command("cat greeting.txt")).stdout == "hello"

@pytest.fixture(params=["local_host", "ssh_host"])
def host(request):
    return request.getfixturevalue(request.param)
"""

SYNC = (
    SAME_TEST
    + """
def test_it(leaks, host):
    anyio.run(use, host)
"""
)

ASYNC = (
    SAME_TEST
    + """
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it(host, leaks):
    await use(host)
"""
)


@pytest.mark.parametrize(("text", "options"), [(SYNC, ()), (ASYNC, ANYIO)], ids=["plain", "anyio"])
def test_one_test_runs_on_this_machine_and_over_ssh(run_tests: RunTests, text: str, options: tuple[str, ...]) -> None:
    code, said = run_tests(text, *PLUGIN, *options)
    assert code == 0, said
    assert "2 passed" in said


def test_a_script_that_was_not_followed_fails_the_test(run_tests: RunTests) -> None:
    text = """
import anyio

def test_followed(fake_host):
    fake_host.on("make", stdout="built")
    assert anyio.run(fake_host.run_command, "make").stdout == "built"

def test_never_run(fake_host):
    fake_host.on("make")

def test_swallowed(fake_host):
    try:
        anyio.run(fake_host.run_command, "make")
    except BaseException:
        pass

def test_other_reason(fake_host):
    fake_host.on("make")
    assert False, "the reason"
"""
    code, said = run_tests(text, *PLUGIN)
    assert code == 1
    assert "3 failed, 1 passed" in said
    assert "'make' was run 0 times, 1 answers were given" in said
    assert "no script answers the command 'make'" in said
    assert "the reason" in said
    assert "error" not in said.rpartition("=\n")[2]


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("a child", "subprocess.Popen(['sleep', '300'])", "child process"),
        ("a file", "open('left.txt', 'w')", "left.txt"),
        ("a directory", "tempfile.mkdtemp(prefix='optio-left-')", "temporary optio-left-"),
        ("a thread", "threading.Thread(target=stop.wait, name='left').start()", "thread left"),
    ],
)
def test_what_a_test_leaves_behind_fails_it(
    run_tests: RunTests, tmp_path: Path, what: str, code: str, said: str
) -> None:
    text = f"""
import gc, subprocess, tempfile, threading
import pytest
import optio_host.testing.leaks
optio_host.testing.leaks.Watch.PATIENCE = 0.0
stop = threading.Event()
kept = []

@pytest.fixture(scope="session", autouse=True)
def after_all():
    yield
    stop.set()
    for each in kept:
        if hasattr(each, "kill"):
            each.kill(); each.wait()
        elif hasattr(each, "close"):
            each.close()

def test_it(leaks):
    assert leaks() == []
    kept.append({code})
"""
    result, output = run_tests(text, *PLUGIN)
    assert result == 1
    assert "this test left behind" in output
    assert said in output


def test_a_task_that_a_test_leaves_behind_fails_it(run_tests: RunTests) -> None:
    text = """
import asyncio
import anyio
import pytest
import optio_host.testing.leaks
optio_host.testing.leaks.Watch.PATIENCE = 0.0
kept = []

@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"

@pytest.fixture(scope="module")
async def keeps_the_loop(anyio_backend):
    yield

@pytest.mark.anyio
async def test_it(keeps_the_loop, leaks):
    kept.append(asyncio.create_task(anyio.sleep_forever(), name="left over"))
    await asyncio.sleep(0)
"""
    code, said = run_tests(text, *PLUGIN, *ANYIO)
    assert code == 1
    assert "left over" in said
    assert "1 passed, 1 error" in said


def test_a_task_of_a_loop_that_runs_is_seen_in_between(run_tests: RunTests) -> None:
    text = """
import asyncio
import anyio

def test_it(leaks):
    async def body():
        assert leaks() == []
        task = asyncio.create_task(anyio.sleep_forever(), name="in between")
        assert any("in between" in line for line in leaks())
        task.cancel()
    anyio.run(body)
"""
    code, said = run_tests(text, *PLUGIN)
    assert code == 0, said


def test_what_other_processes_do_meanwhile_is_not_the_test_s(run_tests: RunTests) -> None:
    text = """
import os, tempfile

elsewhere = tempfile.gettempdir()

def test_it(leaks):
    os.rmdir(tempfile.mkdtemp(prefix="optio-mine-"))
    kept.append(tempfile.mkdtemp(prefix="optio-other-", dir=elsewhere))

kept = []

def test_after():
    assert tempfile.gettempdir() == elsewhere
    os.rmdir(kept[0])
"""
    code, said = run_tests(text, *PLUGIN)
    assert code == 0, said


def test_loading_it_disturbs_nobody_and_imports_nothing(run_tests: RunTests) -> None:
    text = """
import sys

def test_it():
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"anyio", "asyncssh", "watchfiles"}
    ours = {name for name in sys.modules if name.startswith("optio_host")}
    assert ours == {"optio_host", "optio_host.testing", "optio_host.testing.pytest_plugin"}
"""
    code, said = run_tests(text, *PLUGIN, "--strict-config", "--strict-markers")
    assert code == 0, said


def test_without_ssh_host_nothing_of_ssh_is_imported(run_tests: RunTests) -> None:
    text = """
import sys

def test_it(fake_host, local_host, leaks):
    assert "asyncssh" not in sys.modules
"""
    code, said = run_tests(text, *PLUGIN)
    assert code == 0, said


def test_pytest_finds_it_by_itself() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert declared == {"optio": "optio_host.testing.pytest_plugin"}
    assert import_module(declared["optio"]).fake_host
