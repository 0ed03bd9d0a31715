"""The two sides of a chat at a terminal: what the agent says is shown, and what a person types is sent."""

import posixpath
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import click

from optio_host.cursor import START, Cursor
from optio_host.host import FileReset

from ..conversation.exchange import STDOUT
from ..conversation.parse import LINE_LIMIT, message_of
from ..errors import StoreError
from ..events import SessionEnded
from ..history import follow_pages, read_history
from ..journal import JsonObject, SessionRecord, Snapshot, Store
from .asking import Asking
from .audience import Audience
from .chat_view import ChatView
from .inbox import tell_driver
from .keyboard import Keyboard, LineCut
from .watched_output import watched_output

if TYPE_CHECKING:
    from optio_host.open import AnyHost

HISTORY = 20
"""Events from before that are shown to somebody who joins."""

SHOWN_WITHIN = 2.0
"""Seconds in which what the agent has said must be on the screen, before the person is asked for more."""

PROMPT = "> "


@dataclass(frozen=True, slots=True)
class Typed:
    """What a person has typed.

    Attributes:
        text: the words; None: Ctrl-D, or the terminal was closed.
        problem: why they are not to be sent; "": they are.
    """

    text: str | None
    problem: str = ""


class Chat:
    """One person, in one chat.

    Parameters:
        store: where its journal is.
        host: where the agent runs.
        record: its session.
        view: the screen.
        audience: the same, for what must not wait for a screen.
        keyboard: what the person types on.
        leave: goes away without ending the chat.
    """

    def __init__(
        self,
        store: Store,
        host: "AnyHost",
        record: SessionRecord,
        view: ChatView,
        audience: Audience,
        keyboard: Keyboard,
        leave: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._host = host
        self._record = record
        self._view = view
        self._audience = audience
        self._keyboard = keyboard
        self._leave = leave
        self._asking = Asking(store, record.id, audience, keyboard)
        self._shown = START
        self._shown_more = anyio.Event()
        self._ended = anyio.Event()

    @property
    def end_in_words(self) -> str:
        """What Ctrl-D does."""
        return "ends the chat" if self.ends_with_the_person else "leaves, and it goes on"

    async def run(self) -> None:
        """Until the session has ended."""
        snapshot = await self._store.snapshot(self._record.id)
        last_seq = snapshot.last_seq
        first = max(0, last_seq - HISTORY)
        history = [each async for each in read_history(self._store, self._record.id, first) if each.seq <= last_seq]
        await self._audience.tell(self._view.history, history)
        # The message behind the last event was shown with it; what came after it may be pieces, which make no events.
        last = next((each.origin.raw for each in reversed(history) if each.origin.raw is not None), None)
        self._shown = last or snapshot.cursors.get(STDOUT, START)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._show_events, last_seq)
            tasks.start_soon(self._show_output, self._shown, last is not None)
            await self._converse()

    async def interrupt(self) -> None:
        """Stop the turn that the agent is in. While the session is being ended, which may take long: go away."""
        snapshot = await self._store.snapshot(self._record.id)
        if _is_closing(snapshot):
            await self._leave("left while it was being ended")
        elif _is_busy(snapshot):
            await self._audience.note("interrupting")
            await self._tell("interrupt", {})
        else:
            await self._audience.note(f"the agent does nothing now; Ctrl-D {self.end_in_words}")

    async def _converse(self) -> None:
        while True:
            snapshot = await self._store.snapshot(self._record.id)
            if _is_closing(snapshot):
                return
            await self._until_shown(snapshot)
            question = self._asking.next_of(snapshot)
            if question is not None:
                await self._asking.ask(question)
                continue
            if not _is_busy(snapshot):
                await self._audience.prompt("", PROMPT)
            typed = await self._typed(snapshot)
            await self._audience.end_of_prompt()
            if typed is not None and not await self._obey(typed):
                return

    async def _obey(self, typed: Typed) -> bool:
        """Do what was typed; False when the person goes."""
        if typed.problem:
            await self._audience.note(typed.problem)
            return True
        match typed.text:
            case None if self._keyboard.gone:
                await self._leave("its terminal was closed")
                return False
            case None if self.ends_with_the_person:
                return not await self._tell("close", {})
            case None | "/leave":
                await self._leave("left")
                return False
            case "":
                return True
            case text:
                await self._tell("send", {"text": text})
                return True

    @property
    def ends_with_the_person(self) -> bool:
        """Whether Ctrl-D ends it; else it has a task, and goes on."""
        return self._record.conversation is not None and self._record.conversation.chat

    async def _typed(self, snapshot: Snapshot) -> Typed | None:
        """The next thing that is typed; None when something has changed before."""
        typed: Typed | None = None

        async def read(done: anyio.CancelScope) -> None:
            nonlocal typed
            try:
                typed = Typed(await self._keyboard.paste())
            except LineCut as error:
                how = f'optio send {self._record.id} "$(cat FILE)"'
                typed = Typed("", f"nothing was sent: {error}; what is in a file goes whole, with {how}")
            done.cancel()

        async def watch(done: anyio.CancelScope) -> None:
            change = snapshot.change
            while _state(await self._store.snapshot(self._record.id)) == _state(snapshot):
                change = await self._store.news(self._record.id, change)
            done.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, tasks.cancel_scope)
            tasks.start_soon(watch, tasks.cancel_scope)
        return typed

    async def _tell(self, kind: str, data: JsonObject) -> bool:
        try:
            await tell_driver(self._store, self._record.id, kind, data)
        except (click.ClickException, StoreError) as error:
            await self._audience.note(getattr(error, "message", str(error)))
            return False
        return True

    async def _show_events(self, after: int) -> None:
        async with aclosing(follow_pages(self._store, self._record.id, after)) as pages:
            async for records in pages:
                await self._audience.show(records)
                if isinstance(records[-1].event, SessionEnded):
                    self._ended.set()
        self._ended.set()

    async def _show_output(self, after: Cursor, first_is_shown: bool) -> None:
        path = posixpath.join(self._record.rundir, STDOUT)
        output = watched_output(self._host, path, after, limit=LINE_LIMIT, ended=self._ended, note=self._audience.note)
        async with aclosing(output) as lines:
            async for line, cursor in lines:
                if not isinstance(line, FileReset) and not first_is_shown:
                    await self._audience.tell_in_turn(self._view.hear, message_of(line))
                first_is_shown = False
                self._shown = cursor
                self._shown_more.set()

    async def _until_shown(self, snapshot: Snapshot) -> None:
        """Return when what the agent has said up to here is on the screen; does not wait long."""
        heard = snapshot.cursors.get(STDOUT, START)
        with anyio.move_on_after(SHOWN_WITHIN):
            while self._shown.offset < heard.offset:
                self._shown_more = anyio.Event()
                await self._shown_more.wait()


def _is_busy(snapshot: Snapshot) -> bool:
    conversation = snapshot.record.conversation
    return conversation is not None and bool(conversation.pending)


def _is_closing(snapshot: Snapshot) -> bool:
    """Whether there is nothing more to say; after DONE there is, for the agent may still ask."""
    outcome = snapshot.record.outcome
    ending = outcome is not None and outcome.outcome in ("closed", "cancelled")
    return ending or snapshot.record.state == "ended"


def _state(snapshot: Snapshot) -> tuple[object, ...]:
    """What decides about what a person is asked for."""
    asked = tuple((each.id, each.waits_for) for each in snapshot.questions if each.status == "open")
    return _is_closing(snapshot), _is_busy(snapshot), asked
