"""The answers that the program gets: every byte is in the journal before it leaves, and arrives once."""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

import anyio

from optio_host.clock import Clock
from optio_host.cursor import Cursor
from optio_host.errors import HostError
from optio_host.job import Job
from optio_host.job_errors import InputConflict, JobGone

from . import seams
from .events import Notice
from .journal import Deliverable, Outbox, Outgoing
from .journal_writer import JournalWriter, Said
from .patience import until_reached

REPLIES = "replies"
"""Name of the stream in the outbox."""

RETRY_EVERY = 5.0
"""Seconds until a reply that could not be written is tried again: the disk may be full."""


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
        self._job = job
        self._writer = writer
        self._turn = anyio.Lock()
        self._acknowledged = outbox.acknowledged
        self._end = outbox.end
        self._pending = deque(each for each in outbox.entries if each.offset >= outbox.acknowledged)
        self._clock = clock
        self._queued = anyio.Event()

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
            piece = Outgoing(REPLIES, self._end, line.encode("utf-8", "replace") + b"\n")
            await self._writer.commit(
                *said,
                cursors=cursors,
                deliverables=deliverables,
                outbox=[piece],
                acknowledged={REPLIES: self._acknowledged},
            )
            self._end = piece.offset + len(piece.data)
            self._pending.append(piece)
        self._queued.set()

    async def run(self) -> None:
        """Write what is queued, in order, for as long as the session lasts."""
        while True:
            self._queued = anyio.Event()
            try:
                await self.flush()
            except InputConflict:
                await self._writer.commit(Said(Notice("the program changed the file of replies; it gets no more")))
                return
            except JobGone:
                return
            except HostError as error:
                await self._writer.commit(Said(Notice(f"a reply could not be written, it is tried again: {error}")))
                await self._clock.sleep(RETRY_EVERY)
                continue
            await self._queued.wait()

    async def flush(self) -> None:
        """Write everything that is queued now. The same bytes go to the same place however often this is repeated."""
        while self._pending:
            piece = self._pending[0]
            seams.reached("before reply")
            append = partial(self._job.append, piece.offset, piece.data, spool="../../replies")
            self._acknowledged = await until_reached(append, self._clock)
            seams.reached("replied")
            self._pending.popleft()
