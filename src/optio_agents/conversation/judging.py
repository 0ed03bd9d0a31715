"""A session's policy at work: it answers what it allows or denies, and leaves the rest to a handler or a person."""

from collections.abc import Awaitable, Callable, Mapping

import anyio

from optio_host.clock import Clock
from optio_host.errors import HostError
from optio_host.host import RunsCommands

from ..journal import Question, SessionRecord
from ..patience import until_reached
from ..permissions import Decision, Policy, ToolCall, as_written
from ..permissions.resolving import resolved
from ..task_directory import paths_for_program
from .contract import PermissionDecision, PermissionRequest
from .questions import tool_of

Answer = Callable[[str, PermissionDecision, str], Awaitable[object]]
"""Answers a question, given its id, the decision and who decides."""

POLICY = "the policy"
"""Who answers, as the journal has it."""


def call_of(record: SessionRecord, request: PermissionRequest) -> ToolCall:
    """What a policy is asked about, when an agent asks this."""
    body = request.raw.get("request", request.raw)
    subagent = body.get("agent_id") if isinstance(body, dict) else None
    return ToolCall(
        request.tool_name,
        request.input,
        cwd=record.cwd,
        taskdir=record.taskdir,
        host=record.host,
        agent=record.agent,
        subagent=subagent if isinstance(subagent, str) else None,
        variables=paths_for_program(record),
    )


def asked_of(record: SessionRecord, question: Question) -> tuple[ToolCall, Mapping[str, str | None]]:
    """The same of a question in a journal, and where its paths led: as they say, where no policy has judged it."""
    tool, tool_input = tool_of(question)
    call = call_of(record, PermissionRequest(tool, dict(tool_input), dict(question.data)))
    return call, {**as_written(call), **(question.paths or {})}


def denial_in_words(decision: Decision) -> str:
    """What the agent is told of what a policy denies."""
    why = f": {decision.because.why}" if decision.because.why else ""
    return f"A policy denies this: {decision.because.what}{why}"


class Judging:
    """The policy of one session, and the questions that it leaves open.

    Parameters:
        policy: what it says.
        host: where the agent runs, and the paths lead.
        record: the session.
        questions: those that wait for it now.
        request_of: a question as it was asked.
        note_paths: notes where the paths of a question led, if that is elsewhere than they say.
        answer: how a question is answered.
        leave: leaves a question to others.
        clock: time, for tests.
    """

    def __init__(
        self,
        policy: Policy,
        host: RunsCommands,
        record: SessionRecord,
        questions: Callable[[], tuple[Question, ...]],
        request_of: Callable[[Question], PermissionRequest],
        note_paths: Callable[[Question, Mapping[str, str | None]], None],
        answer: Answer,
        leave: Callable[[Question], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._host = host
        self._record = record
        self._questions = questions
        self._request_of = request_of
        self._note_paths = note_paths
        self._answer = answer
        self._leave = leave
        self._clock = clock
        self._changed = anyio.Event()

    def changed(self) -> None:
        """Questions were asked or closed."""
        self._changed.set()

    async def run(self) -> None:
        """Judge each question once, in the order they were asked, for as long as the conversation lasts.

        Raises what `answer` raises of the journal, when an answer cannot be written down.
        """
        while True:
            self._changed = anyio.Event()
            for question in self._questions():
                await self._judge(question)
            await self._changed.wait()

    async def denial(self, request: PermissionRequest) -> str | None:
        """Why the policy denies this, for the agent; None when it does not."""
        decision, _ = await self._decide(request)
        return denial_in_words(decision) if decision.verdict == "deny" else None

    async def _judge(self, question: Question) -> None:
        decision, elsewhere = await self._decide(self._request_of(question))
        self._note_paths(question, elsewhere)
        if decision.verdict == "ask":
            await self._leave(question)
            return
        rule = decision.because.rule
        by = f"{POLICY}: {rule}" if rule else POLICY
        if decision.verdict == "allow":
            await self._answer(question.id, PermissionDecision("allow"), by)
        else:
            await self._answer(question.id, PermissionDecision("deny", message=denial_in_words(decision)), by)

    async def _decide(self, request: PermissionRequest) -> tuple[Decision, Mapping[str, str | None]]:
        """The decision, and where the paths led that do not lead where they say."""
        call = call_of(self._record, request)
        # In a thread: a command may be made so that reading it takes most of a second.
        written = await anyio.to_thread.run_sync(as_written, call)
        try:
            leads_to = await until_reached(lambda: resolved(self._host, tuple(written)), self._clock)
        except (HostError, OSError):
            leads_to = {}  # what is not resolved is not allowed
        elsewhere = {path: leads_to.get(path) for path, said in written.items() if leads_to.get(path) != said}
        return await anyio.to_thread.run_sync(self._policy.decide, call, leads_to), elsewhere
