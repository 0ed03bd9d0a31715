"""Requests of ours to the agent, each with an id and a deadline. Pure: the time is handed in."""

from dataclasses import dataclass

from .compose import request_line
from .messages import JsonMap, Response


@dataclass(frozen=True, slots=True)
class Answered:
    """A request has its answer.

    Attributes:
        request: its id.
        subtype: what was asked for.
        data: what the agent says.
        error: why it refused; None: it did not.
    """

    request: str
    subtype: str
    data: JsonMap
    error: str | None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request whose deadline has passed; an answer that still comes is a late one, and is nothing."""

    request: str
    subtype: str


class Control:
    """The requests of one driver that have no answer yet."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, float]] = {}

    @property
    def deadline(self) -> float | None:
        """When the next request runs out; None when none is open."""
        return min((deadline for _, deadline in self._open.values()), default=None)

    def ask(self, request: str, subtype: str, fields: JsonMap, deadline: float) -> bytes:
        """The line that makes a request.

        Parameters:
            request: an id that is used once, also by the next driver.
            subtype: what is asked for.
            fields: what it takes.
            deadline: until when there must be an answer.
        """
        line = request_line(request, subtype, fields)
        self._open[request] = (subtype, deadline)
        return line

    def take(self, response: Response) -> Answered | None:
        """The request that this answers; None: it was asked by another driver, ran out, or was never asked."""
        found = self._open.pop(response.request, None)
        return None if found is None else Answered(response.request, found[0], response.data, response.error)

    def expire(self, now: float) -> tuple[Unanswered, ...]:
        """Give up the requests whose deadline has come."""
        over = [(request, subtype) for request, (subtype, deadline) in self._open.items() if deadline <= now]
        for request, _ in over:
            del self._open[request]
        return tuple(Unanswered(request, subtype) for request, subtype in over)

    def end(self) -> tuple[Unanswered, ...]:
        """The agent has ended: nothing is answered any more."""
        return self.expire(float("inf"))
