"""An exported session, as it is replayed: its events in order, its questions, and what was answered to them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import anyio
from pydantic import JsonValue, TypeAdapter, ValidationError

from ..conversation.contract import PermissionDecision
from ..conversation.events import TurnQueued
from ..conversation.exchange import HARNESS, PROMPT, STDIN
from ..errors import JournalError
from ..events import Origin, Other, SessionEvent, event_data, event_from
from ..journal import Event, Limits, Outbox, Question, SessionRecord, Snapshot, import_lines
from ..journal.memory import MemoryStore
from ..protocol.replies import deliverable_reply
from .recorded_turn import Asking, Happened, NotReplayable


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """What `optio export` has written.

    Attributes:
        snapshot: the journal, but for its events.
        events: all of them, in order.
    """

    snapshot: Snapshot
    events: tuple[Happened, ...]

    @classmethod
    async def load(cls, path: str | os.PathLike[str]) -> "RecordedSession":
        """Read an exported session. Raises OSError when it cannot be read.

        Raises NotReplayable when it is no export, is damaged or from a newer version, or when its first events were no
        longer kept.
        """
        store = MemoryStore()
        try:
            text = (await anyio.Path(path).read_bytes()).decode()
            record = await import_lines(store, text.split("\n"))
        except (JournalError, ValueError) as error:
            raise NotReplayable(f"{os.fspath(path)}: nothing to replay: {error}") from error
        snapshot = await store.snapshot(record.id)
        if snapshot.first_seq > 1:
            raise NotReplayable(
                f"{os.fspath(path)}: the events before {snapshot.first_seq} were no longer kept when session "
                f"{record.id} was exported: nobody knows how it began"
            )
        events: list[Event] = []
        while len(events) < snapshot.last_seq:
            events += (await store.events(record.id, after=len(events))).events
        reader = _Reader()
        return cls(snapshot, tuple(reader.read(each) for each in events))

    @property
    def record(self) -> SessionRecord:
        """The session, as it stood in the end."""
        return self.snapshot.record

    @property
    def questions(self) -> Mapping[str, Question]:
        """What the agent has asked, by id."""
        return {each.id: each for each in self.snapshot.questions}

    @property
    def asking(self) -> Mapping[str, Asking]:
        """What is known of each question beside its event, by id."""
        return {each.id: _asking(each) for each in self.snapshot.questions}

    def answer(self, question: Question) -> PermissionDecision:
        """What was answered to a question. Raises NotReplayable when the export does not say."""
        note = question.answer or {}
        if note.get("behavior") not in ("allow", "deny"):
            raise NotReplayable(f"question {question.id}: the export does not hold its answer")
        message = note.get("message")
        edited: dict[str, object] | None = None
        if note.get("edited"):
            sent = self._sent(question.id).get("updatedInput")
            if not isinstance(sent, dict):
                raise NotReplayable(f"question {question.id}: the export does not hold what its input was changed to")
            edited = dict(sent)
        return PermissionDecision(
            "allow" if note["behavior"] == "allow" else "deny",
            updated_input=edited,
            message=message if isinstance(message, str) else None,
            interrupt=note.get("interrupt") is True,
            always=note.get("always") is True,
        )

    def beginning(self, policy: str | None, landing: str) -> SessionRecord:
        """The session as it was before anything had happened; what is not to be done again is left out.

        Parameters:
            policy: text of another policy; None: that of the session.
            landing: directory on this machine for deliverables.
        """
        record = self.record
        conversation = record.conversation
        if conversation is not None:
            queued = [each.event for each in self.events if isinstance(each.event, TurnQueued)]
            said_by_itself = [each.text for each in queued if each.sender == HARNESS]
            about_files = deliverable_reply("", "").removesuffix(":")
            conversation = conversation.model_copy(
                update={
                    "prompt": next((each.text for each in queued if each.sender == PROMPT), conversation.prompt),
                    "reminder": next(
                        (each for each in said_by_itself if not each.startswith(about_files)), conversation.reminder
                    ),
                    "agent_session": "",
                    "pending": {},
                    "cost_usd": None,
                    "tells": False,
                    "tasks": (),
                    "allowed": (),
                    "policy": conversation.policy if policy is None else policy,
                }
            )
        return record.model_copy(
            update={
                "state": "starting",
                "outcome": None,
                "driver": None,
                "deliverables_dir": landing,
                "callbacks": (),
                "limits": Limits(grace=record.limits.grace),
                "notify": "",
                "conversation": conversation,
            }
        )

    def _sent(self, question: str) -> Mapping[str, JsonValue]:
        """What went to the agent as the answer to a question."""
        sent = b"".join(each.data for each in self.snapshot.outbox.get(STDIN, Outbox()).entries)
        for line in sent.splitlines():
            match json.loads(line):
                case {"type": "control_response", "response": {"request_id": str(asked), "response": dict(response)}}:
                    if asked == question:
                        return response
        return {}


def _asking(question: Question) -> Asking:
    use, agent = question.data.get("tool_use_id"), question.data.get("agent_id")
    stops = question.answer is not None and question.answer.get("interrupt") is True
    return Asking(str(use or question.id), str(agent or ""), stops)


class _Reader:
    """Makes events of what the journal has."""

    def __init__(self) -> None:
        self._shapes = {kind.type: TypeAdapter[object](kind) for kind in get_args(SessionEvent) if kind is not Other}

    def read(self, event: Event) -> Happened:
        """An event, of the shape that its type has. Raises NotReplayable."""
        origin = Origin.of_data(event.data)
        happened = Happened(event.seq, event.source, event_from(event.type, event.data), event.event_id, origin)
        if not isinstance(happened.event, Other):
            try:
                self._shapes[event.type].validate_json(json.dumps(event_data(happened.event)), strict=True)
            except ValidationError as error:
                wrong = error.errors()[0]
                raise happened.refused(f"damaged: {wrong['loc']}: {wrong['msg']}") from error
        return happened
