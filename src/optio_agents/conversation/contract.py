"""What every dialogue with an agent offers, whatever the agent's own dialect is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


class ConversationClosed(Exception):
    """The conversation has ended: nothing can be sent or interrupted any more."""


@dataclass(frozen=True)
class PermissionRequest:
    """The agent asks whether it may use a tool.

    Attributes:
        tool_name: the tool, as the agent calls it.
        input: what it would be called with.
        raw: the whole question, as it came.
    """

    tool_name: str
    input: dict[str, object]
    raw: dict[str, object]


@dataclass(frozen=True)
class PermissionDecision:
    """The answer to a `PermissionRequest`.

    Attributes:
        behavior: "allow" or "deny".
        updated_input: for "allow": call the tool with this instead; None leaves the input as it was.
        message: for "deny": what the agent is told; None is a plain no.
        interrupt: for "deny": end the turn, too; the agent then waits for what it is told next. Measured with Claude
            Code 2.1.330: its model never reads the message.
        always: for "allow": also whenever the very same is asked again in this session, by whichever driver.
    """

    behavior: Literal["allow", "deny"]
    updated_input: dict[str, object] | None = None
    message: str | None = None
    interrupt: bool = False
    always: bool = False


Unsubscribe = Callable[[], None]
"""Ends a subscription. Calling it again does nothing."""

EventHandler = Callable[[dict[str, object]], Awaitable[None] | None]
MessageHandler = Callable[[str], Awaitable[None] | None]
PermissionHandler = Callable[[PermissionRequest], Awaitable[PermissionDecision] | PermissionDecision]


@runtime_checkable
class Conversation(Protocol):
    """A running dialogue. Handlers may be plain or async functions; each gets what it subscribed to in order."""

    async def send(self, text: str) -> None:
        """Say something to the agent. Raises ConversationClosed after the end."""
        ...

    def on_event(self, handler: EventHandler) -> Unsubscribe:
        """Call the handler with every event of the agent, unchanged."""
        ...

    def on_message(self, handler: MessageHandler) -> Unsubscribe:
        """Call the handler with the final text of each completed turn."""
        ...

    def on_permission_request(self, handler: PermissionHandler) -> Unsubscribe:
        """Let the handler decide on permission requests. There is one handler at a time."""
        ...

    def is_pending(self) -> bool:
        """Whether the agent still owes an answer to something that was sent."""
        ...

    async def interrupt(self) -> None:
        """Stop the current turn. Raises ConversationClosed after the end."""
        ...

    async def close(self) -> None:
        """End the conversation. Calling it again does nothing."""
        ...

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        ...
