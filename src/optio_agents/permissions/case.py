"""The test cases of a policy file. Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .call import ToolCall

if TYPE_CHECKING:
    from .decision import Decision
    from .policy import Policy

CWD = "/home/user/project"
"""The working directory of a case that names none."""

TASKDIR = "/home/user/.local/state/optio/session"
"""The session's directory of a case that names none."""


def variables(taskdir: str) -> dict[str, str]:
    """The variables that are known in a case: those of the log channel, as a session sets them."""
    return {
        "OPTIO_LOG": f"{taskdir}/optio.log",
        "OPTIO_DELIVERABLES": f"{taskdir}/deliverables",
        "OPTIO_REPLIES": f"{taskdir}/replies",
    }


@dataclass(frozen=True, slots=True)
class Case:
    """What shall come out for a tool call.

    Attributes:
        number: its place in the file, from 1.
        call: the tool call.
        expect: the verdict.
        line: where it begins in the file; None: not known.
    """

    number: int
    call: ToolCall
    expect: Literal["allow", "deny", "ask"]
    line: int | None = None

    def __str__(self) -> str:
        at = f" (line {self.line})" if self.line else ""
        return f"case {self.number}{at}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A case in which something else came out.

    Attributes:
        case: the case.
        decision: what came out.
    """

    case: Case
    decision: "Decision"


def failures(policy: "Policy") -> tuple[Failure, ...]:
    """The cases of a policy in which it says something else than it shall. There are no symbolic links in a case."""
    from .parts import as_written

    failed = []
    for case in policy.cases:
        decision = policy.decide(case.call, as_written(case.call))
        if decision.verdict != case.expect:
            failed.append(Failure(case, decision))
    return tuple(failed)
