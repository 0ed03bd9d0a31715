"""What happens in a session: typed events, and the one JSON form in which they are shown, stored and sent.

A reader of the JSON form ignores types and fields that it does not know; docs/protocol.md lists both.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import ClassVar, Literal, get_args

from optio_host.cursor import Cursor

from .conversation.events import ConversationEvent

Source = Literal["session", "log", "hook", "agent"]
"""Who said it: the session itself, the program through its log, the task's hooks, or the agent through its dialogue."""


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The program runs.

    Attributes:
        command: the program and its arguments.
        directory: where it runs.
        deliverables: the directory on this machine that its deliverables land in.
        taskdir: the session's directory on the host, with its log and its output.
    """

    type: ClassVar[str] = "session.started"
    command: tuple[str, ...]
    directory: str
    deliverables: str
    taskdir: str


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS: what the program is doing; percent (0 to 100) of the whole task when it can tell."""

    type: ClassVar[str] = "status"
    percent: int | None
    message: str


@dataclass(frozen=True, slots=True)
class DeliverableLanded:
    """A deliverable is on this machine.

    Attributes:
        name: its name below the deliverables directory.
        path: where it landed.
        size: bytes.
        sha256: of its content, in hexadecimal.
    """

    type: ClassVar[str] = "deliverable"
    name: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DeliverableRefused:
    """A deliverable was announced and could not be taken; the program was told the same reason."""

    type: ClassVar[str] = "deliverable.refused"
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Attention:
    """ATTENTION: the program asks for a person."""

    type: ClassVar[str] = "attention"
    reason: str


@dataclass(frozen=True, slots=True)
class UnknownText:
    """A line of the log that is no entry; `size` in bytes is set when it was too long to be read whole."""

    type: ClassVar[str] = "line"
    text: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """DONE was read. The first DONE or ERROR decides; later ones are events only."""

    type: ClassVar[str] = "done"
    summary: str | None


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """ERROR was read."""

    type: ClassVar[str] = "error"
    message: str | None


@dataclass(frozen=True, slots=True)
class LogReset:
    """The log is not the file it was: it is read again from its beginning.

    Attributes:
        reason: "truncated", "replaced" or "rewritten".
        dropped: bytes of an unfinished line that were lost with the old content.
    """

    type: ClassVar[str] = "log.reset"
    reason: str
    dropped: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress that a hook reported, as `Status` is what the program reported."""

    type: ClassVar[str] = "progress"
    percent: float | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the session did or noticed that a person should know of."""

    type: ClassVar[str] = "notice"
    message: str


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The session is being stopped before its own end, and why."""

    type: ClassVar[str] = "stop"
    reason: str


@dataclass(frozen=True, slots=True)
class Stalled:
    """Nothing has moved for a while. It is a report; nothing is stopped for it.

    Attributes:
        seconds: how long.
        signs: what was looked at and did not move.
    """

    type: ClassVar[str] = "stall"
    seconds: float
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DriverChanged:
    """Another process drives the session from here on.

    Attributes:
        driver: who it is.
        generation: how often the session has had a driver.
        reason: what became of the one before: "released", "died" or "expired".
    """

    type: ClassVar[str] = "driver.changed"
    driver: str
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class DriverLeft:
    """The driver lets go of the session, which goes on without one."""

    type: ClassVar[str] = "driver.left"
    reason: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Events that are no longer kept, from the first to the last number. Made by a reader; it is never stored."""

    type: ClassVar[str] = "gap"
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Other:
    """An event of a newer version, as it stands in the journal."""

    type: str
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The last event of every session.

    Attributes:
        outcome: how it ended.
        reason: why, when it is not done.
        summary: what the program said with DONE.
        exit: the program's own exit code, negative for a signal; None when it is not known. It changes nothing.
    """

    type: ClassVar[str] = "session.ended"
    outcome: Literal["done", "failed", "cancelled", "lost", "closed"]
    reason: str | None
    summary: str | None
    exit: int | None


SessionEvent = (
    SessionStarted
    | Status
    | DeliverableLanded
    | DeliverableRefused
    | Attention
    | UnknownText
    | Finished
    | ErrorReported
    | LogReset
    | Progress
    | Notice
    | StopRequested
    | Stalled
    | DriverChanged
    | DriverLeft
    | Missing
    | Other
    | ConversationEvent
    | SessionEnded
)

_FIELDS: dict[type[SessionEvent], tuple[str, ...]] = {
    kind: tuple(each.name for each in fields(kind)) for kind in get_args(SessionEvent)
}
_BY_TYPE: dict[str, type[SessionEvent]] = {kind.type: kind for kind in get_args(SessionEvent) if kind is not Other}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event of a conversation comes from.

    Attributes:
        turn: id of the message that the agent was answering; None when it was none, or that is not known.
        synthetic: these are no words of the model: the agent says what went wrong.
        raw: where in the agent's output the message begins that it was made from, byte for byte: `output` of the
            conversation reads on from there.
    """

    turn: str | None = None
    synthetic: bool = False
    raw: Cursor | None = None

    def to_data(self) -> dict[str, object]:
        """What of it there is, for the JSON form and for the journal."""
        data: dict[str, object] = {} if self.turn is None else {"turn": self.turn}
        if self.synthetic:
            data["synthetic"] = True
        if self.raw is not None:
            data["raw"] = {"file": self.raw.file, "offset": self.raw.offset, "check": self.raw.check}
        return data

    @staticmethod
    def of_data(data: Mapping[str, object]) -> "Origin":
        """What `to_data` has made, among other things."""
        turn = data.get("turn")
        return Origin(turn if isinstance(turn, str) else None, data.get("synthetic") is True, _cursor(data.get("raw")))


