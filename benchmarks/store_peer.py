"""The peer of store.py: 64 producers, one INSERT and one commit for each through aiosqlite. Prints appends per second.

python benchmarks/store_peer.py FILE APPENDS_OF_EACH
"""

import asyncio
import sys
import time

import aiosqlite

PRODUCERS = 64
TEXT = "STATUS: 42% compiling the third of seven modules"


async def measure(path: str, each: int) -> float:
    async with aiosqlite.connect(path) as connection:
        await connection.execute("PRAGMA journal_mode=WAL")
        await connection.execute("PRAGMA synchronous=FULL")
        await connection.execute(
            "CREATE TABLE events (session TEXT, seq INTEGER, data TEXT, PRIMARY KEY (session, seq))"
        )
        one_at_a_time = asyncio.Lock()  # without it, one commit may be for the inserts of several

        async def produce(producer: int) -> None:
            for n in range(each):
                async with one_at_a_time:
                    await connection.execute("INSERT INTO events VALUES (?,?,?)", (f"s{producer}", n, TEXT))
                    await connection.commit()

        begun = time.perf_counter()
        await asyncio.gather(*(produce(producer) for producer in range(PRODUCERS)))
        return PRODUCERS * each / (time.perf_counter() - begun)


if __name__ == "__main__":
    print(asyncio.run(measure(sys.argv[1], int(sys.argv[2]))))
