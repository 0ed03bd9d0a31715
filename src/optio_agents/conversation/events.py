"""What happens in a conversation, as events of its session. What came byte for byte is in the spool of its output."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class AgentSession:
    """Which session of the agent this is, by its own account; `agent_session` is what to resume with."""

    type: ClassVar[str] = "agent.session"
    agent_session: str
    model: str
    permission_mode: str
    version: str


@dataclass(frozen=True, slots=True)
class AgentText:
    """The agent says something; `parent` is the tool use that started the subagent who does, or null."""

    type: ClassVar[str] = "agent.text"
    text: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class AgentThinking:
    """The agent thinks; `parent` as in `AgentText`."""

    type: ClassVar[str] = "agent.thinking"
    text: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class ToolUsed:
    """The agent wants to use a tool. Whether it may is another event."""

    type: ClassVar[str] = "tool.use"
    id: str
    name: str
    input: Mapping[str, object]
    parent: str | None


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """What a tool gave back: its beginning, and how long it is in characters."""

    type: ClassVar[str] = "tool.result"
    id: str
    text: str
    size: int
    is_error: bool


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """The agent waits to be told something.

    Attributes:
        id: what to answer by.
        kind: "permission" (may it use this tool?), "question" or "plan".
        tool: the tool.
        input: what it would be called with; a question or a plan is in here.
    """

    type: ClassVar[str] = "question.asked"
    id: str
    kind: str
    tool: str
    input: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class QuestionAnswered:
    """A question has its answer.

    Attributes:
        id: of the question.
        behavior: "allow" or "deny".
        by: who answered.
        message: what the agent is told with a no.
    """

    type: ClassVar[str] = "question.answered"
    id: str
    behavior: str
    by: str
    message: str | None


@dataclass(frozen=True, slots=True)
class QuestionWithdrawn:
    """The agent does not wait for an answer any more; one that still comes is not sent."""

    type: ClassVar[str] = "question.withdrawn"
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class HookCalled:
    """The agent calls a hook, and waits for what it says.

    Attributes:
        id: of the call.
        hook: name of the hook.
        event: "PreToolUse", "PostToolUse", "UserPromptSubmit" or "Stop".
        tool: the tool that it is about; "": none.
        use: the use of the tool that it is about; "": none.
    """

    type: ClassVar[str] = "hook.called"
    id: str
    hook: str
    event: str
    tool: str
    use: str


@dataclass(frozen=True, slots=True)
class HookAnswered:
    """A hook has said something.

    Attributes:
        id: of the call.
        hook: name of the hook.
        decision: "allow", "deny", "ask", "block", or "none" when it leaves things as they are.
        message: what the agent is told with it.
    """

    type: ClassVar[str] = "hook.answered"
    id: str
    hook: str
    decision: str
    message: str


@dataclass(frozen=True, slots=True)
class HookFailed:
    """A hook has failed, took too long, or is in no program that drives the session.

    Attributes:
        id: of the call.
        hook: name of the hook.
        problem: what was wrong.
        decision: what the agent was told in its place, as in `HookAnswered`.
    """

    type: ClassVar[str] = "hook.failed"
    id: str
    hook: str
    problem: str
    decision: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The agent calls a tool of its driver's.

    Attributes:
        id: of the call.
        tool: the tool, as the agent calls it.
        input: the arguments.
        use: the use of the tool that this carries out; "" when it is not said.
    """

    type: ClassVar[str] = "tool.called"
    id: str
    tool: str
    input: Mapping[str, object]
    use: str


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """How far a tool of the driver's is: `fraction` of 1, or null when it cannot tell."""

    type: ClassVar[str] = "tool.progress"
    id: str
    fraction: float | None
    message: str


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """A tool of the driver's has given something back: its beginning, and how long it is in characters."""

    type: ClassVar[str] = "tool.answered"
    id: str
    text: str
    size: int
    is_error: bool


@dataclass(frozen=True, slots=True)
class CallWithdrawn:
    """The agent does not wait for a hook or a tool any more; what it still says is not sent."""

    type: ClassVar[str] = "call.withdrawn"
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class TurnQueued:
    """Something was sent to the agent.

    Attributes:
        id: of what was sent.
        text: what.
        sender: who sent it.
    """

    type: ClassVar[str] = "turn.queued"
    id: str
    text: str
    sender: str


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The agent has taken up what was sent."""

    type: ClassVar[str] = "turn.started"
    id: str


@dataclass(frozen=True, slots=True)
class TurnCancelled:
    """What was sent gets no answer."""

    type: ClassVar[str] = "turn.cancelled"
    id: str


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The agent has finished a turn.

    Attributes:
        ids: what it answered; several messages may have one answer, and a turn may be nobody's.
        reason: "completed", "aborted_streaming", "aborted_tools", "api_error", ...
        is_error: it did not succeed. An interrupted turn is no success, and no failure.
        text: its final text.
        cost_usd: what the conversation has cost so far, in US dollars; null when not said.
        input_tokens: of this turn, without those from a cache.
        output_tokens: of this turn.
        denied: the tools that it was not allowed to use, one for each time.
    """

    type: ClassVar[str] = "turn.ended"
    ids: tuple[str, ...]
    reason: str
    is_error: bool
    text: str
    cost_usd: float | None
    input_tokens: int
    output_tokens: int
    denied: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentRetry:
    """The API of the agent's model has refused, and the agent tries again in `delay` seconds."""

    type: ClassVar[str] = "agent.retry"
    attempt: int
    attempts: int
    delay: float
    status: int | None
    error: str


@dataclass(frozen=True, slots=True)
class AgentLimit:
    """How much of a subscription is used up: `utilization` of 1; `resets` in seconds since the epoch."""

    type: ClassVar[str] = "agent.limit"
    status: str
    window: str
    utilization: float | None
    resets: float | None


@dataclass(frozen=True, slots=True)
class AgentTask:
    """Work of the agent in the background."""

    type: ClassVar[str] = "agent.task"
    id: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class AgentUnparsed:
    """Output of the agent that is no message known here.

    Attributes:
        problem: what is wrong with it.
        text: its beginning.
        size: bytes.
    """

    type: ClassVar[str] = "agent.unparsed"
    problem: str
    text: str
    size: int


ConversationEvent = (
    AgentSession
    | AgentText
    | AgentThinking
    | ToolUsed
    | ToolReturned
    | QuestionAsked
    | QuestionAnswered
    | QuestionWithdrawn
    | HookCalled
    | HookAnswered
    | HookFailed
    | ToolCalled
    | ToolProgress
    | ToolAnswered
    | CallWithdrawn
    | TurnQueued
    | TurnStarted
    | TurnCancelled
    | TurnEnded
    | AgentRetry
    | AgentLimit
    | AgentTask
    | AgentUnparsed
)
