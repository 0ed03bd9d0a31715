"""What the agent wants to be told: each question is answered once, or withdrawn. Pure."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from ..journal.documents import JsonObject, Question
from .compose import answer_line
from .contract import PermissionDecision, PermissionRequest
from .messages import JsonMap, ToolAsked

QuestionKind = Literal["permission", "question", "plan"]

OPEN_LIMIT = 256
"""Questions that may be open at once. The agent asks one or a few at a time."""

KEPT_CLOSED = 1_000
"""Questions of which it is remembered how they were closed, to tell who comes late."""

NOT_ALLOWED = "The user does not allow this."
"""What the agent is told with a plain no."""

_KINDS: dict[str, QuestionKind] = {"AskUserQuestion": "question", "ExitPlanMode": "plan"}


@dataclass(frozen=True, slots=True)
class Settled:
    """A question has its answer now.

    Attributes:
        question: the document to store.
        line: what goes to the agent.
    """

    question: Question
    line: bytes


@dataclass(frozen=True, slots=True)
class TooLate:
    """A question is not open any more, or never was: nothing is sent.

    Attributes:
        question: how it stands; None: there is none of this id.
    """

    question: Question | None


class Questions:
    """The questions of one conversation.

    Parameters:
        known: as the journal has them.
        asks_policy: each new one is for the policy of the session first.
    """

    def __init__(self, known: Sequence[Question] = (), *, asks_policy: bool = False) -> None:
        self._asks_policy = asks_policy
        self._open = {each.id: each for each in known if each.status == "open"}
        self._closed = {each.id: each for each in known if each.status != "open"}
        self._heard: dict[str, ToolAsked] = {}

    @property
    def open(self) -> tuple[Question, ...]:
        """Those that wait for an answer, in the order they were asked."""
        return tuple(self._open.values())

    def ask(self, asked: ToolAsked, data: JsonObject, now: float) -> Question | None:
        """A new question; None when it is known already, or too many are open.

        Parameters:
            asked: what the agent wants to know.
            data: its request as it is to be stored, which is without secrets.
            now: seconds since the epoch.
        """
        known = asked.request in self._open or asked.request in self._closed
        if known or len(self._open) >= OPEN_LIMIT:
            return None
        question = Question(
            id=asked.request,
            kind=_KINDS.get(asked.tool_name, "permission"),
            data=data,
            asked=now,
            waits_for="policy" if self._asks_policy else "person",
        )
        self._open[question.id] = question
        self._heard[question.id] = deepcopy(asked)  # others see the message, too
        return question

    def settle(self, question_id: str, decision: PermissionDecision, by: str, now: float) -> Settled | TooLate:
        """Answer a question, if it is still open.

        Parameters:
            question_id: its id.
            decision: the answer.
            by: who gives it, for a person.
            now: seconds since the epoch.

        Raises ValueError, TypeError for a decision that is none, or holds what JSON does not have; the question stays
        open.
        """
        question = self._open.get(question_id)
        if question is None:
            return TooLate(self._closed.get(question_id))
        line = answer_line(question_id, self._answer(question, decision))
        note: JsonObject = {"behavior": decision.behavior, "by": by}
        if decision.message is not None:
            note["message"] = decision.message
        if decision.updated_input is not None:
            note["edited"] = True
        if decision.interrupt:
            note["interrupt"] = True
        if decision.always:
            note["always"] = True
        return Settled(self._close(question, "answered", now, note), line)

    def withdraw(self, question_id: str, now: float) -> Question | None:
        """The agent does not wait for the answer any more; None when it did not."""
        question = self._open.get(question_id)
        return None if question is None else self._close(question, "withdrawn", now, None)

    def note_paths(self, question_id: str, paths: Mapping[str, str | None]) -> None:
        """Where the paths that it names lead, for whoever judges it again; see `Question.paths`."""
        if question_id in self._open:
            self._open[question_id] = self._open[question_id].model_copy(update={"paths": dict(paths)})

    def leave_to_person(self, question_id: str) -> Question | None:
        """The policy does not decide on it; None when it is not open any more."""
        if question_id not in self._open:
            return None
        left = self._open[question_id].model_copy(update={"waits_for": "person"})
        self._open[question_id] = left
        return left

    def request(self, question: Question) -> PermissionRequest:
        """A question as a handler gets it: as it was asked, if this driver has heard it, else as it is stored."""
        heard = self._heard.get(question.id)
        if heard is not None:
            heard = deepcopy(heard)  # it is the handler's own
            return PermissionRequest(heard.tool_name, dict(heard.input), dict(heard.raw))
        stored = question.data.get("input")
        tool_name = str(question.data.get("tool_name", ""))
        return PermissionRequest(tool_name, dict(stored) if isinstance(stored, dict) else {}, dict(question.data))

    def _answer(self, question: Question, decision: PermissionDecision) -> JsonMap:
        match decision.behavior:
            case "deny" if decision.always:
                raise ValueError("a denial is for this once: only a use that is allowed can always be")
            case "deny":
                denied: JsonObject = {"behavior": "deny", "message": decision.message or NOT_ALLOWED}
                return {**denied, "interrupt": True} if decision.interrupt else denied
            case "allow" if decision.always and decision.updated_input is not None:
                raise ValueError("what was edited is allowed once: only what the agent asks can always be allowed")
            case "allow" if decision.interrupt:
                raise ValueError("a tool that is allowed does not end the turn: only a denial can interrupt")
            case "allow":
                pass
            case _:
                raise ValueError(f"a decision is to allow or to deny, not {decision.behavior!r}")
        if decision.updated_input is not None:
            return {"behavior": "allow", "updatedInput": decision.updated_input}
        # Older versions take no allow without an input. But what is sent stands in the journal, which holds no secrets,
        # and what the journal holds of a question may be without them: then the agent takes what it has asked with.
        heard = self._heard.get(question.id)
        if heard is not None and heard.input == question.data.get("input"):
            return {"behavior": "allow", "updatedInput": heard.input}
        return {"behavior": "allow"}

    def _close(
        self, question: Question, status: Literal["answered", "withdrawn"], now: float, answer: JsonObject | None
    ) -> Question:
        closed = question.model_copy(update={"status": status, "answer": answer, "closed": now})
        del self._open[question.id]
        self._heard.pop(question.id, None)
        self._closed[question.id] = closed
        if len(self._closed) > KEPT_CLOSED:
            del self._closed[next(iter(self._closed))]
        return closed


def tool_of(question: Question) -> tuple[str, JsonObject]:
    """The tool that a question is about, and what it would be called with."""
    tool_input = question.data.get("input")
    return str(question.data.get("tool_name", "")), tool_input if isinstance(tool_input, dict) else {}


def input_in_words(tool_input: JsonMap) -> str:
    """What a tool is called with, whole: the command alone where that is all that runs, else everything as JSON."""
    command = tool_input.get("command")
    if isinstance(command, str) and tool_input.keys() <= {"command", "description"}:
        return command
    return json.dumps(tool_input, ensure_ascii=False)


def question_in_words(question: Question) -> str:
    """What is asked, whole."""
    tool, tool_input = tool_of(question)
    return f"{question.kind}: {tool}: {input_in_words(tool_input)}"
