"""A session: a program on a host that outlives whoever drives it, and a journal that says what has happened.

    async with open_store() as store:
        session = await Session.start(host, store, ["./nightly-report.sh"], cwd="/srv/app", deliverables="out")
        outcome = await session.wait()

`start` and `adopt` make this process the owner; `wait` does the work. When it is killed in between, the program goes
on, and `adopt` in any process continues where the journal stands.
"""

import hashlib
import os
import posixpath
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import suppress
from shlex import join
from typing import Literal, Protocol

import anyio

from optio_host.clock import SYSTEM_CLOCK, Clock
from optio_host.cursor import START
from optio_host.job import Job, JobHost
from optio_host.job import Limits as JobLimits
from optio_host.job_errors import JobGone, NotOwner, StartFailed
from optio_host.job_state import Owner

from . import seams
from .conversation.claude import ClaudeCodeConversation
from .conversation.claude_code import ClaudeCode
from .conversation.offering import arguments_for, environment_for
from .conversation.questions import question_in_words
from .delivery import DeliverableHook, Deliveries, StreamingHost
from .drive import Drive
from .driver_identity import is_proved_dead, this_driver
from .errors import CallbackMissing, JournalError, LeaseHeld, LeaseLost, SessionRefused, StoreError
from .events import DriverChanged, DriverLeft, Record, SessionEnded, SessionStarted
from .extensions.given import Extensions, ToolSource
from .extensions.hooks import Hook
from .filling import Fill, fill_directory
from .history import follow_history
from .hooks import HookProgress
from .intake import LOG, Intake
from .journal import (
    ConversationDocument,
    Driver,
    Lease,
    Limits,
    Outbox,
    OutcomeDocument,
    SessionRecord,
    Snapshot,
    SourceDocument,
    State,
    Store,
    new_id,
)
from .journal_writer import JournalWriter, Said
from .landing import Landed, Landing
from .notify import Notifier
from .patience import until_reached
from .patient_store import PatientStore
from .protocol.channel import LogChannel
from .redaction import Redactor
from .replies import REPLIES, Replies
from .task_directory import (
    environment_of_program,
    forbid_late_start,
    log_path,
    make_directories,
    paths_for_program,
)
from .without_run import end_without_run

Fate = Literal["released", "died", "expired"]
"""What became of the driver before."""

OutputStream = Literal["stdout", "stderr"]
OUTPUT_STREAMS: tuple[OutputStream, ...] = ("stdout", "stderr")

DOUBTFUL = "doubtful"
"""Name of the cursor in the journal that says where the reader of the log stood when a driver had died."""

RELEASE_PATIENCE = 5.0
"""Seconds in which a store must have taken a lease back; else it runs out by itself."""

NO_LIMITS = Limits()


class SessionHost(JobHost, StreamingHost, Protocol):
    """What a host must be able to do to hold sessions."""


