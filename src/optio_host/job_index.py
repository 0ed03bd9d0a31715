"""The runs that a user has on a host: an entry is written before a run starts, so that none can be lost sight of."""

from dataclasses import dataclass
from itertools import pairwise

from .clock import SYSTEM_CLOCK, Clock
from .errors import HostError
from .host import RunsCommands
from .job_shell import Answers, arguments, ask, farside
from .job_state import JobState, Owner, Process, Unknown, judge, path_from_hex, read_process, read_snapshot
from .job_stop import Proof, RunTree


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A run in the index.

    Attributes:
        id: its name there.
        rundir: its directory, as it was at the start.
        owner: the line of its owner file, "store session generation"; empty when it cannot be read.
        state: its state now.
        processes: what still runs of it, looked for only when its directory is gone.
    """

    id: str
    rundir: str
    owner: str
    state: JobState
    processes: tuple[Process, ...] = ()


async def jobs(host: RunsCommands) -> list[JobEntry]:
    """Every run of this user on the host, each with its state now; by id."""
    answers = await _ask(host, "list_jobs")
    starts = [place for place, (key, _) in enumerate(answers) if key == "job"]
    return [_entry(answers[start:end]) for start, end in pairwise([*starts, len(answers)])]


async def reap(host: RunsCommands) -> tuple[str, ...]:
    """Take runs out of the index whose directory is gone and of which nothing runs; their ids."""
    reaped = []
    for entry in await jobs(host):
        if entry.state == Unknown("directory gone") and not entry.processes:
            await forget(host, entry.id)
            reaped.append(entry.id)
    return tuple(reaped)


async def forget(host: RunsCommands, run: str, *, directory: bool = False) -> None:
    """Take one run out of the index. A run that is not there is fine.

    Parameters:
        run: its id.
        directory: remove its directory too.

    Raises HostError, and changes nothing, while anything of it runs, or while its directory is there and is to stay.
    """
    for key, value in await _ask(host, "forget", run, *(["all"] if directory else [])):
        if key == "kept":
            raise HostError(f"run {run} was kept: {value}")


async def stop_orphan(
    host: RunsCommands, entry: JobEntry, *, grace: float = 10.0, clock: Clock = SYSTEM_CLOCK
) -> Proof:
    """End what runs of a run whose directory was removed. Every other run has an owner: adopt it, then stop it."""
    if entry.state != Unknown("directory gone"):
        raise HostError(f"{entry.rundir}: the directory of run {entry.id} is there; adopt the run to stop it")
    return await RunTree(host, entry.rundir, entry.id, Owner("-", "-", 1), clock).stop(grace)


async def _ask(host: RunsCommands, call: str, *words: str) -> Answers:
    script = farside("processes", "act", "index") + arguments(call, *words)
    return await ask(host, script, what=f"{call} on the index of runs", rundir="the index of runs")


def _entry(answers: Answers) -> JobEntry:
    run, _, directory = answers[0][1].partition(" ")
    seen = read_snapshot(answers[1:])
    processes = tuple(process for key, value in answers if key == "process" and (process := read_process(value)))
    return JobEntry(run, path_from_hex(directory), seen.owner, judge(seen), processes)
