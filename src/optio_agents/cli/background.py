"""A driver in the background: `optio drive ID`, in a session of its own, without a terminal."""

import os
import subprocess
import sys

from ..journal import SessionRecord


def start_driver(record: SessionRecord, store_url: str) -> int:
    """Start the driver and return at once; its process id. What it has to say goes to driver.log beside the log."""
    log = os.open(os.path.join(record.taskdir, "driver.log"), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        driver = subprocess.Popen(
            [sys.executable, "-m", "optio_agents.cli", "drive", record.id],
            # In the environment and not as an argument: a URL may hold a password, and arguments show in ps.
            env={**os.environ, "OPTIO_STORE": store_url},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(log)
    # It is not waited for: it outlives this process, and init reaps it.
    driver.returncode = 0
    return driver.pid
