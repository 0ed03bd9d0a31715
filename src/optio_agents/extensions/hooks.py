"""Hooks: functions of a driver's that an agent calls at certain moments, and what they get and may say.

    @pre_tool_use(matcher="Bash")
    def no_push(use: PreToolUse) -> PreToolUseDecision | None:
        if "git push" in str(use.input["command"]):
            return PreToolUseDecision("deny", reason="Nothing is pushed tonight.")
        return None

What each decision does was measured with Claude Code 2.1.332.
"""

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from ..journal.documents import HookDocument

TIMEOUT = 30.0
"""Seconds that a hook may take, unless it says otherwise."""

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What the name of a hook or a tool may be."""

HookEvent = Literal["PreToolUse", "PostToolUse", "UserPromptSubmit", "Stop"]


@dataclass(frozen=True, slots=True)
class HookCall:
    """What every hook is told.

    Attributes:
        call_id: the same whenever the hook is called again for this.
        redelivered: it may have been called for this before, by a driver that died or has left.
        cwd: the agent's working directory, on its host.
        permission_mode: which uses of tools the agent asks about now.
        agent_id: the subagent that this is about; "": the agent itself.
        raw: everything that the agent says, as it came.
    """

    call_id: str
    redelivered: bool
    cwd: str
    permission_mode: str
    agent_id: str
    raw: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PreToolUse(HookCall):
    """The agent is about to use a tool; nobody was asked yet whether it may.

    Attributes:
        tool_name: the tool.
        input: what it would be called with.
        tool_use_id: which use of it.
    """

    tool_name: str
    input: Mapping[str, object]
    tool_use_id: str


@dataclass(frozen=True, slots=True)
class PostToolUse(PreToolUse):
    """The agent has used a tool.

    Attributes:
        response: what the tool gave back, as JSON.
    """

    response: object


@dataclass(frozen=True, slots=True)
class UserPromptSubmit(HookCall):
    """The agent takes up something that was said to it: `prompt`."""

    prompt: str


@dataclass(frozen=True, slots=True)
class Stop(HookCall):
    """The agent is about to end its turn.

    Attributes:
        last_message: what it has said last.
        active: it goes on already because a hook has kept it from ending: one that always blocks never lets it end.
    """

    last_message: str
    active: bool


@dataclass(frozen=True, slots=True)
class PreToolUseDecision:
    """What becomes of the use of a tool.

    Attributes:
        behavior: "allow": nobody is asked, unless the policy of the session denies it; "deny": it is not used; "ask":
            it is asked about, also when it would not have been; "none": as if there were no hook.
        reason: why; with "deny" the agent is told, with "ask" who is asked.
        updated_input: the tool is called with this instead, whole; None leaves the input as it was.
        context: what the agent is told besides, for "allow", "ask" and "none".

    Raises ValueError for what does not go together.
    """

    behavior: Literal["allow", "deny", "ask", "none"] = "none"
    reason: str = ""
    updated_input: Mapping[str, object] | None = None
    context: str = ""

    def __post_init__(self) -> None:
        if self.behavior == "deny" and self.updated_input is not None:
            raise ValueError("what is denied is called with nothing: no updated_input with deny")


@dataclass(frozen=True, slots=True)
class PostToolUseDecision:
    """What the agent is told beside what the tool gave back: `context`."""

    context: str = ""


@dataclass(frozen=True, slots=True)
class UserPromptSubmitDecision:
    """What becomes of something that was said.

    Attributes:
        block: the agent does not take it up: its turn ends at once, with `reason` as its text.
        reason: why; for "block".
        context: what the agent is told besides.
    """

    block: bool = False
    reason: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class StopDecision:
    """Whether the turn may end.

    Attributes:
        block: it does not; the agent is told `reason`, and goes on.
        reason: what is still to be done; needed to block.

    Raises ValueError for a block without a reason.
    """

    block: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if self.block and not self.reason:
            raise ValueError("say what is still to be done: a block needs a reason")


HookInput = PreToolUse | PostToolUse | UserPromptSubmit | Stop
HookDecision = PreToolUseDecision | PostToolUseDecision | UserPromptSubmitDecision | StopDecision


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook of a session; made by the functions below.

    Attributes:
        event: when it is called.
        function: it.
        name: what it is called; the next driver of the session needs one of the same name.
        matcher: for which tools, as a regular expression over the whole name; "": all.
        timeout: seconds that it may take; one that takes longer has failed.

    Raises ValueError for a name, a matcher or a timeout that is none.
    """

    event: HookEvent
    function: Callable[..., object]
    name: str
    matcher: str = ""
    timeout: float = TIMEOUT

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name={self.name!r}: letters, digits and . _ - only, and at most 64 of them")
        if not 0 < self.timeout < math.inf:
            raise ValueError(f"hook {self.name}: timeout={self.timeout}: it is a number of seconds above 0")
        try:
            re.compile(self.matcher)
        except re.error as error:
            raise ValueError(f"hook {self.name}: matcher={self.matcher!r} is no regular expression: {error}") from error

    def document(self) -> HookDocument:
        """What the journal has of it."""
        return HookDocument(name=self.name, event=self.event, matcher=self.matcher, timeout=self.timeout)


Given = TypeVar("Given", bound=HookCall)
Said = TypeVar("Said")
Function = Callable[[Given], Awaitable[Said | None] | Said | None]
"""Plain or async. A plain one runs in a thread. None says nothing."""


def pre_tool_use(
    *, matcher: str = "", name: str = "", timeout: float = TIMEOUT
) -> Callable[[Function[PreToolUse, PreToolUseDecision]], Hook]:
    """Make a hook of a function, called before each use of a tool. One that fails has it asked about.

    Parameters: as the attributes of `Hook`; the name is the function's if "".
    """
    return lambda function: Hook("PreToolUse", function, name or _name_of(function), matcher, timeout)


def post_tool_use(
    *, matcher: str = "", name: str = "", timeout: float = TIMEOUT
) -> Callable[[Function[PostToolUse, PostToolUseDecision]], Hook]:
    """The same, called after each use of a tool that was allowed. One that fails adds nothing."""
    return lambda function: Hook("PostToolUse", function, name or _name_of(function), matcher, timeout)


def user_prompt_submit(
    *, name: str = "", timeout: float = TIMEOUT
) -> Callable[[Function[UserPromptSubmit, UserPromptSubmitDecision]], Hook]:
    """The same, called with everything that is said to the agent. One that fails lets it through as it is."""
    return lambda function: Hook("UserPromptSubmit", function, name or _name_of(function), "", timeout)


def stop(*, name: str = "", timeout: float = TIMEOUT) -> Callable[[Function[Stop, StopDecision]], Hook]:
    """The same, called when the agent would end its turn. One that fails lets it end."""
    return lambda function: Hook("Stop", function, name or _name_of(function), "", timeout)


def _name_of(function: object) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
