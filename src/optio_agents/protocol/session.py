"""The published driver: one agent on one host, its log followed to the end. Nothing of it outlives this process.

What runs together, in one task group: the body, the reader of the log, a worker each for deliverables and for caller
messages, and a watch on `ctx.should_continue`. None of them raises; each one says how it ended, and the first to say so
fixes the outcome.

Nothing that a callback does can hide the end from the driver. When a queue is full or the process context does not
answer, the reader waits there, so that order and bounds hold; meanwhile a second reader looks ahead in the log, for
DONE and ERROR only. From the end on there is a limit for everything that is still to be answered, and what is then left
is answered without being worked on.
"""

import logging
import shlex
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from optio_host.clock import SYSTEM_CLOCK, Clock
from optio_host.errors import HostCommandError
from optio_host.host import Host

from ..context import HookContext
from ..errors import LogChannelLost, SessionFailed
from ..outcome import Cancelled, Done, Failed, Lost, SessionOutcome
from ..process_context import ProcessContext, tell
from .answers import CallerMessageAnswers, DeliverableAnswers, Receiver
from .callbacks import (
    BodyCallback,
    CallerMessageCallback,
    DeliverableCallback,
    HookCallback,
    UrlRewrite,
    call,
    within,
)
from .channel import LogChannel
from .clean_start import refuse_unfinished_runs
from .deliverables import DELIVERABLES, fetch_deliverable_text
from .dispatch import Dispatcher, end_of
from .events import CallerMessageEvent
from .limits import DEFAULT_LIMITS, DriverLimits
from .protocol import Protocol, get_protocol
from .sender import AgentSender, SerialSender
from .worker import Worker

__all__ = [
    "CALLER_MESSAGE_QUEUE_BOUND",
    "DELIVERABLE_QUEUE_BOUND",
    "AgentSender",
    "CallerMessageCallback",
    "DeliverableCallback",
    "HookCallback",
    "fetch_deliverable_text",
    "run_log_protocol_session",
]

DELIVERABLE_QUEUE_BOUND = 64
"""How many announced deliverables may wait for their callback."""

CALLER_MESSAGE_QUEUE_BOUND = 64
"""How many caller messages may wait for their callback."""

LOG_NAME = "optio.log"
"""The log of this driver, in the workdir."""

LATE_LINES = 10_000
"""How many lines behind DONE or ERROR are still read, at most."""

_log = logging.getLogger(__name__)

_SessionFailed = SessionFailed
"""The published name of the exception."""


async def run_log_protocol_session(
    host: Host,
    ctx: ProcessContext,
    *,
    body: BodyCallback,
    on_deliverable: DeliverableCallback | None = None,
    on_caller_message: CallerMessageCallback | None = None,
    before_execute: HookCallback | None = None,
    after_execute: HookCallback | None = None,
    protocol: Protocol | None = None,
    browser_url_rewrite: UrlRewrite | None = None,
    agent_sender: AgentSender | None = None,
    prepare: BodyCallback | None = None,
    keywords: bool = True,
    clock: Clock = SYSTEM_CLOCK,
    limits: DriverLimits = DEFAULT_LIMITS,
) -> SessionOutcome:
    """Run one session: start clean, call the hooks, follow the log until the end, answer everything, clean up.

    The order: the task directory is emptied; `prepare`; an empty log and the deliverables directory; browser launchers;
    `before_execute`; then the body, beside the reader of the log. `after_execute` is always called. The task directory
    stays, and so do processes that the body leaves: both are the caller's.

    Parameters:
        host: where; only the published methods are used, and following and streaming if the host offers them.
        ctx: the process it is part of.
        body: runs the agent; cancelled when the session ends before it returns.
        on_deliverable: gets the text of each announced file; what it returns is said to the agent.
        on_caller_message: gets the data of each CALLER_MESSAGE; what it returns is said to the agent.
        before_execute, after_execute, prepare: hooks.
        protocol: which keywords are on; the default ones if None.
        browser_url_rewrite: applied to each address of a BROWSER entry.
        agent_sender: says something to the agent; None: nothing can be said.
        keywords: False: the log is not read, and the session is done when the body returns. For agents that are talked
            with and know nothing of the channel.
        clock: time, for tests.
        limits: how long others may take.

    Returns `Done` after DONE (without keywords: when the body has returned), and `Cancelled` once
    `ctx.should_continue()` is false. Raises SessionFailed after ERROR, when the body returned and no DONE came, and
    when the log cannot be read any more; what the body or a hook raised; RunInTheWay when the task directory holds a
    durable run that has not ended; ValueError when CALLER_MESSAGE is on without a callback, or off with one.
    """
    protocol = protocol or get_protocol()
    if protocol.features.caller_messages and on_caller_message is None:
        raise ValueError("the protocol has caller_messages on: pass on_caller_message, or turn them off")
    if on_caller_message is not None and not protocol.features.caller_messages:
        raise ValueError("on_caller_message is given: pass protocol=get_protocol(caller_messages=True)")
    hooks = _Hooks(body, prepare, before_execute, after_execute, on_deliverable, on_caller_message, browser_url_rewrite)
    sender = None if agent_sender is None else SerialSender(agent_sender, ctx, clock)
    return await _Driver(host, ctx, hooks, protocol, sender, keywords, clock, limits).run()


