"""Putting the questions of an agent to the person at our terminal, one after the other, until the session has ended."""

import json

import anyio
import click

from ..conversation.questions import tool_of
from ..errors import StoreError
from ..journal import JsonObject, Question, Snapshot, Store
from ..redaction import REPLACEMENT
from .answers import Again, Answer, Asked, Choices, Edit, asked
from .audience import Audience
from .editor import edited
from .inbox import tell_driver
from .keyboard import Keyboard, LineCut
from .visible import visible


class Asking:
    """Asks; the answers go through the inbox of the session, as those from other terminals do: the first one counts.

    Parameters:
        store: where its journal is.
        session: its id.
        audience: the person.
        keyboard: what they type on.
    """

    def __init__(self, store: Store, session: str, audience: Audience, keyboard: Keyboard) -> None:
        self._store = store
        self._session = session
        self._audience = audience
        self._keyboard = keyboard
        self._left_open: set[str] = set()
        self._answering = False

    async def run(self) -> None:
        """Until the session has ended. What is answered elsewhere, or withdrawn, is not asked any longer."""
        change = 0
        while True:
            snapshot = await self._store.snapshot(self._session)
            if snapshot.record.state == "ended":
                return
            question = self.next_of(snapshot)
            if question is not None:
                await self._audience.caught_up(snapshot.last_seq)
                await self.ask(question)
            else:
                change = await self._store.news(self._session, change)

    def next_of(self, snapshot: Snapshot) -> Question | None:
        """The question that is to be asked next; None: none is open, but those that were left so."""
        ours = [q for q in snapshot.questions if q.status == "open" and q.waits_for == "person"]
        waiting = [q for q in ours if q.id not in self._left_open]
        return waiting[0] if waiting else None

    async def ask(self, question: Question) -> None:
        """Until it is answered, here or elsewhere, or withdrawn, or left open."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stop_when_closed, question, tasks.cancel_scope)
                await self._dialogue(question, asked(question))
                tasks.cancel_scope.cancel()
        finally:
            self._keyboard.forget()  # what was typed was for this question, and for nothing that reads next
            with anyio.CancelScope(shield=True):
                await self._audience.end_of_prompt()

    async def _stop_when_closed(self, question: Question, asking: anyio.CancelScope) -> None:
        """Somebody else has answered, or nobody can any more; the timeline tells who and what."""
        change = 0
        while True:
            snapshot = await self._store.snapshot(self._session)
            still = any(each.id == question.id and each.status == "open" for each in snapshot.questions)
            if (not still or snapshot.record.state == "ended") and not self._answering:
                asking.cancel()
                return
            change = await self._store.news(self._session, change)

    async def _dialogue(self, question: Question, dialogue: Asked | Choices) -> None:
        await self._keyboard.foreground()
        self._keyboard.forget()
        words = dialogue.words
        while True:
            await self._audience.prompt(words, dialogue.prompt)
            try:
                line = await self._keyboard.line()
            except LineCut as error:
                words = f"{error}; nothing was answered"
                continue
            if line is None:
                self._left_open.add(question.id)
                await self._audience.note(f"left open; to answer it: optio approve {visible(question.id[:8])}, or deny")
                return
            reply = dialogue.take(line) if line else Again("")
            if isinstance(reply, Edit):
                reply = await self._edit(question)
            match reply:
                case Answer(verb, data):
                    await self._audience.end_of_prompt()
                    await self._answer(question, verb, data)
                    return
                case Again(words):
                    pass

    async def _edit(self, question: Question) -> Answer | Again:
        _, tool_input = tool_of(question)
        before = json.dumps(tool_input, ensure_ascii=False, indent=2) + "\n"
        if REPLACEMENT in before:
            return Again(
                f"it holds a secret, which is not kept here ({REPLACEMENT}): it can be allowed or denied as it is"
            )
        self._answering = True  # an editor is the person's own, and not taken away from them
        try:
            async with self._audience.silenced():
                text = await edited(before)
            after = json.loads(text)
        except OSError as error:
            return Again(f"nothing was changed: {visible(str(error))}")
        except ValueError as error:
            return Again(f"what you wrote is no JSON: {visible(str(error))}")
        finally:
            self._answering = False
        if not isinstance(after, dict):
            return Again("what you wrote is no JSON object; nothing was changed")
        return Again("nothing was changed") if after == tool_input else Answer("approve", {"input": after})

    async def _answer(self, question: Question, verb: str, data: JsonObject) -> None:
        self._answering = True
        try:
            await tell_driver(self._store, self._session, verb, {"question": question.id, **data})
        except (click.ClickException, StoreError) as error:
            self._left_open.add(question.id)
            await self._audience.note(getattr(error, "message", str(error)))
        finally:
            self._answering = False
