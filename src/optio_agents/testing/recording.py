"""An exported session, as the script of a `FakeAgent` that does again what its agent did."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import anyio
from pydantic import TypeAdapter, ValidationError

from ..errors import JournalError
from ..events import DeliverableLanded, Other, SessionEvent, event_data, event_from
from ..journal import Event, Question, import_lines
from ..journal.memory import MemoryStore
from .recorded_turn import Asking, Happened, NotReplayable
from .retelling import Difference, Retelling
from .steps import Step

Contents = Mapping[str, str | bytes | Sequence[str | bytes]]
"""What is in deliverables, by name: the same whenever it is handed over, or one for each time."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What the agent of an exported session did.

        recording = await Recording.load("session.jsonl", deliverables={"report.md": "All is well."})
        fake = FakeAgent(*recording.steps)

    It says and thinks the same, asks the same, writes the same to its log and hands over files of the same names, in
    the same order, and ends its turns in the same way. What it is told and what is decided is up to the session that it
    is replayed in: whatever it was told by people must be told again, and what was interrupted, interrupted.

    Attributes:
        steps: for a `FakeAgent`.
        told: what it was told, but for what the harness says by itself; the first is the prompt.
        differences: everything that is left out or not as it was recorded, and why. The session's own events are not
            mentioned: a replay has its own.
    """

    steps: tuple[Step, ...]
    told: tuple[str, ...]
    differences: tuple[Difference, ...]

    @classmethod
    async def load(cls, path: str | os.PathLike[str], *, deliverables: Contents | None = None) -> "Recording":
        """What `optio export` has written to a file.

        Parameters:
            path: the file.
            deliverables: what was in the files that the agent handed over, which no export holds. For one that is not
                given, a line of text stands for it and says so.

        Raises NotReplayable when it is no export, is damaged or from a newer version, or of a session without a
        conversation; or when something in it cannot be done again, such as events that are no longer there. ValueError
        for deliverables that the agent did not hand over, or not so often. OSError when the file cannot be read.
        """
        store = MemoryStore()
        try:
            text = (await anyio.Path(path).read_bytes()).decode()
            record = await import_lines(store, text.split("\n"))
        except (JournalError, ValueError) as error:
            raise NotReplayable(f"{os.fspath(path)}: nothing to replay: {error}") from error
        if record.conversation is None:
            raise NotReplayable(
                f"{os.fspath(path)}: nothing to replay: session {record.id} is one of a program ({record.agent}) that "
                "held no conversation"
            )
        snapshot = await store.snapshot(record.id)
        if snapshot.first_seq > 1:
            raise NotReplayable(
                f"{os.fspath(path)}: the events before {snapshot.first_seq} were no longer kept when session "
                f"{record.id} was exported: nobody knows how it began"
            )
        events: list[Event] = []
        while len(events) < snapshot.last_seq:
            events += (await store.events(record.id, after=len(events))).events
        handed_over = _HandedOver(deliverables or {})
        questions = {each.id: _asking(each) for each in snapshot.questions}
        reader = _Reader()
        told = Retelling([reader.read(each) for each in events], questions, handed_over.content)
        handed_over.check()
        return cls(tuple(told.steps), tuple(told.told), tuple(told.differences))


class _HandedOver:
    """What is in the deliverables, one after the other."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._times: dict[str, int] = dict.fromkeys(contents, 0)

    def content(self, landed: DeliverableLanded) -> tuple[str | bytes, str]:
        """The content, and what is different about it."""
        given = self._contents.get(landed.name)
        if given is None:
            stands = f"This stands for {landed.name} ({landed.size} bytes), which is not in the export.\n"
            return stands, "its content is not in the export; a line of text stands for it"
        self._times[landed.name] += 1
        if isinstance(given, str | bytes):
            return given, ""
        if self._times[landed.name] > len(given):
            raise ValueError(f"deliverables: {landed.name!r} was handed over more often than {len(given)} times")
        return given[self._times[landed.name] - 1], ""

    def check(self) -> None:
        """Whether all of them were needed. Raises ValueError."""
        for name, times in self._times.items():
            given = self._contents[name]
            if times == 0 or (not isinstance(given, str | bytes) and times < len(given)):
                raise ValueError(f"deliverables: {name!r} was handed over {times} times when this was recorded")


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
        happened = Happened(event.seq, event.source, event_from(event.type, event.data))
        if not isinstance(happened.event, Other):
            try:
                self._shapes[event.type].validate_json(json.dumps(event_data(happened.event)), strict=True)
            except ValidationError as error:
                wrong = error.errors()[0]
                raise happened.refused(f"damaged: {wrong['loc']}: {wrong['msg']}") from error
        return happened
