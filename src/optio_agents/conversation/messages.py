"""What Claude Code says on its stdout, one message a line, as values. Pure.

Shapes measured with versions 2.1.197, 2.1.329 and 2.1.330 over `--output-format stream-json --verbose`. Every message
keeps the object it was made from in `raw`: what is not understood is passed on, marked and intact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

JsonMap = Mapping[str, object]
"""A JSON object as it was decoded."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words of the model, or of a user."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thought."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The model wants to use a tool."""

    id: str
    name: str
    input: JsonMap


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back, as text; images and the like are named in brackets."""

    tool_use_id: str
    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class OtherBlock:
    """A block of a kind that is not known here; `raw` has it whole."""

    kind: str
    raw: object


Block = Text | Thinking | ToolUse | ToolResult | OtherBlock


@dataclass(frozen=True, slots=True)
class TurnBegan:
    """system/init: comes once for each turn, and says which session of the agent this is."""

    agent_session: str
    model: str
    permission_mode: str
    version: str
    sends: tuple[str, ...]
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class Spoke:
    """assistant: one block, as a rule, of what the model says.

    Attributes:
        blocks: what it says.
        parent: id of the tool use that started the subagent who speaks; None: the agent itself.
        api_error: kind of the error, when these are no words of the model but of an error of its API.
        aborted: it was interrupted while it said so.
    """

    blocks: tuple[Block, ...]
    parent: str | None
    api_error: str | None
    aborted: bool
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class Fed:
    """user: what the agent was given, mostly results of tools.

    Attributes:
        blocks: what it was given.
        parent: as in `Spoke`.
        replayed: it is a message that was sent to the agent, said again.
    """

    blocks: tuple[Block, ...]
    parent: str | None
    replayed: bool
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class Partial:
    """stream_event: a piece of what will come whole as `Spoke`. Kind "other" has no text of its own."""

    kind: Literal["text", "thinking", "input", "other"]
    text: str
    parent: str | None
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class Denial:
    """A use of a tool that was not permitted during a turn."""

    tool_name: str
    tool_use_id: str


@dataclass(frozen=True, slots=True)
class TurnResult:
    """result: a turn is over.

    `subtype` success says nothing: an error of the API has it, too.

    Attributes:
        sends: ids of the messages that the turn answered; () when nobody asked for the turn, or the version does not
            say.
        text: the final text.
        is_error: it did not succeed.
        reason: completed, aborted_streaming, aborted_tools, api_error, ...; "" when the version does not say.
        errors: what the agent says about it; an interrupted turn has a diagnostic here, which is no failure.
        cost_usd: cost of all turns so far, in US dollars; None when not said.
        input_tokens: of this turn, without those from a cache.
        output_tokens: of this turn.
        denials: uses of tools that were not permitted.
    """

    sends: tuple[str, ...]
    text: str
    is_error: bool
    reason: str
    errors: tuple[str, ...]
    cost_usd: float | None
    input_tokens: int
    output_tokens: int
    denials: tuple[Denial, ...]
    agent_session: str
    raw: JsonMap

    @property
    def interrupted(self) -> bool:
        """It was ended by an interrupt, which is no failure."""
        return self.reason.startswith("aborted")


SendState = Literal["queued", "started", "completed", "cancelled"]


@dataclass(frozen=True, slots=True)
class SendMoved:
    """command_lifecycle: where a message that was sent stands now."""

    send: str
    state: SendState
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class Retrying:
    """system/api_retry: its API refused, and it will try again."""

    attempt: int
    attempts: int
    delay: float
    status: int | None
    error: str
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class RateLimited:
    """rate_limit_event: how much of a subscription is used up."""

    status: str
    window: str
    utilization: float | None
    resets: float | None
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class TaskMoved:
    """system/task_started, task_updated, task_notification: work in the background."""

    task: str
    state: str
    text: str
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class SystemNote:
    """Any other system message: status, thinking_tokens, permission_denied, ..."""

    subtype: str
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class ToolAsked:
    """control_request/can_use_tool: may it use a tool? It waits for the answer.

    Attributes:
        request: id to answer with.
        tool_name: the tool.
        input: what it would be called with.
        tool_use_id: the use that is asked about.
        agent: the subagent that asks; None: the agent itself.
        for_person: only a person can answer: AskUserQuestion, ExitPlanMode.
        raw: the whole request.
    """

    request: str
    tool_name: str
    input: JsonMap
    tool_use_id: str
    agent: str | None
    for_person: bool
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class HookAsked:
    """control_request/hook_callback: what has a hook of ours to say? It waits for the answer.

    Attributes:
        request: id to answer with.
        callback: which hook, by the id that it was registered with.
        input: what it is told.
        raw: the whole request.
    """

    request: str
    callback: str
    input: JsonMap
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class McpAsked:
    """control_request/mcp_message: JSON-RPC for an MCP server of ours. It waits for an answer, to a notification too.

    Attributes:
        request: id to answer with.
        server: name of the server.
        message: what it is told.
        raw: the whole request.
    """

    request: str
    server: str
    message: JsonMap
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class Requested:
    """control_request of any other kind: it waits for an answer all the same."""

    request: str
    subtype: str
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class RequestWithdrawn:
    """control_cancel_request: it does not wait for this answer any more."""

    request: str
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class Response:
    """control_response: the answer to a request of ours; `error` is None for success."""

    request: str
    data: JsonMap
    error: str | None
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class Unknown:
    """A JSON object that is no message known here, or not of the shape known here; `problem` says which."""

    kind: str
    problem: str
    raw: JsonMap


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A line that is no JSON object: noise, or half a message.

    Attributes:
        line: it, byte for byte.
        problem: why it cannot be read.
        request: id of the request that it seems to be; it must be answered.
    """

    line: bytes
    problem: str
    request: str | None


@dataclass(frozen=True, slots=True)
class Overlong:
    """A message that was too long to be read whole.

    Attributes:
        size: bytes.
        head: its beginning.
        request: id of the request that it is, as far as its beginning tells; it must be answered.
    """

    size: int
    head: bytes
    request: str | None


Message = (
    TurnBegan
    | Spoke
    | Fed
    | Partial
    | TurnResult
    | SendMoved
    | Retrying
    | RateLimited
    | TaskMoved
    | SystemNote
    | ToolAsked
    | HookAsked
    | McpAsked
    | Requested
    | RequestWithdrawn
    | Response
    | Unknown
    | Unparsed
    | Overlong
)
