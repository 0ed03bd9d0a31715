"""What a run of the tests leaves out because this machine lacks something, and the line that says so.

A test that needs a program calls `require("busybox")` first. With OPTIO_REQUIRE_ALL=1, as in CI, leaving out fails.
"""

import importlib.util
import os
import shutil
from collections import Counter

import pytest


def require(command: str) -> None:
    """Leave the calling test out, or fail it under OPTIO_REQUIRE_ALL=1, where this program is not installed."""
    if shutil.which(command) is None:
        _leave_out(command)


def require_module(name: str) -> None:
    """Likewise where this Python package is not installed."""
    if importlib.util.find_spec(name) is None:
        _leave_out(f"the Python package {name}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line at the end of every run: how many tests were left out, and for want of what."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] += 1
    counted = ", ".join(f"{number} ({reason})" for reason, number in sorted(reasons.items()))
    terminalreporter.write_line(f"tests left out: {counted or 'none'}")


def _leave_out(what: str) -> None:
    if os.environ.get("OPTIO_REQUIRE_ALL") == "1":
        pytest.fail(f"{what} is missing, and OPTIO_REQUIRE_ALL=1 allows no test to be left out", pytrace=False)
    pytest.skip(f"needs {what}")
