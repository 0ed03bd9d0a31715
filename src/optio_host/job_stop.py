"""Ending everything that belongs to a run, and proving that it is gone."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import anyio

from .clock import Clock
from .host import RunsCommands
from .job_errors import JobGone
from .job_shell import Answers, act
from .job_state import Owner, Process, read_process, read_snapshot

KILL_PATIENCE = 10.0
"""Seconds in which killed processes must be gone. Only one stuck in the kernel needs longer."""

EXIT_PATIENCE = 5.0
"""Seconds in which a supervisor whose program is gone must have written the end, tidied up and ended itself."""

FIRST_PAUSE = 0.05
"""Seconds between the first two looks; the pauses double from there."""

LONGEST_PAUSE = 0.5
"""Seconds between two looks at most: a look at all processes costs some 30 ms of the host."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Looked for in the process group, by descent, by the tag in the environment and by open files: nothing is left.

    A process that left the group, outlived its parent, cleared its environment and closed every descriptor it was
    given is not found by any of these.
    """


@dataclass(frozen=True, slots=True)
class Survivors:
    """These are still there after they were killed: stuck in the kernel, or running as another user."""

    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Unproven:
    """Nothing was found, but this host cannot be searched well enough to call that proof."""

    reason: str


SEARCHES = 4
"""Searches for the processes of runs that go on at once on a host: each looks at every process there is."""

Proof = Gone | Survivors | Unproven


@dataclass(frozen=True, slots=True)
class TreeSeen:
    """The processes of a run at one look.

    Attributes:
        processes: those found, before any signal reached them.
        everywhere: environments and open files were searched too.
    """

    processes: tuple[Process, ...]
    everywhere: bool


class RunTree:
    """The processes of one run, for its owner."""

    def __init__(self, host: RunsCommands, rundir: str, run: str, owner: Owner, clock: Clock) -> None:
        self._host = host
        self._rundir = rundir
        self._run = run
        self._owner = (owner.store, owner.session, owner.generation)
        self._clock = clock

    async def signal(self, name: str) -> TreeSeen:
        """Send a signal ("TERM") once to every process; "NONE" only looks. Raises NotOwner."""
        async with _searching(self._host):
            answers = await self._act("send", name)
        processes = [process for key, value in answers if key == "process" and (process := read_process(value))]
        return TreeSeen(tuple(processes), everywhere=("looked", "everywhere") in answers)

    async def stop(self, grace: float) -> Proof:
        """TERM, a grace of so many seconds, KILL, and looks until nothing is found; then the supervisor's own end."""
        seen = await self.signal("TERM")
        if seen.processes:
            seen = await self._until_gone("NONE", grace)
        if seen.processes:
            seen = await self._until_gone("KILL", KILL_PATIENCE)
        if seen.processes:
            return Survivors(seen.processes)
        await self._end_supervisor()
        # Once more, now that nobody is left who could have started anything.
        seen = await self._until_gone("KILL", KILL_PATIENCE)
        if seen.processes:
            return Survivors(seen.processes)
        return Gone() if seen.everywhere else Unproven("this host has no /proc: only the process group was searched")

    async def _until_gone(self, name: str, patience: float) -> TreeSeen:
        deadline = self._clock.monotonic() + patience
        pause = FIRST_PAUSE
        while True:
            seen = await self.signal(name)
            if not seen.processes or self._clock.monotonic() >= deadline:
                return seen
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _end_supervisor(self) -> None:
        """Give it time to write the end and to tidy up; kill what is left of it and of its feeder."""
        deadline = self._clock.monotonic() + EXIT_PATIENCE
        while await self._supervised() and self._clock.monotonic() < deadline:
            await self._clock.sleep(FIRST_PAUSE)
        await self._act("end_supervisor")

    async def _supervised(self) -> bool:
        try:
            return read_snapshot(await act(self._host, "look", rundir=self._rundir, run=self._run)).supervised
        except JobGone:
            return False

    async def _act(self, call: str, *words: object) -> Answers:
        return await act(self._host, call, *self._owner, *words, rundir=self._rundir, run=self._run)


_SEARCHES: "WeakKeyDictionary[RunsCommands, anyio.Semaphore]" = WeakKeyDictionary()


def _searching(host: RunsCommands) -> anyio.Semaphore:
    if host not in _SEARCHES:
        _SEARCHES[host] = anyio.Semaphore(SEARCHES)
    return _SEARCHES[host]
