"""The only ways in which a session ends. A closed union: match it exhaustively."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """A DONE was read; its summary, or None."""

    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An ERROR was read, or the end came without DONE or ERROR, or a limit was reached."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Whoever started it asked it to stop."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody can say how it ended: the log cannot be read any more, the host is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """A chat that the person ended. A task is never closed."""

    reason: str


SessionOutcome = Done | Failed | Cancelled | Lost | Closed
"""How a session ended. Only `Done` is a success of a task."""
