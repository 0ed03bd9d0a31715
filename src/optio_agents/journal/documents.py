"""The documents of a journal: what is stored as JSON and may be read by another version of this program.

A field that this version does not know is kept, and written back where it was. All times are seconds since the epoch.
"""

import json
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from ..errors import StoreError

JsonObject = dict[str, JsonValue]
"""What JSON calls an object."""

State = Literal["starting", "running", "idle", "ended"]


class Document(BaseModel):
    """A stored value: never changed, only replaced by a copy."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Driver(Document):
    """A process that drives a session. Start time and boot id tell it from a later process of the same number.

    Attributes:
        id: an id that no other driver ever has.
        hostname: name of the machine it runs on.
        pid: its process id there.
        start_time: when the kernel says it started, in the kernel's own unit; "" when not known.
        boot_id: which boot of the machine that was; "" when not known.
    """

    id: str
    hostname: str
    pid: int
    start_time: str = ""
    boot_id: str = ""


class OutcomeDocument(Document):
    """How a session ended.

    Attributes:
        outcome: in one word; `closed` is a chat that the person ended.
        reason: why, for a person.
        summary: what the agent said of its work at the end.
        exit: exit status of the program, a negative one is a signal; None when it is not known.
    """

    outcome: Literal["done", "failed", "cancelled", "lost", "closed"]
    reason: str = ""
    summary: str = ""
    exit: int | None = None


class Limits(Document):
    """When a session is stopped by itself.

    Attributes:
        wall: seconds from its start; None: never.
        idle: seconds without any sign of life; None: never.
        grace: seconds that the program has to exit once it is to end.
    """

    wall: float | None = None
    idle: float | None = None
    grace: float | None = None


class Allowed(Document):
    """A use of a tool that is allowed for the rest of a session.

    Attributes:
        tool: the tool.
        input: by name, what must be the same of what it is called with.
    """

    tool: str
    input: JsonObject


class HookDocument(Document):
    """A hook that an agent calls.

    Attributes:
        name: what it is called, and the agent knows it by.
        event: when: PreToolUse, PostToolUse, UserPromptSubmit or Stop.
        matcher: for which tools, as a regular expression; "": all.
        timeout: seconds that it may take.
    """

    name: str
    event: Literal["PreToolUse", "PostToolUse", "UserPromptSubmit", "Stop"]
    matcher: str = ""
    timeout: float


class ToolDocument(Document):
    """A tool of its driver's that an agent is offered.

    Attributes:
        server: name of the MCP server that the agent takes it for a tool of.
        name: its name there.
        description: what the model is told of it.
        input_schema: JSON schema of its arguments.
        timeout: seconds that it may take.
        ask: each use is asked about, as that of any other tool.
    """

    server: str
    name: str
    description: str = ""
    input_schema: JsonObject = {}
    timeout: float
    ask: bool = False


class OpenCall(Document):
    """A call of a hook or a tool that has no answer yet.

    Attributes:
        id: id of the agent's request.
        kind: what is called.
        name: of the hook; of the tool, with its server before it.
        place: where in the agent's output it stands, as file, offset and check of a cursor. What it is called with is
            only there: it may hold secrets.
        asked: when it was heard, in seconds since the epoch.
        rpc: the id within the dialogue with the tool's server.
    """

    id: str
    kind: Literal["hook", "tool"]
    name: str
    place: tuple[str, int, int]
    asked: float
    rpc: int | str | None = None


class SourceDocument(Document):
    """A file of Python on the driving machine that defines hooks or tools of a session.

    Attributes:
        kind: which of both is taken from it.
        path: absolute path.
        attribute: the name in it that holds them; "": all that it defines.
        sha256: digest of the file, hexadecimal: another content is another program.
    """

    kind: Literal["hooks", "tools"]
    path: str
    attribute: str = ""
    sha256: str


class ConversationDocument(Document):
    """How the dialogue with an agent stands.

    Attributes:
        dialect: what the agent speaks.
        prompt: what it is to be told first; "" once it has been.
        reminder: what it is told once, when it stands still without DONE or ERROR; "": nothing, or it has been.
        agent_session: the agent's own id of its session; "" before it has told.
        pending: by the id of each message that has no answer yet, how far it has come, in the order they were sent.
        cost_usd: what it has cost so far, in US dollars; None when not known.
        deny_after: seconds after which a question that nobody has answered is denied; None: never.
        tells: it says how far each message has come; early versions do not.
        tasks: ids of what it does in the background.
        allowed: uses of tools that are not asked about any more.
        policy: text of the policy file that says what it may do unasked; "": everything is asked.
        chat: a person talks with it, and ends it; else it has a task, and ends with that.
        hooks: those that it calls.
        tools: those of its driver that it is offered.
        calls: calls of both that have no answer yet, in the order they came.
        sources: the files that hooks and tools are loaded from by whoever drives it; (): they are in the program that
            has started it.
    """

    dialect: Literal["claude"]
    prompt: str = ""
    reminder: str = ""
    agent_session: str = ""
    pending: dict[str, Literal["sent", "queued", "started", "completed"]] = {}
    cost_usd: float | None = None
    deny_after: float | None = None
    tells: bool = False
    tasks: tuple[str, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    policy: str = ""
    chat: bool = False
    hooks: tuple[HookDocument, ...] = ()
    tools: tuple[ToolDocument, ...] = ()
    calls: tuple[OpenCall, ...] = ()
    sources: tuple[SourceDocument, ...] = ()


class SessionRecord(Document):
    """What a session is, and how it stands.

    Attributes:
        version: version of this document.
        id: id of the session; see `new_id`.
        host: name of the host that it runs on.
        agent: short name of the agent, or the command.
        state: how it stands.
        outcome: how it ended; None before.
        driver: who owns it. Filled in by the store from the lease; what a caller puts there is not stored.
        created: when it was made.
        updated: when it was last changed. Filled in by the store.
        cwd: directory on the host that the program runs in.
        command: the command and its arguments.
        taskdir: the session's directory on the host.
        rundir: directory of the current run of the program, below taskdir; "" before the first.
        deliverables_dir: directory on the driving machine where deliverables land.
        callbacks: names of the callbacks that a driver needs to go on.
        limits: when it is stopped by itself.
        labels: what the user noted about it.
        notify: a command that tells a person who is elsewhere; "": none.
        conversation: how the dialogue with it stands; None: it is a program that holds none.
    """

    version: int = 1
    id: str
    host: str
    agent: str
    state: State = "starting"
    outcome: OutcomeDocument | None = None
    driver: Driver | None = None
    created: float
    updated: float = 0.0
    cwd: str = ""
    command: tuple[str, ...] = ()
    taskdir: str = ""
    rundir: str = ""
    deliverables_dir: str = ""
    callbacks: tuple[str, ...] = ()
    limits: Limits = Limits()
    labels: dict[str, str] = {}
    notify: str = ""
    conversation: ConversationDocument | None = None


class Question(Document):
    """Something the agent wants to be told. Once it is not open, it never changes again.

    Attributes:
        id: id of the question, unique in its session.
        kind: what sort of question it is.
        data: what was asked.
        asked: when.
        status: whether it is still to be answered.
        waits_for: who is to answer it now: the policy of its session, which may leave it to a person.
        paths: where the paths that it names led on the host when the policy judged it, of those that led elsewhere than
            they say; None for one that could not be resolved. None instead of all: it was judged by no policy.
        answer: what was answered; None before, and when it was withdrawn.
        closed: when it was answered or withdrawn.
    """

    id: str
    kind: str
    data: JsonObject = {}
    asked: float
    status: Literal["open", "answered", "withdrawn"] = "open"
    waits_for: Literal["policy", "person"] = "person"
    paths: dict[str, str | None] | None = None
    answer: JsonObject | None = None
    closed: float | None = None


class Deliverable(Document):
    """A file that was brought home.

    Attributes:
        event_id: id of the event that announced it: one announcement lands once.
        name: its path below the agent's deliverables directory.
        path: where it landed on the driving machine.
        size: bytes.
        sha256: digest of its content, hexadecimal.
        time: when it landed.
    """

    event_id: str
    name: str
    path: str
    size: int
    sha256: str
    time: float


class Receipt(Document):
    """What became of a command.

    Attributes:
        status: whether the owner took it up.
        message: more, for a person.
        time: when it was taken.
    """

    status: Literal["accepted", "refused"]
    message: str = ""
    time: float


class Command(Document):
    """Something another process wants of a session's owner.

    Attributes:
        number: its place in the inbox, from 1.
        id: chosen by the sender; a command that is put twice is one command.
        kind: send, cancel, approve, ...
        data: what it takes.
        sender: who wants it, for a person.
        time: when it was put.
        receipt: what became of it; None while the owner has not taken it.
    """

    number: int
    id: str
    kind: str
    data: JsonObject = {}
    sender: str = ""
    time: float
    receipt: Receipt | None = None


D = TypeVar("D", bound=Document)

# ASCII only: a path that is not UTF-8 is a string with lone surrogates here, and those survive only as escapes.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def to_json(value: JsonValue) -> str:
    """One line of ASCII.

    Raises:
        ValueError, TypeError: it holds something that JSON does not have, such as NaN or bytes.
    """
    return _encode(value)


def to_text(document: Document) -> str:
    """A document as one line of ASCII JSON."""
    return _encode(document.model_dump())


def from_text(kind: type[D], text: str) -> D:
    """The document behind `to_text`; StoreError if it is none that this version can read."""
    try:
        return kind.model_validate(json.loads(text))
    except ValueError as error:
        raise StoreError(
            f"a {kind.__name__} in the journal cannot be read: it is damaged, or from a newer version of this program: "
            f"{error}"
        ) from error
