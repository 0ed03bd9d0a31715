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


class RunInTheWay(AgentsError):
    """A session would start clean in a task directory that holds a durable run, and that run may be alive.

    Attributes:
        run: its directory on the host.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        super().__init__(
            f"{run}: a durable run in this task directory has not ended, or nobody can say; nothing was cleared away. "
            "End it first (`optio jobs` lists it, `optio cancel` ends its session), or use another task directory"
        )


class AgentRefused(AgentsError):
    """An agent cannot be started as it is described, or does not do what it was asked to."""


class AgentSilent(AgentsError):
    """An agent did not answer within the time it has."""


class AgentFailed(AgentsError):
    """An agent cannot do its work: turn after turn fails."""


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
        ability: the method, or another attribute, that is missing.
    """

    def __init__(self, context: object, ability: str, needed_for: str) -> None:
        self.ability = ability
        super().__init__(
            f"{needed_for} needs a context with {ability}, and {type(context).__name__} has none; "
            "run it under optio-core, or pass a context that has it"
        )


class JournalError(AgentsError):
    """The journal refused something, or could not do it. The base of every error of `optio_agents.journal`."""


class StoreError(JournalError):
    """The store cannot be opened, read or written. Nothing of what was asked for has been written."""


class StoreBusy(StoreError):
    """Other processes held the store for too long."""


class StoreAway(StoreError):
    """The store could not be reached. Unlike with other errors, what was asked for may have been written."""


class StoreFull(StoreError):
    """There is no room left for what was to be written."""


class StoreTooNew(StoreError):
    """The store was made by a newer version of this program."""


class LeaseHeld(JournalError):
    """Another driver owns the session.

    Attributes:
        session: id of the session.
        generation: generation of the lease that stands in the way.
    """

    def __init__(self, session: str, generation: int, holder: str) -> None:
        self.session = session
        self.generation = generation
        super().__init__(
            f"session {session} is driven by {holder} (generation {generation}): "
            "wait until it lets go, or show that it is dead"
        )


class LeaseLost(JournalError):
    """The caller no longer owns the session: stop driving it. Nothing of what was asked for has been written.

    Attributes:
        session: id of the session.
        generation: generation of the caller's lease.
        current: generation that is current now.
    """

    def __init__(self, session: str, generation: int, current: int) -> None:
        self.session = session
        self.generation = generation
        self.current = current
        super().__init__(
            f"session {session}: the lease of generation {generation} is over, the current one is {current}; "
            "another driver has taken over"
        )


class CommitRefused(JournalError):
    """A batch contradicts what the journal holds. Nothing of it has been written; the caller has a defect."""


class SessionRefused(JournalError):
    """A session is not in a state in which this can be done."""


class SessionUnknown(JournalError):
    """No session has this id, or begins with it."""


class SessionAmbiguous(JournalError):
    """Several sessions begin with what was given.

    Attributes:
        candidates: their ids, at most ten.
    """

    def __init__(self, prefix: str, candidates: tuple[str, ...], count: int) -> None:
        self.candidates = candidates
        more = f" and {count - len(candidates)} more" if count > len(candidates) else ""
        super().__init__(f"{prefix!r} names {count} sessions: {', '.join(candidates)}{more}; type more of the id")


class CallbackMissing(AgentsError):
    """A session cannot be adopted: it was started with callbacks that are not given now.

    Attributes:
        names: what is missing.
    """

    def __init__(self, session: str, names: tuple[str, ...]) -> None:
        self.names = names
        super().__init__(
            f"session {session} was started with {', '.join(names)}: pass the same when adopting it, "
            "or say that it shall go on without (without_callbacks=True)"
        )


class CallbacksNotLoaded(CallbackMissing):
    """A file that a session has its hooks or tools from cannot be loaded any more."""

    def __init__(self, session: str, path: str, problem: str) -> None:
        self.names = (path,)
        AgentsError.__init__(
            self,
            f"session {session} has hooks or tools from {path}, which cannot be loaded: {problem}; put the file back "
            f"as it was, or end the session (optio cancel {session})",
        )


class PolicyError(AgentsError):
    """A policy file cannot be read, or does not say what a policy can say.

    Attributes:
        problems: each with its line in the file; None where that is not known.
    """

    def __init__(self, name: str, problems: tuple[tuple[int | None, str], ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{name}:{line}: {what}" if line else f"{name}: {what}" for line, what in problems))


class SeedUnknown(AgentsError, KeyError):
    """No seed has this id. A KeyError, as published."""

    def __init__(self, seed_id: str) -> None:
        self.seed_id = seed_id
        super().__init__(f"unknown seed_id: {seed_id!r}")

    def __str__(self) -> str:
        return str(self.args[0])


class SeedBroken(AgentsError):
    """A seed cannot be read, is larger than one may be, or its home cannot be looked at."""
