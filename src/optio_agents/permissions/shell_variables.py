"""Variables of the agent's environment whose values are known, and where one stands for its value. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"

# zsh takes what stands behind a variable for a subscript or a modifier, and other letters for a part of its name.
_PLAIN = re.compile(rf"\$(?:({_NAME})(?![A-Za-z0-9_])|\{{({_NAME})\}})(?![:\[]|[^\x00-\x7f])")

_UNSPLIT = re.compile(r"[A-Za-z0-9_./-]+")
"""A value that no shell splits or expands where it stands outside quotes."""

_SPECIAL = frozenset("'\"\\`$*?[]{}~!^#=;&|<>()")


@dataclass(frozen=True, slots=True)
class Variables:
    """Variables whose values are known.

    Attributes:
        values: names and values.
    """

    values: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Variables":
        """These."""
        return cls(frozenset(values.items()))

    def at(self, text: str, start: int, quoted: bool) -> tuple[str, int] | None:
        """The value of the variable that is expanded there, and where its name ends; None: nobody can say.

        Parameters:
            text: a script.
            start: where in it the `$` stands.
            quoted: whether that is between double quotes.
        """
        found = _PLAIN.match(text, start)
        value = dict(self.values).get(found[1] or found[2]) if found else None
        if found is None or value is None or not _is_tame(value) or not (quoted or _UNSPLIT.fullmatch(value)):
            return None
        return value, found.end()


NO_VARIABLES = Variables()


def _is_tame(value: str) -> bool:
    """Whether it is a word as it is, which no program takes for an option."""
    return (
        value != ""
        and value == value.strip()
        and value.isprintable()
        and not value.startswith("-")
        and not _SPECIAL & set(value)
    )
