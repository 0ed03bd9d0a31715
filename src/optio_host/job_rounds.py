"""One look at many runs of a host in one command, however many drivers of them there are in this process.

A driver must look at its run every few seconds: its program and supervisor may have been killed, its directory
removed, somebody else may own it. Each by itself, that is a shell on the host every time. So the drivers look at the
same moments, and whoever comes first looks for all who wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import anyio
import anyio.lowlevel

from .clock import Clock
from .errors import HostError, LinkLost
from .host import RunsCommands
from .job_errors import NotOwner
from .job_shell import ask, farside
from .job_state import Identity

MOST = 1_000
"""Runs that one command looks at."""


@dataclass(frozen=True, slots=True)
class Known:
    """A run as it was seen last.

    Attributes:
        rundir: its directory.
        run: its id.
        owner: the line of its owner file; "" does not matter.
        main: its program, if that ran; None does not matter.
        supervisor: its supervisor, likewise.
    """

    rundir: str
    run: str
    owner: str = ""
    main: Identity | None = None
    supervisor: Identity | None = None


class _Asked:
    def __init__(self, known: Known) -> None:
        self.known = known
        self.answer: bool | HostError | None = None


class Rounds:
    """Looks at the runs of one host."""

    def __init__(self, host: RunsCommands) -> None:
        self._host = host
        self._waiting: list[_Asked] = []
        self._turn = anyio.Lock()

    async def unchanged(self, known: Known) -> bool:
        """Whether a run is as it is known; False also where that cannot be said: then look at it by itself.

        Raises NotOwner when its owner file names another owner; HostError when the host does not answer.
        """
        asked = _Asked(known)
        self._waiting.append(asked)
        try:
            await anyio.lowlevel.checkpoint()  # whose moment it is too comes along
            async with self._turn:
                if asked.answer is None:
                    await self._look()
        finally:
            if asked in self._waiting:
                self._waiting.remove(asked)
        answer = asked.answer
        if isinstance(answer, NotOwner):
            raise answer
        if isinstance(answer, HostError):
            # Each gets an error of its own: one that is raised in many places names all of them.
            raise LinkLost(str(answer)) if isinstance(answer, LinkLost) else HostError(str(answer))
        return answer is True

    async def _look(self) -> None:
        round, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            answers = await self._ask([each.known for each in round])
        except HostError as error:
            answers = [error] * len(round)
        except BaseException:
            self._waiting = round + self._waiting  # whoever is next looks for the others
            raise
        for each, answer in zip(round, answers, strict=True):
            each.answer = answer

    async def _ask(self, round: Sequence[Known]) -> list[bool | HostError]:
        lines = [_line(number, known) for number, known in enumerate(round)]
        found: list[bool | HostError] = [line != "" for line in lines]
        if not any(lines):
            return found
        said = await ask(
            self._host,
            farside("processes", "act", "rounds") + "rounds\n",
            what=f"a look at {len(round)} runs",
            rundir="",
            input="".join(lines).encode("utf-8", "surrogateescape"),
        )
        if said[-1] != ("looked", str(sum(line != "" for line in lines))):
            return [False] * len(round)
        for key, value in said:
            number, _, owner = value.partition(" ")
            if key == "other":
                found[int(number)] = False
            elif key == "lost-by":
                found[int(number)] = NotOwner(round[int(number)].rundir, owner)
        return found


def _line(number: int, known: Known) -> str:
    """What is sent of a run; "" when it has a name that no line can carry."""
    words = [str(number), known.rundir, known.run, known.owner, _process(known.main), _process(known.supervisor)]
    return "" if any(set("\t\n") & set(word) for word in words) else "\t".join(words) + "\n"


def _process(identity: Identity | None) -> str:
    return "" if identity is None else f"{identity.pid} {identity.start}"


_ROUNDS: "WeakKeyDictionary[RunsCommands, Rounds]" = WeakKeyDictionary()


def rounds_of(host: RunsCommands) -> Rounds:
    """The one of a host: whoever shares the host object shares it."""
    if host not in _ROUNDS:
        _ROUNDS[host] = Rounds(host)
    return _ROUNDS[host]


def until_next(seconds: float, clock: Clock) -> float:
    """How long to wait for the next of the moments, so many seconds apart, at which everybody looks."""
    return seconds - clock.monotonic() % seconds
