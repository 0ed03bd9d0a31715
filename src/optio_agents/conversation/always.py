"""What a person has allowed for the rest of a session: the same use of a tool again, and nothing wider. Pure.

The same means the very same input, but for the words that describe it; with the tools that read or write one file, the
same file, whatever is written to it. Files are compared by name: like every answer, this is a guard rail, no sandbox.
"""

import json
from collections.abc import Sequence

from ..journal.documents import Allowed, JsonObject, Question
from ..redaction import REPLACEMENT
from .questions import input_in_words, tool_of

LIMIT = 256
"""Uses that can be allowed in one session."""

_FILES = {
    "Read": "file_path",
    "Write": "file_path",
    "Edit": "file_path",
    "MultiEdit": "file_path",
    "NotebookEdit": "notebook_path",
}
"""The tools that are about one file, and where their input names it."""


def allowed_from_now(question: Question, known: Sequence[Allowed]) -> tuple[Allowed, ...]:
    """What is allowed once the use of a tool that a question is about always is.

    Parameters:
        question: as the journal has it.
        known: what is allowed already.

    Raises ValueError for a question that is about no use of a tool, that holds a secret, or is one too many.
    """
    if question.kind != "permission":
        raise ValueError(f"a {question.kind} is answered once: only the use of a tool can always be allowed")
    tool, _ = tool_of(question)
    rule = Allowed(tool=tool, input=_what_counts(question))
    if REPLACEMENT in str(rule.input):
        raise ValueError("it holds a secret, which is not kept here: it can be allowed once, and not always")
    if is_allowed(question, known):
        return tuple(known)
    if len(known) >= LIMIT:
        raise ValueError(f"{LIMIT} uses of tools are allowed already; allow this one once")
    return (*known, rule)


def is_allowed(question: Question, known: Sequence[Allowed]) -> bool:
    """Whether what is asked has been allowed for the rest of the session."""
    if question.kind != "permission" or not known:
        return False
    tool, _ = tool_of(question)
    asked = _as_json(Allowed(tool=tool, input=_what_counts(question)))
    return any(_as_json(each) == asked for each in known)


def in_words(rule: Allowed) -> str:
    """What is allowed, whole."""
    return f"{rule.tool}: {input_in_words(rule.input)}"


def _as_json(rule: Allowed) -> str:
    # In Python, 1 is true.
    return json.dumps(rule.model_dump(), sort_keys=True)


def _what_counts(question: Question) -> JsonObject:
    tool, tool_input = tool_of(question)
    name = _FILES.get(tool)
    if name in tool_input:
        return {name: tool_input[name]}
    return {name: value for name, value in tool_input.items() if name != "description"}
