"""The one table of the language: every keyword, what its argument means, and how it is taught.

The parser and the prompt both read this table and nothing else, so they cannot disagree.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .events import (
    AttentionEvent,
    BrowserEvent,
    CallerMessageEvent,
    ClientMessageEvent,
    DeliverableEvent,
    DoneEvent,
    ErrorEvent,
    LogEvent,
    StatusEvent,
)
from .features import ProtocolFeatures
from .json_value import read_json
from .replies import ACCEPTED

BLANKS = " \t\r"
"""The blanks of the language. No other character counts as one, whatever Unicode says of it."""


@dataclass(frozen=True)
class Keyword:
    """One keyword.

    Attributes:
        word: how an entry begins. The word is followed by a colon and an argument.
        bare: the word may also stand alone on its line, without the colon.
        enabled: whether it is on with these features.
        read: the event for an argument (without blanks around it); None when the argument is not acceptable.
        meaning: what it does, for the prompt; begins behind the word, ends with a full stop.
        examples: lines for the prompt; `{deliverables}` stands for the directory, with a slash behind it.
        replies: how the harness may answer, for the prompt: pairs of the form of the reply behind `System: ` and what
            it means to the agent. Empty: these entries are never answered.
    """

    word: str
    enabled: Callable[[ProtocolFeatures], bool]
    read: Callable[[str], LogEvent | None]
    meaning: str
    examples: tuple[str, ...]
    bare: bool = False
    replies: tuple[tuple[str, str], ...] = ()


def _always(features: ProtocolFeatures) -> bool:
    return True


_PERCENT = re.compile(rf"([0-9]{{1,3}})%[{BLANKS}]+(.*)", re.DOTALL)


def _status(argument: str) -> LogEvent:
    found = _PERCENT.fullmatch(argument)
    if found is None:
        return StatusEvent(None, argument)
    return StatusEvent(min(int(found[1]), 100), found[2])


def _deliverable(argument: str) -> LogEvent | None:
    return DeliverableEvent(argument) if argument else None


def _done(argument: str) -> LogEvent:
    return DoneEvent(argument or None)


def _error(argument: str) -> LogEvent:
    return ErrorEvent(argument or None)


def _attention(argument: str) -> LogEvent:
    return AttentionEvent(argument)


def _browser(argument: str) -> LogEvent | None:
    quoted = len(argument) >= 2 and argument[0] == argument[-1] == '"'
    url = argument[1:-1] if quoted else argument
    return BrowserEvent(url) if url else None


_MESSAGE = re.compile(rf"([^{BLANKS}]+)[{BLANKS}]+(.+)", re.DOTALL)


def _message(argument: str, event: Callable[[str, object], LogEvent]) -> LogEvent | None:
    found = _MESSAGE.fullmatch(argument)
    if found is None:
        return None
    try:
        return event(found[1], read_json(found[2]))
    except ValueError:
        return None


def _client_message(argument: str) -> LogEvent | None:
    return _message(argument, ClientMessageEvent)


def _caller_message(argument: str) -> LogEvent | None:
    return _message(argument, CallerMessageEvent)


KEYWORDS = (
    Keyword(
        "STATUS",
        enabled=_always,
        read=_status,
        meaning="says what you are doing now. A percentage of the whole task may come first; leave it out when you "
        "cannot tell. Write one at every step that a person would want to know of.",
        examples=("STATUS: 40% running the test suite", "STATUS: reading the build configuration"),
    ),
    Keyword(
        "DELIVERABLE",
        enabled=_always,
        read=_deliverable,
        meaning="hands over one finished file, by its path. See below.",
        examples=("DELIVERABLE: {deliverables}report.md",),
        replies=(
            (f"deliverable NAME: {ACCEPTED}", "the file arrived and nothing more is needed."),
            (
                "deliverable NAME: refused: ...",
                "the file could not be taken, and the reason is yours to fix. Correct it and announce the file again.",
            ),
            (
                "deliverable NAME: not handled: ...",
                "something failed on the side of the harness. Your file is in order: do not change it and do not "
                "announce it again.",
            ),
            (
                "deliverable NAME: any other text",
                "the file arrived, and the text is what its reader says about it. Act on it; if you improve the file, "
                "announce it again.",
            ),
        ),
    ),
    Keyword(
        "ATTENTION",
        enabled=_always,
        read=_attention,
        meaning="calls a person, with the reason. Use it only when you cannot go on alone.",
        examples=("ATTENTION: the licence server asks for a code from the owner's phone",),
    ),
    Keyword(
        "BROWSER",
        enabled=lambda features: features.browser == "redirect",
        read=_browser,
        meaning="opens an address in the browser of the person you work for; yours has no screen. The address stands "
        "in double quotes and begins with http:// or https://. The usual launchers (xdg-open and others) write this "
        "line for you.",
        examples=('BROWSER: "https://example.com/login?code=AB12"',),
    ),
    Keyword(
        "CLIENT_MESSAGE",
        enabled=lambda features: features.client_messages,
        read=_client_message,
        meaning="sends data to the program on the person's screen: a word that names the kind of data, a blank, and "
        "one JSON value, all on this line.",
        examples=('CLIENT_MESSAGE: chart {"title": "Errors per day", "values": [3, 1, 0]}',),
    ),
    Keyword(
        "CALLER_MESSAGE",
        enabled=lambda features: features.caller_messages,
        read=_caller_message,
        meaning="sends data to the program that started you: a word that names the kind of data, a blank, and one "
        "JSON value, all on this line.",
        examples=('CALLER_MESSAGE: vote {"choice": "b", "confidence": 0.8}',),
        replies=(
            (
                "message WORD: ...",
                "the answer to the CALLER_MESSAGE with that word. Not each of them gets one. `not handled` in it means "
                "that something failed on the side of the harness.",
            ),
        ),
    ),
    Keyword(
        "DONE",
        enabled=_always,
        read=_done,
        meaning="says that the task is finished, with an optional summary. It is the only way to succeed. Stop "
        "working after it.",
        examples=("DONE: all 214 tests pass; the cause was a stale cache", "DONE"),
        bare=True,
    ),
    Keyword(
        "ERROR",
        enabled=_always,
        read=_error,
        meaning="says that you cannot finish the task, and why. Stop working after it.",
        examples=("ERROR: the repository has no test suite", "ERROR"),
        bare=True,
    ),
)
"""Every keyword there is, in the order in which the prompt teaches them."""

BY_WORD = {keyword.word: keyword for keyword in KEYWORDS}
