"""A conversation with Claude Code: its stdin and stdout as a dialogue that outlives whoever holds it.

The agent's output is read from a position and committed with what it comes to; what is said to it is committed before
it leaves. So whoever adopts the session goes on in the middle of a turn, and answers what was asked before.
"""

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

import anyio

from optio_host.clock import Clock
from optio_host.cursor import START, Cursor
from optio_host.errors import HostError
from optio_host.host import EndOfWriting, FileReset
from optio_host.job import Job, JobHost
from optio_host.job_errors import JobGone

from ..errors import AgentFailed, AgentRefused, AgentSilent, JournalError
from ..extensions.given import Extensions
from ..journal import Deliverable, OutcomeDocument, Question, Receipt, Snapshot
from ..journal_writer import JournalWriter, Said
from ..patience import until_reached
from .contract import (
    ConversationClosed,
    EventHandler,
    MessageHandler,
    PermissionDecision,
    PermissionHandler,
    PermissionRequest,
    Unsubscribe,
)
from .deciding import Deciding
from .dialogue import NOTHING, Heard
from .events import TurnEnded
from .exchange import CONTROL_PATIENCE, STDOUT, Exchange
from .listening import Output, listen
from .messages import HookAsked, JsonMap, McpAsked, Overlong, Unparsed
from .parse import LINE_LIMIT, message_of
from .questions import Settled, TooLate
from .serving import Serving
from .subscribers import CutOff, Subscribers, Subscription

if TYPE_CHECKING:
    from .judging import Judging

LONGEST_SEND = 1024 * 1024
"""Characters that can be said at once."""

DRIVER = "the driver"
"""Who says what a program says through `send` and `ask`, as the journal has it."""

_WITHOUT_JSON = (FileReset, Unparsed, Overlong)


