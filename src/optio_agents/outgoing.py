"""What is sent to the program through a file: every byte is in the journal before it leaves, and arrives once."""

from collections import deque
from collections.abc import Sequence

import anyio

from optio_host.clock import Clock
from optio_host.errors import HostError
from optio_host.job import Job
from optio_host.job_errors import InputClosed, InputConflict, JobGone, NotOwner

from . import seams
from .events import Notice
from .journal import Outbox, Outgoing
from .journal_writer import JournalWriter, Said
from .patience import until_reached

RETRY_EVERY = 5.0
"""Seconds until bytes that could not be written are tried again: the disk may be full."""


class OutgoingStream:
    """One file that only the owner of the session writes. Whoever adds to it holds a lock from `pieces` to `committed`.

    Parameters:
        name: of the stream in the outbox.
        spool: the file, relative to the run directory.
        failure: what a person is told when bytes cannot be written.
        job: the run, whose owner may write.
        writer: the journal.
        outbox: what the journal says was to be sent, and how much of it is known to have arrived.
        clock: time, for tests.
    """

    def __init__(
        self, name: str, spool: str, failure: str, job: Job, writer: JournalWriter, outbox: Outbox, clock: Clock
    ) -> None:
        self._name = name
        self._spool = spool
        self._failure = failure
        self._job = job
        self._writer = writer
        self._acknowledged = outbox.acknowledged
        self._end = outbox.end
        self._pending = deque(each for each in outbox.entries if each.offset >= outbox.acknowledged)
        self._clock = clock
        self._queued = anyio.Event()
        self._written = anyio.Event()
        self._stopped = False

    @property
    def acknowledged(self) -> dict[str, int]:
        """How much is known to have arrived, for the next commit."""
        return {self._name: self._acknowledged}

    def pieces(self, lines: Sequence[bytes]) -> list[Outgoing]:
        """Lines as what is to be committed."""
        return [Outgoing(self._name, self._end, b"".join(lines))] if lines else []

    def committed(self, pieces: Sequence[Outgoing]) -> None:
        """They are in the journal: they may leave now."""
        for piece in pieces:
            self._end = piece.offset + len(piece.data)
            self._pending.append(piece)
        if pieces:
            self._queued.set()

    async def flushed(self) -> None:
        """Return when everything that was committed is written, or will never be."""
        while self._pending and not self._stopped:
            self._written = anyio.Event()
            await self._written.wait()

    async def run(self) -> None:
        """Write what is committed, in order, until the program takes no more.

        Raises NotOwner, and InputConflict when somebody else has written to the file.
        """
        told = ""
        try:
            async with self._job.appending():
                while True:
                    self._queued = anyio.Event()
                    try:
                        await until_reached(self._write, self._clock)
                        told = ""
                    except (InputClosed, JobGone):
                        return
                    except (NotOwner, InputConflict):
                        raise
                    except HostError as error:
                        if str(error) != told:  # a disk that stays full would fill the journal
                            await self._writer.commit(Said(Notice(f"{self._failure}, it is tried again: {error}")))
                        told = str(error)
                        await self._clock.sleep(RETRY_EVERY)
                        continue
                    await self._queued.wait()
        finally:
            self._stopped = True
            self._written.set()

    async def _write(self) -> None:
        # The same bytes go to the same place, however often this is repeated.
        while self._pending:
            piece = self._pending[0]
            seams.reached("before append")
            self._acknowledged = await self._job.append(piece.offset, piece.data, spool=self._spool)
            seams.reached("appended")
            self._pending.popleft()
            self._written.set()
