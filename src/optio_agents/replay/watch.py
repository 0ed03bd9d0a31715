"""What the session of a replay has come to, for who waits for it."""

from collections.abc import Callable

from optio_host.clock import Clock

from ..events import SessionEvent, event_from
from ..journal import Question, Store

PATIENCE = 1000.0
"""Seconds on the clock of the replay in which the session must have done what it did then: a reminder takes 600."""


class Watch:
    """Waits for what a session does, as long as that may take.

    Parameters:
        store: where its journal is.
        session: its id.
        clock: time in the replay.
        patience: seconds on it; behind them it never does.
    """

    def __init__(self, store: Store, session: str, clock: Clock, patience: float) -> None:
        self._store = store
        self._session = session
        self._clock = clock
        self._patience = patience
        self._seen: list[tuple[str, SessionEvent]] = []

    async def events(self) -> list[tuple[str, SessionEvent]]:
        """Everything that has happened, each with its source."""
        while page := (await self._store.events(self._session, after=len(self._seen))).events:
            self._seen += [(each.source, event_from(each.type, each.data)) for each in page]
        return self._seen

    async def event(self, wanted: Callable[[str, SessionEvent], bool], nth: int = 1) -> SessionEvent | None:
        """The nth event of a kind, by its source and itself; None: it never comes, or nth is 0."""
        change = 0
        with self._clock.move_on_after(self._patience):
            while nth:
                found = [event for source, event in await self.events() if wanted(source, event)]
                if len(found) >= nth:
                    return found[nth - 1]
                change = await self._store.news(self._session, change)
        return None

    async def judged(self, question: str) -> bool:
        """Once a question has been asked, and the policy has decided on it or left it; False: it never is."""
        return await self._question(question, lambda found: found.status != "open" or found.waits_for == "person")

    async def closed(self, question: str) -> bool:
        """Once a question was answered or withdrawn; False: it never is."""
        return await self._question(question, lambda found: found.status != "open")

    async def _question(self, question: str, holds: Callable[[Question], bool]) -> bool:
        change = 0
        with self._clock.move_on_after(self._patience):
            while True:
                asked = (await self._store.snapshot(self._session)).questions
                if any(holds(each) for each in asked if each.id == question):
                    return True
                change = await self._store.news(self._session, change)
        return False
