"""One announced deliverable, from its path to the person's disk, the task's hook and the answer to the program."""

import posixpath
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio

from optio_host.clock import Clock
from optio_host.cursor import Cursor
from optio_host.errors import ConnectFailed, FileRefused, HostError
from optio_host.host import Host, StreamsFiles

from . import seams
from .events import DeliverableLanded, DeliverableRefused, Notice
from .hooks import HookProgress, SessionHookContext
from .journal import Deliverable
from .journal_writer import Said
from .landing import Landed, Landing
from .patience import until_reached
from .protocol.callbacks import call
from .protocol.replies import deliverable_accepted, deliverable_not_handled, deliverable_refused
from .protocol.sender import SerialSender
from .replies import ReplyChannel

DELIVERABLE_LIMIT = 4 * 1024**3
"""The largest deliverable that is taken, in bytes."""

HOOK_LIMIT = 600.0
"""Seconds that a hook may take."""

DeliverableHook = Callable[[SessionHookContext, Deliverable], Awaitable[str | None] | str | None]
"""`on_deliverable(hook_ctx, deliverable)`, plain or async: it is on this machine, at `deliverable.path`.

What it returns is said to the program; nothing, an empty text and "ok" accept the file.
"""


class StreamingHost(StreamsFiles, Host, Protocol):
    """A host that can hand over files in chunks."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A DELIVERABLE entry of the log.

    Attributes:
        path: as it was announced.
        event_id: made from its place in the log.
        cursors: where the reader of the log stands behind it.
    """

    path: str
    event_id: str
    cursors: Mapping[str, Cursor]


class Deliveries:
    """Takes the deliverables of one session, one after the other.

    Parameters:
        host: where they are.
        taskdir: the session's directory there.
        landing: where they land on this machine.
        replies: where the answers go.
        hook: called for each of them; None: there is none.
        progress: where the hook reports.
        lease_lost: set when another driver has taken over.
        redelivered: the driver before this one died: the next deliverable may have been handled.
        clock: time, for tests.
    """

    def __init__(
        self,
        host: StreamingHost,
        taskdir: str,
        landing: Landing,
        replies: ReplyChannel,
        *,
        hook: DeliverableHook | None,
        progress: HookProgress,
        lease_lost: anyio.Event,
        redelivered: bool,
        clock: Clock,
    ) -> None:
        self._host = host
        self._taskdir = taskdir
        self._directory = posixpath.join(taskdir, "deliverables")
        self._landing = landing
        self._replies = replies
        self._hook = hook
        self._progress = progress
        self._sender = SerialSender(replies.say, progress, clock)
        self._lease_lost = lease_lost
        self._redelivered = redelivered
        self._in_doubt = False
        self._clock = clock

    @property
    def in_doubt(self) -> bool:
        """Whether a hook was called and the journal does not say so."""
        return self._in_doubt

    async def take(self, announcement: Announcement) -> None:
        """Land it, call the hook, commit, answer. Raises LeaseLost, StoreError, ConnectFailed if refused."""
        name = self._name_of(announcement.path)
        if name is None:
            reason = "it is not below the directory that OPTIO_DELIVERABLES names"
            await self._refuse(announcement, announcement.path, reason)
            return
        path = posixpath.join(self._directory, name)
        seams.reached("before landing")
        try:
            landed = await until_reached(lambda: self._receive(name, path), self._clock)
        except FileNotFoundError:
            await self._refuse(announcement, name, "there is no such file")
        except FileRefused as error:
            await self._refuse(announcement, name, error.reason)
        except ConnectFailed:
            raise  # the next driver, whose login is not refused, takes it
        except (HostError, OSError) as error:
            notice = Notice(f"deliverable {name} could not be stored: {error}")
            await self._answer(announcement, notice, deliverable_not_handled(name, str(error)))
        else:
            seams.reached("landed")
            # A hook that has begun is not stopped when the lease is lost or the driver leaves: it is told, it finishes,
            # and what it did is committed if that is still this driver's to do.
            with anyio.CancelScope(shield=True):
                await self._hand_over(announcement, landed)

    async def _receive(self, name: str, path: str) -> Landed:
        chunks = self._host.stream_file(path, within=self._directory, max_bytes=DELIVERABLE_LIMIT)
        return await self._landing.receive(name, chunks)

    async def _hand_over(self, announcement: Announcement, landed: Landed) -> None:
        deliverable = Deliverable(
            event_id=announcement.event_id,
            name=landed.name,
            path=landed.path,
            size=landed.size,
            sha256=landed.sha256,
            time=self._clock.time(),
        )
        reply = deliverable_accepted(landed.name, None)
        if self._hook is not None:
            self._in_doubt = True
            reply = await self._call(self._hook, deliverable)
            seams.reached("handled")
        self._redelivered = False
        event = DeliverableLanded(landed.name, landed.path, landed.size, landed.sha256)
        await self._answer(announcement, event, reply, deliverable)
        self._in_doubt = False

    async def _call(self, hook: DeliverableHook, deliverable: Deliverable) -> str:
        context = SessionHookContext(
            self._progress,
            self._host,
            self._sender,
            event_id=deliverable.event_id,
            redelivered=self._redelivered,
            lease_lost=self._lease_lost,
        )
        result: object = None
        with self._clock.move_on_after(HOOK_LIMIT) as limit:
            try:
                result = await call(hook, context, deliverable)
            except Exception as error:
                # The program sees the kind of the error, never its text: that may hold what is not for it.
                self._progress.report_progress(None, f"on_deliverable failed: {type(error).__name__}: {error}")
                return deliverable_not_handled(deliverable.name, f"{type(error).__name__} in on_deliverable")
        if limit.cancelled_caught:
            return deliverable_not_handled(deliverable.name, f"no answer after {HOOK_LIMIT:g} s")
        return deliverable_accepted(deliverable.name, result)

    async def _refuse(self, announcement: Announcement, name: str, reason: str) -> None:
        await self._answer(announcement, DeliverableRefused(name, reason), deliverable_refused(name, reason))

    async def _answer(
        self,
        announcement: Announcement,
        event: DeliverableLanded | DeliverableRefused | Notice,
        reply: str,
        *landed: Deliverable,
    ) -> None:
        said = Said(event, "log", announcement.event_id)
        await self._replies.say(reply, said, cursors=announcement.cursors, deliverables=landed)

    def _name_of(self, announced: str) -> str | None:
        """What an announced path is called below the deliverables directory; None when it is not there."""
        for directory in (self._taskdir, self._directory):
            name = posixpath.relpath(posixpath.join(directory, announced), self._directory)
            if name != "." and name != ".." and not name.startswith("../"):
                return name
        return None
