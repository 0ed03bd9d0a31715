"""A person, or a program, that watches a session; and drives it when nobody else does."""

import posixpath
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio

from optio_host.host import FileReset
from optio_host.job_errors import JobGone
from optio_host.lines import Line, LongLine
from optio_host.local.host import LocalHost

from ..errors import CallbackMissing, LeaseHeld, LeaseLost, SessionRefused
from ..events import Record, SessionEnded
from ..history import follow_history
from ..journal import OutcomeDocument, Store
from ..session import OUTPUT_STREAMS, OutputStream, Session
from .background import start_driver
from .view import View, watch

TRY_AGAIN = 1.0
"""Seconds between two looks at whether the driver is still there."""


class Attendance:
    """Watches one session to its end.

    Parameters:
        store: where its journal is.
        host: where it runs.
        view: how it is shown.
        session: its id.
        after: number of the event behind which to begin.
        verbose: the program's output is shown, too.
        signals_cancel: Ctrl-C ends the session; else it only ends the watching. A closed terminal never ends it.
    """

    def __init__(
        self,
        store: Store,
        host: LocalHost,
        view: View,
        session: str,
        *,
        after: int = 0,
        verbose: bool = False,
        signals_cancel: bool = False,
    ) -> None:
        self._store = store
        self._host = host
        self._view = view
        self._session = session
        self._after = after
        self._verbose = verbose
        self._signals_cancel = signals_cancel
        self._driving: Session | None = None
        self._output_ended = anyio.Event()
        self._detached = False

    async def run(self, started: Session | None = None) -> OutcomeDocument | None:
        """Until the session has ended: how; or until the person goes: None.

        Parameters:
            started: the session, when this process has just started it and owns it.
        """
        failure: Exception | None = None
        driven = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._obey_signals, tasks.cancel_scope)

            async def drive() -> None:
                nonlocal failure
                try:
                    await self._drive(started)
                except Exception as error:
                    failure = error  # raised outside of the group, which would wrap it
                    tasks.cancel_scope.cancel()
                driven.set()

            tasks.start_soon(drive)
            output = {stream: self._output(stream) for stream in OUTPUT_STREAMS} if self._verbose else {}
            async with aclosing(follow_history(self._store, self._session, self._after)) as records:
                await watch(self._view, self._noticing_the_end(records), output)
            await driven.wait()
            tasks.cancel_scope.cancel()
        if failure is not None and not self._detached:
            raise failure
        return None if self._detached else (await self._store.snapshot(self._session)).record.outcome

    async def _noticing_the_end(self, records: AsyncGenerator[Record]) -> AsyncGenerator[Record]:
        """The records; the last one tells the readers of the output that nothing more is written."""
        async for record in records:
            if isinstance(record.event, SessionEnded):
                self._output_ended.set()
            yield record

    async def _output(self, stream: OutputStream) -> AsyncGenerator[Line | LongLine]:
        record = (await self._store.snapshot(self._session)).record
        path = posixpath.join(record.rundir, stream)
        async with aclosing(self._host.follow(path, until=self._output_ended)) as lines:
            async for line, _ in lines:
                if not isinstance(line, FileReset):
                    yield line

    async def _drive(self, started: Session | None) -> None:
        """Drive it while nobody else does: from the start, or once the driver there was is gone."""
        session = started
        while True:
            if session is not None:
                self._driving = session
                try:
                    await session.wait()
                    return
                except LeaseLost:
                    self._view.note("another driver has taken over; watching on")
                finally:
                    self._driving = None
            session = await self._taken_over()
            if session is None:
                return

    async def _taken_over(self) -> Session | None:
        """The session, once there is nobody else to drive it; None when it has ended or is not for this process."""
        while True:
            try:
                return await Session.adopt(self._host, self._store, self._session)
            except LeaseHeld:
                await anyio.sleep(TRY_AGAIN)
            except SessionRefused:
                return None
            except JobGone:
                return None  # its end has been written
            except CallbackMissing as error:
                self._view.note(str(error))
                return None

    async def _obey_signals(self, all_of_it: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
            stopping = False
            async for number in received:
                session = self._driving
                if number == signal.SIGHUP or not self._signals_cancel:
                    await self._detach(session, f"detached by {signal.Signals(number).name}")
                    all_of_it.cancel()
                    return
                if session is None:
                    continue
                if stopping:
                    await session.kill()
                else:
                    stopping = True
                    self._view.note("stopping the program and everything it started; Ctrl-C again kills it at once")
                    await session.cancel(f"stopped by {signal.Signals(number).name}")

    async def _detach(self, session: Session | None, reason: str) -> None:
        """Go away; if this process drives the session, another one does so from now on."""
        self._detached = True
        self._view.close()
        if session is not None:
            await session.leave(reason)
            record = session.record
            await self._store.release(session.lease)
            pid = start_driver(record, self._store.url)
            self._view.note(f"session {record.id} goes on without this terminal (driver: pid {pid})")
        self._view.note(f"to come back: optio attach {self._session}")
