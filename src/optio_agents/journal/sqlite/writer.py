"""The one thread that writes, and how many writers share one trip to the disk.

A commit costs a flush of the disk, whatever its size. So whatever is waiting when the thread is free goes into one
transaction, and everybody is answered when it is durable.
"""

import asyncio
import functools
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar, cast

import anyio

from optio_host.clock import Clock

from ...errors import StoreError
from ..news import News
from .connect import connect, our_error
from .transaction import Transaction

T = TypeVar("T")
PENDING_LIMIT = 1_024
"""How many writes may be under way; one more waits outside."""


class _Job(Generic[T]):
    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[Transaction], T], future: asyncio.Future[T]) -> None:
        self.work = work
        self.future = future
        self.result: T | None = None
        self.error: Exception | None = None


class Writer:
    """Runs pieces of work in transactions, in the order they came, each all or nothing.

    Belongs to the event loop it was made in. The thread ends with `close`.
    """

    def __init__(self, path: Path, busy_seconds: float, clock: Clock, news: News) -> None:
        self._path = path
        self._clock = clock
        self._news = news
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(PENDING_LIMIT)
        self._fresh: list[_Job[object]] = []
        self._handed: queue.SimpleQueue[list[_Job[object]] | None] = queue.SimpleQueue()  # bounded by the semaphore
        self._closed = False
        self._connection = connect(path, busy_seconds)
        self._transaction = Transaction(self._connection)
        self._thread = threading.Thread(target=self._write_until_closed, name="optio journal writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in the thread, in a transaction; what it returned, once that is durable.

        `work` may be run again if another piece of work in the same transaction fails.

        Raises:
            StoreError: it could not be written.
            Exception: whatever `work` raised; then it has changed nothing.
        """
        await self._room.acquire()
        if self._closed:
            self._room.release()
            raise StoreError(f"{self._path}: the journal was closed")
        future: asyncio.Future[T] = self._loop.create_future()
        job = _Job(work, future)
        if not self._fresh:
            # Handed over when everything that is ready in the loop has had its turn: it goes along.
            self._loop.call_soon(self._hand_over)
        self._fresh.append(cast("_Job[object]", job))
        return await future

    async def close(self) -> None:
        """Finish what is under way, close the file and end the thread."""
        self._closed = True
        self._hand_over()
        self._handed.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    def _hand_over(self) -> None:
        if self._fresh:
            self._handed.put(self._fresh)
            self._fresh = []

    def _answer(self, jobs: list[_Job[object]], changes: dict[str, int]) -> None:
        for job in jobs:
            self._room.release()
            if job.future.done():
                continue  # its caller was cancelled
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        self._news.tell(changes)

    def _write_until_closed(self) -> None:
        try:
            while (jobs := self._handed.get()) is not None:
                changes = self._write(jobs)
                self._loop.call_soon_threadsafe(functools.partial(self._answer, jobs, changes))
        finally:
            self._connection.close()

    def _write(self, jobs: list[_Job[object]]) -> dict[str, int]:
        """Carry out all jobs in one transaction; one that fails is taken out, and the others are done again."""
        left = jobs
        while left:
            failed: _Job[object] | None = None
            try:
                self._transaction.begin(self._clock.time())
                for job in left:
                    failed = job
                    job.result = job.work(self._transaction)
                failed = None
                return self._transaction.commit()
            except Exception as error:
                self._transaction.roll_back()
                guilty = left if failed is None else [failed]
                for job in guilty:
                    job.error = our_error(error, self._path) if isinstance(error, sqlite3.Error) else error
                left = [job for job in left if job not in guilty]
        return {}
