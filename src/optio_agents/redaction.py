"""Keeping secrets out of everything that is stored, shown or sent on: known values, and what looks like a token. Pure.

>>> redact = Redactor.of_environment({"API_KEY": "correct-horse", "MODE": "fast mode"})
>>> redact("using correct-horse in fast mode")
'using [redacted] in fast mode'
"""

import re
from collections.abc import Callable, Iterable, Mapping

from pydantic import JsonValue

REPLACEMENT = "[redacted]"

SHORTEST = 6
"""Values of fewer characters are not looked for: they would be found in ordinary words."""

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH(?!OR)", re.IGNORECASE)

_TOKEN = re.compile(
    # Behind an underscore too, and behind the escape of a newline in JSON, whose letter belongs to no word.
    r"""(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt]))
        (?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{20,}
        |AKIA[0-9A-Z]{16}(?![0-9A-Za-z])|xox[abposr]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{35})""",
    re.VERBOSE,
)
"""Keys that their issuers have made recognisable: OpenAI and Anthropic, GitHub, GitLab, AWS, Slack, Google."""


class Redactor:
    """Replaces every secret in a text.

    Parameters:
        secrets: the values to look for.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one secret may begin with another.
        values = sorted({value for value in secrets if len(value) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, values))) if values else None

    @classmethod
    def of_environment(cls, *environments: Mapping[str, str]) -> "Redactor":
        """One that knows the values of the variables whose names say that they are secret, and each line of them."""
        return cls(
            part
            for environment in environments
            for name, value in environment.items()
            if _SECRET_NAME.search(name) and not value.startswith("/")
            for part in (value, *value.splitlines())
        )

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(REPLACEMENT, text)
        return _TOKEN.sub(REPLACEMENT, text)


def object_of(pairs: Iterable[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """A JSON object that keeps each value: two keys that held secrets may be the same without them."""
    found: dict[str, JsonValue] = {}
    for key, value in pairs:
        while key in found:
            key += "*"
        found[key] = value
    return found


def redacted_json(redact: Callable[[str], str], value: object) -> JsonValue:
    """A JSON value with every text in it redacted, keys too. TypeError for what JSON does not have."""
    match value:
        case str():
            return redact(value)
        case bool() | int() | float() | None:
            return value
        case list() | tuple():
            return [redacted_json(redact, each) for each in value]
        case dict():
            return object_of((redact(str(name)), redacted_json(redact, each)) for name, each in value.items())
        case _:
            raise TypeError(f"{value!r}: an event holds only what JSON has")
