"""The moments at which a driver may die and must lose nothing, by name, so that a test can kill it at each of them."""

from collections.abc import Callable


def _nothing(name: str) -> None:
    """What happens at a seam, outside of the tests of crashes."""


reached: Callable[[str], None] = _nothing
"""Called at each seam with its name. A test of crashes puts a function here that kills the process."""
