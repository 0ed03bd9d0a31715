"""What the owner of a session does while it lasts: read, act, commit, keep the lease, obey, bring it to its end.

The tasks run in one group. Whatever ends the session early (a cancel, a limit, a log that cannot be read) first fixes
the outcome in the journal and then cuts the patience with the program short.
"""

import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import assert_never

import anyio

from optio_host.clock import Clock
from optio_host.errors import HostError
from optio_host.job import Job, JobHost
from optio_host.job_errors import InputConflict, NotOwner
from optio_host.job_state import Ended, JobState, StopReason
from optio_host.job_stop import Gone, Proof, Survivors, Unproven
from optio_host.outcome import Lost, Outcome, describe, exit_code
from optio_host.together import until_next

from . import seams
from .conversation.claude import ClaudeCodeConversation
from .conversation.commands import carry_out
from .errors import AgentFailed, AgentSilent, JournalError, LeaseLost, LogChannelLost, StoreAway, StoreBusy, StoreError
from .events import Notice, Progress, SessionEnded, Stalled, StopRequested
from .hooks import HookProgress
from .intake import Intake
from .journal import Command, OutcomeDocument, Receipt
from .journal.lease import LEASE_TTL, RENEW_EVERY
from .journal_writer import JournalWriter, Said
from .link_notices import note_link
from .notify import Notifier
from .patience import until_reached
from .patient_store import PatientStore
from .replies import Replies
from .stall import LOOK_EVERY, STALL_AFTER, Stillness, look_for_signs

_log = logging.getLogger(__name__)

OBEY_EVERY = 0.05
"""Seconds between two looks into the inbox, at least. The first one after a quiet time is made at once."""

GRACE = 10.0
"""Seconds that a program has to exit by itself after DONE or ERROR."""

TURN_PATIENCE = 60.0
"""Seconds that a turn of the agent may take after DONE or ERROR, before it is interrupted."""

TERMINATE_GRACE = 5.0
"""Seconds between TERM and KILL."""

END_PATIENCE = 15.0
"""Seconds in which the end of a program that was stopped must show."""


