"""Ownership, as arithmetic: whatever the clocks say, a generation has one owner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optio_agents.errors import LeaseHeld, LeaseLost
from optio_agents.journal.documents import Driver
from optio_agents.journal.lease import LEASE_TTL, Lease, LeaseState

DRIVERS = tuple(Driver(id=f"d{n}", hostname="here", pid=n) for n in range(3))
TIMES = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(st.sampled_from(["acquire", "renew", "release", "take over"]), st.integers(0, 2), TIMES)))
def test_a_clock_that_jumps_never_gives_a_generation_two_owners(steps: list[tuple[str, int, float]]) -> None:
    state = LeaseState()
    leases: dict[int, Lease] = {}
    owners: dict[int, int] = {}
    for step, who, now in steps:
        generation = state.generation
        mine = leases.get(who)
        try:
            match step:
                case "acquire" | "take over":
                    taking_over = generation if step == "take over" else None
                    state = state.acquired("s", DRIVERS[who], now, taking_over=taking_over)
                    leases[who] = Lease("s", state.generation)
                    assert state.generation not in owners
                    owners[state.generation] = who
                case "renew" if mine:
                    state = state.renewed_by(mine, now)
                case "release" if mine:
                    state = state.released_by(mine)
        except (LeaseHeld, LeaseLost):
            assert state.generation == generation
        valid = [each for each in leases.values() if accepted(state, each)]
        assert len(valid) == (state.driver is not None)


def accepted(state: LeaseState, lease: Lease) -> bool:
    try:
        state.check(lease)
    except LeaseLost:
        return False
    return True


def test_a_lease_runs_out_after_its_ttl_and_not_before() -> None:
    state = LeaseState().acquired("s", DRIVERS[0], 100.0)
    assert state.is_held(100.0 + LEASE_TTL - 0.001)
    assert not state.is_held(100.0 + LEASE_TTL)
    with pytest.raises(LeaseHeld, match="pid 0 on here"):
        state.acquired("s", DRIVERS[1], 100.0)


def test_a_clock_that_went_back_does_not_lock_the_session_for_as_long() -> None:
    state = LeaseState().acquired("s", DRIVERS[0], 1_000_000.0)
    assert state.acquired("s", DRIVERS[1], 5.0).generation == 2


def test_a_proof_of_death_is_good_for_one_generation_only() -> None:
    state = LeaseState().acquired("s", DRIVERS[0], 0.0)
    taken = state.acquired("s", DRIVERS[1], 0.0, taking_over=1)
    with pytest.raises(LeaseHeld):
        taken.acquired("s", DRIVERS[2], 0.0, taking_over=1)
