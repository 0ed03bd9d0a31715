"""Durable appends to the journal, with the functions of journal_appends.py, as a row of the table."""

import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import published
from command_line import main
from table import Row, TimesAsMuch, by_turns


async def appends(quick: bool) -> list[Row]:
    """64 producers at once; the peer commits each by itself."""
    # Behind everything of ours: only aiosqlite is wanted of it.
    sys.path.append(published.packages(published.AIOSQLITE))
    import journal_appends

    def rate(kind: Callable[[Path, int], Awaitable[float]], each: int) -> Callable[[], Awaitable[float]]:
        async def measured() -> float:
            with tempfile.TemporaryDirectory(prefix="optio-bench-") as directory:
                return await kind(Path(directory), 10 if quick else each)

        return measured

    sides = [
        rate(journal_appends.ours, 2_000), rate(journal_appends.peer, 60), rate(journal_appends.ours_by_eights, 500)
    ]  # fmt: skip
    ours, peer, eights = await by_turns(1 if quick else 3, sides)
    note = f"64 producers, one event to a commit; with eight {eights:,.0f}"
    peer_is = f"{published.AIOSQLITE}, one commit each"
    return [Row("durable journal appends, SQLite", "/s", ours, peer, peer_is, TimesAsMuch(30), note)]


ROWS = {"journal": appends}


if __name__ == "__main__":
    main("Durable journal appends beside aiosqlite.", ROWS)
