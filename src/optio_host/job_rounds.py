"""One look at many runs of a host in one command, however many drivers of them there are in this process.

A driver must look at its run every few seconds: its program and supervisor may have been killed, its directory
removed, somebody else may own it. Each by itself, that is a shell on the host every time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary, ref

from .host import RunsCommands
from .job_errors import NotOwner
from .job_shell import ask, farside
from .job_state import Identity
from .together import Together


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


class Rounds:
    """Looks at the runs of one host."""

    def __init__(self, host: RunsCommands) -> None:
        self._host = ref(host)  # it is the key under which this is kept, and whoever asks holds it
        self._together = Together(self._look)

    async def unchanged(self, known: Known) -> bool:
        """Whether a run is as it is known; False also where that cannot be said: then look at it by itself.

        Raises NotOwner when its owner file names another owner; HostError when the host does not answer.
        """
        found = await self._together.answer(known)
        if isinstance(found, str):
            raise NotOwner(known.rundir, found)
        return found

    async def _look(self, round: Sequence[Known]) -> list[bool | str]:
        """Of each whether it is unchanged, or the line of another owner."""
        lines = [_line(number, known) for number, known in enumerate(round)]
        found: list[bool | str] = [line != "" for line in lines]
        if not any(found):
            return found
        host = self._host()
        assert host is not None
        said = await ask(
            host,
            farside("processes", "act", "rounds") + "rounds\n",
            what=f"a look at {len(round)} runs",
            rundir="",
            input="".join(lines).encode("utf-8", "surrogateescape"),
        )
        if said[-1] != ("looked", str(found.count(True))):
            return [False] * len(round)
        for key, value in said[:-1]:
            number, _, owner = value.partition(" ")
            if number.isdecimal() and int(number) < len(found):
                found[int(number)] = owner if key == "lost-by" else False
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
