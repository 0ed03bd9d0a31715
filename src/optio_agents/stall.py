"""Whether a session still moves: from several signs, since an agent that is silent on one may be busy on another."""

from collections.abc import Mapping
from shlex import quote

from optio_host.errors import LinkLost
from optio_host.host import RunsCommands
from optio_host.outcome import Lost

LOOK_EVERY = 15.0
"""Seconds between two looks."""

STALL_AFTER = 600.0
"""Seconds without any sign after which a stall is reported."""

_LOOK = r"""
cd {taskdir} || exit 1
for file in optio.log {run}/stdout {run}/stderr; do printf '%s %s\n' "$file" "$(wc -c <"$file")"; done
pid=; read -r pid _ <{run}/pid
[ ! -r /proc/self/stat ] || cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' |
    awk -v group="$pid" '$3 == group {{ used += $12 + $13 }} END {{ print "cpu", used + 0 }}'
"""
# Behind the ")" of proc_pid_stat(5): 3 is the process group, 12 and 13 are the clock ticks used.


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

    Parameters:
        taskdir: the session's directory on the host.
        run: the run's directory, relative to it.

    Raises LinkLost when the link broke meanwhile.
    """
    script = _LOOK.format(taskdir=quote(taskdir), run=quote(run))
    result = await host.run_command(script, cwd="/", timeout=30)
    if isinstance(result.outcome, Lost):
        raise LinkLost(f"{taskdir}: {result.outcome.reason}; nobody could look for signs of life")
    lines = [line.rpartition(" ") for line in result.stdout.splitlines()]
    return {name: value for name, _, value in lines}
