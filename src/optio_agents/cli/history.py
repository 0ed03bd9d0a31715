"""The events of a session from a number on, however few there are."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ..events import Record
from ..history import follow_history
from ..journal import Store


async def history_from(store: Store, session: str, first: int) -> AsyncGenerator[Record]:
    """Event number `first` and all behind it, then each as it comes; ends with the session, whatever its length."""
    # From the last event there is, at the latest: behind the end of a session nothing ever comes that could end this.
    last = (await store.snapshot(session)).last_seq
    async with aclosing(follow_history(store, session, max(0, min(first, last) - 1))) as records:
        async for record in records:
            if record.seq >= first:
                yield record