class ClaudeCodeConversation:
    """The dialogue of one session, for its owner; alive while `run` runs. It is a `Conversation`, and more.

    Parameters:
        host: where the agent runs.
        job: its run.
        writer: the journal.
        snapshot: the journal as it was when the lease was acquired.
        unattended: called with each question that no handler is there for.
        extensions: the hooks and tools that this driver has.
        clock: time, for tests.

    Attributes:
        closing: set once `close` was called.
        ended: set once `run` is over.
    """

    def __init__(
        self,
        host: JobHost,
        job: Job,
        writer: JournalWriter,
        snapshot: Snapshot,
        unattended: Callable[[Question], None],
        extensions: Extensions,
        clock: Clock,
    ) -> None:
        self.closing = anyio.Event()
        self._host = host
        self._job = job
        self._writer = writer
        self._clock = clock
        self._unattended = unattended
        self._cursor = snapshot.cursors.get(STDOUT, START)
        self._exchange = Exchange(job, writer, snapshot, clock)
        self._messages: Subscribers[dict[str, object]] = Subscribers(clock)
        self._texts: Subscribers[str] = Subscribers(clock)
        questions = self._exchange.questions
        self._deciding = Deciding(lambda: self._waiting_for("person"), questions.request, self.answer)
        assert writer.record.conversation is not None
        policy = writer.record.conversation.policy
        self._judging = self._judge_by(policy) if policy else None
        self._serving = Serving(
            extensions, self._exchange.calls, writer, self._read_again, self._exchange.answer_call, self._denial, clock
        )
        self._scope = anyio.CancelScope()
        self._failure: JournalError | HostError | OSError | AgentFailed | AgentSilent | None = None
        self.ended = anyio.Event()
        outcome = writer.record.outcome
        if outcome is not None and outcome.outcome == "closed":
            self.closing.set()  # the driver before this one died while it ended the conversation

    def _judge_by(self, policy: str) -> "Judging":
        # Loaded here: a megabyte, which most conversations do without.
        from ..permissions import Policy
        from .judging import Judging

        return Judging(
            Policy.loads(policy),
            self._host,
            self._writer.record,
            lambda: self._waiting_for("policy"),
            self._exchange.questions.request,
            self._note_paths,
            self.answer,
            self._leave_to_person,
            self._clock,
        )

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._exchange.over or self.closing.is_set()

    @property
    def agent_session(self) -> str:
        """The agent's own id of the session, to resume it with; "" before its first turn."""
        return self._exchange.agent_session

    @property
    def cost_usd(self) -> float | None:
        """What it has cost so far, in US dollars, as the agent says; None before it has said."""
        return self._exchange.standing.cost_usd

    @property
    def questions(self) -> tuple[Question, ...]:
        """What the agent waits to be told, in the order it asked."""
        return self._exchange.questions.open

    def is_pending(self) -> bool:
        """Whether the agent still owes an answer to something that was sent."""
        return self._exchange.pending

    async def send(
        self, text: str, *, turn_id: str | None = None, sender: str = DRIVER, command: int | None = None
    ) -> None:
        """Say something to the agent; it waits its turn when the agent is busy. It stands in the journal as it is.

        Parameters:
            text: what.
            turn_id: a UUID to know it by; a message of an id that is pending is not sent again.
            sender: who says it, for a person.
            command: number of the command in the inbox that this carries out.

        Raises ConversationClosed; ValueError for a text that is too long.
        """
        self._check(text)
        await self._exchange.send(text, turn_id or str(uuid.uuid4()), sender, command)

    async def say(
        self,
        line: str,
        *said: Said,
        cursors: Mapping[str, Cursor] | None = None,
        deliverables: Sequence[Deliverable] = (),
    ) -> None:
        """Say what the harness answers, together with what it is an answer to. To one that has ended it is not said.

        Parameters:
            line: one line.
            said, cursors, deliverables: as in `JournalWriter.commit`.
        """
        await self._exchange.say(line, *said, cursors=cursors, deliverables=deliverables)

    async def ask(self, text: str) -> TurnEnded:
        """Say something, and return the turn that answered it; with the reason "cancelled" if none did.

        Raises ConversationClosed, also when the agent ends before it answers; ValueError as `send` does.
        """
        self._check(text)
        return await self._exchange.ask(text, str(uuid.uuid4()), DRIVER)

    async def answer(
        self, question_id: str, decision: PermissionDecision, by: str = DRIVER, *, command: int | None = None
    ) -> Settled | TooLate:
        """Answer a question of the agent. The first answer wins; a later one is told so, and is not sent.

        Parameters:
            question_id: its id.
            decision: the answer.
            by: who gives it, for a person.
            command: number of the command in the inbox that this carries out, if it is not too late.

        Raises ValueError, TypeError for a decision that cannot be sent; the question stays open.
        """
        return await self._exchange.answer(question_id, decision, by, command)

    async def interrupt(self) -> None:
        """Stop the current turn. That there is none is no error.

        Raises ConversationClosed; AgentRefused, AgentSilent when the agent does not do it.
        """
        await self._request("interrupt", {})

    async def carry_out_interrupt(self, command: int) -> None:
        """Stop the current turn, because a command in the inbox says so; whether it stops is an event."""
        self._check_open()
        await self._exchange.post("interrupt", {}, command)

    async def set_model(self, model: str) -> None:
        """Use another model from the next turn on. Raises what `interrupt` does."""
        await self._request("set_model", {"model": model})

    async def set_permission_mode(self, mode: str) -> None:
        """Ask about other uses of tools from now on. Raises what `interrupt` does."""
        await self._request("set_permission_mode", {"mode": mode})

    async def context_usage(self) -> JsonMap:
        """What fills the model's context, in the agent's own words. Raises what `interrupt` does."""
        return await self._request("get_context_usage", {})

    def on_event(
        self, handler: EventHandler, *, on_cut_off: Callable[[CutOff], object] | None = None
    ) -> Subscription[dict[str, object]]:
        """Call the handler with every message of the agent, unchanged. All get the same object: change a copy.

        A handler that is too slow gets no more: `on_cut_off` is called with where to read on, with `output`.
        """
        return self._messages.subscribe(handler, on_cut_off)

    def on_message(
        self, handler: MessageHandler, *, on_cut_off: Callable[[CutOff], object] | None = None
    ) -> Subscription[str]:
        """Call the handler with the final text of each turn that was completed."""
        return self._texts.subscribe(handler, on_cut_off)

    def on_permission_request(self, handler: PermissionHandler) -> Unsubscribe:
        """Let the handler decide on what the agent asks, and has asked. It replaces the handler before it."""
        return self._deciding.register(handler)

    async def output(self, after: Cursor = START) -> AsyncGenerator[tuple[dict[str, object], Cursor]]:
        """Every message of the agent behind a cursor, and each as it comes, with the cursor behind it. Never ends."""
        async with aclosing(self._host.follow(self._job.stdout_path, after, limit=LINE_LIMIT)) as lines:
            async for line, cursor in lines:
                message = None if isinstance(line, FileReset) else message_of(line)
                if message is not None and not isinstance(message, Unparsed | Overlong):
                    yield dict(message.raw), cursor

    async def close(self) -> None:
        """End the conversation, and a turn that it is in; return when the agent has ended. Again is fine."""
        if not self.closed:
            await self._note_closed({})
        self.closing.set()
        await self.ended.wait()

    async def carry_out_close(self, command: int) -> None:
        """End the conversation, because a command in the inbox says so."""
        self._check_open()
        await self._note_closed({command: Receipt(status="accepted", time=self._clock.time())})
        self.closing.set()

    def note_end_of_program(self) -> None:
        """The agent says nothing more: nothing is to be waited for that it has not said."""
        self._exchange.note_end_of_program()

    @property
    def failure(self) -> str:
        """Why the turn that ended last has failed, as the agent says; "" when it has not, or is not known."""
        return self._exchange.standing.failure

    async def finish(self, patience: float) -> None:
        """Bring it to its end: the turn is finished, or interrupted if that takes too long; then end of input.

        Parameters:
            patience: seconds that the turn may take; none once `close` was called.
        """
        with self._clock.move_on_after(0.0 if self.closing.is_set() else patience):
            while self.is_pending() and not self._exchange.program_ended:
                await self._exchange.changed()
        # Work in the background keeps it from ending at its end of input, unless it is interrupted (2.1.330).
        if (self.is_pending() or self._exchange.standing.tasks) and not self._exchange.program_ended:
            with suppress(ConversationClosed, AgentRefused, AgentSilent):
                await self._exchange.request("interrupt", {})
        with self._clock.move_on_after(CONTROL_PATIENCE):
            await self._exchange.input.flushed()
        with suppress(JobGone):
            await until_reached(self._job.close_stdin, self._clock)

    def let_go(self) -> None:
        """Its owner drives it no more: whoever waits for something is told so."""
        self._exchange.release()
        self._messages.end()
        self._texts.end()
        self.ended.set()

    async def run(self, until: EndOfWriting) -> None:
        """Hold the conversation until nothing is written any more and all is heard.

        Raises LeaseLost, StoreError, HostError; AgentSilent when the program does not speak the protocol,
        AgentFailed when it cannot do its work.
        """
        try:
            with self._scope:
                await self._run(until)
        finally:
            self.let_go()
            await self._exchange.end()
        if self._failure is not None:
            raise self._failure

    async def _run(self, until: EndOfWriting) -> None:
        path = self._job.stdout_path
        async with anyio.create_task_group() as tasks:
            for task in (
                self._exchange.input.run,
                self._deciding.run,
                self._exchange.keep_deadlines,
                self._exchange.remind_once,
                self._serving.run,
                self._keep_handler_up_to_date,
            ):
                tasks.start_soon(self._guarded, task)
            if self._judging is not None:
                tasks.start_soon(self._guarded, self._judging.run)
            async with anyio.create_task_group() as audience:
                audience.start_soon(self._messages.run)
                audience.start_soon(self._texts.run)
                await self._guarded(self._exchange.begin)
                await self._guarded(lambda: listen(self._host, path, self._cursor, until, self._hear))
                await self._guarded(self._exchange.hear_the_end)
                self._messages.end()
                self._texts.end()
            tasks.cancel_scope.cancel()

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except (JournalError, HostError, OSError, AgentFailed, AgentSilent) as error:
            self._failure = self._failure or error
            self._scope.cancel()

    async def _keep_handler_up_to_date(self) -> None:
        while True:
            await self._exchange.changed()
            self._deciding.changed()
            self._serving.changed()
            if self._judging is not None:
                self._judging.changed()

    async def _hear(self, outputs: list[Output]) -> None:
        each_heard = await self._exchange.hear(outputs)
        something: list[Heard] = []
        for output, heard in zip(outputs, each_heard, strict=True):
            self._publish(output, heard)
            if heard is not NOTHING:
                something.append(heard)
        for question in (question for heard in something for question in heard.questions):
            unattended = question.waits_for == "person" and not self._deciding.attended
            if question.status == "open" and unattended:
                self._unattended(question)

    def _waiting_for(self, who: str) -> tuple[Question, ...]:
        return tuple(each for each in self._exchange.questions.open if each.waits_for == who)

    def _note_paths(self, question: Question, paths: Mapping[str, str | None]) -> None:
        redact = self._writer.redact
        self._exchange.questions.note_paths(
            question.id, {redact(path): None if to is None else redact(to) for path, to in paths.items()}
        )

    async def _leave_to_person(self, question: Question) -> None:
        if await self._exchange.leave_to_person(question.id) and not self._deciding.attended:
            self._unattended(question)

    async def _read_again(self, place: Cursor) -> HookAsked | McpAsked | None:
        """What the agent has said at a place of its output, to another driver."""
        with suppress(HostError):
            async with aclosing(self._host.follow(self._job.stdout_path, place, limit=LINE_LIMIT)) as lines:
                async for line, _ in lines:
                    message = None if isinstance(line, FileReset) else message_of(line)
                    return message if isinstance(message, HookAsked | McpAsked) else None
        return None

    async def _denial(self, request: PermissionRequest) -> str | None:
        return None if self._judging is None else await self._judging.denial(request)

    def _publish(self, output: Output, heard: Heard) -> None:
        message, size, cursor = output
        if isinstance(message, _WITHOUT_JSON):
            return
        raw = message.raw
        assert isinstance(raw, dict)
        self._messages.publish(raw, size, cursor)
        for event in heard.events:
            if isinstance(event, TurnEnded) and not event.is_error:
                self._texts.publish(event.text, len(event.text), output.cursor)

    async def _note_closed(self, receipts: Mapping[int, Receipt]) -> None:
        # Whatever was decided before counts: a DONE, or an ERROR.
        first = self._writer.record.outcome is None
        record = {"outcome": OutcomeDocument(outcome="closed")} if first else None
        if record or receipts:
            await self._writer.commit(record=record, receipts=receipts)

    async def _request(self, subtype: str, fields: JsonMap) -> JsonMap:
        self._check_open()
        return await self._exchange.request(subtype, fields)

    def _check(self, text: str) -> None:
        self._check_open()
        if len(text) > LONGEST_SEND:
            raise ValueError(f"a message of {len(text)} characters; at most {LONGEST_SEND} can be said at once")

    def _check_open(self) -> None:
        if self.closed:
            raise ConversationClosed("the conversation has ended; nothing can be said any more")
