"""The way to a fake host: what is under way on it, what it carries, and when it breaks."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import Random

import anyio
import anyio.lowlevel

from ...errors import ConnectFailed, LinkLost
from ...host import LinkState
from ...listeners import Listeners
from ..clock import ManualClock
from .faults import AtByte, AtCall, AtRandom, AtTime, Drop, Effect, Fault, HalfOpen, Slow
from .script import ScriptFailed

TARGET = "user@fake"
"""How messages name a fake host."""

RECONNECT_SECONDS = 30.0
"""How long a call waits for a connection to come back before it fails; the first connection is not waited for."""

BLOCK = 64 * 1024
"""Bytes that are carried at a time."""


@dataclass(frozen=True, slots=True)
class Call:
    """An entry of a host's history.

    Attributes:
        at: seconds on its clock.
        what: the method that was called, or "fault".
        about: its command or path, or the fault.
    """

    at: float
    what: str
    about: str


class FakeLink:
    """The one connection to a fake machine.

    Parameters:
        machine: told of the effects that are not on the way but at the machine.

    Attributes:
        history: everything that was called and that went wrong, in order.
        connections: how many connections have been made.
    """

    def __init__(
        self, clock: ManualClock, random: Random, faults: Sequence[Fault], machine: Callable[[Effect], None]
    ) -> None:
        self._clock = clock
        self._random = random
        self._machine = machine
        self._timed = [(fault.when.seconds, fault.effect) for fault in faults if isinstance(fault.when, AtTime)]
        self._pending = [fault for fault in faults if not isinstance(fault.when, AtTime)]
        self._calls: Counter[str] = Counter()
        self._carried: Counter[str | None] = Counter()
        self._back_at: float | None = 0.0
        self._rate: float | None = None
        self._silent = False
        self._connected = False
        self._scopes: set[anyio.CancelScope] = set()
        self._listeners: Listeners[LinkState] = Listeners()
        self.history: list[Call] = []
        self.connections = 0

    async def begin(self, operation: str, about: str = "") -> "Operation":
        """A call begins. Raises ConnectFailed when the host is not to be reached."""
        await anyio.lowlevel.checkpoint()
        timed, self._timed = self._timed, []
        for seconds, effect in timed:
            self._clock.call_at(seconds, partial(self._happen_in_time, effect))
        self.history.append(Call(self._clock.monotonic(), operation, about))
        await self._connect()
        self._calls[operation] += 1
        under_way = Operation(self, operation, self.connections)
        self._at_call(operation, answered=False)
        return under_way

    def happen(self, effect: Effect) -> None:
        """Let something go wrong now."""
        self.history.append(Call(self._clock.monotonic(), "fault", repr(effect)))
        match effect:
            case Drop(back_after):
                self.break_off(back_after)
            case HalfOpen(noticed_after):
                self._silent = True
                number = self.connections
                self._clock.call_at(self._clock.monotonic() + noticed_after, lambda: self._noticed(number))
            case Slow(rate):
                self._rate = rate
            case _:
                self._machine(effect)

    def break_off(self, back_after: float | None) -> None:
        """The connection is gone; the next one can be made after so many seconds, or never."""
        if self._connected:
            self._tell(LinkState("lost", "the connection broke"))
        self._connected = False
        self._silent = False
        self._back_at = None if back_after is None else self._clock.monotonic() + back_after
        for scope in list(self._scopes):
            scope.cancel()

    def close(self) -> None:
        """The connection is closed from here; the next call makes another one."""
        self._silent = False
        if self._connected:
            self._connected = False
            self._tell(LinkState("closed"))
        for scope in list(self._scopes):
            scope.cancel()

    def on_state(self, listener: Callable[[LinkState], None]) -> Callable[[], None]:
        """See `optio_host.host.ReportsLink`."""
        return self._listeners.add(listener)

    def is_broken(self, connection: int) -> bool:
        """Whether that connection is not there any more."""
        return not self._connected or self.connections != connection

    @contextmanager
    def holding(self) -> Iterator[anyio.CancelScope]:
        """A scope that is cancelled when the connection breaks."""
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    async def pass_on(self, operation: str, size: int) -> int:
        """Wait until bytes may pass, at most `size`; how many may. Breaks the connection where a fault says so."""
        if self._silent:
            await anyio.sleep_forever()
        room = min([size, BLOCK, *(left for fault in self._pending if (left := self._left(fault, operation)))])
        if self._rate is not None and room:
            await self._clock.sleep(room / self._rate)
        return room

    def passed(self, operation: str, size: int) -> None:
        """They did."""
        self._carried[operation] += size
        self._carried[None] += size
        for fault in list(self._pending):
            if self._left(fault, operation) == 0:
                self._pending.remove(fault)
                self.happen(fault.effect)

    def at_answer(self, operation: str) -> None:
        """A call has done all that it does."""
        self._at_call(operation, answered=True)

    async def _connect(self) -> None:
        if self._connected:
            return
        if not self._connected:
            self._tell(LinkState("reconnecting" if self.connections else "connecting"))
        deadline = self._clock.monotonic() + (RECONNECT_SECONDS if self.connections else 0.0)
        while not self._connected:
            now = self._clock.monotonic()
            if self._back_at is not None and self._back_at <= now:
                self._connected = True
                self.connections += 1
                self._tell(LinkState("connected"))
            elif self._back_at is None or self._back_at > deadline:
                await self._clock.sleep(deadline - now)
                failed = ConnectFailed(TARGET, "connecting", "it does not answer; is it up, and is this its address?")
                self._tell(LinkState("failed", str(failed)))
                raise failed
            else:
                await self._clock.sleep(self._back_at - now)

    def _happen_in_time(self, effect: Effect) -> None:
        # Nobody stands below who could be told; the book of the machine has it.
        with suppress(ScriptFailed):
            self.happen(effect)

    def _tell(self, state: LinkState) -> None:
        self._listeners.tell(state, about=TARGET)

    def _noticed(self, connection: int) -> None:
        if not self.is_broken(connection):
            self.happen(Drop())

    def _left(self, fault: Fault, operation: str) -> int | None:
        """Bytes of this operation until a fault; None for one that does not depend on them."""
        match fault.when:
            case AtByte(count, only) if only in (None, operation):
                return max(0, count - self._carried[only])
            case _:
                return None

    def _at_call(self, operation: str, *, answered: bool) -> None:
        for fault in list(self._pending):
            match fault.when:
                case AtCall(name, nth, when) if (name, when) == (operation, answered) and nth == self._calls[name]:
                    self._pending.remove(fault)
                    self.happen(fault.effect)
                case AtRandom(chance, name) if not answered and name in (None, operation):
                    if self._random.random() < chance:
                        self.happen(fault.effect)
                case _:
                    pass


class Operation:
    """One call while it is under way, on one connection. Made by `FakeLink.begin`."""

    def __init__(self, link: FakeLink, name: str, connection: int) -> None:
        self._link = link
        self._name = name
        self._connection = connection

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is done in the block is cancelled when the connection breaks, and raises LinkLost."""
        self.check()
        with self._link.holding():
            yield
        self.check()

    async def reach(self) -> None:
        """The call itself is under way to the host; nothing is done there yet. Raises LinkLost."""
        with self.held():
            await self._link.pass_on(self._name, 0)

    async def carry(self, data: bytes, deliver: Callable[[bytes], None]) -> None:
        """Carry bytes over the connection and deliver them as they come. Raises LinkLost behind what has come."""
        start = 0
        while start < len(data):
            with self.held():
                size = await self._link.pass_on(self._name, len(data) - start)
                deliver(data[start : start + size])
                start += size
                self._link.passed(self._name, size)
                await anyio.lowlevel.checkpoint()

    async def answer(self) -> None:
        """All is done: the answer is under way. Raises LinkLost."""
        self._link.at_answer(self._name)
        await self.reach()

    def check(self) -> None:
        """Raises LinkLost when the connection is not there any more."""
        if self._link.is_broken(self._connection):
            raise LinkLost(f"{TARGET}: the connection broke in the middle of {self._name}; look what was done there")
