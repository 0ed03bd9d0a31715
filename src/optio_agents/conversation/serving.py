"""The hooks and tools of this driver at work: each call of the agent gets one answer, whatever they do."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from optio_host.clock import Clock
from optio_host.cursor import Cursor

from ..errors import JournalError
from ..events import Notice
from ..extensions.arguments import BadArguments
from ..extensions.given import Extensions
from ..extensions.hooks import HookDecision, PreToolUse, PreToolUseDecision
from ..extensions.running import Threads
from ..extensions.tools import ToolContext, ToolFailed, ToolResult, bounded
from ..journal import OpenCall, SessionRecord
from ..journal_writer import JournalWriter, Said
from .calls import Calls
from .compose import answer_line
from .contract import PermissionRequest
from .events import HookAnswered, HookFailed, ToolAnswered, ToolProgress
from .hook_calls import answer_of, decision_of, default_of, input_of, redacted, word_of
from .mcp import call_in, result_line
from .messages import HookAsked, McpAsked

_log = logging.getLogger(__name__)

WITHOUT_TOOL = 30.0
"""Seconds after which a call is answered whose tool this driver does not have: another one may come that has it."""

PROGRESS_EVERY = 0.2
"""Seconds between two notes of how far the tools are."""

KEPT_RESULT = 4 * 1024
"""Characters of what a tool gave back that go into an event."""

ReadAgain = Callable[[Cursor], Awaitable[HookAsked | McpAsked | None]]
"""What the agent said at a place of its output; None when that is not there any more."""

Answer = Callable[[str, bytes, list[Said]], Awaitable[bool]]
"""Sends a line as the answer to a call, with events, if it is still open."""

Denial = Callable[[PermissionRequest], Awaitable[str | None]]
"""Why the session's policy denies the use of a tool; None: it does not."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call: what goes to the agent, and what is noted."""

    line: bytes
    said: list[Said]


