"""Being there while a session lasts: driving it when nobody else does, obeying signals, and leaving it behind."""

import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import click

from optio_host.errors import ConnectFailed, HostError

from ..errors import CallbackMissing, JournalError, LeaseLost, StoreError
from ..journal import OutcomeDocument, Store
from ..session import Session
from .audience import Audience
from .driving import adopt_when_free, can_be_adopted, request_stop, start_driver

if TYPE_CHECKING:
    from optio_host.open import AnyHost

LET_GO_WITHIN = 5.0
"""Seconds that this process waits for itself to let go of a session, before it starts another driver anyway."""

Interrupt = Callable[[], Awaitable[None]]
"""What Ctrl-C does, where it does not concern the session as a whole."""


class Attendance:
    """One person, at one session.

    Parameters:
        store: where its journal is.
        host: where it runs.
        audience: the person.
        session: its id.
        started: the session, when this process has just started it and owns it.
        come_back: the command that comes back to it.
        signals_cancel: signals end the session; else they only end the attendance. A closed terminal never ends it.
        interrupt: what Ctrl-C does instead; None: nothing else.

    Attributes:
        has_driven: this process has driven it.
    """

    def __init__(
        self,
        store: Store,
        host: "AnyHost",
        audience: Audience,
        session: str,
        *,
        started: Session | None,
        come_back: str,
        signals_cancel: bool,
        interrupt: Interrupt | None = None,
    ) -> None:
        self._store = store
        self._host = host
        self._audience = audience
        self._session = session
        self._driving = started
        self._let_go = anyio.Event()
        self._come_back = come_back
        self._signals_cancel = signals_cancel
        self._interrupt = interrupt
        self._detached = False
        self._host_away = False
        self._all_of_it = anyio.CancelScope()
        self.has_driven = started is not None

    async def run(self, *tasks: Callable[[], Awaitable[None]]) -> OutcomeDocument | None:
        """Do all this for as long as it lasts: how the session ended; None when the person has left before."""
        with self._all_of_it:
            async with anyio.create_task_group() as group:
                group.start_soon(self._obey_signals)
                async with anyio.create_task_group() as lasting:
                    for task in (self._drive, *tasks):
                        lasting.start_soon(self._carried_out, task)
                group.cancel_scope.cancel()
        return None if self._detached else (await self._store.snapshot(self._session)).record.outcome

    async def leave(self, why: str) -> None:
        """Go away; if nobody else drives the session then, a driver in the background does.

        With a journal that ends with this process, which nobody could come back to, the session is ended instead.
        """
        if self._store.url == "memory:":
            await request_stop(self._store, self._session, why)
            return
        if self._detached:
            return
        with anyio.CancelScope(shield=True):
            await self._detach(why)
        self._all_of_it.cancel()

    async def _drive(self) -> None:
        """Drive it while nobody else does: from the start, or once the driver there was is gone."""
        try:
            while not self._detached:
                self._driving = self._driving or await adopt_when_free(
                    self._host, self._store, self._session, away=self._note_away
                )
                if self._driving is None:
                    return
                self.has_driven, self._host_away = True, False
                try:
                    await self._driving.wait()
                    return
                except LeaseLost:
                    await self._audience.note("another driver has taken over; watching on")
                finally:
                    self._driving = None
        except CallbackMissing as error:
            await self._audience.note(str(error))
        finally:
            self._let_go.set()

    async def _note_away(self, error: HostError | StoreError) -> None:
        # A link that has just broken comes back by itself, and of the store `PatientStore` tells.
        if isinstance(error, ConnectFailed) and not self._host_away:
            await self._audience.note(f"nobody drives the session, and its host cannot be reached; trying on: {error}")
            self._host_away = True

    async def _carried_out(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except* (JournalError, HostError, OSError) as errors:
            why = "; ".join(str(each) for each in _leaves(errors))
            raise click.ClickException(
                f"session {self._session} cannot be attended from here any more; its program goes on, and "
                f"`{self._come_back}` comes back to it: {why}"
            ) from errors

    async def _obey_signals(self) -> None:
        asked = False
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
            async for number in received:
                name = signal.Signals(number).name
                if number == signal.SIGINT and self._interrupt is not None:
                    await self._interrupt()
                    continue
                # Nobody could come back to a journal that ends with this process.
                if self._store.url != "memory:" and (not self._signals_cancel or number == signal.SIGHUP):
                    await self.leave(f"detached by {name}")
                    return
                if not await self._stop(name, again=asked):
                    self._all_of_it.cancel()  # it has ended; only what we print is still waited for
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
            if again:
                raise  # else the end of the session, which waits for the journal, would keep the person here
            return True

    async def _detach(self, why: str) -> None:
        self._detached = True
        await self._audience.close()
        if self._driving is not None:
            try:
                await self._driving.leave(why)
            except JournalError as error:
                await self._audience.note(str(error))
            with anyio.move_on_after(LET_GO_WITHIN):
                await self._let_go.wait()
        snapshot = None
        with anyio.move_on_after(LET_GO_WITHIN):
            snapshot = await self._store.snapshot(self._session)
        if snapshot is None:
            await self._audience.note(
                f"the journal does not answer; session {self._session} goes on without a driver until it has one again"
            )
        elif can_be_adopted(snapshot):
            pid = start_driver(snapshot.record, self._store.secret_url)
            await self._audience.note(f"session {self._session} goes on without this terminal (driver: pid {pid})")
        await self._audience.note(f"to come back: {self._come_back}")


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    parts = [_leaves(each) if isinstance(each, BaseExceptionGroup) else [each] for each in group.exceptions]
    return [leaf for part in parts for leaf in part]
