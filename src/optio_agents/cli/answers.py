"""What a person may answer to a question of an agent, and what a typed line means. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from ..conversation.questions import tool_of
from ..journal import JsonObject, Question
from .said_by_agent import pages_of
from .visible import visible

KEEP_PLANNING = "This plan is not approved. Keep planning."
"""What the agent is told with a plain no to its plan."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A line that decides.

    Attributes:
        verb: the command for the inbox.
        data: what goes with it, without the question.
    """

    verb: Literal["approve", "deny"]
    data: JsonObject


@dataclass(frozen=True, slots=True)
class Edit:
    """The person wants to change what will run."""


@dataclass(frozen=True, slots=True)
class Again:
    """A line that does not decide yet.

    Attributes:
        words: what to say to that before the next line is read.
    """

    words: str


Reply = Answer | Edit | Again


class Asked:
    """A tool that the agent wants to use, or a plan that it wants approved.

    Parameters:
        question: as the journal has it.
    """

    def __init__(self, question: Question) -> None:
        self._plan = question.kind == "plan"
        self._wants_reason = False
        tool, tool_input = tool_of(question)
        self.words = "\n".join([_heading(question, tool), *pages_of(tool_input)])

    @property
    def prompt(self) -> str:
        """What the next line answers."""
        if self._wants_reason:
            return "reason: "
        if self._plan:
            return "approve this plan? y, n (keep planning), n: WHY, r (type the reason) > "
        return "allow? y, a (always this), n, n: WHY, r (type the reason), e (edit) > "

    def take(self, line: str) -> Reply:
        """What a line means."""
        if self._wants_reason:
            return self._deny(line)
        match line.lower():
            case "y" | "yes":
                return Answer("approve", {})
            case "a" | "always" if not self._plan:
                return Answer("approve", {"always": True})
            case "r":
                self._wants_reason = True
                return Again("")
            case "e" if not self._plan:
                return Edit()
            case _:
                denied = _denied(line)
                return Again("") if denied is None else self._deny(denied)

    def _deny(self, reason: str) -> Answer:
        return Answer("deny", {"message": reason or (KEEP_PLANNING if self._plan else "")})


class Choices:
    """Questions with choices, asked one after the other; the answers go together.

    Parameters:
        question: as the journal has it.
        parts: the single questions.
    """

    def __init__(self, question: Question, parts: Sequence[JsonObject]) -> None:
        tool, self._input = tool_of(question)
        self._parts = parts
        self._answers: dict[str, JsonValue] = {}
        self.words = "\n".join([_heading(question, tool), self._part_in_words()])

    @property
    def prompt(self) -> str:
        """What the next line answers."""
        several = ", or several (1,2)" if self._part.get("multiSelect") else ""
        return f"a number{several}, or your own words; n or n: WHY to refuse > "

    def take(self, line: str) -> Reply:
        """What a line means."""
        denied = _denied(line)
        if denied is not None:
            return Answer("deny", {"message": denied})
        chosen = self._chosen(line)
        if chosen is None:
            return Again(f"there are {len(self._labels)} choices, and {visible(line)} is none of them")
        self._answers[str(self._part["question"])] = chosen
        if len(self._answers) < len(self._parts):
            return Again(self._part_in_words())
        return Answer("approve", {"input": {**self._input, "answers": self._answers}})

    @property
    def _part(self) -> JsonObject:
        return self._parts[len(self._answers)]

    @property
    def _options(self) -> list[JsonObject]:
        options = self._part["options"]
        assert isinstance(options, list)
        return [each for each in options if isinstance(each, dict)]

    @property
    def _labels(self) -> list[str]:
        return [str(each.get("label", "")) for each in self._options]

    def _chosen(self, line: str) -> str | None:
        if not re.fullmatch(r"\d{1,3}(\s*,\s*\d{1,3})*", line, re.ASCII):
            return line
        numbers = [int(each) for each in line.split(",")]
        many = len(numbers) > 1 and not self._part.get("multiSelect")
        if many or not all(1 <= each <= len(self._labels) for each in numbers):
            return None
        return ", ".join(self._labels[each - 1] for each in numbers)

    def _part_in_words(self) -> str:
        lines = [f"  {visible(str(self._part['question']))}"]
        for number, option in enumerate(self._options, 1):
            more = f": {visible(str(option['description']))}" if option.get("description") else ""
            lines.append(f"    {number}  {visible(str(option.get('label', '')))}{more}")
        return "\n".join(lines)


def asked(question: Question) -> Asked | Choices:
    """How a question is put to a person. One whose choices are not understood is shown as it is."""
    parts = tool_of(question)[1].get("questions")
    if question.kind == "question" and isinstance(parts, list) and parts:
        found = [each for each in parts if isinstance(each, dict) and _is_part(each)]
        # Their answers are told apart by the text of the question.
        if len({str(each["question"]) for each in found}) == len(parts):
            return Choices(question, found)
    return Asked(question)


def _is_part(part: JsonObject) -> bool:
    return isinstance(part.get("question"), str) and isinstance(part.get("options"), list)


def _heading(question: Question, tool: str) -> str:
    return f"{visible(question.kind)} {visible(question.id[:8])}: {visible(tool)}"


def _denied(line: str) -> str | None:
    """The reason of a no, which may be ""; None when it is no no."""
    no = re.fullmatch(r"(?:n|no)(?:\s*:\s*(.*))?", line, re.IGNORECASE | re.DOTALL)
    return None if no is None else (no.group(1) or "")
