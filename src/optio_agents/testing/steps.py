"""What a `FakeAgent` does, as data."""

import base64
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from ..protocol.replies import SHOWN_NAME, one_line


@dataclass(frozen=True, slots=True)
class Says:
    """It says something. What it says last in a turn is the text of that turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinks:
    """It thinks something."""

    text: str


@dataclass(frozen=True, slots=True)
class UsesTool:
    """It asks whether it may use a tool, waits for the decision, and shows what came of it. It runs nothing.

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

    Raises ValueError for a name that leaves the directory, or that could not be found again in the answer.
    """

    name: str
    content: str | bytes

    def __post_init__(self) -> None:
        inside = self.name == posixpath.normpath(self.name) and self.name.split("/")[0] not in ("", ".", "..")
        if not inside or self.name != one_line(self.name) or len(self.name) > SHOWN_NAME:
            raise ValueError(
                f"name={self.name!r}: it is a plain path below the deliverables directory; what else an agent "
                'may announce is written with Appends("DELIVERABLE: ...")'
            )


@dataclass(frozen=True, slots=True)
class Waits:
    """It does nothing until it is interrupted, or ended."""


@dataclass(frozen=True, slots=True)
class EndsTurn:
    """It has answered, and waits for the next thing that it is told.

    Attributes:
        cost_usd: US dollars that the turn has cost.
        input_tokens: tokens that its model has read in it.
        output_tokens: tokens that its model has written in it.
    """

    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Fails:
    """Its turn ends with an error, as when its model cannot be reached."""

    error: str


@dataclass(frozen=True, slots=True)
class Exits:
    """It ends in the middle of its turn, with this exit status."""

    code: int


Step = Says | Thinks | UsesTool | Asks | Appends | Delivers | Waits | EndsTurn | Fails | Exits
"""What a `FakeAgent` does next. A turn begins when it is told something, and ends with EndsTurn, Fails or Exits."""


def to_script(step: Step) -> dict[str, object]:
    """A step as the player on the host takes it. Raises TypeError for what is no step."""
    match step:
        case Says(text):
            return {"step": "says", "text": text}
        case Thinks(text):
            return {"step": "thinks", "text": text}
        case UsesTool(name, tool_input, result, asks):
            return {"step": "uses", "name": name, "input": dict(tool_input), "result": result, "asks": asks}
        case Asks(question, options, header, several):
            offered = [{"label": each, "description": each} for each in options]
            asked = {"question": question, "header": header, "options": offered, "multiSelect": several}
            return {"step": "asks", "input": {"questions": [asked]}}
        case Appends(line):
            return {"step": "appends", "line": line}
        case Delivers(name, content):
            data = content.encode() if isinstance(content, str) else content
            return {"step": "delivers", "name": name, "base64": base64.b64encode(data).decode("ascii")}
        case Waits():
            return {"step": "waits"}
        case EndsTurn(cost_usd, input_tokens, output_tokens):
            return {"step": "ends", "cost": cost_usd, "input_tokens": input_tokens, "output_tokens": output_tokens}
        case Fails(error):
            return {"step": "fails", "error": error}
        case Exits(code):
            return {"step": "exits", "code": code}
        case _:
            # Whoever is not checked by types hands in anything.
            _refuse(step)
            assert_never(step)


def _refuse(step: object) -> None:
    raise TypeError(f"{step!r} is nothing that a FakeAgent can do: see optio_agents.testing for its steps")
