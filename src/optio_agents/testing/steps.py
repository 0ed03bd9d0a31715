"""What a `FakeAgent` does, as data."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..protocol.replies import SHOWN_NAME, one_line


@dataclass(frozen=True, slots=True)
class Says:
    """It says something. What it says last in a turn is the text of that turn.

    Attributes:
        text: what.
        parent: id of the `CallsTool` that started the subagent who says it; "": the agent itself.
    """

    text: str
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Thinks:
    """It thinks something; attributes as in `Says`."""

    text: str
    parent: str = ""


@dataclass(frozen=True, slots=True)
class UsesTool:
    """It asks whether it may use a tool, waits for the decision, and shows what came of it. It runs nothing.

    This is `CallsTool`, `AsksAbout`, `AwaitsDecision` and `ReturnsFrom` in one. Hooks of the session that are for it
    are called and heeded; and a tool of the session's driver does run, and gives the result.

    Attributes:
        name: the tool, such as "Bash".
        input: what it is called with, as JSON.
        result: what it gives back if it is allowed; else it gives back why it is denied.
        asks: False: it is not asked about, as a tool in `ClaudeCode.allowed_tools`.
    """

    name: str
    input: Mapping[str, object] = field(default_factory=dict)
    result: str = ""
    asks: bool = True


@dataclass(frozen=True, slots=True)
class CallsTool:
    """It says that it wants to use a tool.

    Attributes:
        id: what to know this use by, unique in the script.
        name: the tool.
        input: what it is called with, as JSON.
        parent: as in `Says`.
    """

    id: str
    name: str
    input: Mapping[str, object] = field(default_factory=dict)
    parent: str = ""


@dataclass(frozen=True, slots=True)
class AsksAbout:
    """It asks whether it may, and does the next step meanwhile.

    Attributes:
        id: of the `CallsTool`.
        name: the tool.
        input: what it asks to call it with, as JSON.
        agent: id of the subagent who asks, whose question may outlive the turn; "": the agent itself.
    """

    id: str
    name: str
    input: Mapping[str, object] = field(default_factory=dict)
    agent: str = ""


@dataclass(frozen=True, slots=True)
class AwaitsDecision:
    """It does nothing until it is told whether it may.

    Attributes:
        id: of the `CallsTool`.
    """

    id: str


@dataclass(frozen=True, slots=True)
class CallsHooks:
    """It calls the session's hooks for one of the two moments that are not about a tool, and heeds what they say.

    Attributes:
        event: the moment. A message that "UserPromptSubmit" blocks ends the turn; behind "Stop" it goes on, blocked or
            not.
    """

    event: Literal["UserPromptSubmit", "Stop"]


@dataclass(frozen=True, slots=True)
class CallsHook:
    """It calls one hook, and does the next step meanwhile.

    Attributes:
        id: what to know this call by, unique in the script.
        hook: name of the hook, which the session must have.
        use: id of the `CallsTool` that it is about; "": none.
        name: that tool.
        input: what that is called with, as JSON.
    """

    id: str
    hook: str
    use: str = ""
    name: str = ""
    input: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallsOffered:
    """It calls a tool of the session's driver, and does the next step meanwhile; `ReturnsFrom` shows its result.

    Attributes:
        id: what to know this call by, unique in the script.
        use: id of the `CallsTool`.
        name: the tool, such as "mcp__optio__add", which the session must have.
        input: the arguments, as JSON.
    """

    id: str
    use: str
    name: str
    input: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AwaitsAnswer:
    """It does nothing until a hook or a tool has answered.

    Attributes:
        id: of the `CallsHook` or `CallsOffered`.
    """

    id: str


@dataclass(frozen=True, slots=True)
class ReturnsFrom:
    """It shows what came of the use of a tool, and waits for no decision on it any more.

    Attributes:
        id: of the `CallsTool`.
        result: what the tool gives back; if it is denied, it gives back why.
        is_error: the tool has failed.
    """

    id: str
    result: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Asks:
    """It asks a person something, and waits for the answer.

    Attributes:
        question: the question.
        options: the answers that it offers.
        header: the question in a word or two.
        several: more than one answer may be given.
    """

    question: str
    options: Sequence[str]
    header: str = ""
    several: bool = False


@dataclass(frozen=True, slots=True)
class Appends:
    """It writes a line to its log, such as "STATUS: 10% reading" or "DONE"."""

    line: str


@dataclass(frozen=True, slots=True)
class Delivers:
    """It hands over a file, and waits for what it is told about it.

    Attributes:
        name: path of the file below the deliverables directory.
        content: what is in it; text is UTF-8.
        waits: False: it goes on, and takes up what it is told when a turn begins, or with `TakesUp`.

    Raises ValueError for a name that leaves the directory, or that could not be found again in the answer.
    """

    name: str
    content: str | bytes
    waits: bool = True

    def __post_init__(self) -> None:
        inside = self.name == posixpath.normpath(self.name) and self.name.split("/")[0] not in ("", ".", "..")
        if not inside or self.name != one_line(self.name) or len(self.name) > SHOWN_NAME:
            raise ValueError(
                f"name={self.name!r}: it is a plain path below the deliverables directory; what else an agent "
                'may announce is written with Appends("DELIVERABLE: ...")'
            )


@dataclass(frozen=True, slots=True)
class TakesUp:
    """It takes something that it is told into the turn, or begins a turn with it; until then it waits.

    Attributes:
        beginning: how that begins, such as "System: deliverable report.md: "; "": whatever comes next.
    """

    beginning: str = ""


@dataclass(frozen=True, slots=True)
class BeginsTurn:
    """It begins a turn that nobody has asked for, as when work in the background is done."""


@dataclass(frozen=True, slots=True)
class Waits:
    """It does nothing until it is interrupted, or ended. Once interrupted, it is at the end of the turn."""


@dataclass(frozen=True, slots=True)
class AwaitsInterrupt:
    """It does nothing until it is interrupted, and then the rest of its turn, which is to end with `Fails`."""


@dataclass(frozen=True, slots=True)
class EndsTurn:
    """It has answered, and waits for the next thing that it is told.

    Attributes:
        cost_usd: US dollars that the turn has cost.
        input_tokens: tokens that its model has read in it.
        output_tokens: tokens that its model has written in it.
        text: the text of the turn; None: what it has said last.
        reason: why it ends, in Claude Code's word.
    """

    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    text: str | None = None
    reason: str = "completed"


@dataclass(frozen=True, slots=True)
class Fails:
    """Its turn ends with an error, as when its model cannot be reached.

    Attributes:
        error: what it says of it.
        reason: why, in Claude Code's word; "aborted_streaming" and "aborted_tools" are interruptions.
        cost_usd, input_tokens, output_tokens: as in `EndsTurn`.
    """

    error: str
    reason: str = "api_error"
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Exits:
    """It ends in the middle of its turn, with this exit status."""

    code: int


@dataclass(frozen=True, slots=True)
class AtOnce:
    """It does this between two turns, without waiting for the next one to begin."""

    step: Appends | Delivers | Exits


Step = (
    Says
    | Thinks
    | UsesTool
    | CallsTool
    | AsksAbout
    | AwaitsDecision
    | CallsHooks
    | CallsHook
    | CallsOffered
    | AwaitsAnswer
    | ReturnsFrom
    | Asks
    | Appends
    | Delivers
    | TakesUp
    | BeginsTurn
    | Waits
    | AwaitsInterrupt
    | EndsTurn
    | Fails
    | Exits
    | AtOnce
)
"""What a `FakeAgent` does next. A turn begins when it is told something, and ends with EndsTurn, Fails or Exits."""
