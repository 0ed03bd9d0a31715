"""What comes out: a verdict, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .rule import Rule

Verdict = Literal["allow", "deny", "ask"]

NO_RULE = "no rule matches"

_STRICTNESS: dict[Verdict, int] = {"allow": 0, "ask": 1, "deny": 2}


@dataclass(frozen=True, slots=True)
class Judged:
    """One part of what the agent wants to do, and what a policy says of it.

    Attributes:
        what: the part: a command, a file that is read or written, or the tool as a whole.
        verdict: what is said of it.
        rule: the last rule that matches; None: no rule has decided.
        why: the reason, for a person: the rule's own, or why no rule may allow it.
    """

    what: str
    verdict: Verdict
    rule: Rule | None
    why: str

    def __str__(self) -> str:
        by = [str(self.rule)] if self.rule else []
        return f"{self.verdict:5} {self.what}: {', '.join([*by, *([self.why] if self.why else [])])}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says of a tool call. It is what the strictest of its parts is.

    Attributes:
        verdict: "allow", "deny", or "ask": a person decides.
        parts: every part that was judged.
    """

    verdict: Verdict
    parts: tuple[Judged, ...]

    @property
    def because(self) -> Judged:
        """The part that has decided: the first of the strictest."""
        return next(each for each in self.parts if each.verdict == self.verdict)

    @property
    def reason(self) -> str:
        """Why, in one line: what decided, by which rule, for which reason."""
        return str(self.because).removeprefix(self.verdict).strip()

    def explain(self) -> str:
        """Every part on a line of its own: its verdict, the rule by number and line, and the reason."""
        return "\n".join(map(str, self.parts))


def decided(parts: Sequence[Judged]) -> Decision:
    """The decision on what consists of these parts, of which there is at least one."""
    return Decision(max((each.verdict for each in parts), key=_STRICTNESS.__getitem__), tuple(parts))
