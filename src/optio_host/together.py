"""Many who ask a host the same thing at the same moment, and share one command for it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from .clock import Clock
from .errors import ConnectFailed, HostError, LinkLost

Question = TypeVar("Question")
Answer = TypeVar("Answer")

MOST = 1_000
"""Questions that one command answers."""


class _Asked(Generic[Question, Answer]):
    def __init__(self, question: Question) -> None:
        self.question = question
        self.answered = False
        self.answer: Answer | HostError


class Together(Generic[Question, Answer]):
    """Whoever comes first asks for all who wait; what comes meanwhile waits for the next command.

    Parameters:
        ask: answers several questions, in their order. Raises HostError when the host answers none.
    """

    def __init__(self, ask: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]]) -> None:
        self._ask = ask
        self._waiting: list[_Asked[Question, Answer]] = []
        self._turn = anyio.Lock()

    async def answer(self, question: Question) -> Answer:
        """The answer to one question. Raises HostError when the host does not answer."""
        asked = _Asked[Question, Answer](question)
        self._waiting.append(asked)
        try:
            await anyio.lowlevel.checkpoint()  # whose moment it is too comes along
            async with self._turn:
                if not asked.answered:
                    await self._ask_for_all()
        finally:
            if not asked.answered:
                self._waiting.remove(asked)
        if isinstance(asked.answer, HostError):
            raise _another(asked.answer)
        return asked.answer

    async def _ask_for_all(self) -> None:
        round = self._waiting[:MOST]
        answers: Sequence[Answer | HostError]
        try:
            answers = await self._ask([each.question for each in round])
        except HostError as error:
            answers = [error] * len(round)
        for each, answer in zip(round, answers, strict=True):
            each.answer = answer
            each.answered = True
        self._waiting = [each for each in self._waiting if not each.answered]


def _another(error: HostError) -> HostError:
    """An error of one's own: one that is raised in many places names all of them. Whether to try again is kept."""
    match error:
        case LinkLost():
            return LinkLost(str(error))
        case ConnectFailed(host=host, step=step, reason=reason, final=final):
            return ConnectFailed(host, step, reason, final=final)
        case _:
            return HostError(str(error))


def until_next(seconds: float, clock: Clock) -> float:
    """How long to wait for the next of the moments, so many seconds apart, at which everybody asks."""
    left = seconds - clock.monotonic() % seconds
    # A timer may go off a nanosecond early; the moment is this one then, and not to be waited for once more.
    return left if left > seconds / 100 else left + seconds
