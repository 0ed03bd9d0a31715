"""Running a script of a measurement in a process of its own, under any Python."""

import json
import subprocess
from pathlib import Path
from typing import Any


def in_its_own_process(python: str, script: str, task: dict[str, Any]) -> dict[str, Any]:
    """What it printed last, which is JSON; the task is its argument. RuntimeError when it printed nothing."""
    command = [python, str(Path(__file__).with_name(script)), json.dumps(task)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    printed = ran.stdout.splitlines()
    if not printed:
        raise RuntimeError(f"{script}: exit {ran.returncode}: {ran.stderr[-2000:]}")
    measured: dict[str, Any] = json.loads(printed[-1])
    return measured
