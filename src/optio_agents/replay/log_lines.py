"""From an event of a session to the line of the log that it came from. Pure."""

from typing import assert_never

from ..events import Attention, ErrorReported, Finished, Status, UnknownText
from ..protocol.events import AttentionEvent, DoneEvent, ErrorEvent, LogEvent, StatusEvent, UnknownLine
from ..protocol.parser import parse_log_line

LoggedEvent = Status | Attention | UnknownText | Finished | ErrorReported


def line_of(event: LoggedEvent) -> str | None:
    """A line, without its end, that says just this; None when there is none, as of one that was too long."""
    line, said = _line(event)
    if "\n" in line or any("\ud800" <= each <= "\udfff" for each in line):
        return None
    return line if parse_log_line(line) == said else None


def _line(event: LoggedEvent) -> tuple[str, LogEvent | None]:
    match event:
        case Status(percent=percent, message=message):
            shown = message if percent is None else f"{percent}% {message}"
            return f"STATUS: {shown}", StatusEvent(percent, message)
        case Attention(reason=reason):
            return f"ATTENTION: {reason}", AttentionEvent(reason)
        case Finished(summary=summary):
            return _entry("DONE", summary), DoneEvent(summary)
        case ErrorReported(message=text):
            return _entry("ERROR", text), ErrorEvent(text)
        case UnknownText(text=text, size=size):
            return text, UnknownLine(text) if size is None else None
        case _:
            assert_never(event)


def _entry(word: str, argument: str | None) -> str:
    return word if argument is None else f"{word}: {argument}"