def _cursor(value: object) -> Cursor | None:
    match value:
        case {"file": str(file), "offset": int(offset), "check": int(check)}:
            return Cursor(file, offset, check)
        case _:
            return None


NO_ORIGIN = Origin()
ORIGIN_FIELDS = frozenset(each.name for each in fields(Origin))


@dataclass(frozen=True, slots=True)
class Record:
    """One event as it stands in the history of its session.

    Attributes:
        seq: 1, 2, 3, ... within the session.
        time: seconds since the epoch.
        session: the session's id.
        source: who said it; see `Source`.
        event: what was said.
        origin: where it comes from, when the agent said it in a conversation.
    """

    seq: int
    time: float
    session: str
    source: str
    event: SessionEvent
    origin: Origin = NO_ORIGIN

    def to_json(self) -> str:
        """One line of the JSON form, without a line end."""
        return json.dumps(
            {
                "seq": self.seq,
                "time": rfc3339(self.time),
                "session": self.session,
                "source": self.source,
                **self.origin.to_data(),
                "type": self.event.type,
                "data": event_data(self.event),
            },
            ensure_ascii=False,
        )


def event_from(kind: str, data: Mapping[str, object]) -> SessionEvent:
    """The event behind a type and its `data`. What this version does not know comes as `Other`."""
    known = _BY_TYPE.get(kind)
    if known is None:
        return _other(kind, data)
    values = {name: data[name] for name in _FIELDS[known] if name in data}
    make: Callable[..., SessionEvent] = known
    try:
        return make(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except TypeError:
        return _other(kind, data)


def field_names() -> frozenset[str]:
    """What stands at the top of the `data` of the events that this version knows."""
    return frozenset(ORIGIN_FIELDS).union(*_FIELDS.values())


def _other(kind: str, data: Mapping[str, object]) -> Other:
    return Other(kind, {name: value for name, value in data.items() if name not in ORIGIN_FIELDS})


def event_data(event: SessionEvent) -> Mapping[str, object]:
    """The `data` of the JSON form."""
    if isinstance(event, Other):
        return event.data
    data = {name: getattr(event, name) for name in _FIELDS[type(event)]}
    if isinstance(event, UnknownText) and event.size is None:
        del data["size"]
    return data


def rfc3339(seconds: float) -> str:
    """A moment in UTC with milliseconds: 2026-11-21T04:05:06.789Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
