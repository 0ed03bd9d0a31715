"""An exported session, as the script of a `FakeAgent` that does again what its agent did."""

import os
from dataclasses import dataclass

from ..replay.handed_over import Contents, HandedOver
from ..replay.recorded import RecordedSession
from ..replay.recorded_turn import NotReplayable
from .retelling import Difference, Retelling
from .steps import Step


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
        recorded = await RecordedSession.load(path)
        record = recorded.record
        if record.conversation is None:
            raise NotReplayable(
                f"{os.fspath(path)}: nothing to replay: session {record.id} is one of a program ({record.agent}) that "
                "held no conversation"
            )
        handed_over = HandedOver(deliverables or {})
        told = Retelling(recorded.events, recorded.asking, handed_over.content)
        handed_over.check()
        return cls(tuple(told.steps), tuple(told.told), tuple(told.differences))
