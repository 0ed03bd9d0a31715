"""A seed of a pool is in the hands of one holder at a time, and all get their turn."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import anyio
import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from seeds_rig import SeedContext, seed_context

from mongo_rig import CANCELLED_CONNECTS, mongo_url
from optio_agents import seeds
from optio_host.testing.clock import ManualClock

pytestmark = CANCELLED_CONNECTS

Run = Callable[[Callable[[], Awaitable[object]]], None]

SUFFIX = "_seeds"
TTL = seeds.LEASE_TTL_SECONDS


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mongo_url(tmp_path_factory.mktemp("database")) as url:
        yield url


class Pool:
    """A pool in the database, with a clock of the test's."""

    def __init__(self, ctx: SeedContext) -> None:
        self.db, self.names = ctx._db, {"prefix": ctx._prefix, "suffix": SUFFIX}
        self.clock = ManualClock()

    async def fill(self, count: int) -> list[str]:
        made = []
        for _ in range(count):
            seed = await seeds.insert_seed(self.db, **self.names, blob_id=ObjectId(), manifest_version=1)
            await seeds.assign_to_pool(self.db, **self.names, seed_id=seed, poolKey="pool")
            made.append(seed)
        return made

    async def acquire(self, holder: str) -> str | None:
        return await seeds.acquire(self.db, **self.names, poolKey="pool", holder=holder, clock=self.clock)

    async def renew(self, seed: str, holder: str) -> bool:
        return await seeds.renew_lease(self.db, **self.names, seed_id=seed, holder=holder, clock=self.clock)

    async def release(self, seed: str, holder: str) -> None:
        await seeds.release(self.db, **self.names, seed_id=seed, holder=holder)

    async def mark(self, seed: str, status: str) -> None:
        await seeds.mark_seed_status(self.db, **self.names, seed_id=seed, status=status)

    async def reap(self) -> int:
        return await seeds.reap_expired_leases(self.db, **self.names, clock=self.clock)

    async def leased(self) -> set[str]:
        listed = await seeds.list_pool(self.db, **self.names, poolKey="pool", clock=self.clock)
        return {str(each["seedId"]) for each in listed if each["leased"]}


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
def test_of_64_who_ask_at_once_each_gets_another_seed_or_none(run: Run, url: str, driver: str) -> None:
    async def body() -> None:
        async with seed_context(url, driver) as ctx:  # type: ignore[arg-type]
            pool = Pool(ctx)
            made = await pool.fill(5)
            taken: list[str | None] = []

            async def ask(holder: str) -> None:
                taken.append(await pool.acquire(holder))

            async with anyio.create_task_group() as group:
                for number in range(64):
                    group.start_soon(ask, f"holder-{number}")
            assert sorted(each for each in taken if each is not None) == sorted(made)
            assert taken.count(None) == 59
            assert await pool.leased() == set(made)

    run(body)


@dataclass
class Expected:
    """What is known of a seed."""

    holder: str | None = None
    expires: float = 0.0
    turn: int = 0
    dead: bool = False


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "acquire", "renew", "release", "wait", "mark", "reap"]),
        st.integers(0, 2),
        st.sampled_from(["first", "second"]),
        st.sampled_from([1, 20, TTL - 1, TTL]),
    ),
    max_size=25,
)


def test_whatever_holders_do_a_seed_has_one_and_the_longest_unused_one_is_next(run: Run, url: str) -> None:
    async def body() -> None:
        async with seed_context(url) as ctx:
            # Hypothesis calls a plain function, from a thread of its own.
            @settings(max_examples=60)
            @given(ACTIONS)
            def try_out(actions: list[tuple[str, int, str, int]]) -> None:
                anyio.from_thread.run(follow_along, SeedContext(ctx._db), actions)

            await anyio.to_thread.run_sync(try_out)

    run(body)


async def follow_along(ctx: SeedContext, actions: list[tuple[str, int, str, int]]) -> None:
    pool = Pool(ctx)
    made = await pool.fill(3)
    known = {seed: Expected() for seed in made}
    for turn, (action, number, holder, seconds) in enumerate(actions, 1):
        # Each at another moment, as the order of leases is told by their times.
        await pool.clock.advance(0.001)
        now, seed = pool.clock.time(), made[number]
        expected = known[seed]
        match action:
            case "acquire":
                taken = await pool.acquire(holder)
                for each in known.values():
                    each.holder = None if over(each, now) else each.holder
                free = [each for each in made if not known[each].dead and known[each].holder is None]
                first = min((known[each].turn for each in free), default=0)
                assert (taken is None) == (not free)
                if taken is not None:
                    assert taken in [each for each in free if known[each].turn == first]
                    known[taken] = Expected(holder, now + TTL, turn)
            case "renew":
                assert await pool.renew(seed, holder) == (expected.holder == holder)
                if expected.holder == holder:
                    expected.expires = now + TTL
            case "release":
                await pool.release(seed, holder)
                if expected.holder == holder:
                    expected.holder = None
            case "wait":
                await pool.clock.advance(seconds)
            case "mark":
                expected.dead = not expected.dead
                await pool.mark(seed, "dead" if expected.dead else "alive")
            case "reap":
                gone = [each for each in known.values() if each.holder is not None and over(each, now)]
                assert await pool.reap() == len(gone)
                for each in gone:
                    each.holder = None
        now = pool.clock.time()
        assert await pool.leased() == {each for each, lease in known.items() if not over(lease, now)}


def over(lease: Expected, now: float) -> bool:
    # As dates are kept: to the millisecond.
    return lease.holder is None or round(lease.expires, 3) <= round(now, 3)


def test_a_pool_says_how_its_seeds_are(run: Run, url: str) -> None:
    async def body() -> None:
        async with seed_context(url, "pymongo") as ctx:
            pool = Pool(ctx)
            (seed,) = await pool.fill(1)
            await seeds.declare_metadata(ctx._db, **pool.names, seed_id=seed, metadata={"account": "a"})
            assert await pool.acquire("me") == seed
            (listed,) = await seeds.list_pool(ctx._db, **pool.names, poolKey="pool", clock=pool.clock)
            assert set(listed) == {
                "seedId", "status", "leased", "lastRefreshedAt", "lastVerifiedAt", "createdAt", "metadata",
            }  # fmt: skip
            assert (listed["seedId"], listed["status"], listed["leased"]) == (seed, "alive", True)
            assert listed["metadata"] == {"account": "a"}
            assert await seeds.list_pool(ctx._db, **pool.names, poolKey="another") == []
            assert not await pool.renew("no id", "me")

    run(body)
