r"""Lines to events. No input raises; what is no entry comes out whole, as `UnknownLine`.

    >>> parse_log_line("STATUS: 50% counting\n")
    StatusEvent(percent=50, message='counting')
    >>> parse_log_line("DONE and dusted")
    UnknownLine(text='DONE and dusted')

docs/protocol.md is the specification, docs/protocol-vectors.jsonl the examples it is held to.
"""

from optio_host.lines import Line, LongLine

from .events import (
    AttentionEvent,
    BrowserEvent,
    CallerMessageEvent,
    ClientMessageEvent,
    DeliverableEvent,
    DoneEvent,
    ErrorEvent,
    LogEvent,
    OverlongLine,
    StatusEvent,
    UnknownLine,
)
from .features import DEFAULT_FEATURES, ProtocolFeatures
from .keywords import BLANKS, BY_WORD
from .paths import relativize_deliverable_path, validate_deliverable_path

__all__ = [
    "AttentionEvent",
    "BrowserEvent",
    "CallerMessageEvent",
    "ClientMessageEvent",
    "DeliverableEvent",
    "DoneEvent",
    "ErrorEvent",
    "LogEvent",
    "OverlongLine",
    "StatusEvent",
    "UnknownLine",
    "event_of_line",
    "parse_log_bytes",
    "parse_log_line",
    "relativize_deliverable_path",
    "validate_deliverable_path",
]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_log_line(line: str, *, features: ProtocolFeatures = DEFAULT_FEATURES) -> LogEvent:
    """What one line says.

    Parameters:
        line: its text; a line end and blanks at the end do not count.
        features: which optional keywords are on; one that is off is as unknown as any other word.
    """
    text = line.rstrip(BLANKS + "\n")
    word, colon, argument = text.partition(":")
    keyword = BY_WORD.get(word)
    if keyword is None or not keyword.enabled(features) or not (colon or keyword.bare):
        return UnknownLine(text)
    event = keyword.read(argument.strip(BLANKS))
    return UnknownLine(text) if event is None else event


def parse_log_bytes(data: bytes, *, features: ProtocolFeatures = DEFAULT_FEATURES, first: bool = False) -> LogEvent:
    """What one line of a file says: here, and only here, its bytes become text.

    Parameters:
        data: its bytes. They are read as UTF-8; what is not UTF-8 becomes U+FFFD, and a NUL stays one.
        features: which optional keywords are on.
        first: the line begins at offset 0 of its file, where a byte order mark is dropped.
    """
    if first:
        data = data.removeprefix(BYTE_ORDER_MARK)
    return parse_log_line(data.decode("utf-8", "replace"), features=features)


def event_of_line(
    line: Line | LongLine, *, features: ProtocolFeatures = DEFAULT_FEATURES, first: bool = False
) -> LogEvent | OverlongLine:
    """What a line that came out of a `LineFramer` says; parameters as in `parse_log_bytes`."""
    match line:
        case Line(data):
            return parse_log_bytes(data, features=features, first=first)
        case LongLine(size, head):
            return OverlongLine(size, head.decode("utf-8", "replace"))
