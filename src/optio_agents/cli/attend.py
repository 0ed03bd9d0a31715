"""Attending a session to its end: watching it, and driving it when nobody else does."""

import math
import posixpath
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

import anyio

from optio_host.host import FileReset
from optio_host.lines import Line

from ..events import SessionEnded
from ..history import follow_pages
from ..journal import OutcomeDocument, Store
from ..patient_store import PatientStore
from ..session import OUTPUT_STREAMS, OutputStream, Session
from .asking import Asking
from .attendance import Attendance
from .audience import Audience
from .hosts import is_local
from .keyboard import keyboard
from .summary import last_output, print_summary
from .view import choose_view
from .watched_output import watched_output

if TYPE_CHECKING:
    from optio_host.open import AnyHost

OUTPUT_PATIENCE = 10.0
"""Seconds that a host has to say what else a program has printed, once its session has ended. Whoever drives it has had
an answer; the link of somebody who only watches may be down, and would be waited for without an end."""


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
    store = PatientStore(store)
    record = (await store.snapshot(session)).record
    typing = None if json or record.conversation is None else keyboard()
    audience = Audience(choose_view(record.created, json=json, verbose=verbose, asks=typing is not None))
    attendance = Attendance(
        store,
        host,
        audience,
        session,
        started=started,
        come_back=f"optio attach {session}",
        signals_cancel=signals_cancel,
    )
    watching = _Watching(store, host, session, audience)
    tasks: list[Callable[[], Awaitable[None]]] = [partial(watching.show_events, first)]
    if typing is not None:
        tasks.append(Asking(store, session, audience, typing).run)
    if verbose and not json:
        tasks += [partial(watching.show_output, stream) for stream in OUTPUT_STREAMS]
    try:
        outcome = await attendance.run(*tasks)
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


class _Watching:
    def __init__(self, store: Store, host: "AnyHost", session: str, audience: Audience) -> None:
        self._store = store
        self._host = host
        self._session = session
        self._audience = audience
        self._ended = anyio.Event()

    async def show_events(self, first: int) -> None:
        async with aclosing(follow_pages(self._store, self._session, first - 1)) as pages:
            async for records in pages:
                if isinstance(records[-1].event, SessionEnded):
                    self._ended.set()
                await self._audience.show(records)
        self._ended.set()

    async def show_output(self, stream: OutputStream) -> None:
        record = (await self._store.snapshot(self._session)).record
        path = posixpath.join(record.rundir, stream)
        waiting, showing = anyio.CancelScope(), False

        async def give_up() -> None:
            await self._ended.wait()
            if not showing:  # whoever looks may take as long as they like
                waiting.deadline = anyio.current_time() + OUTPUT_PATIENCE

        output = watched_output(self._host, path, ended=self._ended, note=self._audience.note)
        async with aclosing(output) as lines, anyio.create_task_group() as tasks:
            tasks.start_soon(give_up)
            with waiting:
                async for line, _ in lines:
                    if not isinstance(line, FileReset):
                        text = (line.data if isinstance(line, Line) else line.head).decode("utf-8", "replace")
                        waiting.deadline, showing = math.inf, True
                        await self._audience.output(stream, text)
                        showing = False
                    if self._ended.is_set():
                        waiting.deadline = anyio.current_time() + OUTPUT_PATIENCE
            tasks.cancel_scope.cancel()
        if waiting.cancelled_caught:
            await self._audience.note(f"the rest of the program's {stream} could not be read: its host does not answer")
