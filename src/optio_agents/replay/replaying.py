"""Driving a session over a recording: the real channel, conversation, hooks and policy, and an agent that says what it
has said.

What the agent and its log said is read again as it came; what people have said and answered is said and answered again,
where the policy still leaves it to them. Nothing of this machine is looked at: files are in memory, every path leads
where it led then, and time passes only when everybody waits.
"""

import os
import posixpath
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import get_args

import anyio

from optio_host.job_state import Owner, StopReason
from optio_host.outcome import Lost, from_returncode
from optio_host.testing.fake import FakeHost

from ..conversation.contract import ConversationClosed, PermissionHandler
from ..conversation.events import QuestionAnswered, QuestionAsked, TurnQueued
from ..conversation.exchange import HARNESS, PROMPT
from ..delivery import DeliverableHook
from ..drive import stopped_by_supervisor
from ..driver_identity import this_driver
from ..errors import AgentRefused, AgentSilent
from ..events import (
    Attention,
    DeliverableLanded,
    DeliverableRefused,
    ErrorReported,
    Finished,
    LogReset,
    Notice,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    Status,
    StopRequested,
    UnknownText,
    event_from,
)
from ..extensions.given import NOTHING
from ..journal import Event, OutcomeDocument, Snapshot
from ..journal.memory import MemoryStore
from ..journal_writer import JournalWriter, Said
from ..permissions import Policy
from ..permissions.policy import BUILT_IN, built_in_text
from ..redaction import Redactor
from ..session import Session
from ..task_directory import log_path
from .comparing import compared
from .differences import RECORDING, Replayed, decided_by
from .handed_over import Contents, HandedOver
from .log_lines import line_of
from .machine import RecordedRun, ReplayHost
from .output import said_by_agent, with_ids
from .recorded import RecordedSession
from .recorded_turn import Happened, turns_of

PATIENCE = 1000.0
"""Seconds on the clock of the replay in which the session must have done what it did then: a reminder takes 600."""


async def replay(
    path: str | os.PathLike[str],
    *,
    policy: str | os.PathLike[str] | None = None,
    on_deliverable: DeliverableHook | None = None,
    permissions: PermissionHandler | None = None,
    deliverables: Contents | None = None,
    prepare: Callable[[FakeHost], None] | None = None,
) -> Replayed:
    """Drive a session over what was recorded of one, and compare what is decided.

        (await replay("session.jsonl", policy="policy.toml")).check()

    Parameters:
        path: what `optio export` has written.
        policy: a policy file, `built-in`, or `none`; None: the policy that the session had.
        on_deliverable: the hook to be tested; None: there is none, and what it has said is not compared.
        permissions: the handler to be tested; None: what a handler has answered is answered again.
        deliverables: by name, what was in the files that the agent handed over; a line stands for each other one.
        prepare: declares what commands of hooks answer: it gets the machine that the session is replayed on.

    Raises NotReplayable; PolicyError; ValueError for deliverables that the agent did not hand over; OSError when a file
    cannot be read; ScriptFailed for a command of a hook that `prepare` has not declared.
    """
    recorded = await RecordedSession.load(path)
    text = None if policy is None else _policy_text(policy)
    contents = HandedOver(deliverables or {})
    with tempfile.TemporaryDirectory(prefix="optio-replay-") as landing:
        replaying = await _Replaying.begin(recorded, text, contents, landing, on_deliverable, prepare)
        replayed = await replaying.run(permissions)
    contents.check()
    return replayed


def _policy_text(policy: str | os.PathLike[str]) -> str:
    name = os.fspath(policy)
    if name == "none":
        return ""
    if name != BUILT_IN:
        Policy.load(name)
    return built_in_text() if name == BUILT_IN else Path(name).read_text()


