"""A conversation by itself: a session that is about nothing else, for as long as it is open."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from shlex import quote

import anyio

from optio_host.clock import SYSTEM_CLOCK, Clock
from optio_host.errors import HostError

from ..errors import AgentsError
from ..extensions.given import ToolSource
from ..extensions.hooks import Hook
from ..journal import Store, new_id
from ..journal.memory import MemoryStore
from ..session import Session, SessionHost
from .claude import ClaudeCodeConversation
from .claude_code import ClaudeCode
from .contract import PermissionHandler

TIDY_WITHIN = 30
"""Seconds in which what a conversation has left on its host is removed."""


@asynccontextmanager
async def open_conversation(
    host: SessionHost,
    agent: ClaudeCode,
    *,
    cwd: str | None = None,
    store: Store | None = None,
    permissions: PermissionHandler | None = None,
    hooks: Sequence[Hook] = (),
    tools: Sequence[ToolSource] = (),
    deny_after: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> AsyncIterator[ClaudeCodeConversation]:
    """Talk with an agent. It is closed when this is left.

        async with open_conversation(host, ClaudeCode(), permissions=decide) as conversation:
            turn = await conversation.ask("Which tests are slow?")

    Parameters:
        host: where the agent runs.
        agent: the agent.
        cwd: absolute path of the directory on the host that it works in; the host's workdir if None.
        store: where the journal is kept; None: in memory, so that it ends with this process.
        permissions: decides on what the agent asks. Without it, questions wait for who answers them.
        hooks, tools: as of `Session.start`.
        deny_after: seconds after which a question that nobody has answered is denied; None: never.
        clock: time, for tests.

    Raises AgentRefused, StartFailed when the agent cannot be started; what `Session.wait` raises when this is left.
    """
    session_id = new_id()
    session = await Session.start(
        host,
        store or MemoryStore(clock),
        agent=agent,
        cwd=cwd or host.workdir,
        make_cwd=cwd is None,
        # The agent is not told that it can hand anything over; what it announces all the same lands here.
        deliverables=os.path.join(os.getcwd(), f"optio-{session_id}"),
        state_dir=host.taskdir,
        session_id=session_id,
        deny_after=deny_after,
        hooks=hooks,
        tools=tools,
        clock=clock,
    )
    if permissions is not None:
        session.conversation.on_permission_request(permissions)
    # Raised outside of the group, which would wrap them.
    raised: Exception | None = None
    failure: AgentsError | HostError | OSError | None = None

    async def drive() -> None:
        nonlocal failure
        try:
            await session.wait()
        except (AgentsError, HostError, OSError) as error:
            failure = error

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drive)
            try:
                yield session.conversation
            except Exception as error:
                raised = error
            finally:
                with anyio.CancelScope(shield=True):
                    await session.conversation.close()
    finally:
        if store is None and session.record.state == "ended":
            # Nobody can come back to a journal that is gone.
            with anyio.move_on_after(TIDY_WITHIN, shield=True):
                await host.run_command(f"rm -rf {quote(session.record.taskdir)}", cwd="/", timeout=TIDY_WITHIN)
    for each in (raised, failure):
        if each is not None:
            raise each
