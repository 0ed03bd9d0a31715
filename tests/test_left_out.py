import os
import subprocess
import sys
from pathlib import Path

TWO_TESTS = """
from left_out import require

def test_here():
    require("sh")

def test_missing():
    require("no-such-program-of-optio")
"""


def run_pytest(directory: Path, require_all: str) -> tuple[int, str]:
    (directory / "conftest.py").write_text("from left_out import pytest_terminal_summary as pytest_terminal_summary\n")
    (directory / "test_two.py").write_text(TWO_TESTS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OPTIO_REQUIRE_ALL": require_all}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={directory}", str(directory)]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_what_is_left_out_is_said_in_one_line(tmp_path: Path) -> None:
    status, output = run_pytest(tmp_path, "")
    assert status == 0
    assert "tests left out: 1 (needs no-such-program-of-optio)\n" in output


def test_leaving_out_is_failing_where_everything_is_required(tmp_path: Path) -> None:
    status, output = run_pytest(tmp_path, "1")
    assert status == 1
    assert "1 failed, 1 passed" in output
    assert "no-such-program-of-optio is missing, and OPTIO_REQUIRE_ALL=1 allows no test to be left out" in output
