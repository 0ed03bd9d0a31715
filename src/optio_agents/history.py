"""Reading the history of a session: what was, then what comes, from any number on, by anybody."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from .events import Missing, Origin, Record, SessionEnded, event_from
from .journal import Page, Store


async def read_history(store: Store, session: str, after: int = 0) -> AsyncGenerator[Record]:
    """Every event behind number `after` that there is now; otherwise like `follow_history`."""
    last = (await store.snapshot(session)).last_seq
    while after < last:
        page = await store.events(session, after=after)
        for record in _records(session, page):
            after = record.seq
            yield record


async def follow_history(store: Store, session: str, after: int = 0) -> AsyncGenerator[Record]:
    """Every event behind number `after`, then each as it comes; ends behind `SessionEnded`.

    A reader that is slow holds up nobody: it reads the journal at its own pace, and may stop and go on at any number.
    Events that are no longer kept come as one `Missing`, with the number of the last of them. Raises SessionUnknown
    when the session is not there, or is removed meanwhile.
    """
    async with aclosing(follow_pages(store, session, after)) as pages:
        async for page in pages:
            for record in page:
                yield record


async def follow_pages(store: Store, session: str, after: int = 0) -> AsyncGenerator[list[Record]]:
    """The same, in pieces: what there is to read at each look."""
    # From the last event there is, at the latest: behind the end of a session nothing comes that could end this.
    at = min(after, max(0, (await store.snapshot(session)).last_seq - 1))
    change = 0
    while True:
        page = await store.events(session, after=at)
        records = list(_records(session, page))
        if records:
            at = records[-1].seq
            if unread := [each for each in records if each.seq > after]:
                yield unread
            if isinstance(records[-1].event, SessionEnded):
                return
        elif at >= page.last_seq:
            # The end of a damaged or an imported session may have no event, or one that cannot be read.
            snapshot = await store.snapshot(session)
            if snapshot.record.state == "ended" and at >= snapshot.last_seq:
                return
        if at >= page.last_seq:
            change = await store.news(session, change)


def _records(session: str, page: Page) -> Iterator[Record]:
    if page.gap is not None:
        yield Record(page.gap.last, 0.0, session, "session", Missing(page.gap.first, page.gap.last))
    for event in page.events:
        said = event_from(event.type, event.data)
        yield Record(event.seq, event.time, session, event.source, said, Origin.of_data(event.data))
