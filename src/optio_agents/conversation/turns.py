"""Which messages that were sent the agent still owes an answer to. Pure: arithmetic over sets of message ids.

Measured with 2.1.330: two messages that are sent during a turn are answered by one result; one that is sent between two
tools of a turn is taken into that turn, and is "completed" before its result; work in the background makes a turn that
nobody asked for. Each result names the messages it answers. Versions that do not name them tell at least by lifecycle
which were started; those that tell neither are taken to answer in order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from .messages import Message, SendMoved, TurnBegan, TurnResult

Standing = Literal["sent", "queued", "started", "completed"]
"""How far a message has come that has no answer yet."""


@dataclass(frozen=True, slots=True)
class SendStarted:
    """The agent has taken up a message."""

    send: str


@dataclass(frozen=True, slots=True)
class SendCancelled:
    """The agent will not answer a message: it was interrupted, or ended, before it came to that."""

    send: str


@dataclass(frozen=True, slots=True)
class TurnOver:
    """A turn is over; it answered these messages, perhaps none."""

    sends: tuple[str, ...]
    result: TurnResult


TurnEvent = SendStarted | SendCancelled | TurnOver


class Turns:
    """The messages of one conversation that have no answer yet.

    Parameters:
        open: those that had none when this was noted last, in the order they were sent; see `standing`.
        tells: the agent has told how far a message has come, or what it answers: it is a version that does.

    Attributes:
        tells: the same, by now.
    """

    def __init__(self, open: Mapping[str, Standing] | None = None, *, tells: bool = False) -> None:
        self._open: dict[str, Standing] = dict(open or {})
        self.tells = tells

    @property
    def standing(self) -> Mapping[str, Standing]:
        """How far each message has come that has no answer yet, in the order they were sent."""
        return dict(self._open)

    @property
    def pending(self) -> bool:
        """Whether any message has no answer yet."""
        return bool(self._open)

    @property
    def current(self) -> str | None:
        """The message that the agent is answering, as far as it tells; None: none, as in a turn nobody asked for."""
        for state in ("started", "completed"):
            for send, standing in self._open.items():
                if standing == state:
                    return send
        return None if self.tells else next(iter(self._open), None)

    def sent(self, send: str) -> None:
        """A message goes out. Sent again, it is the same message."""
        self._open.setdefault(send, "sent")

    def take(self, message: Message) -> tuple[TurnEvent, ...]:
        """What a message of the agent changes."""
        match message:
            case SendMoved() | TurnBegan(sends=(_, *_)) | TurnResult(sends=(_, *_)):
                self.tells = True
        match message:
            case SendMoved(send, state) if send in self._open:
                if state == "cancelled":
                    del self._open[send]
                    return (SendCancelled(send),)
                first = state == "started" and self._open[send] != "started"
                self._open[send] = state
                return (SendStarted(send),) if first else ()
            case TurnResult() as result:
                answered = self._answered_by(result)
                for send in answered:
                    del self._open[send]
                return (TurnOver(answered, result),)
            case _:
                return ()

    def end(self) -> tuple[SendCancelled, ...]:
        """The agent has ended: what has no answer gets none."""
        cancelled = tuple(map(SendCancelled, self._open))
        self._open.clear()
        return cancelled

    def _answered_by(self, result: TurnResult) -> tuple[str, ...]:
        named = set(result.sends)
        # One that is completed was answered before this, or by this; one that is only started is, if nothing is named.
        over: set[Standing] = {"completed"} if named else {"completed", "started"}
        answered = self._those(send for send, state in self._open.items() if send in named or state in over)
        if not answered and not self.tells:
            return tuple(self._open)[:1]
        return answered

    def _those(self, sends: Iterable[str]) -> tuple[str, ...]:
        wanted = set(sends)
        return tuple(send for send in self._open if send in wanted)
