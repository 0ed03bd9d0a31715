"""Both directions of a dialogue: what is heard is committed with its position, what is said before it leaves."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio

from optio_host.clock import Clock
from optio_host.cursor import START, Cursor
from optio_host.host import FileReset
from optio_host.job import Job

from ..carry_through import CarriedThrough, carried_through
from ..errors import AgentFailed, AgentRefused, AgentSilent
from ..events import Notice, Origin
from ..extensions.given import model_name
from ..journal import Deliverable, Outbox, Question, Receipt, Snapshot
from ..journal_writer import JournalWriter, Said
from ..outgoing import OutgoingStream
from ..redaction import redacted_json
from .always import allowed_from_now, in_words, is_allowed
from .calls import Calls, answered_in
from .compose import user_line
from .contract import ConversationClosed, PermissionDecision
from .control import Answered, Unanswered
from .dialogue import NOTHING, Dialogue, Heard
from .events import QuestionAnswered, TurnCancelled, TurnEnded, TurnQueued
from .listening import Output
from .messages import JsonMap, Partial, Spoke
from .offering import registration
from .questions import Questions, Settled, TooLate, tool_of
from .standing import Standing
from .turns import Turns
from .waiting import Waiting

STDIN = "stdin"
"""Name of the stream in the outbox, and of its spool. Only whole lines go there."""

STDOUT = "stdout"
"""Name of the cursor in the journal that says how far the agent was heard."""

CONTROL_PATIENCE = 10.0
"""Seconds in which the agent must answer a request of ours; it takes milliseconds."""

START_PATIENCE = 60.0
"""Seconds in which it must have answered the first one; it takes half a second."""

REMIND_AFTER = 5.0
"""Seconds that the agent may stand still before it is reminded: what it has written last may still be to be read."""

REMIND_BUSY_AFTER = 600.0
"""The same when it has work in the background: a subagent that it waits for, or a server that never ends."""

HARNESS = "the harness"
"""Who has said what the agent is answered, as the journal has it."""

PROMPT = "the one who started it"
"""Who has said the first thing, as the journal has it."""

RULE = "what was always allowed"
"""Who has allowed what was allowed before for the rest of the session, as the journal has it."""

OFFER = "the one who offers the tool"
"""Who has allowed a tool of the driver's, as the journal has it."""

NOBODY = "the time limit for questions"
"""Who has denied a question that nobody answered, as the journal has it."""


