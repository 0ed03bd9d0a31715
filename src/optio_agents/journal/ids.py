"""Ids of sessions: short enough to type, and all that is needed is as much of one as no other begins with."""

import secrets
from collections.abc import Sequence

from ..errors import SessionAmbiguous, SessionUnknown

ID_LENGTH = 10
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u, which are misread


def new_id() -> str:
    """Ten random characters, 50 bits. Random and not by time, so that two characters mostly tell ids apart."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))


def new_event_id() -> str:
    """A random id for an event that has no place in a stream to be named after."""
    return secrets.token_hex(8)


def resolved(prefix: str, matching: Sequence[str]) -> str:
    """The one id that a prefix stands for.

    Parameters:
        prefix: what was typed.
        matching: every id that begins with it.

    Raises:
        SessionUnknown: there is none.
        SessionAmbiguous: there are several, and none of them is the prefix itself.
    """
    if prefix in matching:
        return prefix
    if not prefix or not matching:
        raise SessionUnknown(f"no session has an id that begins with {prefix!r}; `optio ls` lists them")
    if len(matching) > 1:
        raise SessionAmbiguous(prefix, tuple(sorted(matching)[:10]), len(matching))
    return matching[0]
