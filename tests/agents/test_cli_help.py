"""The help of the command line: there, with examples, and there at once."""

import subprocess
import sys
import time

import pytest
from optio_bench import OPTIO, Bench
from optio_bench import bench as bench

from optio_agents.cli.app import SECTIONS

COMMANDS = [name for section in SECTIONS.values() for name in section]
HEAVY = {"anyio", "asyncio", "asyncssh", "pydantic", "sqlite3", "rich", "watchfiles", "motor", "dotenv", "optio_host"}
START_LIMIT = 0.25
"""Seconds that a person waits without noticing."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(bench: Bench, command: str) -> None:
    ran = bench.run(command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "Example" in ran.out
    assert f"optio {command}" in ran.out.partition("Example")[2]


def test_the_help_lists_every_command_by_what_it_is_for(bench: Bench) -> None:
    ran = bench.run("--help")
    assert ran.code == 0
    for title, commands in SECTIONS.items():
        section = ran.out.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines()] == list(commands)


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from optio_agents.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in shown.splitlines()[-1].split()}
    assert "click" in loaded
    assert not loaded & HEAVY


def test_help_is_there_at_once(bench: Bench) -> None:
    times = []
    for _ in range(10):  # the best of ten: the machine may have other things to do
        began = time.monotonic()
        bench.run("--help")
        times.append(time.monotonic() - began)
    assert min(times) < START_LIMIT


@pytest.mark.parametrize("full", ["stdout", "stderr"])
def test_what_cannot_be_printed_on_a_full_disk_is_said_in_one_line_if_that_can_be(bench: Bench, full: str) -> None:
    words = {"stdout": ["ls"], "stderr": ["show", "nosuch"]}[full]
    with open("/dev/full", "w") as disk:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, full: disk}
        ran = subprocess.run([OPTIO, *words], cwd=bench.cwd, env=bench.env, text=True, timeout=60, **streams)
    printed = (ran.stdout or "") + (ran.stderr or "")
    said = "Error: what there is to say cannot be printed: [Errno 28] No space left on device\n"
    assert (ran.returncode, printed) == (1, said if full == "stdout" else "")
