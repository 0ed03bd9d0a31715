"""Keys of documents. Pure.

Those of heads begin with the tenant, which holds no slash. Those of rows begin with the life of their session, which is
random: a session of the same id that is made later has nothing in common with an earlier one.
"""

import re
import secrets
from typing import Any

from ...errors import SessionUnknown, StoreError

Document = dict[str, Any]
"""What MongoDB holds, and what it is asked with."""

_DIGITS = 12


def check_tenant(tenant: str) -> str:
    """The tenant; StoreError unless it is a word of letters, digits, dots, dashes and underscores."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", tenant):
        raise StoreError("a tenant is named by 1 to 64 letters, digits, dots, dashes and underscores of ASCII")
    return tenant


def head_key(tenant: str, session: str) -> str:
    """Where the head of a session is. SessionUnknown when the id is no text, so that no session can have it."""
    try:
        session.encode()
    except UnicodeEncodeError as error:
        raise SessionUnknown(f"there is no session {session!r}") from error
    return f"{tenant}/{session}"


def heads_of(tenant: str, prefix: str = "") -> Document:
    """Matches the heads of a tenant whose ids begin like this."""
    begin = head_key(tenant, prefix)
    return {"_id": {"$gte": begin, "$lt": f"{begin}\U0010ffff"}}


def new_life() -> str:
    """What the keys of a session's rows begin with."""
    return secrets.token_hex(12)


def row_key(life: str, number: int) -> str:
    """Where an event or a part is. The keys of a session sort as the numbers do."""
    return f"{life}/{number:0{_DIGITS}d}"


def number_of(row: Document) -> int:
    """The number in the key of an event or a part."""
    return int(row["_id"].rpartition("/")[2])


def command_key(life: str, number: int, command_id: str) -> str:
    """Where a command is, if it is given this number."""
    return f"{row_key(life, number)}/{command_id}"


def rows_behind(life: str, after: int, last: int) -> Document:
    """Matches the events or parts of a session behind number `after`, up to number `last`."""
    return {"_id": {"$gt": row_key(life, after), "$lte": row_key(life, last)}}


def all_rows(life: str) -> Document:
    """Matches everything of a session."""
    return {"_id": {"$gt": f"{life}/", "$lt": f"{life}0"}}  # "0" is the character behind "/"
