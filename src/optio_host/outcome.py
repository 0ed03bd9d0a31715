"""The only ways in which anything that runs on a host ends. A closed union: match it exhaustively."""

import signal
from dataclasses import dataclass
from typing import assert_never


@dataclass(frozen=True, slots=True)
class Exited:
    """It ran to its own end, with this exit status (0 to 255)."""

    code: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """It was ended by a signal that this side did not send on purpose (or sent on a caller's request)."""

    signal: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """It was still running after this many seconds and was killed for it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It was killed because whoever waited for it gave up."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody can say how it ended: the link broke, the machine restarted, the one who held it was killed."""

    reason: str


Outcome = Exited | Signalled | TimedOut | Cancelled | Lost


def from_returncode(returncode: int) -> Exited | Signalled:
    """The outcome behind a return code in Python's convention, where -9 means killed by signal 9."""
    return Signalled(-returncode) if returncode < 0 else Exited(returncode)


def exit_code(outcome: Outcome) -> int:
    """One number for callers that only look at a number: 0 means success and nothing else does.

    The published surface gives a death by signal as the negative signal number. A time-out is 124, as timeout(1) has
    it, a cancel 130, as shells have it for Ctrl-C, and a lost process 255, as ssh(1) has it.
    """
    match outcome:
        case Exited(code):
            return code
        case Signalled(number):
            return -number
        case TimedOut():
            return 124
        case Cancelled():
            return 130
        case Lost():
            return 255
        case _:
            assert_never(outcome)


def describe(outcome: Outcome) -> str:
    """The outcome in a few words for a person: "exited with status 3", "killed by SIGTERM"."""
    match outcome:
        case Exited(code):
            return f"exited with status {code}"
        case Signalled(number):
            return f"killed by {signal_name(number)}"
        case TimedOut(seconds):
            return f"stopped after {seconds:g} s, its time limit"
        case Cancelled():
            return "cancelled"
        case Lost(reason):
            return f"lost: {reason}"
        case _:
            assert_never(outcome)


def signal_name(number: int) -> str:
    """The name of a signal ("SIGTERM"), or "signal N" where this platform has none for it."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
