"""The real Claude Code on a host: on this machine, directly and by a real sshd. Its model is a script.

A test module says in `SCRIPT` what its model answers; each of its tests that takes a `scene` runs on both hosts.
"""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from claude_rig import ClaudeRig, claude_rig
from session_rig import AT_ONCE, Driving

from host.job_rig import of_runs, until
from optio_agents.conversation.claude import ClaudeCodeConversation
from optio_agents.conversation.claude_code import ClaudeCode
from optio_agents.conversation.contract import PermissionDecision, PermissionHandler, PermissionRequest
from optio_agents.conversation.events import TurnEnded
from optio_agents.conversation.open import open_conversation
from optio_agents.history import read_history
from optio_agents.journal import Store
from optio_agents.session import Session
from optio_host.local.host import LocalHost
from optio_host.testing.leaks import running_tasks
from ssh_rig import HereOverSsh, config_for
from sshd_rig import Sshd

Event = TypeVar("Event")

HERE, OVER_SSH = "here", "over ssh"

WAITS = "mkfifo wait && echo up > started && cat wait > out.txt"
"""A command that runs until `Scene.let_the_tool_go`."""


class Scene:
    """One machine with the program on it.

    Parameters:
        base: where everything is.
        claude: the program.
        server: to reach the machine by; None: directly.

    Attributes:
        agent: a description of the program.
        host: the machine.
    """

    def __init__(self, base: Path, claude: ClaudeRig, server: Sshd | None) -> None:
        self.base = base
        self.claude = claude
        self.server = server
        self.agent = ClaudeCode(executable=claude.program, env=claude.env)
        self.host: LocalHost | HereOverSsh = LocalHost(str(base / "task"))
        if server is not None:
            self.host = HereOverSsh(config_for(server), str(base / "task"))

    @property
    def cwd(self) -> Path:
        """Where the program works."""
        return Path(self.host.workdir)

    def run(self, body: Callable[[], Awaitable[object]]) -> None:
        """Run the test's body with the host connected, and a deadline."""

        async def connected() -> None:
            try:
                with anyio.fail_after(60):
                    await self.host.connect()
                    await body()
            finally:
                await self.host.disconnect()
            assert not running_tasks(), f"this test left tasks: {running_tasks()}"

        anyio.run(connected)

    @asynccontextmanager
    async def talking(
        self,
        agent: ClaudeCode | None = None,
        *,
        permissions: PermissionHandler | None = None,
        store: Store | None = None,
    ) -> AsyncIterator[ClaudeCodeConversation]:
        """A conversation with the program, as anybody opens one."""
        async with open_conversation(
            self.host, agent or self.agent, permissions=permissions, store=store
        ) as conversation:
            yield conversation
        assert conversation.closed
        assert store is not None or not list(self.base.glob("task/*/run")), "a conversation left its directory"

    @asynccontextmanager
    async def driven(self, store: Store, permissions: PermissionHandler | None = None) -> AsyncIterator[Driving]:
        """A session with the program that ends by itself."""
        session = await Session.start(
            self.host,
            store,
            agent=self.agent,
            cwd=str(self.cwd),
            make_cwd=True,
            deliverables=str(self.base / "out"),
            state_dir=str(self.base / "sessions"),
            limits=AT_ONCE,
        )
        if permissions is not None:
            session.conversation.on_permission_request(permissions)
        driving = Driving(session)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driving.run)
            yield driving
            await driving.ended()

    async def until_held(self) -> None:
        """Return when the model holds in the middle of a text."""
        await anyio.to_thread.run_sync(self.claude.api.until_held)

    async def until_tool_runs(self) -> None:
        """Return when a tool runs WAITS."""
        await until((self.cwd / "started").exists, "the tool runs")

    async def until_tool_is_gone(self) -> None:
        """Return when nothing of a tool that runs WAITS is left."""
        await until(lambda: not self._of_tool(), "the end of the tool")

    async def let_the_tool_go(self, text: str) -> None:
        """A tool that runs WAITS writes this into out.txt, and ends."""
        await anyio.to_thread.run_sync((self.cwd / "wait").write_text, text)

    def told(self) -> str:
        """Everything that the model was told in its last turn."""
        return str(self.claude.api.requests[-1]["messages"]).replace("\\", "")

    def _of_tool(self) -> list[int]:
        found = []
        for pid in of_runs(self.base):
            try:
                if b"cat\0wait" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
            except OSError:
                continue  # it has just ended
        return found


def allow(request: PermissionRequest) -> PermissionDecision:
    """A handler that allows everything."""
    return PermissionDecision("allow")


async def until_asked(conversation: ClaudeCodeConversation) -> str:
    """The id of an open question, once there is one."""
    await until(lambda: bool(conversation.questions), "a question")
    return conversation.questions[0].id


async def turn_of(
    conversation: ClaudeCodeConversation, text: str, meanwhile: Callable[[], Awaitable[object]]
) -> TurnEnded:
    """The turn that answers this, when something is done meanwhile."""
    turns: list[TurnEnded] = []

    async def ask() -> None:
        turns.append(await conversation.ask(text))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await meanwhile()
    return turns[0]


async def events(store: Store, kind: type[Event]) -> list[Event]:
    """What has happened of a kind in the only session of a store."""
    [record] = await store.sessions()
    return [each.event async for each in read_history(store, record.id) if isinstance(each.event, kind)]


@pytest.fixture(params=[HERE, OVER_SSH])
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The program on either host; at the end nothing of it may be left, and what is left is killed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    server = request.getfixturevalue("sshd_here") if request.param == OVER_SSH else None

    async def nothing_left() -> None:
        await until(lambda: not of_runs(tmp_path), "the end of every process of a run")

    with claude_rig(tmp_path, request.module.SCRIPT) as claude:
        try:
            yield Scene(tmp_path, claude, server)
            anyio.run(nothing_left)
        finally:
            for pid in of_runs(tmp_path):
                os.kill(pid, signal.SIGKILL)
