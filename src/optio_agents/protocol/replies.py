r"""The sentences that the harness says to the agent. Pure: each function returns one whole line, without its end.

    >>> deliverable_accepted("report.md", None)
    'System: deliverable report.md: accepted. thanks for the good work.'

A reply is one line whatever went into it: a newline in a file's name or in a callback's text must not be able to forge
a second message of the harness.
"""

import unicodedata

SYSTEM_MESSAGE_PREFIX = "System: "
"""How every message of the harness begins; nothing else that the agent reads does."""

ACCEPTED = "accepted. thanks for the good work."

SHOWN_NAME = 500
"""How many characters of a name are repeated in a reply. No file of a longer name was ever made for a person."""


_ONE_LINE = {"Cc": " ", "Zl": " ", "Zp": " ", "Cs": "\ufffd"}


def one_line(text: str) -> str:
    """The text with every line end and control character as a blank, and no blanks around it.

    Half a surrogate pair becomes U+FFFD, so that the line can be encoded.
    """
    return "".join(_ONE_LINE.get(unicodedata.category(each), each) for each in text.replace("\r\n", "\n")).strip()


def system_line(text: str) -> str:
    """A message of the harness, as the one line that the agent gets."""
    return SYSTEM_MESSAGE_PREFIX + one_line(text)


def deliverable_reply(name: str, reply: str) -> str:
    """The answer to one announced deliverable.

    Parameters:
        name: the file below the deliverables directory, or the path as it was announced if it is not below it.
        reply: what is said about it.
    """
    return system_line(f"deliverable {_shown(name)}: {reply}")


def deliverable_accepted(name: str, result: object) -> str:
    """The file was fetched and handed over; `result` is what the callback returned (None without a callback).

    A text with something in it is passed on to the agent; nothing, "ok", or no text at all, is a thank-you.
    """
    text = one_line(result) if isinstance(result, str) else ""
    return deliverable_reply(name, ACCEPTED if text in ("", "ok") else text)


def deliverable_refused(name: str, reason: str) -> str:
    """The agent named something that cannot be handed over: outside, missing, no regular file, changed while read."""
    return deliverable_reply(name, f"refused: {reason}. This is for you to fix: correct it and announce it again.")


def deliverable_not_text(name: str) -> str:
    """The agent handed over a file that is not UTF-8 to a receiver that takes text."""
    return deliverable_refused(name, "the file is not UTF-8 text, and only text can be taken here")


def deliverable_not_handled(name: str, problem: str) -> str:
    """The harness failed with a file that was in order: its callback raised, its disk is full, its link broke."""
    return deliverable_reply(
        name, f"not handled: {problem}. The fault is on the side of the harness, not yours; the file is in order."
    )


def caller_message_answered(keyword: str, result: object) -> str | None:
    """The answer to a CALLER_MESSAGE; None when the callback returned nothing to say."""
    text = one_line(result) if isinstance(result, str) else ""
    return _caller_message_reply(keyword, text) if text else None


def caller_message_not_handled(keyword: str, problem: str) -> str:
    """The harness failed with a CALLER_MESSAGE that was in order."""
    return _caller_message_reply(
        keyword, f"not handled: {problem}. The fault is on the side of the harness, not yours."
    )


def _caller_message_reply(keyword: str, reply: str) -> str:
    return system_line(f"message {_shown(keyword)}: {reply}")


def _shown(name: str) -> str:
    line = one_line(name)
    return line if len(line) <= SHOWN_NAME else line[:SHOWN_NAME] + "..."