class Session:
    """A session that this process drives. Made by `start` or `adopt`.

    Attributes:
        id: its id in the store.
        record: what it is, as it was committed last.
    """

    def __init__(
        self,
        host: SessionHost,
        writer: JournalWriter,
        job: Job,
        snapshot: Snapshot,
        hook: DeliverableHook | None,
        extensions: Extensions,
        *,
        redelivered: bool,
        clock: Clock,
    ) -> None:
        record = writer.record
        self.id = record.id
        self._host = host
        self._writer = writer
        replies = Replies(job, writer, snapshot.outbox.get(REPLIES, Outbox()), clock)
        notifier = Notifier(record.notify, record.id, clock)
        self._conversation: ClaudeCodeConversation | None = None
        if record.conversation is not None:
            self._conversation = ClaudeCodeConversation(
                host,
                job,
                writer,
                snapshot,
                lambda question: notifier.notify("question", question_in_words(question)),
                extensions,
                clock,
            )
        progress = HookProgress()
        lease_lost = anyio.Event()
        self._deliveries = deliveries = Deliveries(
            host,
            record.taskdir,
            Landing(
                record.deliverables_dir,
                ours={
                    each.name: Landed(each.name, each.path, each.size, each.sha256) for each in snapshot.deliverables
                },
                session=record.id,
            ),
            self._conversation or replies,
            hook=hook,
            progress=progress,
            lease_lost=lease_lost,
            redelivered=redelivered,
            clock=clock,
        )
        channel = LogChannel(host, log_path(record), cursor=snapshot.cursors.get(LOG, START))
        intake = Intake(channel, writer, deliveries, notifier)
        self._drive = Drive(
            host, job, writer, intake, replies, notifier, progress, lease_lost, self._conversation, clock
        )

    @property
    def lease(self) -> Lease:
        """The right to drive it."""
        return self._writer.lease

    @property
    def conversation(self) -> ClaudeCodeConversation:
        """The dialogue with the agent. SessionRefused when the program holds none."""
        if self._conversation is None:
            raise SessionRefused(f"session {self.id} runs a program that holds no conversation")
        return self._conversation

    @property
    def record(self) -> SessionRecord:
        """What the session is, as it was committed last."""
        return self._writer.record

    @classmethod
    async def start(
        cls,
        host: SessionHost,
        store: Store,
        command: Sequence[str] = (),
        *,
        cwd: str,
        deliverables: str,
        state_dir: str,
        env: Mapping[str, str] | None = None,
        session_id: str | None = None,
        agent: str | ClaudeCode | None = None,
        prompt: str = "",
        reminder: str = "",
        deny_after: float | None = None,
        policy: str = "",
        chat: bool = False,
        host_name: str = "local",
        limits: Limits = NO_LIMITS,
        job_limits: JobLimits | None = None,
        notify: str = "",
        make_cwd: bool = False,
        fill: Fill | None = None,
        on_deliverable: DeliverableHook | None = None,
        hooks: Sequence[Hook] = (),
        tools: Sequence[ToolSource] = (),
        sources: Sequence[SourceDocument] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> "Session":
        """Start a program, or an agent and a conversation with it, as a session of its own.

        Parameters:
            host: where it runs.
            store: where its journal is kept.
            command: the program and its arguments; none for an agent.
            cwd: absolute path of the directory on the host that it runs in.
            deliverables: absolute path of the directory on this machine that its deliverables land in.
            state_dir: directory on the host that sessions have their directories in.
            env: additions to its environment. Values of names that say KEY, TOKEN, SECRET, PASSWORD and the like are
                kept out of the journal.
            session_id: its id; a new one if None.
            agent: an agent; or a short name for what runs, the name of the program if None.
            prompt: what the agent is told first; "": nothing yet.
            reminder: what it is told once, when it stands still without DONE or ERROR; "": nothing.
            deny_after: seconds after which a question of the agent that nobody has answered is denied; None: never.
            policy: text of a policy file: what the agent may do without being asked about; "": nothing.
            chat: a person talks with the agent, and ends that; else it has a task.
            host_name: what the host is called in lists.
            limits: when it is stopped by itself.
            job_limits: what the supervisor on the host enforces, with or without a driver.
            notify: a command for /bin/sh on this machine, run when the session waits for a person or has ended.
            make_cwd: make the directory first, for a session that works in one of its own.
            fill: puts into the directory what the program needs, before it starts.
            on_deliverable: called with each deliverable once it has landed.
            hooks: what an agent calls at certain moments; see `optio_agents.extensions`.
            tools: functions and MCP servers of this process that an agent may use.
            sources: the files that hooks and tools were loaded from, if another process can load them, too.
            clock: time, for tests.

        Raises StartFailed when the program cannot be started, AgentRefused when that is known before; PolicyError,
        HostError, StoreError; ValueError, TypeError for hooks and tools that are none, or are given to no agent.
        """
        extensions = await Extensions.of(hooks, tools)
        if extensions.names and not isinstance(agent, ClaudeCode):
            raise ValueError("hooks and tools are for an agent: agent=ClaudeCode(...)")
        conversation: ConversationDocument | None = None
        if isinstance(agent, ClaudeCode):
            if policy:
                from .permissions import Policy

                Policy.loads(policy)  # what is wrong with it is said before anything is started
            await agent.check(host, "/" if make_cwd else cwd)
            offered = extensions.tool_documents()
            command = (*agent.command(), *arguments_for(offered))
            env = {**environment_for(offered), **agent.environment(), **(env or {})}
            agent = "claude"
            conversation = ConversationDocument(
                dialect="claude",
                prompt=prompt,
                reminder=reminder,
                deny_after=deny_after,
                policy=policy,
                chat=chat,
                hooks=extensions.hook_documents(),
                tools=offered,
                sources=tuple(sources),
            )
        redact = Redactor.of_environment(os.environ, env or {})
        session = session_id or new_id()
        taskdir = posixpath.join(state_dir, session)
        record = SessionRecord(
            id=session,
            host=host_name,
            agent=agent or posixpath.basename(command[0]),
            created=clock.time(),
            cwd=cwd,
            command=tuple(redact(word) for word in command),
            taskdir=taskdir,
            rundir=posixpath.join(taskdir, "run", "1"),
            deliverables_dir=deliverables,
            callbacks=_names(on_deliverable, extensions),
            limits=limits,
            notify=notify,
            conversation=conversation,
        )
        await make_directories(host, record, [cwd] if make_cwd else [])
        lease = await store.create(record, this_driver())
        seams.reached("created")
        writer = JournalWriter(store, lease, await store.snapshot(session), redact, clock)
        filled = False
        try:
            if fill is not None:
                await fill_directory(fill, cwd, store, lease, clock)
            filled = True
            job = await Job.start(
                host,
                record.rundir,
                f"exec {join(command)}",
                cwd=cwd,
                env={**(env or {}), **paths_for_program(record)},
                owner=_owner(store, lease),
                limits=job_limits or JobLimits(),
                clock=clock,
            )
            if conversation is None:
                # Nothing is ever sent to it: a program that reads its stdin must not wait for that.
                await _give_no_input(job)
        except (StartFailed, ValueError) as error:
            outcome = OutcomeDocument(outcome="failed", reason=f"the program could not be started: {error}")
            await _end_unstarted(writer, outcome)
            await _let_go(store, lease)
            raise
        except BaseException:
            if not filled:
                outcome = OutcomeDocument(outcome="cancelled", reason="interrupted before the program was started")
                with anyio.move_on_after(RELEASE_PATIENCE, shield=True), suppress(JournalError):
                    await _end_unstarted(writer, outcome)
            # Otherwise the answer was lost, or not waited for: it may run. Whoever adopts the session finds out.
            await _let_go(store, lease)
            raise
        seams.reached("job started")
        try:
            await writer.commit(Said(_started(record)), record={"state": "running"})
            seams.reached("start committed")
            snapshot = await until_reached(lambda: store.snapshot(session), clock)
        except BaseException:
            await _let_go(store, lease)  # it runs: whoever adopts it finds that out
            raise
        return cls(host, writer, job, snapshot, on_deliverable, extensions, redelivered=False, clock=clock)

    @classmethod
    async def adopt(
        cls,
        host: SessionHost,
        store: Store,
        session_id: str,
        *,
        on_deliverable: DeliverableHook | None = None,
        hooks: Sequence[Hook] = (),
        tools: Sequence[ToolSource] = (),
        without_callbacks: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> "Session":
        """Drive a session that somebody else has started, from where its journal stands.

        Parameters:
            host: where it runs.
            store: where its journal is kept.
            session_id: its id.
            on_deliverable, hooks, tools: as they were given to `start`; hooks and tools are known by their names.
            without_callbacks: go on although a callback that it was started with is missing.
            clock: time, for tests.

        Raises CallbackMissing; LeaseHeld when another driver is alive, or cannot be proved dead and its lease has not
        run out; SessionRefused when the session has ended; SessionUnknown; HostError, StoreError.
        """
        before = await store.snapshot(session_id)
        extensions = await Extensions.of(hooks, tools)
        missing = set(before.record.callbacks) - set(_names(on_deliverable, extensions))
        if missing and not without_callbacks:
            raise CallbackMissing(session_id, tuple(sorted(missing)))
        last = before.lease.driver
        dead = last is not None and is_proved_dead(last)
        if before.record.state == "ended":
            if dead:  # it died before it let go: nobody owns the session any more
                await store.release(Lease(session_id, before.lease.generation))
            raise SessionRefused(f"session {session_id} has ended; there is nothing to drive")
        lease = await store.acquire(session_id, this_driver(), taking_over=before.lease.generation if dead else None)
        seams.reached("acquired")
        try:
            return await cls._take_over(host, store, lease, _fate(last, dead), on_deliverable, extensions, clock)
        except (LeaseLost, NotOwner) as error:
            await _let_go(store, lease)
            if isinstance(error, NotOwner) and (await store.snapshot(session_id)).lease.generation == lease.generation:
                raise  # nobody else owns the session: the owner file on the host was edited
            raise LeaseHeld(session_id, lease.generation + 1, "a driver that came right after this one") from error
        except BaseException:
            await _let_go(store, lease)
            raise

    @classmethod
    async def _take_over(
        cls,
        host: SessionHost,
        store: Store,
        lease: Lease,
        fate: Fate,
        on_deliverable: DeliverableHook | None,
        extensions: Extensions,
        clock: Clock,
    ) -> "Session":
        snapshot = await store.snapshot(lease.session)
        record = snapshot.record
        writer = JournalWriter(store, lease, snapshot, Redactor.of_environment(os.environ), clock)
        stands = snapshot.cursors.get(LOG, START)
        if fate != "released":
            # That driver may have handled the entry behind this place; so it is told until that entry is committed.
            await writer.commit(cursors={DOUBTFUL: stands})
        try:
            if record.state == "starting":
                await forbid_late_start(host, record)
            job = await Job.adopt(host, record.rundir, _owner(store, lease), clock=clock)
            if record.conversation is None:
                await job.close_stdin()
        except JobGone:
            await end_without_run(host, writer, clock)
            raise
        writer.redact = Redactor.of_environment(os.environ, await environment_of_program(host, record))
        seams.reached("job adopted")
        me = this_driver()
        said = [Said(DriverChanged(f"pid {me.pid} on {me.hostname}", lease.generation, fate))]
        if record.state == "starting":
            said.insert(0, Said(_started(record)))
        # An agent that stands idle still does.
        await writer.commit(*said, record={"state": "running"} if record.state == "starting" else None)
        seams.reached("adoption committed")
        redelivered = fate != "released" or snapshot.cursors.get(DOUBTFUL) == stands
        return cls(host, writer, job, snapshot, on_deliverable, extensions, redelivered=redelivered, clock=clock)

    @staticmethod
    async def list(store: Store, *, states: Collection[State] = ()) -> Sequence[SessionRecord]:
        """The record of every session in a store, the oldest first; with `states`, of those in one of them."""
        return await store.sessions(states=states)

    async def wait(self) -> OutcomeDocument | None:
        """Drive the session to its end, or until `leave`: then None, and the program goes on without a driver.

        Cancelling it, too, lets go of the session. Raises LeaseLost when another driver has taken over; StoreError and
        HostError when the store or the host does not answer: the program goes on, and the session can be adopted.
        """
        try:
            return await self._drive.run()
        finally:
            if self._conversation is not None:
                self._conversation.let_go()
            if not self._deliveries.in_doubt:  # else it runs out: that tells the next driver to be careful
                await _let_go(self._writer.store, self._writer.lease)
            seams.reached("released")

    async def leave(self, reason: str) -> None:
        """Stop driving; the program goes on, and the next driver may take over at once.

        When the store is away, the lease has to run out first.
        """
        with anyio.move_on_after(RELEASE_PATIENCE):
            await self._writer.commit(Said(DriverLeft(reason)))
        self._drive.leave()

    async def cancel(self, reason: str) -> None:
        """End the session now: TERM to the whole tree, then KILL. An outcome that is fixed already stays."""
        await self.stop(OutcomeDocument(outcome="cancelled", reason=reason))

    async def stop(self, outcome: OutcomeDocument) -> None:
        """The same with another outcome than cancelled."""
        await self._drive.decide(outcome)

    async def kill(self) -> None:
        """Give the program no more time: KILL to all of it."""
        await self._drive.kill()

    def events(self, after: int = 0) -> AsyncGenerator[Record]:
        """Everything that has happened behind number `after`, then what happens; ends with the session."""
        return follow_history(PatientStore(self._writer.store), self.id, after)


async def _give_no_input(job: Job) -> None:
    try:
        await job.close_stdin()
    except JobGone:
        return  # it is over already, and has removed its directory
    except NotOwner as error:
        if error.owner:
            raise
        # It is just removing it, and nobody else can have become the owner yet.


async def _end_unstarted(writer: JournalWriter, outcome: OutcomeDocument) -> None:
    said = Said(SessionEnded(outcome.outcome, outcome.reason, None, None))
    await writer.commit(said, record={"outcome": outcome, "state": "ended"})


def _owner(store: Store, lease: Lease) -> Owner:
    # A digest: the owner file lies on the host, and a URL may name what nobody there needs to know.
    return Owner(hashlib.sha256(store.url.encode()).hexdigest()[:16], lease.session, lease.generation)


def _started(record: SessionRecord) -> SessionStarted:
    return SessionStarted(record.command, record.cwd, record.deliverables_dir, record.taskdir)


def _names(on_deliverable: DeliverableHook | None, extensions: Extensions) -> tuple[str, ...]:
    return (*(() if on_deliverable is None else ("on_deliverable",)), *extensions.names)


def _fate(last: Driver | None, dead: bool) -> Fate:
    if last is None:
        return "released"
    return "died" if dead else "expired"


async def _let_go(store: Store, lease: Lease) -> None:
    # A lease that cannot be given back runs out by itself; what has happened to the session does not change by it.
    with anyio.move_on_after(RELEASE_PATIENCE, shield=True), suppress(StoreError):
        await store.release(lease)
