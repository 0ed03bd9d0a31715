"""Taking over a session with a long history from a driver that was killed."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from command_line import main
from table import AtMost, Row

PROGRAM = Path(__file__).with_name("adopting_driver.py")


async def long_history(quick: bool) -> list[Row]:
    """SIGKILL for the driver; then a new process, from its start to the first new event that it has committed."""
    count = 2_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory(prefix="optio-bench-") as name:
        directory = Path(name)
        (directory / "lines").write_text("STATUS: 42% compiling the third of seven modules\n" * count)
        task = {"directory": name, "count": count}
        driver = subprocess.Popen(_command({**task, "adopt": False}), stdout=subprocess.PIPE, text=True)
        assert driver.stdout is not None
        try:
            if driver.stdout.readline() != "ready\n":
                raise RuntimeError(f"{PROGRAM.name} failed")
        finally:
            driver.kill()
            driver.wait()
            driver.stdout.close()
        begun = time.perf_counter()
        next_one = subprocess.Popen(_command({**task, "adopt": True}), stdout=subprocess.PIPE, text=True)
        assert next_one.stdout is not None
        printed = next_one.stdout.readline()
        took = time.perf_counter() - begun
        next_one.wait()
        next_one.stdout.close()
    adopted, driving = (json.loads(printed)[name] for name in ("adopted", "driving"))
    note = (
        f"from the start of the next process; Session.adopt {adopted:.2f}, the next event committed after {driving:.2f}"
    )
    return [Row(f"adopt a session of {count:,} events after SIGKILL", "s", took, None, "", AtMost(2), note)]


def _command(task: dict[str, object]) -> list[str]:
    return [sys.executable, str(PROGRAM), json.dumps(task)]


ROWS = {"adopt": long_history}


if __name__ == "__main__":
    main("Taking over a session.", ROWS)
