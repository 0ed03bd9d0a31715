"""A wire-compatible MongoDB server for tests, or a real one where OPTIO_TEST_MONGO_URL names it."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CANCELLED_CONNECTS = pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")
"""For tests with PyMongo's asynchronous client. Cancelled while it connects, as its own monitors are when it is closed,
it leaves the socket to be collected (`_async_create_connection` of 4.20.1 closes it on OSError and TimeoutError alone).
That no descriptor is left is checked after each test as ever."""

STARTED_WITHIN = 20.0
"""Seconds in which the server must listen."""


class Mongo:
    """A server that a test may end and start again. Implements nothing of optio's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with what it held before, and wait until it listens."""
        files = {name: str(self._directory / name) for name in ("db", "pid", "log")}
        command = [
            str(Path(sys.executable).with_name("nx-27017")), "--db", files["db"], "--host", "127.0.0.1",
            "-p", str(self.port), "--pid-file", files["pid"], "--log-file", files["log"],
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + STARTED_WITHIN
        while not listens(self.port):
            assert self._process.poll() is None, f"the MongoDB server ended; see {files['log']}"
            assert time.monotonic() < deadline, f"the MongoDB server does not listen; see {files['log']}"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def listens(port: int) -> bool:
    """Whether anybody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def own_mongo(directory: Path) -> Iterator[Mongo]:
    """A wire-compatible server with files of its own."""
    server = Mongo(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def mongo_url(directory: Path) -> Iterator[str]:
    """A URL without a database, of a real server if one is named, else of a wire-compatible one."""
    named = os.environ.get("OPTIO_TEST_MONGO_URL")
    if named:
        yield named
        return
    with own_mongo(directory) as server:
        yield f"mongodb://127.0.0.1:{server.port}"


def new_store(url: str) -> str:
    """The URL of journals that no test had before; by a tenant, since the wire-compatible server tells no databases."""
    return f"{url}/optio_test?optio_tenant={secrets.token_hex(6)}"