class Exchange:
    """What has been said and heard in one conversation, and what is still to come of it.

    Parameters:
        job: the agent's run.
        writer: the journal.
        snapshot: the journal as it was when the lease was acquired.
        clock: time, for tests.

    Attributes:
        input: the way to the agent.
        over: nothing more will be heard.
        program_ended: the agent says nothing more; what it has said may still be to be heard.
        standing: what is known beside the dialogue.
    """

    def __init__(self, job: Job, writer: JournalWriter, snapshot: Snapshot, clock: Clock) -> None:
        assert writer.record.conversation is not None  # only a session that has one makes this
        stands = writer.record.conversation
        sent = snapshot.outbox.get(STDIN, Outbox())
        self.input = OutgoingStream(STDIN, STDIN, "the agent could not be told", job, writer, sent, clock)
        self.over = False
        self.program_ended = False
        self.standing = Standing.of(stands)
        self._writer = writer
        self._clock = clock
        self._dialogue = Dialogue(
            Turns(stands.pending, tells=stands.tells),
            Questions(snapshot.questions, asks_policy=bool(stands.policy)),
            writer.redact,
            stands.agent_session,
            calls=Calls(stands.calls, answered_in(each.data for each in sent.entries)),
            hooks=stands.hooks,
            tools=stands.tools,
        )
        self._offered = frozenset(model_name(each) for each in stands.tools if not each.ask)
        self._deny_after = stands.deny_after
        self._heard_to = snapshot.cursors.get(STDOUT, START)
        self._new = not sent.end
        # What is known and what is committed change together, in one order for all who change it.
        self._lock = anyio.Lock()
        self._steps = CarriedThrough()
        self._turns: dict[str, Waiting[TurnEnded]] = {}
        self._requests: dict[str, Waiting[Answered | Unanswered]] = {}
        self._changed = anyio.Event()

    @property
    def questions(self) -> Questions:
        """What the agent has asked."""
        return self._dialogue.questions

    @property
    def calls(self) -> Calls:
        """The hooks and tools that the agent has called."""
        return self._dialogue.calls

    @property
    def agent_session(self) -> str:
        """The agent's own id of the session."""
        return self._dialogue.agent_session

    @property
    def pending(self) -> bool:
        """Whether anything that was sent has no answer yet."""
        return self._dialogue.turns.pending

    async def changed(self) -> None:
        """Return when anything has changed since this was called."""
        await self._changed.wait()

    def note_end_of_program(self) -> None:
        """The agent says nothing more."""
        self.program_ended = True
        self._announce()

    async def begin(self) -> None:
        """Say the first thing, if nothing was ever said."""
        async with self._lock:
            if self._new:
                await self._commit([], [])

    @carried_through
    async def send(self, text: str, turn_id: str, sender: str, command: int | None = None) -> None:
        """Say something, once for each id. Raises ConversationClosed."""
        async with self._lock:
            self._check_open()
            receipts = self._accepted(command)
            if turn_id in self._dialogue.turns.standing:
                await self._commit([], [], receipts=receipts)
                return
            self._dialogue.turns.sent(turn_id)
            said = Said(TurnQueued(turn_id, text, sender))
            await self._commit([said], [user_line(turn_id, text)], receipts=receipts)

    @carried_through
    async def say(
        self,
        line: str,
        *said: Said,
        cursors: Mapping[str, Cursor] | None = None,
        deliverables: Sequence[Deliverable] = (),
    ) -> None:
        """Say an answer of the harness; what it is an answer to is committed with it, and also when nobody hears it."""
        async with self._lock:
            lines: list[bytes] = []
            if not self.over:
                # What a hook says may hold what the driver knows and the program must not.
                line = self._writer.redact(line)
                turn_id = str(uuid.uuid4())
                self._dialogue.turns.sent(turn_id)
                said = (*said, Said(TurnQueued(turn_id, line, HARNESS)))
                lines = [user_line(turn_id, line)]
            await self._commit(said, lines, cursors=cursors, deliverables=deliverables)

    async def ask(self, text: str, turn_id: str, sender: str) -> TurnEnded:
        """Say something, and return the turn that answered it. Raises ConversationClosed."""
        with Waiting[TurnEnded]().among(self._turns, turn_id) as waiting:
            await self.send(text, turn_id, sender)
            return await waiting.value()

    async def request(self, subtype: str, fields: JsonMap) -> JsonMap:
        """Have the agent do something; what it says of it. Raises ConversationClosed, AgentRefused, AgentSilent."""
        request = str(uuid.uuid4())
        with Waiting[Answered | Unanswered]().among(self._requests, request) as waiting:
            await self._ask_for(request, subtype, fields)
            answered = await waiting.value()
        if isinstance(answered, Unanswered):
            raise AgentSilent(f"the agent did not answer {subtype!r} within {CONTROL_PATIENCE:g} s; is it alive?")
        if answered.error is not None:
            raise AgentRefused(f"the agent refused {subtype!r}: {answered.error}")
        return answered.data

    @carried_through
    async def _ask_for(self, request: str, subtype: str, fields: JsonMap) -> None:
        async with self._lock:
            self._check_open()
            deadline = self._clock.monotonic() + CONTROL_PATIENCE
            await self._commit([], [self._dialogue.control.ask(request, subtype, fields, deadline)])

    async def remind_once(self) -> None:
        """Say the reminder, if there is one, once the agent stands still without having said how its work ended.

        Raises AgentFailed when its turn had failed, and the one after the reminder does, too: nobody else wakes it up.
        """
        while self.standing.reminder:
            still = not self.pending and not self.questions.open
            after = REMIND_BUSY_AFTER if self.standing.tasks else REMIND_AFTER
            with self._clock.move_on_after(after if still else None) as patience:
                await self.changed()
            if patience.cancelled_caught and self._writer.record.outcome is None:
                reminder, self.standing.reminder = self.standing.reminder, ""
                before = self.standing.failure
                await self.say(reminder)
                while self.pending:
                    await self.changed()
                if before and self.standing.failure:
                    raise AgentFailed(f"the agent's turns fail: {self.standing.failure}")

    async def post(self, subtype: str, fields: JsonMap, command: int) -> None:
        """Have the agent do something, and wait for nothing."""
        async with self._lock:
            deadline = self._clock.monotonic() + CONTROL_PATIENCE
            line = self._dialogue.control.ask(str(uuid.uuid4()), subtype, fields, deadline)
            await self._commit([], [line], receipts=self._accepted(command))

    @carried_through
    async def answer(
        self, question_id: str, decision: PermissionDecision, by: str, command: int | None = None
    ) -> Settled | TooLate:
        """Answer a question, if it is still open. ValueError, TypeError for a decision that cannot be sent."""
        async with self._lock:
            now = self._clock.time()
            if decision.message is not None:
                # What a handler says may hold what the driver knows and the agent must not.
                decision = replace(decision, message=self._writer.redact(decision.message))
            asked = next((each for each in self.questions.open if each.id == question_id), None)
            allowed = self.standing.allowed
            if decision.always and asked is not None:
                allowed = allowed_from_now(asked, allowed)
            settled = self.questions.settle(question_id, decision, by, now)
            if isinstance(settled, Settled):
                said = [Said(QuestionAnswered(question_id, decision.behavior, by, decision.message))]
                said += [
                    Said(Notice(f"allowed from now on: {in_words(each)}"))
                    for each in allowed[len(self.standing.allowed) :]
                ]
                self.standing.allowed = allowed
                note = redacted_json(self._writer.redact, settled.question.answer)
                others = Heard(questions=list(self.questions.open))
                said += [Said(event) for event in self._answer_by_rule(others, now)]
                answered = [settled.question.model_copy(update={"answer": note})]
                answered += [each for each in others.questions if each.status == "answered"]
                await self._commit(said, [settled.line, *others.lines], answered, receipts=self._accepted(command))
        return settled

    @carried_through
    async def leave_to_person(self, question_id: str) -> bool:
        """The policy does not decide on a question; False when it is not open any more, or needs nobody."""
        async with self._lock:
            left = self.questions.leave_to_person(question_id)
            if left is None:
                return False
            heard = Heard(questions=[left])
            events = self._answer_by_rule(heard, self._clock.time())
            await self._commit([Said(event) for event in events], heard.lines, heard.questions)
        return not events

    async def answer_call(self, call_id: str, line: bytes, said: Sequence[Said]) -> bool:
        """Answer the call of a hook or a tool with a line; False when the agent does not wait for it any more."""
        async with self._lock:
            if not self.calls.close(call_id):
                return False
            await self._commit(said, [line])
        return True

    async def hear(self, outputs: Sequence[Output]) -> list[Heard]:
        """What the agent has said: committed, and told to who waits for it. What each comes to, in order."""
        said: list[Said] = []
        each_heard: list[Heard] = []
        async with self._lock:
            now = self._clock.time()
            for output in outputs:
                if isinstance(output.message, Partial):  # most are, and they come to nothing
                    each_heard.append(NOTHING)
                    self._heard_to = output.cursor
                    continue
                heard = Heard()
                if isinstance(output.message, FileReset):
                    reset = f"the agent's output was {output.message.reason}; it is read from its beginning"
                    said.append(Said(Notice(reset)))
                else:
                    turn = self._dialogue.turns.current
                    heard = self._dialogue.hear(output.message, now, self._heard_to)
                    synthetic = isinstance(output.message, Spoke) and output.message.api_error is not None
                    origin = Origin(turn or self._dialogue.turns.current, synthetic, self._heard_to)
                    place = f"{STDOUT}-{output.cursor.file}-{output.cursor.offset}-{output.cursor.check:08x}"
                    said += [Said(event, "agent", f"{place}-{at}", origin) for at, event in enumerate(heard.events)]
                    said += [Said(event) for event in self._answer_by_rule(heard, now)]
                each_heard.append(heard)
                self._heard_to = output.cursor
            something = [heard for heard in each_heard if heard is not NOTHING]
            lines = [line for heard in something for line in heard.lines]
            questions = {each.id: each for heard in something for each in heard.questions}
            for event in (event for heard in something for event in heard.events):
                self.standing.note(event)
            # Pieces of words alone are not worth a trip to the disk.
            if said or lines or questions:
                await self._commit(said, lines, list(questions.values()), cursors={STDOUT: outputs[-1].cursor})
        for heard in something:
            self._tell(heard)
        self._announce()
        return each_heard

    def _answer_by_rule(self, heard: Heard, now: float) -> list[QuestionAnswered]:
        """Answer those of the questions that need nobody any more."""
        events = []
        for at, question in enumerate(heard.questions):
            rule = self._rule_for(question)
            if rule:
                settled = self.questions.settle(question.id, PermissionDecision("allow"), rule, now)
                assert isinstance(settled, Settled)
                heard.questions[at] = settled.question
                heard.lines.append(settled.line)
                events.append(QuestionAnswered(question.id, "allow", rule, None))
        return events

    def _rule_for(self, question: Question) -> str:
        """By what an open question is allowed without anybody being asked; "": by nothing."""
        if question.status != "open":
            return ""
        if is_allowed(question, self.standing.allowed):
            return RULE
        # The policy comes first: what it denies is not used, whoever offers it.
        offered = question.waits_for == "person" and tool_of(question)[0] in self._offered
        return OFFER if offered else ""

    async def hear_the_end(self) -> None:
        """The agent has ended, and all was heard."""
        async with self._lock:
            heard = self._dialogue.end(self._clock.time())
            if heard.events:
                await self._commit([Said(event) for event in heard.events], [], heard.questions)
            self.over = True
        self._tell(heard)
        self.release()

    def release(self) -> None:
        """Nothing more is heard by this driver: who waits is told so."""
        self.over = True
        error = ConversationClosed("the conversation ended before there was an answer")
        for turn in self._turns.values():
            turn.give_up(error)
        for request in self._requests.values():
            request.give_up(error)
        self._announce()

    async def end(self) -> None:
        """Give up what is still to be written down: this driver goes."""
        await self._steps.end()

    async def keep_deadlines(self) -> None:
        """Give up, when its time has come, what nobody answers. Raises AgentSilent if that is the first request."""
        while True:
            with self._clock.move_on_after(self._until_next_deadline()):
                await self.changed()
            for given_up in self._dialogue.control.expire(self._clock.monotonic()):
                if given_up.subtype == "initialize":
                    raise AgentSilent(
                        f"the program has not answered within {START_PATIENCE:g} s: is it a Claude Code, and not too "
                        "old? Its output says more"
                    )
                if given_up.request in self._requests:
                    self._requests[given_up.request].set(given_up)
            for question in self._overdue():
                message = f"Nobody has answered this within {self._deny_after:g} s."
                await self.answer(question.id, PermissionDecision("deny", message=message), NOBODY)

    def _until_next_deadline(self) -> float | None:
        times = (
            []
            if self._dialogue.control.deadline is None
            else [self._dialogue.control.deadline - self._clock.monotonic()]
        )
        if self._deny_after is not None:
            times += [each.asked + self._deny_after - self._clock.time() for each in self.questions.open]
        return max(0.0, min(times)) if times else None

    def _overdue(self) -> list[Question]:
        if self._deny_after is None:
            return []
        latest = self._clock.time() - self._deny_after
        return [each for each in self.questions.open if each.asked <= latest]

    def _check_open(self) -> None:
        if self.over:
            raise ConversationClosed("the conversation has ended; nothing can be said any more")

    def _accepted(self, command: int | None) -> Mapping[int, Receipt] | None:
        return None if command is None else {command: Receipt(status="accepted", time=self._clock.time())}

    async def _commit(
        self,
        said: Sequence[Said],
        lines: Sequence[bytes],
        questions: Sequence[Question] = (),
        *,
        cursors: Mapping[str, Cursor] | None = None,
        deliverables: Sequence[Deliverable] = (),
        receipts: Mapping[int, Receipt] | None = None,
    ) -> None:
        """Write down, under the lock, what has become known; after that the lines leave."""
        if self._new:
            first_said, first_lines = self._first()
            said, lines = [*first_said, *said], [*first_lines, *lines]
        pieces = self.input.pieces(lines)
        await self._writer.commit(
            *said,
            cursors=cursors,
            record=self._record_changes(),
            outbox=pieces,
            acknowledged=self.input.acknowledged if pieces else None,
            questions=questions,
            deliverables=deliverables,
            receipts=receipts,
        )
        self.input.committed(pieces)
        self._announce()

    def _first(self) -> tuple[list[Said], list[bytes]]:
        """What comes before everything else."""
        self._new = False
        deadline = self._clock.monotonic() + START_PATIENCE
        assert self._writer.record.conversation is not None
        registered = registration(self._writer.record.conversation)
        lines = [self._dialogue.control.ask(str(uuid.uuid4()), "initialize", registered, deadline)]
        if not self.standing.prompt:
            return [], lines
        prompt, self.standing.prompt = self.standing.prompt, ""
        turn_id = str(uuid.uuid4())
        self._dialogue.turns.sent(turn_id)
        return [Said(TurnQueued(turn_id, prompt, PROMPT))], [*lines, user_line(turn_id, prompt)]

    def _record_changes(self) -> dict[str, object] | None:
        record = self._writer.record
        assert record.conversation is not None
        now = self.standing.written_into(record.conversation, self._dialogue)
        state = record.state
        if state in ("running", "idle"):
            state = "running" if self.pending else "idle"
        return None if (now, state) == (record.conversation, record.state) else {"conversation": now, "state": state}

    def _tell(self, heard: Heard) -> None:
        for event in heard.events:
            match event:
                case TurnEnded(ids):
                    for turn_id in self._turns.keys() & set(ids):
                        self._turns[turn_id].set(event)
                case TurnCancelled(turn_id) if turn_id in self._turns and not self.over:
                    self._turns[turn_id].set(
                        TurnEnded((turn_id,), "cancelled", True, "", self.standing.cost_usd, 0, 0, ())
                    )
                case _:
                    pass
        if heard.answered is not None and heard.answered.request in self._requests:
            self._requests[heard.answered.request].set(heard.answered)

    def _announce(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