class Serving:
    """Answers the calls of one conversation.

    Parameters:
        extensions: what this driver has.
        calls: those that the agent has made.
        writer: the journal.
        read_again: for calls that another driver has heard.
        answer: how a call is answered.
        denial: asks the policy.
        clock: time, for tests.
    """

    def __init__(
        self,
        extensions: Extensions,
        calls: Calls,
        writer: JournalWriter,
        read_again: ReadAgain,
        answer: Answer,
        denial: Denial,
        clock: Clock,
    ) -> None:
        self._extensions = extensions
        self._calls = calls
        self._writer = writer
        self._read_again = read_again
        self._answer = answer
        self._denial = denial
        self._clock = clock
        self._threads = Threads()
        self._running: dict[str, anyio.CancelScope] = {}
        self._progress: dict[str, ToolProgress] = {}
        self._reported = anyio.Event()
        self._changed = anyio.Event()
        self._failure: JournalError | None = None

    @property
    def _record(self) -> SessionRecord:
        return self._writer.record

    def changed(self) -> None:
        """Calls were made or closed."""
        self._changed.set()

    async def run(self) -> None:
        """Answer each call, for as long as the conversation lasts. Raises what the journal raises."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._note_progress)
            while self._failure is None:
                self._changed = anyio.Event()
                self._look(tasks)
                await self._changed.wait()
            tasks.cancel_scope.cancel()
        assert self._failure is not None
        raise self._failure

    def _look(self, tasks: TaskGroup) -> None:
        for call_id in [each for each in self._running if not self._calls.is_open(each)]:
            self._running.pop(call_id).cancel()  # it was withdrawn
        assert self._record.conversation is not None
        # Those that are committed: the next driver must know of each that was begun.
        for call in self._record.conversation.calls:
            if call.id not in self._running and self._calls.is_open(call.id):
                self._running[call.id] = anyio.CancelScope()
                tasks.start_soon(self._serve, call, self._running[call.id])

    async def _serve(self, call: OpenCall, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                reply = await self._reply(call)
                with anyio.CancelScope(shield=True):
                    await self._commit_progress()
                    await self._answer(call.id, reply.line, reply.said)
            except JournalError as error:  # raised by `run`: from in here it would come out in a group
                self._failure = error
                self._changed.set()

    async def _reply(self, call: OpenCall) -> Reply:
        asked = self._calls.heard(call.id)
        redelivered = asked is None
        asked = asked or await self._read_again(Cursor(*call.place))
        if call.kind == "hook":
            return await self._call_hook(call, asked if isinstance(asked, HookAsked) else None, redelivered)
        return await self._call_tool(call, asked if isinstance(asked, McpAsked) else None, redelivered)

    async def _call_hook(self, call: OpenCall, asked: HookAsked | None, redelivered: bool) -> Reply:
        assert self._record.conversation is not None
        event = next(each.event for each in self._record.conversation.hooks if each.name == call.name)
        hook = self._extensions.hooks.get(call.name)
        kind = problem = ""
        decision: HookDecision
        if asked is None:
            kind = problem = "what it was called for cannot be read again"
        elif hook is None:
            kind = problem = "the program that drives the session does not have it"
        else:
            given = input_of(event, asked, redelivered=redelivered)
            with self._clock.move_on_after(hook.timeout) as limit:
                try:
                    decision = decision_of(event, await self._threads.run(hook.function, given))
                    if isinstance(decision, PreToolUseDecision) and isinstance(given, PreToolUse):
                        decision = await self._checked(decision, given)
                    line = answer_line(call.id, answer_of(redacted(decision, self._writer.redact)))
                except Exception as error:
                    _log.exception("hook %s failed", call.name)
                    kind, problem = type(error).__name__, f"{type(error).__name__}: {error}"
            if limit.cancelled_caught:
                kind = problem = f"no answer within {hook.timeout:g} s"
        if problem:
            decision = default_of(event, call.name, kind)
            failed = HookFailed(call.id, call.name, problem, word_of(decision)[0])
            return Reply(answer_line(call.id, answer_of(decision)), [Said(failed, "hook")])
        return Reply(line, [Said(HookAnswered(call.id, call.name, *word_of(decision)), "hook")])

    async def _checked(self, decision: PreToolUseDecision, given: PreToolUse) -> PreToolUseDecision:
        """The same, unless it allows what the policy denies: the agent asks nobody about what a hook has allowed."""
        if decision.behavior != "allow":
            return decision
        arguments = given.input if decision.updated_input is None else decision.updated_input
        why = await self._denial(PermissionRequest(given.tool_name, dict(arguments), dict(given.raw)))
        return decision if why is None else PreToolUseDecision("deny", reason=why)

    async def _call_tool(self, call: OpenCall, asked: McpAsked | None, redelivered: bool) -> Reply:
        assert self._record.conversation is not None
        found = None if asked is None else call_in(asked, self._record.conversation.tools)
        tool = self._extensions.tools.get(call.name)
        notes: list[Said] = []
        if found is None:
            result = ToolResult("The tool was not called: its arguments cannot be read again.", is_error=True)
        elif tool is None:
            await self._clock.sleep(max(0.0, call.asked + WITHOUT_TOOL - self._clock.time()))
            text = "The program that drives this session now does not have this tool."
            result = ToolResult(text, is_error=True)
        else:
            context = ToolContext(call.id, redelivered, self._record.id, self._reporter(call.id))
            timeout = tool.document().timeout
            result = ToolResult(f"The tool has not answered within {timeout:g} s.", is_error=True)
            try:
                with self._clock.move_on_after(timeout):
                    try:
                        result = await tool.call(found.arguments, context, self._threads)
                    except BadArguments as error:
                        result = ToolResult(f"These arguments are not right: {error}", is_error=True)
                    except ToolFailed as error:
                        result = ToolResult(str(error), is_error=True)
                    except Exception as error:
                        # The agent learns the kind of the error only: its text may hold what is not for it.
                        _log.exception("tool %s failed", call.name)
                        notes = [Said(Notice(f"tool {call.name} failed: {type(error).__name__}: {error}"), "hook")]
                        result = ToolResult(f"The tool has failed: {type(error).__name__}.", is_error=True)
            finally:
                context.given_up.set()
        text = bounded(self._writer.redact(result.text))
        answered = ToolAnswered(call.id, text[:KEPT_RESULT], len(text), result.is_error)
        line = result_line(call.id, call.rpc, text, is_error=result.is_error)
        return Reply(line, [*notes, Said(answered, "hook")])

    def _reporter(self, call_id: str) -> Callable[[str, float | None], None]:
        loop = asyncio.get_running_loop()

        def report(message: str, fraction: float | None) -> None:
            # From any thread: only the latest counts.
            self._progress[call_id] = ToolProgress(call_id, fraction, message[:KEPT_RESULT])
            with suppress(RuntimeError):  # the loop is closed: nobody drives any more
                loop.call_soon_threadsafe(lambda: self._reported.set())

        return report

    async def _note_progress(self) -> None:
        try:
            while True:
                await self._reported.wait()
                await self._commit_progress()
                await self._clock.sleep(PROGRESS_EVERY)
        except JournalError as error:
            self._failure = error
            self._changed.set()

    async def _commit_progress(self) -> None:
        self._reported = anyio.Event()
        progress, self._progress = self._progress, {}
        said = [Said(each, "hook") for each in progress.values() if self._calls.is_open(each.id)]
        if said:
            await self._writer.commit(*said)
