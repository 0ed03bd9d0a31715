"""A handler that answers the agent's questions. Whatever it does, each question gets at most one answer from it."""

import logging
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from ..errors import JournalError
from ..journal import Question
from ..protocol.callbacks import call
from .contract import PermissionDecision, PermissionHandler, PermissionRequest, Unsubscribe

_log = logging.getLogger(__name__)

Answer = Callable[[str, PermissionDecision, str], Awaitable[object]]
"""Answers a question, given its id, the decision and who decides."""

HANDLER = "the permission handler"
"""Who answers, as the journal has it."""


class Deciding:
    """The one handler there may be at a time, and its calls.

    Parameters:
        open_questions: those that wait for an answer now.
        request_of: a question as the handler gets it.
        answer: how a question is answered.
    """

    def __init__(
        self,
        open_questions: Callable[[], tuple[Question, ...]],
        request_of: Callable[[Question], PermissionRequest],
        answer: Answer,
    ) -> None:
        self._open_questions = open_questions
        self._request_of = request_of
        self._answer = answer
        self._handler: PermissionHandler | None = None
        self._calls: dict[str, anyio.CancelScope] = {}
        self._changed = anyio.Event()
        self._failure: JournalError | None = None

    def register(self, handler: PermissionHandler) -> Unsubscribe:
        """Let a handler decide, also on what is open already. Another one that was there decides no more."""
        self._forget_calls()
        self._handler = handler
        self._changed.set()

        def unsubscribe() -> None:
            if self._handler is handler:
                self._handler = None
                self._forget_calls()

        return unsubscribe

    @property
    def attended(self) -> bool:
        """Whether a handler is there."""
        return self._handler is not None

    def changed(self) -> None:
        """Questions were asked or closed."""
        self._changed.set()

    async def run(self) -> None:
        """Call the handler for each open question, for as long as the conversation lasts.

        Raises what `answer` raises, when a decision cannot be written down.
        """
        async with anyio.create_task_group() as tasks:
            while self._failure is None:
                self._changed = anyio.Event()
                self._look(tasks)
                await self._changed.wait()
            tasks.cancel_scope.cancel()
        assert self._failure is not None
        raise self._failure

    def _look(self, tasks: TaskGroup) -> None:
        questions = {each.id: each for each in self._open_questions()}
        for question_id in [each for each in self._calls if each not in questions]:
            self._calls.pop(question_id).cancel()  # somebody else was faster, or it was withdrawn
        if self._handler is None:
            return
        for question in questions.values():
            if question.id not in self._calls:
                self._calls[question.id] = anyio.CancelScope()
                tasks.start_soon(self._call, question, self._handler, self._calls[question.id])

    def _forget_calls(self) -> None:
        for scope in self._calls.values():
            scope.cancel()
        self._calls.clear()

    async def _call(self, question: Question, handler: PermissionHandler, scope: anyio.CancelScope) -> None:
        with scope:
            decision = await self._decision(handler, self._request_of(question))
            if self._calls.get(question.id) is not scope:
                return
            with anyio.CancelScope(shield=True):
                try:
                    await self._answer(question.id, decision, HANDLER)
                except JournalError as error:  # raised by `run`: from in here it would come out in a group
                    self._failure = error
                    self._changed.set()
                except (ValueError, TypeError) as error:
                    _log.error("the permission handler's decision cannot be sent: %s", error)
                    await self._answer(question.id, _failed(type(error).__name__), HANDLER)

    async def _decision(self, handler: PermissionHandler, request: PermissionRequest) -> PermissionDecision:
        try:
            decision = await call(handler, request)
        except Exception as error:
            _log.exception("the permission handler failed")
            return _failed(type(error).__name__)
        if not isinstance(decision, PermissionDecision):
            _log.error("the permission handler returned %r, which is no PermissionDecision", decision)
            return _failed(f"it returned a {type(decision).__name__}")
        return decision


def _failed(how: str) -> PermissionDecision:
    # The agent learns the kind of the error only: its text may hold what is not for it.
    return PermissionDecision("deny", message=f"The one who decides on this has failed ({how}); nobody has allowed it.")