class Drive:
    """Drives one session; made by `Session`.

    Parameters:
        host: where the program runs.
        job: the program, owned with the generation of the lease.
        writer: the journal.
        intake: the reader of the log.
        replies: the answers to the program.
        notifier: tells a person who is elsewhere.
        progress: what hooks report.
        lease_lost: set here when another driver has taken over.
        conversation: the dialogue with the program; None: it holds none.
        clock: time, for tests.
    """

    def __init__(
        self,
        host: JobHost,
        job: Job,
        writer: JournalWriter,
        intake: Intake,
        replies: Replies,
        notifier: Notifier,
        progress: HookProgress,
        lease_lost: anyio.Event,
        conversation: ClaudeCodeConversation | None,
        clock: Clock,
    ) -> None:
        self.writing_ended = anyio.Event()
        self._host = host
        self._job = job
        self._writer = writer
        self._intake = intake
        self._replies = replies
        self._notifier = notifier
        self._progress = progress
        self._lease_lost = lease_lost
        self._conversation = conversation
        self._clock = clock
        self._patience = anyio.CancelScope()
        self._all = anyio.CancelScope()
        self._failure: JournalError | HostError | OSError | None = None
        self._program_ended = anyio.Event()
        self._log_ended = anyio.Event()
        self._outcome: Outcome = Lost("it could not be ended: processes of it survived KILL")
        # Committed together with the end: a driver that goes on with an interrupted end finds the same again.
        self._found_at_end: list[Said] = []

    async def run(self) -> OutcomeDocument | None:
        """To the end of the session, or until `leave`: then None, and the program goes on.

        Raises LeaseLost when another driver has taken over, StoreError when the journal cannot be written, HostError
        when the host does not answer. The program goes on then, too.
        """
        ended: OutcomeDocument | None = None
        try:
            with self._all:
                async with anyio.create_task_group() as tasks:
                    for task in (
                        self._follow_log,
                        self._wait_for_program,
                        self._keep_lease,
                        self._replies.run,
                        self._commit_progress,
                        self._obey,
                        self._limit_time,
                        self._watch_for_stalls,
                        self._notifier.run,
                        self._note_link,
                        self._converse,
                    ):
                        tasks.start_soon(self._guarded, task)
                    try:
                        ended = await self._to_the_end()
                    except (JournalError, HostError, OSError) as error:
                        self._fail(error)
                    tasks.cancel_scope.cancel()
        finally:
            await self._replies.end()
        if self._failure is not None:
            raise self._failure
        return ended

    def leave(self) -> None:
        """Stop driving; `run` returns None."""
        self._all.cancel()

    async def decide(self, outcome: OutcomeDocument, *, receipts: dict[int, Receipt] | None = None) -> None:
        """End the session with this outcome, unless one is fixed already: TERM to the program, then KILL."""
        said = Said(StopRequested(outcome.reason))
        record = {"outcome": outcome} if self._writer.record.outcome is None else None
        await self._writer.commit(said, record=record, receipts=receipts)
        seams.reached("stop decided")
        self._progress.stop()
        self._patience.cancel()

    async def kill(self) -> None:
        """Give the program no more time."""
        await until_reached(lambda: self._job.signal_tree(signal.SIGKILL), self._clock)

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except (JournalError, HostError, OSError) as error:
            self._fail(error)

    def _fail(self, error: JournalError | HostError | OSError) -> None:
        if isinstance(error, NotOwner):
            # The host noticed first: a driver of a later generation has adopted the run.
            lease = self._writer.lease
            error = LeaseLost(lease.session, lease.generation, lease.generation + 1)
        if isinstance(error, LeaseLost):
            self._lease_lost.set()
        self._failure = self._failure or error
        self._all.cancel()

    async def _to_the_end(self) -> OutcomeDocument:
        outcome = self._writer.record.outcome
        if outcome is not None and outcome.outcome == "cancelled":
            self._patience.cancel()  # the driver before this one died while it stopped the program
        with self._patience:
            closing = [self._conversation.closing] if self._conversation is not None else []
            await _first_of(self._intake.decided, self._program_ended, *closing)
            if self._conversation is not None:
                await self._conversation.finish(TURN_PATIENCE)
            grace = self._writer.record.limits.grace
            with self._clock.move_on_after(GRACE if grace is None else grace) as patience:
                await self._program_ended.wait()
            if patience.cancelled_caught:
                await self._say(Notice("the program was given time to exit and still runs; stopping it"))
        self._found_at_end += unless_gone(await until_reached(lambda: self._job.stop(TERMINATE_GRACE), self._clock))
        seams.reached("program stopped")
        with self._clock.move_on_after(END_PATIENCE):
            await self._program_ended.wait()
        self.writing_ended.set()
        # What was announced before a cancel is not worth making a person wait for it.
        with self._clock.move_on_after(TERMINATE_GRACE if self._patience.cancel_called else None):
            await self._log_ended.wait()
            if self._conversation is not None:
                await self._conversation.ended.wait()
        return await self._end()

    async def _end(self) -> OutcomeDocument:
        status = None if isinstance(self._outcome, Lost) else exit_code(self._outcome)
        outcome = self._writer.record.outcome or await self._undecided()
        outcome = outcome.model_copy(update={"exit": status})
        await self._flush_progress()
        event = SessionEnded(outcome.outcome, outcome.reason or None, outcome.summary or None, status)
        seams.reached("before the end")
        await self._writer.commit(*self._found_at_end, Said(event), record={"outcome": outcome, "state": "ended"})
        seams.reached("ended")
        committed = self._writer.record.outcome or outcome
        await self._notifier.notify_of_end(f"{committed.outcome}: {committed.reason or committed.summary}")
        return committed

    async def _undecided(self) -> OutcomeDocument:
        """How a session ends whose program never said DONE or ERROR."""
        if isinstance(self._outcome, Lost):
            return OutcomeDocument(outcome="lost", reason=self._outcome.reason)
        state = await until_reached(self._job.state, self._clock)
        if isinstance(state, Ended) and state.reason != "none":
            return OutcomeDocument(outcome="failed", reason=stopped_by_supervisor(state.reason))
        how = describe(self._outcome)
        because = f": {self._conversation.failure}" if self._conversation and self._conversation.failure else ""
        return OutcomeDocument(outcome="failed", reason=f"the program ended without DONE or ERROR ({how}){because}")

    async def _follow_log(self) -> None:
        try:
            await self._intake.run(self.writing_ended)
        except LogChannelLost as error:
            await self.decide(OutcomeDocument(outcome="failed", reason=str(error)))
        self._log_ended.set()

    async def _converse(self) -> None:
        if self._conversation is None:
            return
        try:
            await self._conversation.run(self.writing_ended)
        except (AgentFailed, AgentSilent) as error:
            await self.decide(OutcomeDocument(outcome="failed", reason=str(error)))
        except InputConflict as error:
            # Somebody else has told the agent something. What it does from here on is nobody's wish.
            reason = f"tampered: what the agent was told is not what was said to it: {error}"
            await self.decide(OutcomeDocument(outcome="failed", reason=reason))

    async def _wait_for_program(self) -> None:
        self._outcome, state = await self._ended()
        if isinstance(state, Ended) and state.left:
            left = ", ".join(f"{each.name} (pid {each.pid})" for each in state.left)
            notice = Notice(f"the program ended and left processes behind, they were stopped: {left}")
            self._found_at_end.append(Said(notice))
        self._program_ended.set()
        if self._conversation is not None:
            self._conversation.note_end_of_program()

    async def _ended(self) -> tuple[Outcome, JobState]:
        while True:
            try:
                return await self._job.wait(), await self._job.state()
            except NotOwner:
                raise
            except (HostError, OSError) as error:
                # Waiting changes nothing, so it may be tried for as long as the host does not answer.
                self._log_silence(error)
                await self._clock.sleep(RENEW_EVERY)

    async def _keep_lease(self) -> None:
        renewed = self._clock.monotonic()
        while True:
            # All drivers of this process at the same moments: their renewals are one commit, their looks one command.
            await self._clock.sleep(until_next(RENEW_EVERY, self._clock))
            seams.reached("before renewal")
            try:
                with self._clock.move_on_after(RENEW_EVERY):
                    await self._writer.store.renew(self._writer.lease)
                    renewed = self._clock.monotonic()
            except (StoreAway, StoreBusy):
                # However long that lasts. Whoever takes over meanwhile is the owner on the host, too, which is looked
                # at below; if nobody does, the lease is renewed when the store is back.
                pass
            except StoreError:
                # As long as the lease is good, nobody else may take over.
                if self._clock.monotonic() - renewed > LEASE_TTL:
                    raise
            # A host that is slow to answer must not keep the lease from being renewed. That the run is gone is for the
            # wait for the program to say.
            with self._clock.move_on_after(RENEW_EVERY):
                try:
                    await self._job.seen()
                except NotOwner:
                    raise
                except (HostError, OSError) as error:
                    self._log_silence(error)
            seams.reached("renewed")

    async def _commit_progress(self) -> None:
        while True:
            await self._progress.reported.wait()
            await self._flush_progress()

    async def _flush_progress(self) -> None:
        if reports := self._progress.take():
            await self._writer.commit(*(Said(Progress(percent, message), "hook") for percent, message in reports))

    async def _obey(self) -> None:
        session = self._writer.lease.session
        store = PatientStore(self._writer.store, self._clock)
        change = 0
        while True:
            for command in await store.inbox(session):
                await self._carry_out(command)
            # Each commit of our own is news, too: with a look after each, much of the work would be looking.
            await self._clock.sleep(OBEY_EVERY)
            change = await store.news(session, change)

    async def _carry_out(self, command: Command) -> None:
        seams.reached("command")
        now = self._clock.time()
        if command.kind != "cancel":
            refusal: str | None = f"no such command: {command.kind}, or not for a program that holds no conversation"
            if self._conversation is not None:
                refusal = await carry_out(self._conversation, command)
            if refusal is not None:
                refused = Receipt(status="refused", message=refusal, time=now)
                await self._writer.commit(receipts={command.number: refused})
            return
        reason = str(command.data.get("reason", "")) or f"cancelled by {command.sender or 'somebody'}"
        accepted = Receipt(status="accepted", time=now)
        cancelled = OutcomeDocument(outcome="cancelled", reason=reason)
        await self.decide(cancelled, receipts={command.number: accepted})
        if command.data.get("force") is True:
            await self.kill()

    async def _limit_time(self) -> None:
        record = self._writer.record
        if record.limits.wall is not None:
            # A wall clock that was set back must not make it longer.
            left = min(record.limits.wall, record.created + record.limits.wall - self._clock.time())
            await self._clock.sleep(max(0.0, left))
            reason = f"stopped after {record.limits.wall:g} s, its time limit"
            await self.decide(OutcomeDocument(outcome="failed", reason=reason))

    async def _watch_for_stalls(self) -> None:
        record = self._writer.record
        run = record.rundir.removeprefix(record.taskdir + "/")
        stillness = Stillness(self._clock.monotonic())
        while True:
            signs = await self._look_for_signs(record.taskdir, run)
            if signs is None:
                await self._clock.sleep(LOOK_EVERY)
                continue
            still = stillness.seen(signs, self._clock.monotonic())
            if record.limits.idle is not None and still >= record.limits.idle:
                reason = f"stopped after {record.limits.idle:g} s without any sign of life, its idle limit"
                await self.decide(OutcomeDocument(outcome="failed", reason=reason))
                return
            if still >= STALL_AFTER and not stillness.reported:
                stillness.reported = True
                await self._say(Stalled(round(still), stillness.signs))
            every = LOOK_EVERY if record.limits.idle is None else min(LOOK_EVERY, record.limits.idle / 4)
            await self._clock.sleep(until_next(every, self._clock) if every > 0 else 0)

    async def _look_for_signs(self, taskdir: str, run: str) -> Mapping[str, str] | None:
        try:
            return await until_reached(lambda: look_for_signs(self._host, taskdir, run), self._clock)
        except (HostError, OSError) as error:
            self._log_silence(error)
            return None

    def _log_silence(self, error: Exception) -> None:
        _log.warning("session %s: its host did not answer: %s", self._writer.lease.session, error)

    async def _note_link(self) -> None:
        await note_link(self._host, self._say)

    async def _say(self, event: Notice | Stalled) -> None:
        await self._writer.commit(Said(event))


def unless_gone(proof: Proof) -> list[Said]:
    """What a person is to be told of a stop; nothing when it is proved."""
    match proof:
        case Gone():
            return []
        case Survivors(processes):
            named = ", ".join(f"{each.name} (pid {each.pid})" for each in processes)
            return [Said(Notice(f"still running after KILL: {named}"))]
        case Unproven(reason):
            return [Said(Notice(f"it could not be proved that nothing of the program is left: {reason}"))]
        case _:
            assert_never(proof)


def stopped_by_supervisor(reason: StopReason) -> str:
    """Why a session has failed whose program the supervisor has stopped; "" when it has not."""
    match reason:
        case "no-driver":
            return "stopped on its host, where no driver was seen for too long"
        case "spool-limit":
            return "stopped on its host: its output grew past the limit"
        case "free-space":
            return "stopped on its host: too little room was left on the disk"
        case "none":
            return ""
        case _:
            assert_never(reason)


async def _first_of(*events: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        for event in events:
            tasks.start_soon(wait, event)
