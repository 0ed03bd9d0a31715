"""Sessions on this machine that hold a conversation with an agent of `fake_claude`."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from fake_claude import ANSWERED
from session_rig import Driving, SessionRig, session_rig

from optio_agents.conversation.claude import ClaudeCodeConversation
from optio_agents.conversation.claude_code import ClaudeCode
from optio_agents.session import Session

FAKE = str(Path(__file__).parent / "fake_claude.py")


class Rule(dict[str, Any]):
    """What the agent says to a line that holds a text."""

    def __init__(self, hears: str, *says: object, **more: object) -> None:
        super().__init__(hears=hears, says=says, **more)


INITIALIZE = Rule('"initialize"', ANSWERED)


class ConversationRig(SessionRig):
    """A machine with fake agents on it."""

    def agent(self, *rules: Rule, first: Sequence[object] = (), **script: object) -> ClaudeCode:
        """An agent that follows rules; the first one that fits counts. It answers when it is greeted, as a rule."""
        path = self.base / f"script-{len(list(self.base.glob('script-*')))}"
        path.write_text(json.dumps({"rules": [*rules, INITIALIZE], "first": first, **script}))
        program = Path(f"{path}.sh")
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{FAKE}" "{path}"\n')
        program.chmod(0o755)
        return ClaudeCode(executable=str(program))

    @asynccontextmanager
    async def talking(self, agent: ClaudeCode, **options: object) -> AsyncIterator["Talking"]:
        """A session with this agent, driven; ended by force when this is left, unless it has ended."""
        session = await self.start(agent=agent, **options)
        async with self.driven(session) as driving:
            yield Talking(session, driving)
            if not driving.over.is_set():
                await session.cancel("the test is over")
                await session.kill()
                await driving.ended()


class Talking:
    """A session whose conversation a test holds."""

    def __init__(self, session: Session, driving: Driving) -> None:
        self.session = session
        self.driving = driving

    @property
    def conversation(self) -> ClaudeCodeConversation:
        return self.session.conversation

    def told(self) -> list[dict[str, Any]]:
        """Everything that has arrived at the agent's stdin."""
        return [json.loads(line) for line in Path(self.session.record.rundir, "stdin").read_text().splitlines()]

    def answers_to(self, request: str) -> list[dict[str, Any]]:
        """What the agent was answered to a request of its own."""
        responses = [each["response"] for each in self.told() if each["type"] == "control_response"]
        return [each for each in responses if each["request_id"] == request]


@contextmanager
def conversation_rig(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConversationRig]:
    with session_rig(base, monkeypatch):
        yield ConversationRig(base, monkeypatch)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConversationRig]:
    with conversation_rig(tmp_path, monkeypatch) as rig:
        yield rig


Body = Callable[[], Awaitable[object]]


def run(body: Body) -> None:
    """Run the test's body, with a deadline."""

    async def limited() -> None:
        with anyio.fail_after(60):
            await body()

    anyio.run(limited)
