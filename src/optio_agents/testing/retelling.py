"""From the events of a recorded session to the steps of a `FakeAgent` that does the same again. Pure.

Nearly every event of the agent is one step. What no event says is found from their order: whether anybody has asked for
a turn, and where in it an interrupt came.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from ..conversation.dialogue import KEPT_RESULT, KEPT_TEXT
from ..conversation.events import (
    AgentLimit,
    AgentRetry,
    AgentSession,
    AgentTask,
    AgentText,
    AgentThinking,
    AgentUnparsed,
    CallWithdrawn,
    HookAnswered,
    HookCalled,
    HookFailed,
    QuestionAnswered,
    QuestionAsked,
    QuestionWithdrawn,
    ToolAnswered,
    ToolCalled,
    ToolProgress,
    ToolReturned,
    ToolUsed,
    TurnCancelled,
    TurnEnded,
    TurnQueued,
    TurnStarted,
)
from ..conversation.exchange import HARNESS
from ..conversation.parse import LINE_LIMIT
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
    SessionEnded,
    SessionStarted,
    Stalled,
    Status,
    StopRequested,
    UnknownText,
)
from ..protocol.replies import deliverable_reply
from ..replay.log_lines import line_of
from ..replay.recorded_turn import Asking, Happened, RecordedTurn, turns_of
from .steps import (
    Appends,
    AsksAbout,
    AtOnce,
    AwaitsDecision,
    AwaitsInterrupt,
    BeginsTurn,
    CallsTool,
    Delivers,
    EndsTurn,
    Exits,
    Fails,
    ReturnsFrom,
    Says,
    Step,
    TakesUp,
    Thinks,
    Waits,
)

NOT_KEPT = "[not in the export] "
"""What stands, again and again, for the rest of a result of which only the beginning was kept."""

DENIED_THEN = "[It was denied when this was recorded: what it would have given back is not known.]"
"""What a tool gives back that is allowed in a replay, and was not when it was recorded."""

NOT_THERE = "there is no such file"
"""Why a deliverable is refused in every replay, as the journal has it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that a replay does not do as it was recorded.

    Attributes:
        seq: number of the event.
        type: of the event.
        reason: what is different, and why.
    """

    seq: int
    type: str
    reason: str


class Retelling:
    """What an agent has done, as steps.

    Parameters:
        events: of the whole session, in order.
        questions: every question of it, by id.
        content: gives what is in a deliverable, and what is different about that or "".

    Attributes:
        steps: what the agent does.
        told: what it was told by others than the harness, in order.
        differences: what is not as it was recorded.

    Raises NotReplayable.
    """

    def __init__(
        self,
        events: Sequence[Happened],
        questions: Mapping[str, Asking],
        content: Callable[[DeliverableLanded], tuple[str | bytes, str]],
    ) -> None:
        self.steps: list[Step] = []
        self.told: list[str] = []
        self.differences: list[Difference] = []
        self._questions = questions
        self._content = content
        # Older versions do not say when they take something up; they name at the end what they have answered.
        self._says_when = any(isinstance(each.event, TurnStarted) for each in events)
        self._last_turn = max(
            (each.seq for each in events if isinstance(each.event, TurnStarted | TurnEnded)), default=0
        )
        self._queued: dict[str, TurnQueued] = {}  # by id, what has no answer yet
        self._started: set[str] = set()
        self._open: dict[str, str] = {}  # by id of a question, the tool that it is about
        self._denied_uses: set[str] = set()
        self._announced: list[str] = []
        self._has_session = False
        self._cost = 0.0
        self._in_turn = False
        self._last_text = ""  # these two are of the turn
        self._denied: list[str] = []
        for turn in turns_of(events, questions):
            self._last_text, self._denied = "", []
            for at, happened in enumerate(turn.events):
                self._take(happened, at, turn)
        self._end(events)

    def _take(self, happened: Happened, at: int, turn: RecordedTurn) -> None:
        if turn.awaits_interrupt(at):
            self._do(AwaitsInterrupt(), turn)
            self._denied += self._open.values()
        event = happened.event
        match event:
            case AgentText(text=text, parent=parent):
                self._note_cut(happened, text)
                self._last_text = self._last_text if parent else text
                self._do(Says(text, parent or ""), turn)
            case AgentThinking(text=text, parent=parent):
                self._note_cut(happened, text)
                self._do(Thinks(text, parent or ""), turn)
            case ToolUsed(id=use, name=name, input=tool_input, parent=parent):
                self._do(CallsTool(use, name, tool_input, parent or ""), turn)
            case QuestionAsked(id=question, tool=tool, input=tool_input):
                self._open[question] = tool
                asking = self._asking(happened, question)
                self._do(AsksAbout(asking.use, tool, tool_input, asking.agent), turn)
            case QuestionAnswered(id=question, behavior=behavior):
                tool, asking = self._open.pop(question, ""), self._asking(happened, question)
                if behavior == "deny":
                    self._denied_uses.add(asking.use)
                if self._in_turn:  # a subagent may ask, and be answered, between two turns
                    self._denied += [tool] if behavior == "deny" else []
                    self.steps += [] if turn.stopped_by(at) else [AwaitsDecision(asking.use)]
            case (
                HookCalled()
                | HookAnswered()
                | HookFailed()
                | ToolCalled()
                | ToolProgress()
                | ToolAnswered()
                | CallWithdrawn()
            ):
                pass
            case QuestionWithdrawn(id=question):
                self._open.pop(question, None)
                if turn.withdrawn_by_itself(at):
                    raise happened.refused("a fake agent withdraws a question only when its turn is over")
            case ToolReturned():
                text, is_error = self._result(happened, event, turn)
                self._do(ReturnsFrom(event.id, text, is_error), turn)
            case TurnQueued(id=send, text=text, sender=sender):
                self._queued[send] = event
                if sender != HARNESS:
                    self.told.append(text)
            case TurnStarted(id=send):
                self._take_up(send)
            case TurnCancelled(id=send):
                self._queued.pop(send, None)
                if happened.seq < self._last_turn:
                    raise happened.refused("a fake agent answers everything that it is told")
            case TurnEnded():
                self._end_turn(happened, event, turn)
            case Status() | Attention() | UnknownText() | Finished() | ErrorReported():
                line = line_of(event)
                if line is None:
                    self._differ(happened, "left out: the export does not hold the line of the log that said this")
                else:
                    self._write(Appends(line))
            case DeliverableLanded():
                self._deliver(happened, event)
            case DeliverableRefused(name=name, reason=reason):
                self._announced.append(name)
                if reason != NOT_THERE:
                    self._differ(happened, f"it was refused because {reason}; in a replay, nothing is at its path")
                self._write(Appends(f"DELIVERABLE: {name}"))
            case AgentSession():
                if self._has_session:
                    self._differ(happened, "left out: a fake agent has one session of its own")
                self._be_in_a_turn(turn)
                self._has_session = True
            case AgentRetry():
                self._differ(happened, "left out: a fake agent has no model whose API could refuse")
            case AgentLimit():
                self._differ(happened, "left out: a fake agent has no subscription")
            case AgentTask():
                self._differ(happened, "left out: a fake agent does nothing in the background")
            case AgentUnparsed():
                self._differ(happened, "left out: a fake agent says nothing that cannot be understood")
            case LogReset():
                self._differ(happened, "left out: a fake agent only appends to its log")
            case Missing(first=first, last=last):
                raise happened.refused(f"the events {first} to {last} are no longer there")
            case Other(type=kind):
                if kind.startswith(("tool.", "question.", "turn.")):
                    raise happened.refused("this version does not understand it")
                self._differ(happened, "left out: this version does not understand it")
            case Notice(message=message):
                if happened.source == "log":
                    raise happened.refused(message)
            case SessionStarted() | Progress() | StopRequested() | Stalled() | DriverChanged() | DriverLeft():
                pass  # said by the session itself, and a replay has its own
            case SessionEnded():
                pass
            case _:
                assert_never(event)

    def _do(self, step: Step, turn: RecordedTurn) -> None:
        self._be_in_a_turn(turn)
        self.steps.append(step)

    def _be_in_a_turn(self, turn: RecordedTurn) -> None:
        if not self._in_turn:
            sends = self._queued.keys() if turn.ended is None else turn.ended.ids
            if sends and not self._says_when:
                self._take_up(next(iter(sends)))
            else:
                self.steps.append(BeginsTurn())
                self._in_turn = True

    def _take_up(self, send: str) -> None:
        """It takes something into its turn, or begins one with it: an answer to a deliverable, or whatever is next."""
        self._started.add(send)
        queued = self._queued.get(send)
        beginning = ""
        if queued is not None and queued.sender == HARNESS:
            beginnings = [deliverable_reply(name, "") for name in self._announced]
            beginning = max((each for each in beginnings if queued.text.startswith(each)), key=len, default="")
        self.steps.append(TakesUp(beginning))
        self._in_turn = True

    def _write(self, step: Appends | Delivers) -> None:
        self.steps.append(step if self._in_turn else AtOnce(step))

    def _deliver(self, happened: Happened, landed: DeliverableLanded) -> None:
        self._announced.append(landed.name)
        content, difference = self._content(landed)
        if difference:
            self._differ(happened, difference)
        try:
            self._write(Delivers(landed.name, content, waits=False))
        except ValueError as error:
            raise happened.refused(str(error)) from error

    def _result(self, happened: Happened, returned: ToolReturned, turn: RecordedTurn) -> tuple[str, bool]:
        if returned.id in self._denied_uses and not turn.interrupted:
            return DENIED_THEN, False
        if returned.size <= KEPT_RESULT:
            return returned.text, returned.is_error
        if returned.size > LINE_LIMIT:
            raise happened.refused(f"a result of {returned.size} characters is longer than what is read whole")
        self._differ(happened, f"of {returned.size} characters, the export holds the beginning; the rest is filled up")
        missing = max(0, returned.size - len(returned.text))
        return returned.text + (NOT_KEPT * (missing // len(NOT_KEPT) + 1))[:missing], returned.is_error

    def _end_turn(self, happened: Happened, ended: TurnEnded, turn: RecordedTurn) -> None:
        for send in ended.ids:
            if send not in self._started:
                self._take_up(send)
            self._queued.pop(send, None)
        if sorted(ended.denied) != sorted(self._denied):
            self._differ(happened, f"denied says {list(ended.denied)}, and was asked about {self._denied}")
        self._note_cut(happened, ended.text)
        cost = 0.0 if ended.cost_usd is None else ended.cost_usd - self._cost
        self._cost += cost
        used = (ended.input_tokens, ended.output_tokens)
        if ended.is_error:
            self._do(Fails(ended.text, ended.reason, cost, *used), turn)
        else:
            text = None if ended.text == self._last_text else ended.text
            self._do(EndsTurn(cost, *used, text, ended.reason), turn)
        self._in_turn = False

    def _end(self, events: Sequence[Happened]) -> None:
        """What becomes of the agent behind the last event."""
        ended = next((each for each in events if isinstance(each.event, SessionEnded)), None)
        exits = None if ended is None else self._exit(ended, events)
        if exits is not None:
            self.steps.append(exits if self._in_turn else AtOnce(exits))
        elif self._in_turn:
            if ended is None:
                self._differ(events[-1], "it was exported in the middle of a turn: from here on the agent waits")
            self.steps.append(Waits())

    def _exit(self, ended: Happened, events: Sequence[Happened]) -> Exits | None:
        """How the agent ended by itself, if it did."""
        assert isinstance(ended.event, SessionEnded)
        status = ended.event.exit
        if ended.event.outcome in ("cancelled", "closed") or any(
            isinstance(each.event, StopRequested) for each in events
        ):
            return None
        if any(isinstance(each.event, Finished | ErrorReported) for each in events):
            # Then its input is closed behind its turn, and with that it exits with status 0, here as there.
            by_itself = status is not None and (status > 0 or (status == 0 and self._in_turn))
            return Exits(status or 0) if by_itself else None
        if status is None:
            self._differ(ended, "nobody knows how the agent ended; in a replay it waits")
            return None
        if status < 0:
            self._differ(ended, f"it was ended by signal {-status}; a fake agent exits with {128 - status}")
        return Exits(status if status >= 0 else 128 - status)

    def _asking(self, happened: Happened, question: str) -> Asking:
        asking = self._questions.get(question)
        if asking is None:
            raise happened.refused(f"the export does not hold the question {question}")
        return asking

    def _note_cut(self, happened: Happened, text: str) -> None:
        if len(text) == KEPT_TEXT:
            self._differ(happened, f"it may have been longer: no more than {KEPT_TEXT} characters are kept")

    def _differ(self, happened: Happened, reason: str) -> None:
        self.differences.append(Difference(happened.seq, happened.event.type, reason))
