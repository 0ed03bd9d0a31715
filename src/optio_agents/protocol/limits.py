"""How long the published driver waits for what others do."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DriverLimits:
    """All in seconds.

    Attributes:
        grace: from the return of the body to the end of the session, for a DONE that is still on its way.
        look: how often `ctx.should_continue` is asked.
        context: one call of an async method of the process context.
        fetch: one deliverable, from the host to here.
        callback: one call of `on_deliverable` or `on_caller_message`.
        drain: from the end of the session on, for all answers that are still to be given.
        last_words: after that, for telling the agent what was not worked on; a cancelled session goes there at once.
        after_execute: the hook of that name.
        look_ahead: how long the reader may stand still before a second one looks for the end.
    """

    grace: float = 2.0
    look: float = 0.5
    context: float = 30.0
    fetch: float = 300.0
    callback: float = 600.0
    drain: float = 600.0
    last_words: float = 5.0
    after_execute: float = 600.0
    look_ahead: float = 1.0


DEFAULT_LIMITS = DriverLimits()
"""What holds unless a caller says otherwise."""
