"""Waiting until something is seen that another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 40.0
"""Seconds in which something must have come of what was done."""

Value = TypeVar("Value")


def until(look: Callable[[], Value | None]) -> Value:
    """What it sees, once it sees something. Raises TimeoutError when that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing came of it within {PATIENCE:g} s")
        time.sleep(0.05)
    return found


def becomes_true(look: Callable[[], bool]) -> bool:
    """Whether it is true in time."""
    try:
        return until(look)
    except TimeoutError:
        return False
