"""Pools of seeds, and leases: of the seeds of a pool each is in the hands of one holder at a time.

A lease is taken by one change of one document, so of many who ask at the same time each gets another seed, or none.
Time is that of whoever asks: the clocks of all who share a pool may differ by much less than `LEASE_TTL_SECONDS`.
"""

from optio_host.clock import SYSTEM_CLOCK, Clock

from .database import Database, Document, collection_of, moment
from .documents import named, set_fields

LEASE_TTL_SECONDS = 60
"""Seconds after which a lease that was not renewed is over. Published."""

DEAD = "dead"
"""The status of a seed that is not leased any more: its login does not work. Any other counts as alive."""


async def assign_to_pool(
    db: Database, *, prefix: str, suffix: str, seed_id: str, poolKey: str, clock: Clock = SYSTEM_CLOCK
) -> None:
    """Put a seed into a pool; it leaves the one it was in."""
    await set_fields(db, prefix, suffix, seed_id, {"poolKey": poolKey}, clock)


async def list_pool(
    db: Database, *, prefix: str, suffix: str, poolKey: str, clock: Clock = SYSTEM_CLOCK
) -> list[Document]:
    """The seeds of a pool, each as {"seedId", "status", "leased", "lastRefreshedAt", "lastVerifiedAt", "createdAt",
    "metadata"}; who holds them is not said."""
    collection = collection_of(db, prefix, suffix)
    # Asked of the database, whose times are compared with each other and never with those of this process.
    held = {"poolKey": poolKey, "lease.expiresAt": {"$gt": moment(clock)}}
    leased = {seed["_id"] async for seed in collection.find(held)}
    return [
        {
            "seedId": str(seed["_id"]),
            "status": seed.get("status") or "alive",
            "leased": seed["_id"] in leased,
            "lastRefreshedAt": seed.get("lastRefreshedAt") or seed.get("updatedAt"),
            "lastVerifiedAt": seed.get("lastVerifiedAt"),
            "createdAt": seed.get("createdAt"),
            "metadata": seed.get("metadata") or {},
        }
        async for seed in collection.find({"poolKey": poolKey})
    ]


async def acquire(
    db: Database, *, prefix: str, suffix: str, poolKey: str, holder: str, clock: Clock = SYSTEM_CLOCK
) -> str | None:
    """Lease the seed of a pool that was not leased for the longest time; its id, or None when none is free.

    Free is a seed that is not dead, and whose last lease was released or is over.
    """
    # Leases that are over are ended first, so that one plain condition tells what is free: both kinds in one query,
    # joined by $or, and $ne of a field that is not there, are more than wire-compatible servers understand.
    await _end_leases(db, prefix, suffix, {"poolKey": poolKey}, clock)
    taken = await collection_of(db, prefix, suffix).find_one_and_update(
        {"poolKey": poolKey, "status": {"$nin": [DEAD]}, "lease": None},
        {"$set": {"lease": _lease(holder, clock), "lastLeasedAt": moment(clock)}},
        # Those that were never leased have no such field, and come first.
        sort=[("lastLeasedAt", 1)],
    )
    return None if taken is None else str(taken["_id"])


async def renew_lease(
    db: Database, *, prefix: str, suffix: str, seed_id: str, holder: str, clock: Clock = SYSTEM_CLOCK
) -> bool:
    """Let a lease last `LEASE_TTL_SECONDS` from now. False when the holder no longer has it: stop using the seed.

    One that is over is still the holder's until somebody asks for a seed of the pool.
    """
    # The whole lease: some wire-compatible servers keep a date in it as a date only then.
    renewed = await collection_of(db, prefix, suffix).update_one(
        {**named(seed_id), "lease.holder": holder}, {"$set": {"lease": _lease(holder, clock)}}
    )
    return renewed.matched_count == 1


async def release(db: Database, *, prefix: str, suffix: str, seed_id: str, holder: str) -> None:
    """Give a lease back; nothing happens when the holder does not have it."""
    await collection_of(db, prefix, suffix).update_one(
        {**named(seed_id), "lease.holder": holder}, {"$set": {"lease": None}}
    )


async def mark_seed_status(
    db: Database, *, prefix: str, suffix: str, seed_id: str, status: str, clock: Clock = SYSTEM_CLOCK
) -> None:
    """Say how a seed is: "alive", or "dead" when its login does not work any more."""
    await set_fields(db, prefix, suffix, seed_id, {"status": status}, clock)


async def reap_expired_leases(db: Database, *, prefix: str, suffix: str, clock: Clock = SYSTEM_CLOCK) -> int:
    """End the leases that are over; how many these were. `acquire` does the same in its pool."""
    return await _end_leases(db, prefix, suffix, {}, clock)


async def _end_leases(db: Database, prefix: str, suffix: str, among: Document, clock: Clock) -> int:
    over = {**among, "lease.expiresAt": {"$lte": moment(clock)}}
    return (await collection_of(db, prefix, suffix).update_many(over, {"$set": {"lease": None}})).modified_count


def _lease(holder: str, clock: Clock) -> Document:
    return {"holder": holder, "expiresAt": moment(clock, LEASE_TTL_SECONDS)}
