"""Everything this package raises on purpose. Each error says what happened, where, and what to do."""

from .outcome import Failed, Lost


class AgentsError(Exception):
    """Something about a session did not work. The base of every error of this package."""


class SessionFailed(AgentsError):
    """A session ended without success; its message is the reason alone, as the agent gave it if it gave one.

    Attributes:
        outcome: `Failed`, or `Lost` when nobody can say how it ended.
    """

    def __init__(self, outcome: Failed | Lost) -> None:
        self.outcome = outcome
        super().__init__(outcome.reason)


class LogChannelLost(AgentsError):
    """The log of a session cannot be read any more, so nobody knows what the agent says.

    Attributes:
        path: the log, on its host.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path}: the log cannot be followed any more: {problem}; check the host and the file")


class ContextLacks(AgentsError):
    """The context of a session does not offer what was asked of it.

    Attributes:
        ability: the method that is missing.
    """

    def __init__(self, context: object, ability: str, needed_for: str) -> None:
        self.ability = ability
        super().__init__(
            f"{needed_for} needs a context with {ability}(), and {type(context).__name__} has none; "
            "run it under optio-core, or pass a context that has it"
        )
