"""A clock that stands still until a test moves it, or until everybody waits for it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import anyio.to_thread

OUTSIDE = 0.01
"""Real seconds of quiet before time jumps where something outside of the event loop may be at work."""


class ManualClock:
    """Time that passes only in `advance`. Implements `optio_host.clock.Clock`.

    With `jump_after` it moves by itself: once every task of the event loop has been waiting for that long, and no
    worker thread of anyio is busy, time jumps to the next moment that something waits for. So nothing really sleeps.
    While something outside may wake up the loop (a socket, a pipe, a child process, the loop's own threads), all must
    have waited for at least OUTSIDE seconds. Threads of another kind cannot be seen: give a longer `jump_after` to a
    test that has such, or advance by hand.

    Parameters:
        start: what `time` says at first, in seconds since the epoch.
        jump_after: real seconds; None: time is moved by hand only.
        limit: seconds at which jumping ends: whoever sleeps then gets TimeoutError. A test that waits for something
            that never comes fails so, instead of running for ever.
    """

    def __init__(
        self, start: float = 1_700_000_000.0, *, jump_after: float | None = None, limit: float = 100_000.0
    ) -> None:
        self._start = start
        self._passed = 0.0
        self._due: dict[_Due, None] = {}  # in the order they came; ten thousand are taken out fast
        self._jumps = None if jump_after is None else _Jumps(self, jump_after)
        self._limit = limit
        self._over = False

    @property
    def waiting(self) -> int:
        """How many sleeps and deadlines are still to come due."""
        return len(self._due)

    def time(self) -> float:
        """The start plus what has passed, plus all jumps."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """What has passed."""
        return self._passed

    def set_wall_clock(self, by: float) -> None:
        """Let `time`, and only it, jump by so many seconds, as when someone corrects the clock of a machine."""
        self._start += by

    def call_at(self, when: float, act: Callable[[], None]) -> Callable[[], None]:
        """Have something called once `monotonic` has come this far. Returns what calls it off."""
        due = _Due(when, act)
        self._due[due] = None
        if self._jumps is not None:
            self._jumps.look_soon()

        def call_off() -> None:
            self._due.pop(due, None)

        return call_off

    async def sleep(self, seconds: float) -> None:
        """Return when time has moved this far. TimeoutError when it jumps by itself and has come to its limit."""
        due = anyio.Event()
        call_off = self.call_at(self._passed + seconds, due.set)
        try:
            if not self._over:
                await due.wait()
        finally:
            call_off()
        if self._over:
            raise TimeoutError(f"nothing has ended within {self._limit:g} s on this clock; what is waited for?")

    @contextmanager
    def move_on_after(self, seconds: float | None) -> Iterator[anyio.CancelScope]:
        """A scope that is cancelled when time has moved this far."""
        with anyio.CancelScope() as scope:
            if seconds is None:
                yield scope
                return
            call_off = self.call_at(self._passed + seconds, scope.cancel)
            try:
                yield scope
            finally:
                call_off()

    async def advance(self, seconds: float) -> None:
        """Let time pass; whatever came due has run its next steps when this returns."""
        end = self._passed + seconds
        while due := [each for each in self._due if each.when <= end]:
            self._reach(min(due, key=lambda each: each.when))
            await anyio.wait_all_tasks_blocked()
        self._passed = end
        await anyio.wait_all_tasks_blocked()

    def jump(self) -> None:
        """Move time to the next moment that something waits for; nothing happens when there is none."""
        if not self._due:
            return
        due = min(self._due, key=lambda each: each.when)
        if due.when <= self._limit:
            self._reach(due)
            return
        self._over = True
        for each in list(self._due):
            del self._due[each]
            each.act()

    def _reach(self, due: "_Due") -> None:
        del self._due[due]
        self._passed = max(self._passed, due.when)
        due.act()


class _Due:
    """Something that is to happen at a moment of `monotonic`. Two of them are never equal."""

    def __init__(self, when: float, act: Callable[[], None]) -> None:
        self.when = when
        self.act = act


class _Jumps:
    """Looks whether all tasks wait, by a timer of the event loop: there is no task that somebody would have to end."""

    def __init__(self, clock: ManualClock, quiet: float) -> None:
        self._clock = clock
        self._quiet = quiet
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._threads: anyio.CapacityLimiter | None = None
        self._seen: dict[object, object] | None = None

    def look_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # nothing runs yet, so nothing waits
        if self._loop is not loop:
            self._loop, self._timer, self._threads = loop, None, None
        if self._threads is None and asyncio.current_task() is not None:
            self._threads = anyio.to_thread.current_default_thread_limiter()
        self._look_in(self._quiet)

    def _look(self) -> None:
        self._timer = None
        if not self._clock.waiting:
            self._seen = None
            return
        waiting = self._all_waiting()
        jumps = waiting is not None and waiting == self._seen
        self._seen = None if jumps else waiting
        # Behind a jump all soon wait again, which is looked at at once.
        self._look_in(0 if jumps else max(self._quiet, OUTSIDE if self._has_outside() else 0))
        if jumps:
            self._clock.jump()

    def _look_in(self, seconds: float) -> None:
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(seconds, self._look)

    def _has_outside(self) -> bool:
        """Whether something else than a task may wake up the loop. An event loop of another kind does not say."""
        if self._threads is not None and self._threads.borrowed_tokens:
            return True
        selector = getattr(self._loop, "_selector", None)
        if selector is None or getattr(self._loop, "_default_executor", None) is not None:
            return True
        # One is the loop's own.
        return len(selector.get_map()) > 1

    def _all_waiting(self) -> dict[object, object] | None:
        """What each task waits for; None when one can go on, or a thread works."""
        if self._threads is not None and self._threads.borrowed_tokens:
            return None
        waiting: dict[object, object] = {}
        for task in asyncio.all_tasks(self._loop):
            # As anyio's own wait_all_tasks_blocked does it: asyncio has no public way to ask.
            waiter = getattr(task, "_fut_waiter", None)
            if waiter is None or waiter.done():
                return None
            waiting[task] = waiter
        return waiting
