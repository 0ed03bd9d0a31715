"""Comparing a session with a recording: its decisions, what has happened, and its end. Pure."""

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from ..conversation.events import (
    AgentUnparsed,
    CallWithdrawn,
    HookAnswered,
    HookCalled,
    HookFailed,
    ToolCalled,
    ToolReturned,
    TurnCancelled,
    TurnEnded,
    TurnQueued,
    TurnStarted,
)
from ..conversation.exchange import HARNESS
from ..conversation.judging import asked_of
from ..conversation.questions import input_in_words, tool_of
from ..events import DeliverableLanded, DeliverableRefused, SessionEvent, event_data
from ..journal import OutcomeDocument, Question, SessionRecord, Snapshot
from ..permissions import Policy
from .differences import Answered, DecisionDiffers, Difference, EventsDiffer, OutcomeDiffers, Replayed, outcome_in_words
from .recorded import RecordedSession
from .tested import Tested

Happenings = Sequence[tuple[str, SessionEvent]]
"""Events in order, each with its source."""


def compared(
    recorded: RecordedSession,
    replayed: Snapshot,
    events: Happenings,
    outcome: OutcomeDocument | None,
    notes: Sequence[str],
    tested: Tested,
) -> Replayed:
    """What of a session is not as it was recorded.

    Parameters:
        recorded: the recording.
        replayed: the session of the replay, in the end.
        events: everything that has happened in it.
        outcome: how it has ended; None: it has not.
        notes: what could not be done as it was.
        tested: what was handed in.
    """
    questions, more = recorded.snapshot.questions, []
    differences: list[Difference] = list(_decisions(questions, replayed))
    streams = ["agent", "log", "told"]
    if "on_deliverable" in recorded.record.callbacks and tested.on_deliverable is None:
        more.append("a hook was there, and none is: what the agent is told of deliverables is not compared")
        streams.remove("told")
    then = [(each.source, each.event) for each in recorded.events]
    differences += _events(then, events, streams)
    differences += _hooks(recorded, [event for _, event in then], [event for _, event in events], tested)
    if not_called := {
        each.event.hook if isinstance(each.event, HookCalled) else each.event.tool
        for each in recorded.events
        if isinstance(each.event, HookCalled | ToolCalled) and each.event.id not in tested.called
    }:
        more.append(f"not called again, and not compared: {', '.join(sorted(not_called))}")
    if outcome_in_words(recorded.record.outcome) != outcome_in_words(outcome):
        differences.append(OutcomeDiffers(recorded.record.outcome, outcome))
    judged = {each.id for each in replayed.questions if each.paths is not None}
    if unknown := [number for number, each in enumerate(questions, 1) if each.paths is None and each.id in judged]:
        more.append(
            f"no policy has judged question {', '.join(map(str, unknown))} then, so nobody knows where its paths lead: "
            "judged as they are written, without symbolic links"
        )
    return Replayed(recorded.record.id, len(questions), tuple(differences), (*notes, *more))


def _decisions(recorded: Sequence[Question], replayed: Snapshot) -> Iterator[DecisionDiffers]:
    now = {each.id: each for each in replayed.questions}
    for number, question in enumerate(recorded, 1):
        if question.waits_for == "policy" and question.status != "answered":
            continue  # nobody had looked at it yet
        before, after = Answered.to(question), Answered.to(now.get(question.id))
        if not before.is_as(after):
            tool, tool_input = tool_of(question)
            why = _why(question, replayed.record)
            yield DecisionDiffers(number, question.id, tool, dict(tool_input), before, after, why)


def _why(question: Question, record: SessionRecord) -> str:
    if record.conversation is None or not record.conversation.policy:
        return ""
    return Policy.loads(record.conversation.policy).decide(*asked_of(record, question)).explain()


def _events(recorded: Happenings, replayed: Happenings, streams: Sequence[str]) -> Iterator[EventsDiffer]:
    """What has happened otherwise, by stream: between the streams is no order."""
    for stream in streams:
        before, after = _of_stream(recorded, stream), _of_stream(replayed, stream)
        if before == after:
            continue  # to see this takes no time that grows with its square
        matcher = SequenceMatcher(None, before, after, autojunk=False)
        for tag, at, to, other_at, other_to in matcher.get_opcodes():
            if tag != "equal":
                yield EventsDiffer(stream, tuple(before[at:to]), tuple(after[other_at:other_to]))


def _hooks(
    recorded: RecordedSession, before: Sequence[SessionEvent], after: Sequence[SessionEvent], tested: Tested
) -> Iterator[EventsDiffer]:
    """The hooks that have said something else, call by call."""
    then, now = _said_by_hooks(before), _said_by_hooks(after)
    for event in before:
        if isinstance(event, HookCalled) and event.id in tested.called and event.id in then:
            use = recorded.uses.get(event.use)
            about = f"{event.hook}, of {event.tool}: {input_in_words(use.input) if use else ''}"
            if then[event.id] != now.get(event.id):
                yield EventsDiffer(
                    "hooks", (f"{about}: {then[event.id]}",), (f"{about}: {now.get(event.id, 'nothing')}",)
                )


def _said_by_hooks(events: Sequence[SessionEvent]) -> dict[str, str]:
    said = {}
    for event in events:
        match event:
            case HookAnswered(call, _, decision, message):
                said[call] = f"{decision}: {message}" if message else decision
            case HookFailed(call, _, problem, decision):
                said[call] = f"it failed ({problem}): {decision}"
            case _:
                pass
    return said


def _of_stream(events: Happenings, stream: str) -> list[str]:
    found = []
    for source, event in events:
        told = isinstance(event, TurnQueued) and event.sender == HARNESS
        if event.type.startswith("question.") or isinstance(event, HookCalled | ToolCalled | CallWithdrawn):
            continue  # decisions are compared by themselves
        if (stream == "told" and told) or (stream == source and stream != "told"):
            found.append(_in_words(event))
    return found


def _in_words(event: SessionEvent) -> str:
    """An event as a line, without what is never the same: ids of messages, and places on this machine."""
    match event:
        case TurnQueued(text=text):
            head, refused, _ = text.partition(": refused: ")  # why depends on what lies there
            return f"{head}{refused}"
        case TurnStarted() | TurnCancelled() | AgentUnparsed():
            return event.type
        case TurnEnded():
            data = {**event_data(event), "ids": len(event.ids)}
            return f"{event.type} {json.dumps(data, ensure_ascii=False)}"
        case ToolReturned():
            # Of its end the export has the length alone.
            data = {name: value for name, value in event_data(event).items() if name != "size"}
            return f"{event.type} {json.dumps(data, ensure_ascii=False)}"
        case DeliverableLanded(name=name) | DeliverableRefused(name=name):
            return f"{event.type} {name}"
        case _:
            return f"{event.type} {json.dumps(dict(event_data(event)), ensure_ascii=False)}"
