"""What can go wrong with a fake host and on the way to it: data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection breaks, and what is under way is lost.

    Attributes:
        back_after: seconds until the next one can be made; None: never.
    """

    back_after: float | None = 0.0


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """The connection is there and carries nothing more, until `noticed_after` seconds later it breaks."""

    noticed_after: float = 20.0


@dataclass(frozen=True, slots=True)
class Slow:
    """The connection carries so many bytes a second from now on; None: any number again."""

    bytes_per_second: float | None


@dataclass(frozen=True, slots=True)
class Reboot:
    """The machine restarts: its processes are gone, its files are there. `takes`: seconds until it can be reached."""

    takes: float = 30.0


@dataclass(frozen=True, slots=True)
class ClockJump:
    """The machine's wall clock is set forward by so many seconds, or back by negative ones."""

    seconds: float


@dataclass(frozen=True, slots=True)
class NoSpace:
    """The disk has room for so many bytes more; None: for any number again."""

    free: int | None = 0


@dataclass(frozen=True, slots=True)
class NoPermission:
    """Nothing at or below this path may be read or changed any more."""

    path: str


@dataclass(frozen=True, slots=True)
class Truncated:
    """A file is cut off at a size, as by a program that opens its log anew."""

    path: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another file takes the place of one, as when a log is rotated."""

    path: str
    content: bytes = b""


Effect = Drop | HalfOpen | Slow | Reboot | ClockJump | NoSpace | NoPermission | Truncated | Replaced
"""What happens."""


@dataclass(frozen=True, slots=True)
class AtTime:
    """After so many seconds of the host's clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AtByte:
    """When so many bytes have been carried between the host and here, both ways together.

    Attributes:
        count: the byte behind which it happens.
        operation: count only those of this method of the host; None: of all.
    """

    count: int
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class AtCall:
    """At a call of a method of the host.

    Attributes:
        operation: name of the method, such as "run_command".
        nth: which call of it; 1 is the first.
        answered: False: before anything of it is done; True: when all is done, and only the answer is still to come.
    """

    operation: str
    nth: int = 1
    answered: bool = False


@dataclass(frozen=True, slots=True)
class AtRandom:
    """At each call with this probability, thrown with the seed of the host.

    Attributes:
        chance: from 0 to 1.
        operation: only at calls of this method; None: of any.
    """

    chance: float
    operation: str | None = None


When = AtTime | AtByte | AtCall | AtRandom
"""When it happens. At random: as often as the dice say; else once."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong at some point."""

    effect: Effect
    when: When
