"""The hooks and tools that the agent has called: each call is answered once, or withdrawn. Pure."""

import json
import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Literal

from optio_host.cursor import Cursor

from ..journal.documents import OpenCall
from .messages import HookAsked, McpAsked

OPEN_LIMIT = 64
"""Calls that may be open at once. The agent makes one or a few at a time."""

KEPT_CLOSED = 1_000
"""Calls of which it is remembered that they are over, in case the agent's output has to be read again."""

_ANSWERED = re.compile(rb'"type":"control_response".*?"request_id":("[^"\\]*")')


class Calls:
    """The calls of one conversation.

    Parameters:
        known: those that are open, as the journal has them.
        answered: ids of those that were.
    """

    def __init__(self, known: Sequence[OpenCall] = (), answered: Iterable[str] = ()) -> None:
        self._open = {each.id: each for each in known}
        self._closed = dict.fromkeys(answered)
        self._heard: dict[str, HookAsked | McpAsked] = {}

    @property
    def open(self) -> tuple[OpenCall, ...]:
        """Those that wait for an answer, in the order they came."""
        return tuple(self._open.values())

    def is_open(self, call_id: str) -> bool:
        """Whether a call waits for an answer."""
        return call_id in self._open

    def is_known(self, call_id: str) -> bool:
        """Whether it was heard before."""
        return call_id in self._open or call_id in self._closed

    @property
    def full(self) -> bool:
        """Whether too many are open."""
        return len(self._open) >= OPEN_LIMIT

    def take(
        self,
        asked: HookAsked | McpAsked,
        kind: Literal["hook", "tool"],
        name: str,
        place: Cursor,
        now: float,
        rpc: int | str | None = None,
    ) -> None:
        """A new call; the parameters are the attributes of `OpenCall`, and what the agent said."""
        at = (place.file, place.offset, place.check)
        self._open[asked.request] = OpenCall(id=asked.request, kind=kind, name=name, place=at, asked=now, rpc=rpc)
        self._heard[asked.request] = deepcopy(asked)  # others see the message, too

    def heard(self, call_id: str) -> HookAsked | McpAsked | None:
        """What the agent said with a call, if this driver has heard it."""
        return self._heard.get(call_id)

    def close(self, call_id: str) -> bool:
        """A call is answered or withdrawn; False when it was already."""
        if self._open.pop(call_id, None) is None:
            return False
        self._heard.pop(call_id, None)
        self._closed[call_id] = None
        if len(self._closed) > KEPT_CLOSED:
            del self._closed[next(iter(self._closed))]
        return True

    def of_rpc(self, server: str, rpc: object) -> str | None:
        """The open call of a tool by its id within the dialogue with its server."""
        for call in self._open.values():
            if call.kind == "tool" and call.rpc == rpc and call.name.startswith(f"mcp__{server}__"):
                return call.id
        return None


def answered_in(said: Iterable[bytes]) -> list[str]:
    """Which requests of the agent were answered in what was said to it, latest last; no more than are remembered."""
    found = [json.loads(each[1]) for piece in said for each in _ANSWERED.finditer(piece)]
    return found[-KEPT_CLOSED:]
