"""The answers that the program gets, in a file that it reads."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import anyio

from optio_host.clock import Clock
from optio_host.cursor import Cursor
from optio_host.job import Job
from optio_host.job_errors import InputConflict

from .carry_through import CarriedThrough, carried_through
from .events import Notice
from .journal import Deliverable, Outbox
from .journal_writer import JournalWriter, Said
from .outgoing import OutgoingStream

REPLIES = "replies"
"""Name of the stream in the outbox."""


class ReplyChannel(Protocol):
    """A way to answer the program: a file that it reads (`Replies`), or a message among those of its dialogue."""

    async def say(
        self,
        line: str,
        *said: Said,
        cursors: Mapping[str, Cursor] | None = None,
        deliverables: Sequence[Deliverable] = (),
    ) -> None:
        """Commit a reply, together with what it is an answer to; it is written to the program after that."""
        ...


class Replies:
    """The stream of replies of one session.

    Parameters:
        job: the run, whose owner may write.
        writer: the journal.
        outbox: what the journal says was to be sent, and how much of it is known to have arrived.
        clock: time, for tests.
    """

    def __init__(self, job: Job, writer: JournalWriter, outbox: Outbox, clock: Clock) -> None:
        self._writer = writer
        self._turn = anyio.Lock()
        self._steps = CarriedThrough()
        self._stream = OutgoingStream(
            REPLIES, "../../replies", "a reply could not be written", job, writer, outbox, clock
        )

    @carried_through
    async def say(
        self,
        line: str,
        *said: Said,
        cursors: Mapping[str, Cursor] | None = None,
        deliverables: Sequence[Deliverable] = (),
    ) -> None:
        """Commit a reply, together with what it is an answer to; it is written to the program after that.

        Parameters:
            line: the whole line, without its end.
            said, cursors, deliverables: as in `JournalWriter.commit`.
        """
        async with self._turn:
            # What a hook says may hold what the driver knows and the program must not.
            line = self._writer.redact(line)
            pieces = self._stream.pieces([line.encode("utf-8", "replace") + b"\n"])
            await self._writer.commit(
                *said,
                cursors=cursors,
                deliverables=deliverables,
                outbox=pieces,
                acknowledged=self._stream.acknowledged,
            )
            self._stream.committed(pieces)

    async def end(self) -> None:
        """Give up what is still to be written down: this driver goes."""
        await self._steps.end()

    async def run(self) -> None:
        """Write what is queued, in order, for as long as the session lasts. Raises NotOwner."""
        try:
            await self._stream.run()
        except InputConflict:
            await self._writer.commit(Said(Notice("the program changed the file of replies; it gets no more")))
