"""Whether a session still moves: from several signs, since an agent that is silent on one may be busy on another."""

import weakref
from collections.abc import Mapping, Sequence

from optio_host.host import RunsCommands
from optio_host.job_shell import ask, farside
from optio_host.together import Together

LOOK_EVERY = 15.0
"""Seconds between two looks."""

STALL_AFTER = 600.0
"""Seconds without any sign after which a stall is reported."""


class Stillness:
    """How long nothing has moved. Pure: looks and times are handed in.

    Parameters:
        now: seconds on a monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self._moved = now
        self._signs: Mapping[str, str] = {}
        self.reported = False

    @property
    def signs(self) -> tuple[str, ...]:
        """What was looked at last."""
        return tuple(self._signs)

    def seen(self, signs: Mapping[str, str], now: float) -> float:
        """Take one look; the seconds since anything was different from the look before."""
        if signs != self._signs:
            self._signs = signs
            self._moved = now
            self.reported = False
        return now - self._moved


async def look_for_signs(host: RunsCommands, taskdir: str, run: str) -> Mapping[str, str]:
    """The sizes of the log and of the output, and the processor time that the program's group has used.

    Whoever looks at the same moment on the same host object shares one command.

    Parameters:
        taskdir: the session's directory on the host.
        run: the run's directory, relative to it.

    Raises HostError; LinkLost when the link broke meanwhile.
    """
    if host not in _LOOKS:
        # The value must not keep its key alive.
        looking = weakref.ref(host)
        _LOOKS[host] = Together(lambda places: _look(looking(), places))
    return await _LOOKS[host].answer((taskdir, run))


_LOOKS: "weakref.WeakKeyDictionary[RunsCommands, Together[tuple[str, str], Mapping[str, str]]]" = (
    weakref.WeakKeyDictionary()
)


async def _look(host: RunsCommands | None, places: Sequence[tuple[str, str]]) -> list[Mapping[str, str]]:
    assert host is not None  # it is the one that asks
    lines = [f"{n}\t{taskdir}\t{taskdir}/{run}\n" for n, (taskdir, run) in enumerate(places) if "\n" not in taskdir]
    answers = await ask(
        host,
        farside("processes", "act", "signs") + "signs\n",
        what=f"looking for signs of life of {len(places)} sessions",
        rundir="",
        input="".join(lines).encode("utf-8", "surrogateescape"),
    )
    found: list[dict[str, str]] = [{} for _ in places]
    for key, value in answers:
        number, _, sign = value.partition(" ")
        if number.isdecimal() and int(number) < len(found):
            name = {"log": "optio.log", "cpu": "cpu"}.get(key, f"{places[int(number)][1]}/{key}")
            found[int(number)][name] = sign
    return [*found]
