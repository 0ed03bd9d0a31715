"""One session of the published driver, as the tests of it need it: what it was told, what it did, what it said."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from bare_host import BareHost

from optio_agents.context import HookContext, StandaloneContext
from optio_agents.outcome import SessionOutcome
from optio_agents.protocol.session import run_log_protocol_session
from optio_host.host import Host
from optio_host.local.host import LocalHost

HostKind = Callable[[str], BareHost | LocalHost]
HOSTS = [BareHost, LocalHost]


@dataclass
class Driven:
    """A host with an agent that is the test itself: `write` appends to the log."""

    host: BareHost | LocalHost
    ctx: StandaloneContext = field(default_factory=StandaloneContext)
    said: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        return f"{self.host.workdir}/optio.log"

    @property
    def progress(self) -> list[str]:
        return [message for _, message in self.ctx.progress if message is not None]

    def write(self, *lines: str | bytes) -> None:
        """Append lines to the log, each with its newline."""
        self.write_bytes(b"".join((each.encode() if isinstance(each, str) else each) + b"\n" for each in lines))

    def write_bytes(self, data: bytes) -> None:
        if isinstance(self.host, BareHost):
            self.host.append(self.log, data)
        else:
            with open(self.log, "ab") as file:
                file.write(data)

    def deliver(self, name: str, content: str | bytes = "text") -> None:
        """Put a file into the deliverables directory."""
        path = Path(self.host.workdir, "deliverables", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    async def send(self, line: str) -> None:
        self.said.append(line)

    def agent(self, *lines: str | bytes) -> Callable[[Host, HookContext], Coroutine[Any, Any, None]]:
        """A body that writes lines and then stays until it is cancelled."""

        async def body(host: Host, hook_ctx: HookContext) -> None:
            self.write(*lines)
            await anyio.sleep_forever()

        return body

    async def run(self, **arguments: Any) -> SessionOutcome:
        """The driver, with the way to the agent unless said otherwise."""
        arguments.setdefault("agent_sender", self.send)
        return await run_log_protocol_session(self.host, self.ctx, **arguments)

    def start(self, group: anyio.abc.TaskGroup, **arguments: Any) -> "Running":
        """The driver beside the test."""
        running = Running()
        group.start_soon(running.hold, partial(self.run, **arguments))
        return running


class Running:
    """A session that runs beside the test; its end is kept."""

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.outcome: SessionOutcome | None = None
        self.error: Exception | None = None

    async def hold(self, session: Callable[[], Coroutine[Any, Any, SessionOutcome]]) -> None:
        try:
            self.outcome = await session()
        except Exception as error:
            self.error = error
        self.ended.set()