@dataclass(frozen=True)
class _Hooks:
    body: BodyCallback
    prepare: BodyCallback | None
    before_execute: HookCallback | None
    after_execute: HookCallback | None
    on_deliverable: DeliverableCallback | None
    on_caller_message: CallerMessageCallback | None
    browser_url_rewrite: UrlRewrite | None


class _Driver:
    """One run of the driver."""

    def __init__(
        self,
        host: Host,
        ctx: ProcessContext,
        hooks: _Hooks,
        protocol: Protocol,
        sender: SerialSender | None,
        keywords: bool,
        clock: Clock,
        limits: DriverLimits,
    ) -> None:
        self._host = host
        self._ctx = ctx
        self._hooks = hooks
        self._protocol = protocol
        self._keywords = keywords
        self._clock = clock
        self._limits = limits
        self._hook_ctx = HookContext(ctx, host, sender=sender)
        self._log = LogChannel(host, f"{host.workdir}/{LOG_NAME}", features=protocol.features)
        self._end: Done | Cancelled | Exception | None = None
        self._setting_up = anyio.CancelScope()
        # Set at the end: nothing new is waited for, what is there is read and answered.
        self._closing = anyio.Event()
        self._draining = anyio.CancelScope()
        self._given_up = False
        receiver = Receiver(host, ctx, self._hook_ctx, sender is not None, clock, limits)
        say = _say_nothing if sender is None else sender.send
        deliverables = DeliverableAnswers(receiver, hooks.on_deliverable)
        self._deliverables = Worker[str](
            DELIVERABLE_QUEUE_BOUND, answer=deliverables.answer, not_answered=deliverables.not_answered, say=say
        )
        self._workers: list[Worker[str] | Worker[CallerMessageEvent]] = [self._deliverables]
        self._messages: Worker[CallerMessageEvent] | None = None
        if hooks.on_caller_message is not None:
            messages = CallerMessageAnswers(receiver, hooks.on_caller_message)
            self._messages = Worker(
                CALLER_MESSAGE_QUEUE_BOUND, answer=messages.answer, not_answered=messages.not_answered, say=say
            )
            self._workers.append(self._messages)
        self._dispatcher = Dispatcher(
            ctx,
            deliverables=self._deliverables,
            messages=self._messages,
            rewrite=hooks.browser_url_rewrite,
            finish=self._finish,
            while_waiting=self._looking_ahead,
            clock=clock,
            limits=limits,
        )

    async def run(self) -> SessionOutcome:
        """From the empty directory to the outcome."""
        try:
            end = await self._until_the_end()
        except BaseException:
            self._report("after_execute", await self._after_execute())
            raise
        problem = await self._after_execute()
        if isinstance(end, Exception):
            self._report("after_execute", problem)
            raise end
        if problem is not None:
            raise problem
        return end

    async def _until_the_end(self) -> Done | Cancelled | Exception:
        try:
            async with anyio.create_task_group() as group:
                self._look_for_cancel()
                group.start_soon(self._watch_for_cancel)
                if self._end is None:
                    with self._setting_up:
                        await self._set_up()
                if self._end is None:
                    await self._work(group)
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise _without_group(errors) from None
        finally:
            for worker in self._workers:
                worker.discard()
        assert self._end is not None, "the work ends only with an end"
        return self._end

    async def _set_up(self) -> None:
        host, hooks = self._host, self._hooks
        try:
            await refuse_unfinished_runs(host)
            await host.cleanup_taskdir(False)
            await host.setup_workdir()
            if hooks.prepare is not None:
                await call(hooks.prepare, host, self._hook_ctx)
            # Behind prepare, which may have restored an old log with an old DONE.
            log, deliverables = shlex.quote(f"{host.workdir}/{LOG_NAME}"), shlex.quote(f"{host.workdir}/{DELIVERABLES}")
            command = f"rm -rf {log} && mkdir -p {deliverables}"
            made = await host.run_command(command)
            if made.exit_code != 0:
                raise HostCommandError(command, made.exit_code, made.stdout, made.stderr)
            await host.write_text(LOG_NAME, "")
            self._hook_ctx.browser_launch_env = await self._protocol.prepare_browser_shims(host) or {}
            if hooks.before_execute is not None:
                await call(hooks.before_execute, self._hook_ctx)
        except Exception as error:
            self._finish(error)

    async def _work(self, group: TaskGroup) -> None:
        for worker in self._workers:
            group.start_soon(worker.run)
        if self._keywords:
            group.start_soon(self._follow)
        else:
            for worker in self._workers:
                worker.close()
        group.start_soon(self._run_body)
        await self._closing.wait()
        if not self._given_up:
            with self._clock.move_on_after(self._limits.drain) as self._draining:
                await self._all_answered()
        self._give_up("the session ended before it was handled")
        with self._clock.move_on_after(self._limits.last_words):
            await self._all_answered()
        if self._end is None:
            self._finish(SessionFailed(Failed(f"the body returned and no DONE came within {self._limits.grace:g} s")))

    async def _all_answered(self) -> None:
        for worker in self._workers:
            await worker.finished.wait()

    async def _run_body(self) -> None:
        try:
            await call(self._hooks.body, self._host, self._hook_ctx)
        except Exception as error:
            self._finish(error)
            return
        if not self._keywords:
            self._finish(Done(None))
        with self._clock.move_on_after(self._limits.grace):
            await self._closing.wait()
        self._closing.set()

    async def _follow(self) -> None:
        late = 0
        try:
            async with aclosing(self._log.entries(until=self._closing)) as entries:
                async for entry in entries:
                    await self._dispatcher.dispatch(entry.event)
                    if late or end_of(entry.event) is not None:
                        late += 1
                    if self._given_up or late > LATE_LINES:
                        return
        except LogChannelLost as lost:
            self._lost(lost)
        finally:
            for worker in self._workers:
                worker.close()

    @asynccontextmanager
    async def _looking_ahead(self) -> AsyncGenerator[None]:
        """While the reader stands still in here, a second one looks for the end."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._look_ahead)
            yield
            group.cancel_scope.cancel()

    async def _look_ahead(self) -> None:
        await self._clock.sleep(self._limits.look_ahead)
        try:
            async with aclosing(self._log.copy().entries(until=self._closing)) as entries:
                async for entry in entries:
                    if (end := end_of(entry.event)) is not None:
                        self._finish(end)
                        return
        except LogChannelLost as lost:
            self._lost(lost)

    async def _watch_for_cancel(self) -> None:
        while not self._given_up:
            await self._clock.sleep(self._limits.look)
            self._look_for_cancel()

    def _look_for_cancel(self) -> None:
        try:
            if self._ctx.should_continue():
                return
        except Exception:
            _log.warning("should_continue of %s raised; the session goes on", type(self._ctx).__name__, exc_info=True)
            return
        reason = "the process was asked to stop"
        if self._end is None:
            self._finish(Cancelled(reason))
        self._setting_up.cancel()
        self._give_up(f"the session was cancelled: {reason}")

    def _lost(self, lost: LogChannelLost) -> None:
        failure = SessionFailed(Lost(str(lost)))
        failure.__cause__ = lost
        self._finish(failure)

    def _finish(self, end: Done | Cancelled | Exception) -> None:
        """Fix how the session ends; only the first call does."""
        if self._end is None:
            self._end = end
            self._closing.set()
        elif str(end) != str(self._end):
            # A second reader may have found the same entry first; anything else is told.
            tell(self._ctx, None, f"After the end of the session: {end}")

    def _give_up(self, reason: str) -> None:
        """Nothing is worked on any more; what waits is answered with the reason."""
        self._given_up = True
        for worker in self._workers:
            worker.give_up(reason)
        self._dispatcher.give_up()
        self._draining.cancel()

    async def _after_execute(self) -> Exception | None:
        """Call the hook, whatever is going on around; what it raised."""
        if self._hooks.after_execute is None:
            return None
        with anyio.CancelScope(shield=True):
            try:
                await within(self._clock, self._limits.after_execute, call(self._hooks.after_execute, self._hook_ctx))
            except Exception as error:
                return error
        return None

    def _report(self, what: str, problem: Exception | None) -> None:
        if problem is not None:
            tell(self._ctx, None, f"{what} failed: {type(problem).__name__}: {problem}")


async def _say_nothing(line: str) -> None:
    """There is no way to the agent; what a callback had to say is reported where it is said."""


def _without_group(error: BaseException) -> BaseException:
    """The exception itself, out of the groups that task groups put around a single one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
