"""Tools: functions of a driver's that an agent may use, wherever it runs.

    @tool(timeout=300)
    async def deploy(service: str, version: int = 1, *, context: ToolContext) -> str:
        \"\"\"Deploy a service to the staging system.\"\"\"
        context.progress("building", 0.5)
        ...

The agent gives the arguments, and they are validated before the function runs.
"""

import math
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, overload

from pydantic_core import PydanticSerializationError, to_json

from ..journal.documents import ToolDocument
from .arguments import Arguments, BadArguments
from .running import Threads

TIMEOUT = 60.0
"""Seconds that a tool may take, unless it says otherwise."""

SERVER = "optio"
"""The MCP server that the agent takes functions for tools of: the model calls them `mcp__optio__NAME`."""

LONGEST_RESULT = 256 * 1024
"""Characters of a result that the agent is given; a longer one is cut, and says so."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ToolFailed(Exception):
    """Raised by a tool to tell the agent why it has failed. Of any other error the agent learns only the kind."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the agent is given.

    Attributes:
        text: it.
        is_error: the tool has failed.
    """

    text: str
    is_error: bool = False


class ToolContext:
    """What a tool gets beside its arguments, when it has a parameter of this type.

    Attributes:
        call_id: the same whenever the tool is called again for this.
        redelivered: it may have been called for this before, by a driver that died or has left.
        session: id of the session.
        given_up: set once nobody waits for the result any more; a plain function should look, and return.
    """

    def __init__(
        self, call_id: str, redelivered: bool, session: str, report: Callable[[str, float | None], None]
    ) -> None:
        self.call_id = call_id
        self.redelivered = redelivered
        self.session = session
        self.given_up = threading.Event()
        self._report = report

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Say how far it is, for the timeline of the session; from any thread. Several in a moment are one.

        Parameters:
            message: in words.
            fraction: from 0 to 1; None when it cannot tell.

        Raises ValueError for a fraction that is none.
        """
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"fraction={fraction}: it is from 0 to 1")
        self._report(message, fraction)


class Offered(Protocol):
    """A tool that an agent is offered."""

    def document(self) -> ToolDocument:
        """What the journal has of it."""
        ...

    async def call(self, arguments: Mapping[str, object], context: ToolContext, threads: Threads) -> ToolResult:
        """What it gives back. Raises BadArguments, ToolFailed, and whatever its author has not thought of."""
        ...


@dataclass(frozen=True)
class Tool:
    """A function as a tool.

    Attributes:
        function: plain or async; a plain one runs in a thread. Each parameter has a type that pydantic can read from
            JSON, but one of type `ToolContext`, which is filled in. It returns text, or what JSON can say.
        name: what the model calls it; the function's if "".
        description: what the model is told of it; the docstring if "".
        timeout: seconds that it may take.
        ask: each use is asked about. Else only a policy that denies it stands in the way of a tool that you offer.

    Raises TypeError for a function that cannot be one, ValueError for a name or a timeout that is none.
    """

    function: Callable[..., object]
    name: str = ""
    description: str = ""
    timeout: float = TIMEOUT
    ask: bool = False
    _arguments: Arguments = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name = self.name or str(getattr(self.function, "__name__", type(self.function).__name__))
        if not NAME.fullmatch(name):
            raise ValueError(f"name={name!r}: letters, digits, _ and - only, and at most 64 of them")
        if not 0 < self.timeout < math.inf:
            raise ValueError(f"tool {name}: timeout={self.timeout}: it is a number of seconds above 0")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "description", self.description or (self.function.__doc__ or "").strip())
        object.__setattr__(self, "_arguments", Arguments(self.function, ToolContext))

    def document(self) -> ToolDocument:
        """What the journal has of it."""
        return ToolDocument(
            server=SERVER,
            name=self.name,
            description=self.description,
            input_schema=self._arguments.schema(),
            timeout=self.timeout,
            ask=self.ask,
        )

    async def call(self, arguments: Mapping[str, object], context: ToolContext, threads: Threads) -> ToolResult:
        """Validate the arguments, and call the function. Raises as `Offered.call`."""
        values = self._arguments.values(arguments)
        if self._arguments.besides is not None:
            values[self._arguments.besides] = context
        return ToolResult(text_of(await threads.run(self.function, **values)))


@overload
def tool(function: Callable[..., object], /) -> Tool: ...
@overload
def tool(
    *, name: str = "", description: str = "", timeout: float = TIMEOUT, ask: bool = False
) -> Callable[[Callable[..., object]], Tool]: ...


def tool(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    timeout: float = TIMEOUT,
    ask: bool = False,
) -> Tool | Callable[[Callable[..., object]], Tool]:
    """Make a tool of a function, as `@tool` or `@tool(timeout=300)`. Parameters and errors as of `Tool`."""
    if function is not None:
        return Tool(function)
    return lambda function: Tool(function, name, description, timeout, ask)


def text_of(value: object) -> str:
    """What a tool has returned, as text: JSON, if it is none. TypeError for what JSON cannot say."""
    if isinstance(value, str):
        return value
    if value is None:
        return "(nothing)"  # the model's API takes no empty text
    try:
        return to_json(value).decode()
    except PydanticSerializationError as error:
        raise TypeError(str(error)) from error


def bounded(text: str) -> str:
    """A result of at most so many characters."""
    if len(text) <= LONGEST_RESULT:
        return text or "(nothing)"
    return f"{text[:LONGEST_RESULT]}\n[cut here: it had {len(text)} characters]"


__all__ = ["BadArguments", "Offered", "Tool", "ToolContext", "ToolFailed", "ToolResult", "tool"]
