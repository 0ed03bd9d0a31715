"""How a conversation stands, as its session's record has it: what the next driver needs to go on. Pure."""

from dataclasses import dataclass, field
from typing import Self

from ..journal import Allowed, ConversationDocument
from .dialogue import Dialogue
from .events import AgentTask, ConversationEvent, TurnEnded

TASK_ENDS = ("completed", "failed", "killed", "stopped", "cancelled")
"""How work in the background is over; any other word says that it goes on."""

TASKS_KEPT = 256
"""Work in the background that is kept count of."""


@dataclass(slots=True)
class Standing:
    """What is known beside the dialogue itself.

    Attributes:
        prompt: what the agent is to be told first; "" once it has been.
        reminder: what it is told once, when it stands still; "": nothing, or it has been.
        cost_usd: what it has cost so far, in US dollars, as the agent says; None before it has said.
        tasks: ids of what it does in the background.
        allowed: uses of tools that are not asked about any more.
        last_turn: the turn that ended last, if this driver has heard of one.
    """

    prompt: str
    reminder: str
    cost_usd: float | None
    tasks: dict[str, None]
    allowed: tuple[Allowed, ...]
    last_turn: TurnEnded | None = field(default=None)

    @classmethod
    def of(cls, document: ConversationDocument) -> Self:
        """As the driver before has left it."""
        tasks = dict.fromkeys(document.tasks)
        return cls(document.prompt, document.reminder, document.cost_usd, tasks, document.allowed)

    @property
    def failure(self) -> str:
        """Why the turn that ended last has failed; "" when it has not, or was interrupted, or is not known."""
        turn = self.last_turn
        return turn.text if turn and turn.is_error and not turn.reason.startswith("aborted") else ""

    def note(self, event: ConversationEvent) -> None:
        """What an event of the agent changes."""
        match event:
            case TurnEnded():
                self.last_turn = event
                self.cost_usd = self.cost_usd if event.cost_usd is None else event.cost_usd
            case AgentTask(task, state):
                self.tasks.pop(task, None)
                if state not in TASK_ENDS and len(self.tasks) < TASKS_KEPT:
                    self.tasks[task] = None
            case _:
                pass

    def written_into(self, document: ConversationDocument, dialogue: Dialogue) -> ConversationDocument:
        """The document with all of this in it, and how far the dialogue has come."""
        return document.model_copy(
            update={
                "prompt": self.prompt,
                "reminder": self.reminder,
                "cost_usd": self.cost_usd,
                "tasks": tuple(self.tasks),
                "allowed": self.allowed,
                "agent_session": dialogue.agent_session,
                "pending": dict(dialogue.turns.standing),
                "tells": dialogue.turns.tells,
                "calls": dialogue.calls.open,
            }
        )
