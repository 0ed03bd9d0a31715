"""The process context of optio-core, the published package, works as it is.

Its database is a wire-compatible server, started here on a free port of this machine.
"""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from bson import ObjectId
from driven import Driven
from motor.motor_asyncio import AsyncIOMotorClient
from optio_core.context import ProcessContext as CoreContext

from optio_agents.context import HookContext
from optio_agents.outcome import Cancelled, Done
from optio_agents.process_context import (
    CallsForAttention,
    LoadsBlobs,
    OpensBrowsers,
    ProcessContext,
    RunsChildTasks,
    TakesClientMessages,
)
from optio_agents.protocol.protocol import get_protocol
from optio_host.host import Host
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a database server."""
    directory = tmp_path_factory.mktemp("database")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("nx-27017")), "--db", str(directory / "db"), "--host", "127.0.0.1",
        "-p", str(port), "--pid-file", str(directory / "pid"), "--log-file", str(directory / "log"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait(timeout=10)


class Process:
    """A process of optio-core that runs: its context, and what the database knows of it."""

    def __init__(self, client: AsyncIOMotorClient) -> None:
        self._client = client
        self._database = client["optio"]
        self._id = ObjectId()
        self.cancelled = asyncio.Event()
        self.ctx = CoreContext(
            self._id, "task-1", self._id, 0, {"a": 1}, {}, self._database, "t", self.cancelled, {"next": 0}
        )

    async def __aenter__(self) -> "Process":
        await self._database["t_processes"].insert_one(
            {"_id": self._id, "processId": "task-1", "progress": {"percent": None, "message": None}, "log": []}
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        self._client.close()
        # The driver of the database ends its threads when it notices.
        for thread in threading.enumerate():
            if thread.name.startswith("pymongo_"):
                await anyio.to_thread.run_sync(thread.join, 10)

    async def stored(self, last: str) -> dict[str, Any]:
        """The document of the process, once this last message is in it: progress is written by a task of its own."""
        while True:
            found: dict[str, Any] = await self._database["t_processes"].find_one({"_id": self._id})
            if last in messages_of(found["log"]):
                return found


def process_at(port: int) -> Process:
    return Process(AsyncIOMotorClient("127.0.0.1", port, serverSelectionTimeoutMS=20_000))


def messages_of(log: list[Any]) -> list[str]:
    return [(json.loads(entry) if isinstance(entry, str) else entry)["message"] for entry in log]


def test_a_session_reports_to_it(run: Run, server: int, taskdir: str) -> None:
    driven = Driven(LocalHost(taskdir))

    async def body(host: Host, hook_ctx: HookContext) -> None:
        assert hook_ctx.params == {"a": 1}
        assert hook_ctx.process_id == "task-1"
        driven.deliver("report.md", "all is well")
        driven.write(
            "STATUS: 40% counting",
            "a line of its own",
            "ATTENTION: a code is needed",
            "BROWSER: https://example.com/login",
            'CLIENT_MESSAGE: chart {"values": [1]}',
            "DELIVERABLE: deliverables/report.md",
            "DONE: counted",
        )
        await anyio.sleep_forever()

    async def session() -> None:
        async with process_at(server) as process:
            driven.ctx = process.ctx
            protocol = get_protocol(browser="redirect", client_messages=True)
            assert await driven.run(body=body, protocol=protocol) == Done("counted")
            stored = await process.stored("Deliverable: report.md")
        assert messages_of(stored["log"]) == ["counting", "a line of its own", "Deliverable: report.md"]
        assert "a code is needed" in str(stored["sessionEvents"])
        assert "chart" in str(stored["sessionEvents"])
        assert "https://example.com/login" in str(stored["browserOpenRequests"])

    run(session)


def test_a_percentage_reaches_it(run: Run, server: int, taskdir: str) -> None:
    driven = Driven(LocalHost(taskdir))

    async def session() -> None:
        async with process_at(server) as process:
            driven.ctx = process.ctx
            await driven.run(body=driven.agent("STATUS: 40% counting", "DONE"))
            stored = await process.stored("counting")
        assert (stored["progress"]["percent"], stored["progress"]["message"]) == (40, "counting")

    run(session)


def test_its_cancellation_ends_a_session(run: Run, server: int, taskdir: str) -> None:
    driven = Driven(LocalHost(taskdir))

    async def session() -> None:
        async with process_at(server) as process:
            driven.ctx = process.ctx
            process.cancelled.set()
            assert isinstance(await driven.run(body=driven.agent()), Cancelled)

    run(session)


def test_a_blob_of_it_is_copied_to_the_host(run: Run, server: int, taskdir: str) -> None:
    content = bytes(range(256)) * 8192

    async def body() -> None:
        host = LocalHost(taskdir)
        await host.setup_workdir()
        async with process_at(server) as process:
            async with process.ctx.store_blob("snapshot") as blob:
                await blob.write(content)
                file_id = blob._id
            await HookContext(process.ctx, host).copy_file(file_id, "snapshot.bin")
            stored = await process.stored("Verifying snapshot.bin...")
        assert Path(taskdir, "workdir", "snapshot.bin").read_bytes() == content
        assert messages_of(stored["log"])[0] == "Copying snapshot.bin..."

    run(body)


def test_it_offers_everything_a_context_may_offer(run: Run, server: int) -> None:
    async def body() -> None:
        async with process_at(server) as process:
            for ability in (
                ProcessContext, CallsForAttention, OpensBrowsers, TakesClientMessages, RunsChildTasks, LoadsBlobs,
            ):  # fmt: skip
                assert isinstance(process.ctx, ability)

    run(body)


def test_a_download_is_a_child_task_of_it(run: Run, server: int, taskdir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    async def run_child_task(task: Any) -> None:
        started.append(task)

    async def body() -> None:
        async with process_at(server) as process:
            # Its executor belongs to a running optio-core; what it is given is what matters here.
            monkeypatch.setattr(process.ctx, "run_child_task", run_child_task)
            hook_ctx = HookContext(process.ctx, LocalHost(taskdir))
            await hook_ctx.download_file("https://example.com/x.tar", "in/x.tar", description="the input")
            await hook_ctx.download_file("https://example.com/x.tar", "in/x.tar")
        assert [task.name for task in started] == ["Download x.tar", "Download x.tar"]
        assert started[0].description == "the input"
        assert started[0].process_id.startswith("task-1.download-")
        assert started[0].process_id != started[1].process_id

    run(body)
