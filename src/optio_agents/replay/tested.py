"""What is to be tested in a replay: a hook for deliverables, a permission handler, hooks of the agent."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import anyio

from ..conversation.contract import PermissionHandler
from ..conversation.events import HookCalled, ToolCalled
from ..delivery import DeliverableHook
from ..extensions.given import Extensions
from ..extensions.hooks import Hook
from .recorded import RecordedSession

CALLED_AGAIN = "PreToolUse"
"""The event of hooks that are called again. What the others were told stands in no export."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What is handed in.

    Attributes:
        on_deliverable: the hook for deliverables; None: none.
        permissions: the permission handler; None: none.
        hooks: those of the agent.
        called: ids of their calls so far.
    """

    on_deliverable: DeliverableHook | None
    permissions: PermissionHandler | None
    hooks: Extensions
    called: set[str] = field(default_factory=set)

    def is_called(self, event: HookCalled | ToolCalled) -> bool:
        """Whether a call is made again; it is noted then."""
        again = isinstance(event, HookCalled) and event.event == CALLED_AGAIN and event.hook in self.hooks.hooks
        self.called.update([event.id] if again else [])
        return again


async def hooks_of(recorded: RecordedSession, hooks: Sequence[Hook]) -> Extensions:
    """The hooks, as a replay calls them. Raises ValueError for one that the session did not have, or not so."""
    conversation = recorded.record.conversation
    known = {each.name: each.event for each in conversation.hooks} if conversation is not None else {}
    for hook in hooks:
        if known.get(hook.name) != hook.event or hook.event != CALLED_AGAIN:
            raise ValueError(
                f"hook {hook.name}: the session had no such hook on {CALLED_AGAIN}; it had {known or 'none'}"
            )
    return await Extensions.of([replace(each, function=_seen_by_clock(each.function)) for each in hooks], [])


def _seen_by_clock(function: Callable[..., object]) -> Callable[..., object]:
    """The same as an async function. The clock of a replay must see that somebody works, and sees no other threads."""

    async def called(given: object) -> object:
        # One that is called with its self, or is async, is seen by what it returns.
        result = await anyio.to_thread.run_sync(function, given)
        return await result if inspect.isawaitable(result) else result

    return called