class _Replaying:
    """One replay while it runs."""

    def __init__(
        self,
        recorded: RecordedSession,
        contents: HandedOver,
        host: ReplayHost,
        run: RecordedRun,
        store: MemoryStore,
        session: Session,
        *,
        hook: bool,
    ) -> None:
        self._recorded = recorded
        self._contents = contents
        self._host = host
        self._run = run
        self._store = store
        self._session = session
        self._hook = hook
        self._permissions: PermissionHandler | None = None
        self._ids: dict[str, str] = {}  # of what was said then, and is now
        self._said: dict[str, int] = {}
        self._notes: dict[str, None] = {}
        self._interrupted_before = {
            turn.events[at].seq
            for turn in turns_of(recorded.events, recorded.asking)
            if turn.interrupted
            for at in range(len(turn.events))
            if turn.awaits_interrupt(at) and not turn.stopped_by(at)
        }

    @classmethod
    async def begin(
        cls,
        recorded: RecordedSession,
        policy: str | None,
        contents: HandedOver,
        landing: str,
        hook: DeliverableHook | None,
        prepare: Callable[[FakeHost], None] | None,
    ) -> "_Replaying":
        """A session that stands where the recorded one stood when its program had been started."""
        record = recorded.beginning(policy, landing)
        judged: Callable[[], Mapping[str, str | None]] = dict
        host = ReplayHost(posixpath.dirname(record.taskdir) or "/", lambda: judged())
        if prepare is not None:
            prepare(host)
        host.files.mkdir(posixpath.join(record.taskdir, "deliverables"))
        host.files.write(log_path(record), b"")
        store = MemoryStore(host.clock)
        lease = await store.create(record, this_driver())
        # What was secret then was left out; what is secret here may stand in any recording.
        writer = JournalWriter(store, lease, await store.snapshot(record.id), Redactor(), host.clock)
        run = RecordedRun(host, record.rundir, Owner("replay", record.id, lease.generation), host.clock)
        started = SessionStarted(record.command, record.cwd, record.deliverables_dir, record.taskdir)
        await writer.commit(Said(started), record={"state": "running"})
        snapshot = await store.snapshot(record.id)
        session = Session(host, writer, run, snapshot, hook, NOTHING, redelivered=False, clock=host.clock)
        replaying = cls(recorded, contents, host, run, store, session, hook=hook is not None)
        judged = replaying._paths_of_judged
        return replaying

    async def run(self, permissions: PermissionHandler | None) -> Replayed:
        """To the end of the recording, and what came of it."""
        self._permissions = permissions
        if permissions is not None:
            self._session.conversation.on_permission_request(permissions)
        outcome: OutcomeDocument | None = None
        failure: Exception | None = None  # raised outside of the group, which would wrap it

        async def play() -> None:
            nonlocal failure
            try:
                for happened in self._recorded.events:
                    await self._do(happened)
                if not any(isinstance(each.event, SessionEnded) for each in self._recorded.events):
                    await self._session.leave("the recording ends here")
            except Exception as error:
                failure = error
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(play)
            try:
                outcome = await self._session.wait()
            except Exception as error:
                failure = failure or error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        self._host.verify()
        return compared(
            self._recorded,
            await self._store.snapshot(self._session.id),
            await self._events(),
            outcome,
            tuple(self._notes),
            hook=self._hook,
        )

    # What happened then is done, or waited for.

    async def _do(self, happened: Happened) -> None:
        if happened.seq in self._interrupted_before:
            with suppress(ConversationClosed, AgentRefused, AgentSilent):
                await self._session.conversation.interrupt()
        event = happened.event
        match event:
            case QuestionAnswered():
                await self._answer(event)
            case TurnQueued():
                await self._tell(event)
            case StopRequested(reason):
                await self._stop(reason)
            case SessionEnded():
                await self._end(event)
            case _ if happened.source == "agent":
                self._run.say(with_ids(said_by_agent(happened, self._recorded.questions), self._ids))
                if isinstance(event, QuestionAsked):
                    await self._until(lambda now: _is_judged(now, event.id))
            case _ if happened.source == "log":
                self._write_log(happened)
            case _:
                pass  # the session says it by itself, if it has a reason to

    def _write_log(self, happened: Happened) -> None:
        event = happened.event
        taskdir = self._session.record.taskdir
        line: str | None = None
        match event:
            case Status() | Attention() | UnknownText() | Finished() | ErrorReported():
                line = line_of(event)
            case DeliverableLanded(name=name):
                content, difference = self._contents.content(event)
                if difference:
                    self._note(f"{name}: {difference}")
                data = content.encode() if isinstance(content, str) else content
                self._host.files.write(posixpath.join(taskdir, "deliverables", name), data)
                line = f"DELIVERABLE: {name}"
            case DeliverableRefused(name=name, reason=reason):
                self._note(f"{name}: it was refused because {reason}; in a replay, nothing is at its path")
                line = f"DELIVERABLE: {name}"
            case LogReset():
                self._note("the log was cut off, or another one, which is not done again")
                return
            case Notice(message=message):
                raise happened.refused(message)
            case _:
                pass
        if line is None:
            self._note(f"event {happened.seq}: the export does not hold the line of the log that said this")
        else:
            self._host.files.append(log_path(self._session.record), line.encode() + b"\n")

    async def _tell(self, queued: TurnQueued) -> None:
        if queued.sender not in (PROMPT, HARNESS):
            with suppress(ConversationClosed):
                await self._session.conversation.send(queued.text, turn_id=queued.id, sender=queued.sender)
            return
        nth = self._said[queued.sender] = self._said.get(queued.sender, 0) + 1
        found: list[str] = []

        async def is_said(now: Snapshot) -> bool:
            said = [event for _, event in await self._events() if isinstance(event, TurnQueued)]
            found[:] = [each.id for each in said if each.sender == queued.sender][nth - 1 :]
            return bool(found)

        await self._until(is_said)
        if found:
            self._ids[queued.id] = found[0]

    async def _answer(self, answered: QuestionAnswered) -> None:
        asked = self._recorded.questions.get(answered.id)
        if asked is None or not await self._until(lambda now: _is_judged(now, answered.id)):
            return
        by = decided_by(answered.by)
        is_here = by == "time limit" or (self._permissions is not None and by in ("handler", "person"))
        if is_here and await self._until(lambda now: _is_closed(now, answered.id)):
            return
        as_then = answered.by if by in ("handler", "person") else RECORDING
        await self._session.conversation.answer(answered.id, self._recorded.answer(asked), as_then)

    async def _stop(self, reason: str) -> None:
        # What stopped it was a person, or the time that it took: that is done again, not waited for.
        recorded = self._recorded.record.outcome
        if recorded is not None and self._session.record.outcome is None and recorded.outcome != "done":
            await self._session.stop(recorded.model_copy(update={"exit": None}))
        else:
            await self._session.cancel(reason)

    async def _end(self, ended: SessionEnded) -> None:
        if ended.outcome == "closed":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._session.conversation.close)
                await self._exit(ended, by_itself=False)
            return
        told = any(isinstance(each.event, Finished | ErrorReported | StopRequested) for each in self._recorded.events)
        await self._exit(ended, by_itself=not told)

    async def _exit(self, ended: SessionEnded, *, by_itself: bool) -> None:
        if not by_itself:
            with self._host.clock.move_on_after(PATIENCE):
                await self._run.input_closed.wait()
        reasons: tuple[StopReason, ...] = get_args(StopReason)
        stopped = (each for each in reasons if each != "none" and stopped_by_supervisor(each) == ended.reason)
        why: StopReason = next(stopped, "none")
        status = ended.exit
        self._run.end(Lost(ended.reason or "nobody knows") if status is None else from_returncode(status), why)

    # Looking at the session of the replay.

    async def _until(self, holds: Callable[[Snapshot], bool | Awaitable[bool]]) -> bool:
        """Wait until something holds; whether it does, or it never will."""
        conversation = self._recorded.record.conversation
        patience = PATIENCE + ((conversation.deny_after or 0.0) if conversation else 0.0)
        change = 0
        with self._host.clock.move_on_after(patience):
            while True:
                found = holds(await self._store.snapshot(self._session.id))
                if found if isinstance(found, bool) else await found:
                    return True
                change = await self._store.news(self._session.id, change)
        return False

    async def _events(self) -> list[tuple[str, SessionEvent]]:
        events: list[Event] = []
        while page := (await self._store.events(self._session.id, after=len(events))).events:
            events += page
        return [(each.source, event_from(each.type, each.data)) for each in events]

    def _paths_of_judged(self) -> Mapping[str, str | None]:
        judged = next((each for each in self._session.conversation.questions if each.waits_for == "policy"), None)
        asked = None if judged is None else self._recorded.questions.get(judged.id)
        return asked.paths or {} if asked is not None else {}

    def _note(self, what: str) -> None:
        self._notes[what] = None


def _is_judged(now: Snapshot, question: str) -> bool:
    found = next((each for each in now.questions if each.id == question), None)
    return found is not None and (found.status != "open" or found.waits_for == "person")


def _is_closed(now: Snapshot, question: str) -> bool:
    return any(each.id == question and each.status != "open" for each in now.questions)
