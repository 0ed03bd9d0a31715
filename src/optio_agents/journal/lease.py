"""Who owns a session. Pure: time is handed in, and so is what is stored.

The generation decides, not the clock: it grows with every acquisition, and whatever an owner writes is refused unless
its generation is the current one. Time only says when another driver may try. A clock that jumps can therefore change
the owner too early or too late; it can never make two owners of one generation.
"""

from dataclasses import dataclass, replace

from ..errors import LeaseHeld, LeaseLost
from .documents import Driver

LEASE_TTL = 15.0
"""Seconds that a lease is good for after it was acquired or renewed."""
RENEW_EVERY = 5.0
"""Seconds between two renewals."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a session: what its owner hands in with everything it writes."""

    session: str
    generation: int


@dataclass(frozen=True, slots=True)
class LeaseState:
    """What is stored of a session's ownership.

    Attributes:
        generation: how often it was acquired.
        driver: who holds it; None: nobody, it was released or never acquired.
        renewed: when it was acquired or renewed last, in seconds since the epoch.
        ttl: seconds that it is good for from then on.
    """

    generation: int = 0
    driver: Driver | None = None
    renewed: float = 0.0
    ttl: float = 0.0

    def is_held(self, now: float) -> bool:
        """Whether a driver holds it and has renewed it in time.

        A renewal that lies a whole ttl or more in the future was made by a clock that has since gone back. It does not
        count: else the session could not be taken over for as long as the clock went back.
        """
        return self.driver is not None and abs(now - self.renewed) < self.ttl

    def acquired(
        self, session: str, driver: Driver, now: float, *, ttl: float = LEASE_TTL, taking_over: int | None = None
    ) -> "LeaseState":
        """The state in which `driver` holds it, one generation on.

        Parameters:
            session: id of the session, for the error.
            driver: who wants it.
            now: seconds since the epoch.
            ttl: seconds that it is to be good for.
            taking_over: the generation whose owner the caller has proved dead; it need not have expired.

        Raises:
            LeaseHeld: it is held, and not by the generation to be taken over.
        """
        if self.driver is not None and self.is_held(now) and taking_over != self.generation:
            raise LeaseHeld(session, self.generation, f"pid {self.driver.pid} on {self.driver.hostname}")
        return LeaseState(self.generation + 1, driver, now, ttl)

    def renewed_by(self, lease: Lease, now: float, *, ttl: float = LEASE_TTL) -> "LeaseState":
        """The state good for another ttl; an expired lease that nobody took over is renewed. LeaseLost if lost."""
        self.check(lease)
        return replace(self, renewed=now, ttl=ttl)

    def released_by(self, lease: Lease) -> "LeaseState":
        """The state in which nobody holds it; as it is when `lease` was lost or released before."""
        return replace(self, driver=None) if lease.generation == self.generation else self

    def check(self, lease: Lease) -> None:
        """LeaseLost unless the lease is of the current generation and was not released."""
        if lease.generation != self.generation or self.driver is None:
            raise LeaseLost(lease.session, lease.generation, self.generation)
