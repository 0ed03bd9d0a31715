"""What every host promises, as functions to be run against yours.

    report = await prove(my_host)
    assert not report.broken, report

`my_host` is a function without parameters: an async context manager that gives a connected host on a task directory
which does not exist yet. A host that goes beyond the published surface (see `optio_host.host`) is asked for that too.
Or one test for each promise:

    @pytest.mark.parametrize("promise", HOST_PROMISES, ids=lambda promise: promise.__name__)
    def test_my_host(promise):
        anyio.run(try_promise, promise, my_host)
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio

from ...host import Host
from .archives import PROMISES as ARCHIVES
from .commands import PROMISES as COMMANDS
from .directories import PROMISES as DIRECTORIES
from .far_side import FarSide, ThroughCommands
from .files import PROMISES as FILES
from .following import PROMISES as FOLLOWING
from .ground import DEADLINE, Ground, MakeHost, NotOffered, ground
from .jobs import PROMISES as JOBS
from .processes import PROMISES as PROCESSES
from .putting import PROMISES as PUTTING
from .streaming import PROMISES as STREAMING
from .tunnels import PROMISES as TUNNELS

__all__ = [
    "HOST_PROMISES",
    "Broken",
    "FarSide",
    "Ground",
    "MakeHost",
    "NotOffered",
    "Promise",
    "Report",
    "prove",
    "try_promise",
]

Promise = Callable[[Ground], Awaitable[None]]
"""Its name is the promise, its docstring the details. AssertionError when it is broken."""

HOST_PROMISES: tuple[Promise, ...] = (
    *DIRECTORIES,
    *COMMANDS,
    *PROCESSES,
    *FILES,
    *PUTTING,
    *STREAMING,
    *FOLLOWING,
    *ARCHIVES,
    *TUNNELS,
    *JOBS,
)


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was not kept, and what came instead."""

    promise: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Report:
    """What became of each promise.

    Attributes:
        kept: names of those that were kept.
        broken: those that were not.
        not_offered: those that are about something the host does not offer, with what that is.
    """

    kept: tuple[str, ...]
    broken: tuple[Broken, ...]
    not_offered: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """For a person: the count, then what was broken, a line each."""
        lines = [f"{len(self.kept)} promises kept, {len(self.broken)} broken, {len(self.not_offered)} not offered"]
        lines += [f"broken: {each.promise}: {each.error!r}" for each in self.broken]
        lines += [f"not offered: {promise} needs {what}" for promise, what in self.not_offered]
        return "\n".join(lines)


async def prove(
    make_host: MakeHost,
    *,
    far: Callable[[Host], FarSide] = ThroughCommands,
    machine: bool = True,
    promises: Sequence[Promise] = HOST_PROMISES,
) -> Report:
    """Try every promise, each on a new host, and report; a broken one does not keep the others from being tried.

    Parameters:
        make_host: gives a connected host on a task directory that does not exist yet.
        far: how to look at the host's files from the other side; by its own commands unless said otherwise.
        machine: False for a host whose commands are not run by a real /bin/sh; those promises are not asked for.
        promises: which to try.
    """
    kept: list[str] = []
    broken: list[Broken] = []
    not_offered: list[tuple[str, str]] = []
    for promise in promises:
        name = promise.__name__
        try:
            await try_promise(promise, make_host, far=far, machine=machine)
        except NotOffered as missing:
            not_offered.append((name, str(missing)))
        except Exception as error:  # whatever a host raises is what the report is about
            broken.append(Broken(name, error))
        else:
            kept.append(name)
    return Report(tuple(kept), tuple(broken), tuple(not_offered))


async def try_promise(
    promise: Promise,
    make_host: MakeHost,
    *,
    far: Callable[[Host], FarSide] = ThroughCommands,
    machine: bool = True,
) -> None:
    """Try one promise on a new host. AssertionError, or what the host raised, when it is broken; NotOffered."""
    with anyio.fail_after(DEADLINE):
        async with ground(make_host, far=far, machine=machine) as where:
            await promise(where)
