"""What one line of the log channel says: a closed union of small values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StatusEvent:
    """The agent says how far it is.

    Attributes:
        percent: 0 to 100; None when the line names none.
        message: what it is doing; may be empty.
    """

    percent: int | None
    message: str


@dataclass(frozen=True)
class DeliverableEvent:
    """A file is final and may be fetched. The path is as it was written: nothing about it has been checked."""

    path: str


@dataclass(frozen=True)
class DoneEvent:
    """The work is done; a summary, or None."""

    summary: str | None


@dataclass(frozen=True)
class ErrorEvent:
    """The work cannot be done; why, or None."""

    message: str | None


@dataclass(frozen=True)
class BrowserEvent:
    """A program wants an address opened in the person's browser. Nothing about the address has been checked."""

    url: str


@dataclass(frozen=True)
class AttentionEvent:
    """A person is needed; the reason may be empty."""

    reason: str


@dataclass(frozen=True)
class ClientMessageEvent:
    """Data for the person's client.

    Attributes:
        keyword: the word that says what kind of data it is.
        data: the decoded JSON value, of any type.
    """

    keyword: str
    data: object


@dataclass(frozen=True)
class CallerMessageEvent:
    """Data for the program that started the session; attributes as in `ClientMessageEvent`."""

    keyword: str
    data: object


@dataclass(frozen=True)
class UnknownLine:
    """A line that is no entry of the language as it is switched on; its text, whole."""

    text: str


LogEvent = (
    StatusEvent
    | DeliverableEvent
    | DoneEvent
    | ErrorEvent
    | BrowserEvent
    | AttentionEvent
    | ClientMessageEvent
    | CallerMessageEvent
    | UnknownLine
)
"""What `parse_log_line` returns."""


@dataclass(frozen=True)
class OverlongLine:
    """A line that was too long to be read. It is no entry, whatever it begins with.

    Attributes:
        size: its length in bytes without the line end.
        head: its beginning.
    """

    size: int
    head: str
