"""One turn of a recorded session: what has happened in it, and what follows from the order. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..conversation.events import QuestionAnswered, QuestionWithdrawn, ToolReturned, TurnEnded
from ..errors import AgentsError
from ..events import NO_ORIGIN, Origin, SessionEvent


class NotReplayable(AgentsError):
    """A file is no exported session, or it is of one that cannot be done again."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the recording: its number, who said it, what was said, its id, and where it comes from."""

    seq: int
    source: str
    event: SessionEvent
    event_id: str = ""
    origin: Origin = NO_ORIGIN

    def refused(self, reason: str) -> NotReplayable:
        """What to raise when this cannot be done again."""
        return NotReplayable(f"event {self.seq} ({self.event.type}) cannot be replayed: {reason}")


@dataclass(frozen=True, slots=True)
class Asking:
    """What is known of a question beside its event.

    Attributes:
        use: the use of a tool that it is about.
        agent: id of the subagent who asks; "": the agent itself.
        stops: its answer has ended the turn, too.
    """

    use: str
    agent: str
    stops: bool


class RecordedTurn:
    """A turn, from behind the end of the one before to its own end.

    Parameters:
        events: what has happened, in order. The last one is its end, unless the recording stops before.
        questions: every question of the session, by id.

    Attributes:
        ended: its end, if it has one.
        interrupted: it was ended by an interrupt.
    """

    def __init__(self, events: Sequence[Happened], questions: Mapping[str, Asking]) -> None:
        self.events = events
        last = events[-1].event
        self.ended = last if isinstance(last, TurnEnded) else None
        self.interrupted = self.ended is not None and self.ended.reason.startswith("aborted")
        self._questions = questions

    def awaits_interrupt(self, at: int) -> bool:
        """Whether the interrupt came just before an event."""
        return self.interrupted and at == self._interrupt()

    def withdrawn_by_itself(self, at: int) -> bool:
        """Whether the agent has withdrawn the question of an event for no reason that can be seen."""
        withdrawn = self.events[at]
        assert isinstance(withdrawn.event, QuestionWithdrawn)
        if withdrawn.source != "agent" or self.interrupted or self._has_returned(withdrawn.event.id, at):
            return False
        return not all(isinstance(each.event, QuestionWithdrawn | TurnEnded) for each in self.events[at:])

    def stopped_by(self, at: int) -> bool:
        """Whether the answer of an event has ended the turn."""
        return self.awaits_interrupt(at) and isinstance(self.events[at].event, QuestionAnswered)

    def _interrupt(self) -> int:
        for at, happened in enumerate(self.events):
            match happened.event:
                case QuestionWithdrawn(id=question) if not self._has_returned(question, at):
                    return at
                case QuestionAnswered(id=question) if question in self._questions and self._questions[question].stops:
                    return at
                case _:
                    pass
        # The tools that it has cut off return behind it.
        at = len(self.events) - 1
        while at > 0 and self._is_cut_off(self.events[at - 1]):
            at -= 1
        return at

    def _is_cut_off(self, before: Happened) -> bool:
        match before.event:
            case ToolReturned():
                return True
            case QuestionAnswered():
                return False
            case _:
                return before.source != "agent"

    def _has_returned(self, question: str, before: int) -> bool:
        use = self._use(question)
        returned = [each.event for each in self.events[:before]]
        return any(isinstance(each, ToolReturned) and each.id == use for each in returned)

    def _use(self, question: str) -> str:
        asking = self._questions.get(question)
        return "" if asking is None else asking.use


def turns_of(events: Sequence[Happened], questions: Mapping[str, Asking]) -> Iterator[RecordedTurn]:
    """The turns of a session; what is left behind the last end comes as one without an end."""
    begin = 0
    for at, happened in enumerate(events):
        if isinstance(happened.event, TurnEnded):
            yield RecordedTurn(events[begin : at + 1], questions)
            begin = at + 1
    if begin < len(events):
        yield RecordedTurn(events[begin:], questions)
