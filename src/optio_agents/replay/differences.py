"""What is not as it was when a session was recorded, as data and in words. Pure."""

from dataclasses import dataclass
from typing import Literal

from ..conversation.deciding import HANDLER
from ..conversation.exchange import NOBODY, RULE
from ..conversation.judging import POLICY
from ..conversation.questions import input_in_words
from ..journal import OutcomeDocument, Question

RECORDING = "the recording"
"""Who answers in a replay what a policy had decided on, and leaves to a person now."""

By = Literal["policy", "always", "time limit", "handler", "person", "recording"]

_SHOWN = 20
"""Events that differ, of which a report shows so many."""


def decided_by(by: str) -> By:
    """What kind of one has answered, from the journal's name for it."""
    if by == POLICY or by.startswith(f"{POLICY}: "):
        return "policy"
    kinds: dict[str, By] = {RULE: "always", NOBODY: "time limit", HANDLER: "handler", RECORDING: "recording"}
    return kinds.get(by, "person")


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a question.

    Attributes:
        what: "allow" or "deny"; "ask": it was left to a person, and nobody is recorded; "withdrawn"; "open": it was
            still to be answered in the end; "not asked".
        by: what kind of one has answered; None: nobody.
        name: the same as the journal names it.
        more: what else the answer says: always, edited, interrupt.
    """

    what: Literal["allow", "deny", "ask", "withdrawn", "open", "not asked"]
    by: By | None = None
    name: str = ""
    more: tuple[str, ...] = ()

    @classmethod
    def to(cls, question: Question | None) -> "Answered":
        """What became of a question, as the journal has it."""
        if question is None:
            return cls("not asked")
        if question.status != "answered" or question.answer is None:
            return cls("withdrawn" if question.status == "withdrawn" else "open")
        name = str(question.answer.get("by", ""))
        by = decided_by(name)
        if by == "recording":
            return cls("ask")
        more = tuple(each for each in ("always", "edited", "interrupt") if question.answer.get(each))
        return cls("allow" if question.answer.get("behavior") == "allow" else "deny", by, name, more)

    def is_as(self, other: "Answered") -> bool:
        """Whether the same was decided, by the same kind of one."""
        return (self.what, self.by, self.more) == (other.what, other.by, other.more)

    def __str__(self) -> str:
        match self.what:
            case "ask":
                return "ask: left to a person"
            case "allow" | "deny":
                more = f" ({', '.join(self.more)})" if self.more else ""
                return f"{self.what}{more}, by {self.name or 'somebody'}"
            case _:
                return self.what


@dataclass(frozen=True, slots=True)
class DecisionDiffers:
    """A question that something else has become of.

    Attributes:
        number: its place among the questions of the session, from 1.
        question: its id.
        tool: the tool.
        input: what it would be called with.
        recorded: what became of it then.
        replayed: what became of it now.
        why: what the policy says of it now, part by part; "" where there is none.
    """

    number: int
    question: str
    tool: str
    input: dict[str, object]
    recorded: Answered
    replayed: Answered
    why: str

    def __str__(self) -> str:
        lines = [
            f"question {self.number} ({self.question[:8]}): {self.tool}: {input_in_words(self.input)}",
            f"  recorded: {self.recorded}",
            f"  now:      {self.replayed}",
        ]
        lines += [f"  {'policy:' if at == 0 else '       '}   {each}" for at, each in enumerate(self.why.splitlines())]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class EventsDiffer:
    """Something happened otherwise.

    Attributes:
        stream: "agent", "log", or "told": what the agent is told by the harness.
        recorded: what happened then, each as a line; may be nothing.
        replayed: what happens instead.
    """

    stream: str
    recorded: tuple[str, ...]
    replayed: tuple[str, ...]

    def __str__(self) -> str:
        words = {"agent": "what the agent does", "log": "its log", "told": "what it is told by the harness"}
        lines = [f"{words[self.stream]}:"]
        for name, events in (("recorded:", self.recorded), ("now:     ", self.replayed)):
            shown = [*events[:_SHOWN], *(["..."] if len(events) > _SHOWN else [])] or ["nothing"]
            lines += [f"  {name if at == 0 else '         '} {each}" for at, each in enumerate(shown)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class OutcomeDiffers:
    """The session ends otherwise; None: it does not end."""

    recorded: OutcomeDocument | None
    replayed: OutcomeDocument | None

    def __str__(self) -> str:
        return f"the end:\n  recorded: {outcome_in_words(self.recorded)}\n  now:      {outcome_in_words(self.replayed)}"


Difference = DecisionDiffers | EventsDiffer | OutcomeDiffers


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay.

    Attributes:
        session: id of the session that was recorded.
        questions: how many the agent has asked.
        differences: everything that is decided, said to the agent or done otherwise than then.
        notes: what could not be compared, and why.
    """

    session: str
    questions: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    def check(self) -> None:
        """For a test: AssertionError, with the differences in words, if there are any."""
        assert not self.differences, str(self)

    def __str__(self) -> str:
        count = len(self.differences)
        found = f"{count} difference{'' if count == 1 else 's'}" if count else "the same decisions, events and end"
        head = f"session {self.session}, {self.questions} question{'' if self.questions == 1 else 's'}: {found}"
        return "\n".join([head, *(f"\n{each}" for each in self.differences), *(f"note: {each}" for each in self.notes)])


def outcome_in_words(outcome: OutcomeDocument | None) -> str:
    """How a session ends, in one line; None: it does not end."""
    if outcome is None:
        return "it goes on"
    why = outcome.reason or outcome.summary
    status = "" if outcome.exit is None else f" (exit {outcome.exit})"
    return f"{outcome.outcome}{': ' + why if why else ''}{status}"
