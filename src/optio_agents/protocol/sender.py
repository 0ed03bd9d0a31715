"""The way to the agent: one whole line at a time, from whoever has something to say."""

from collections.abc import Awaitable, Callable

import anyio

from optio_host.clock import SYSTEM_CLOCK, Clock

from ..process_context import ProcessContext, tell

AgentSender = Callable[[str], Awaitable[None]]
"""Hands one message to the agent, by whatever way the task type has; raises when it cannot."""

SEND_LIMIT = 60.0
"""Seconds that one message may take to be handed over."""


class SerialSender:
    """Sends one message after the other, in the order in which they were asked for.

    Parameters:
        send: the way to the agent.
        ctx: where a failure is reported.
        clock: measures SEND_LIMIT.
    """

    def __init__(self, send: AgentSender, ctx: ProcessContext, clock: Clock = SYSTEM_CLOCK) -> None:
        self._send = send
        self._ctx = ctx
        self._clock = clock
        self._turn = anyio.Lock()

    async def send(self, line: str) -> bool:
        """Send one line; whether it was handed over. A failure is reported as progress, never raised."""
        # Held over the sender on purpose: two messages written at once can become one broken line at the agent. It
        # cannot be held for ever: the limit covers both the turn and the sending.
        with self._clock.move_on_after(SEND_LIMIT) as limit:
            async with self._turn:
                try:
                    await self._send(line)
                except Exception as error:
                    tell(self._ctx, None, f"send_to_agent failed: {type(error).__name__}: {error}; not sent: {line}")
                    return False
                return True
        if limit.cancelled_caught:
            tell(self._ctx, None, f"send_to_agent failed: not taken within {SEND_LIMIT:g} s; it may still come: {line}")
        return False
