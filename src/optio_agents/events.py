"""What happens in a session: typed events, and the one JSON form in which they are shown, stored and sent.

A reader of the JSON form ignores types and fields that it does not know; docs/protocol.md lists both.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

Source = Literal["session", "log", "hook"]
"""Who said it: the session itself, the program through its log, or the task's hooks."""


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
    | SessionEnded
)


@dataclass(frozen=True, slots=True)
class Record:
    """One event as it stands in the history of its session.

    Attributes:
        seq: 1, 2, 3, ... within the session.
        time: seconds since the epoch.
        session: the session's id.
        source: who said it.
        event: what was said.
    """

    seq: int
    time: float
    session: str
    source: Source
    event: SessionEvent

    def to_json(self) -> str:
        """One line of the JSON form, without a line end."""
        return json.dumps(
            {
                "seq": self.seq,
                "time": rfc3339(self.time),
                "session": self.session,
                "source": self.source,
                "type": self.event.type,
                "data": event_data(self.event),
            },
            ensure_ascii=False,
        )


def event_data(event: SessionEvent) -> Mapping[str, object]:
    """The `data` of the JSON form."""
    return {name: value for name, value in asdict(event).items() if (name, value) != ("size", None)}


def rfc3339(seconds: float) -> str:
    """A moment in UTC with milliseconds: 2026-11-21T04:05:06.789Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
