"""An event as one line for a person. What a program or a name says in it can do nothing to a terminal."""

import os
from typing import assert_never

from ..conversation.events import ConversationEvent
from ..events import (
    Attention,
    DeliverableLanded,
    DeliverableRefused,
    DriverChanged,
    DriverLeft,
    ErrorReported,
    Finished,
    LogReset,
    Missing,
    Notice,
    Other,
    Progress,
    Record,
    SessionEnded,
    SessionStarted,
    Stalled,
    Status,
    StopRequested,
    UnknownText,
)
from .said_by_agent import said_by_agent
from .visible import size, visible


def said(record: Record, *, verbose: bool) -> str | None:
    """The event in words; None when it is not worth a line, which with `verbose` every event is."""
    if isinstance(record.event, ConversationEvent):
        return said_by_agent(record.event, verbose=verbose)
    match record.event:
        case Status(percent, message) | Progress(percent, message):
            return f"{'    ' if percent is None else f'{percent:3.0f}%'} {visible(message or '')}"
        case DeliverableLanded(name, path, count, _):
            return f"deliverable {visible(name)} ({size(count)}) -> {visible(_short(path))}"
        case DeliverableRefused(name, reason):
            return f"deliverable {visible(name)} refused: {visible(reason)}"
        case Attention(reason):
            return f"ATTENTION: {visible(reason)}"
        case ErrorReported(message):
            return f"the program reports an error: {visible(message)}" if message else "the program reports an error"
        case LogReset(reason, dropped):
            lost = f"; {dropped} bytes of an unfinished line are lost" if dropped else ""
            return f"the log was {visible(reason)}; reading what is there now from its beginning{lost}"
        case Notice(message):
            return visible(message)
        case StopRequested(reason):
            return f"stopping: {visible(reason)}"
        case Stalled(seconds, signs):
            return f"nothing has moved for {seconds:.0f} s: neither {visible(', '.join(signs))}"
        case Missing(first, last):
            return f"[events {first} to {last} are no longer kept]"
        case SessionStarted():
            return f"session {visible(record.session)} started"
        case SessionEnded(outcome, reason, summary, _):
            why = summary if outcome == "done" else reason
            return visible(outcome) + (f": {visible(why)}" if why else "")
        case _ if not verbose:
            return None
        case UnknownText(text, length):
            return visible(text) if length is None else f"{visible(text)} [... a line of {size(length)}]"
        case Finished(summary):
            return "the program says that it is done" + (f": {visible(summary)}" if summary else "")
        case DriverChanged(driver, _, reason):
            return f"now driven by {visible(driver)} (the driver before {_FATES.get(reason, visible(reason))})"
        case DriverLeft(reason):
            return f"the driver leaves: {visible(reason)}"
        case Other(kind, data):
            return f"{visible(kind)}: {visible(str(data))}"
        case _:
            assert_never(record.event)


_FATES = {"released": "let go of it", "died": "died", "expired": "was not heard of any more"}


def _short(path: str) -> str:
    try:
        relative = os.path.relpath(path)
    except FileNotFoundError:  # the directory that we were started in was removed
        return path
    return path if relative.startswith("..") else os.path.join(".", relative)
