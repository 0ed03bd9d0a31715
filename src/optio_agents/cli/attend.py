"""Attending a session to its end: watching it, and driving it when nobody else does."""

import posixpath
import signal
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio
import click

from optio_host.errors import HostError
from optio_host.host import FileReset
from optio_host.lines import Line

from ..errors import CallbackMissing, JournalError, LeaseLost, StoreError
from ..events import SessionEnded
from ..history import follow_pages
from ..journal import OutcomeDocument, Store
from ..session import OUTPUT_STREAMS, OutputStream, Session
from .asking import Asking
from .audience import Audience
from .driving import adopt_when_free, can_be_adopted, request_stop, start_driver
from .hosts import is_local
from .keyboard import Keyboard, keyboard
from .summary import last_output, print_summary
from .view import choose_view

if TYPE_CHECKING:
    from optio_host.open import AnyHost

LET_GO_WITHIN = 5.0
"""Seconds that this process waits for itself to let go of a session, before it starts another driver anyway."""


async def attend(
    store: Store,
    host: "AnyHost",
    session: str,
    *,
    started: Session | None = None,
    first: int = 1,
    json: bool,
    verbose: bool,
    signals_cancel: bool,
) -> OutcomeDocument | None:
    """Until the session has ended: how; or until the person goes: None.

    Parameters:
        store: where its journal is.
        host: where it runs.
        session: its id.
        started: the session, when this process has just started it and owns it.
        first: number of the event to begin with.
        json: show it to a program.
        verbose: show the program's output, too.
        signals_cancel: Ctrl-C ends the session; else it only ends the watching. A closed terminal never ends it.
    """
    record = (await store.snapshot(session)).record
    typing = None if json or record.conversation is None else keyboard()
    audience = Audience(choose_view(record.created, json=json, verbose=verbose, asks=typing is not None))
    attendance = _Attendance(store, host, audience, typing, session, started, signals_cancel)
    try:
        outcome = await attendance.run(first, OUTPUT_STREAMS if verbose and not json else ())
    finally:
        if typing is not None:
            typing.close()
        await audience.close()
    if outcome is not None and not json:
        snapshot = await store.snapshot(session)
        # A host is not dialled only to show more.
        shown = outcome.outcome == "failed" and (attendance.has_driven or is_local(snapshot.record))
        output = await last_output(host, snapshot.record) if shown else None
        await audience.tell(print_summary, snapshot, output)
    return outcome


class _Attendance:
    def __init__(
        self,
        store: Store,
        host: "AnyHost",
        audience: Audience,
        typing: Keyboard | None,
        session: str,
        started: Session | None,
        signals_cancel: bool,
    ) -> None:
        self._store = store
        self._host = host
        self._audience = audience
        self._typing = typing
        self._session = session
        self._driving = started
        self._let_go = anyio.Event()
        self._signals_cancel = signals_cancel
        self._ended = anyio.Event()
        self._detached = False
        self.has_driven = started is not None

    async def run(self, first: int, streams: tuple[OutputStream, ...]) -> OutcomeDocument | None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._obey_signals, tasks.cancel_scope)
            async with anyio.create_task_group() as lasting:
                lasting.start_soon(self._drive)
                lasting.start_soon(self._show_events, first)
                if self._typing is not None:
                    lasting.start_soon(Asking(self._store, self._session, self._audience, self._typing).run)
                for stream in streams:
                    lasting.start_soon(self._show_output, stream)
            tasks.cancel_scope.cancel()
        return None if self._detached else (await self._store.snapshot(self._session)).record.outcome

    async def _show_events(self, first: int) -> None:
        async with aclosing(follow_pages(self._store, self._session, first - 1)) as pages:
            async for records in pages:
                if isinstance(records[-1].event, SessionEnded):
                    self._ended.set()
                await self._audience.show(records)
        self._ended.set()

    async def _show_output(self, stream: OutputStream) -> None:
        record = (await self._store.snapshot(self._session)).record
        path = posixpath.join(record.rundir, stream)
        async with aclosing(self._host.follow(path, until=self._ended)) as lines:
            async for line, _ in lines:
                if not isinstance(line, FileReset):
                    text = (line.data if isinstance(line, Line) else line.head).decode("utf-8", "replace")
                    await self._audience.output(stream, text)

    async def _drive(self) -> None:
        """Drive it while nobody else does: from the start, or once the driver there was is gone."""
        try:
            while not self._detached:
                self._driving = self._driving or await adopt_when_free(self._host, self._store, self._session)
                if self._driving is None:
                    return
                self.has_driven = True
                try:
                    await self._driving.wait()
                    return
                except LeaseLost:
                    await self._audience.note("another driver has taken over; watching on")
                finally:
                    self._driving = None
        except CallbackMissing as error:
            await self._audience.note(str(error))
        except (JournalError, HostError, OSError) as error:
            raise click.ClickException(
                f"session {self._session} cannot be driven from here any more; its program goes on, and "
                f"`optio attach {self._session}` comes back to it: {error}"
            ) from error
        finally:
            self._let_go.set()

    async def _obey_signals(self, all_of_it: anyio.CancelScope) -> None:
        asked = False
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
            async for number in received:
                name = signal.Signals(number).name
                # Nobody could come back to a journal that ends with this process.
                if not self._signals_cancel or (number == signal.SIGHUP and self._store.url != "memory:"):
                    with anyio.CancelScope(shield=True):
                        await self._detach(name)
                    all_of_it.cancel()
                    return
                if not await self._stop(name, again=asked):
                    all_of_it.cancel()  # it has ended; only what we print is still waited for
                    return
                asked = True

    async def _stop(self, name: str, *, again: bool) -> bool:
        """End the session; False when it has ended."""
        if not again:
            await self._audience.note("stopping the program and everything it started; Ctrl-C again kills it at once")
        reason = f"killed ({name} again)" if again else f"interrupted ({name})"
        try:
            return await request_stop(self._store, self._session, reason, force=again)
        except StoreError as error:
            if self._driving is None:
                raise
            await self._audience.note(f"killing the program, since the journal does not take a gentler end: {error}")
            await self._driving.kill()
            return True

    async def _detach(self, name: str) -> None:
        """Go away; if nobody else drives the session then, a driver in the background does."""
        self._detached = True
        await self._audience.close()
        if self._driving is not None:
            try:
                await self._driving.leave(f"detached by {name}")
            except JournalError as error:
                await self._audience.note(str(error))
            with anyio.move_on_after(LET_GO_WITHIN):
                await self._let_go.wait()
        snapshot = await self._store.snapshot(self._session)
        if can_be_adopted(snapshot):
            pid = start_driver(snapshot.record, self._store.url)
            await self._audience.note(f"session {self._session} goes on without this terminal (driver: pid {pid})")
        await self._audience.note(f"to come back: optio attach {self._session}")
