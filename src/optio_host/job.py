"""A run of a program on a host: started once, held by a supervisor there, and found again by whoever comes next.

The program's stdin, stdout and stderr are append-only files in the run directory. Nothing of it hangs on this process
or on a connection: a driver appends to files and reads them from an offset, and may die at any moment.

    rundir/
      command env settings supervise.sh   what was started; env is removed once read
      stdin stdout stderr                 the spools;  stdin.eof: the input is closed
      id owner claim go                   which run, who may act on it, that it was started once
      pid supervisor                      written before the program runs
      exit                                written once, when it has ended

Every act is one command on the host that compares the owner file with this job's owner under a lock, and then acts: a
driver that lost its lease gets `NotOwner` and has changed nothing. Who appends often says so with `appending`; then a
program there does what is plain, in the same way.
"""

import secrets
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, assert_never

import anyio

from .clock import SYSTEM_CLOCK, Clock
from .errors import HostError
from .host import FollowsFiles, RunsCommands
from .job_append import AppendsQuickly
from .job_errors import InputClosed, JobGone
from .job_rounds import Known, rounds_of
from .job_shell import Answers, act, ask, assignments, exports, farside
from .job_state import (
    Ended,
    Ending,
    JobState,
    Owner,
    Process,
    Running,
    RunningUnsupervised,
    Snapshot,
    Unknown,
    judge,
    outcome_of,
    read_snapshot,
)
from .job_stop import Proof, RunTree
from .outcome import Lost, Outcome
from .together import until_next

LOOK_EVERY = 5.0
"""Seconds between two looks of `wait` while no exit file shows up: the supervisor may have been killed."""

ENDING_LOOK_EVERY = 1.0
"""Seconds between two looks while the supervisor is about to write the exit file."""

LONGEST_COMMAND = 100_000
"""Bytes of a command. Linux takes no argument over 131,072 bytes."""


class JobHost(RunsCommands, FollowsFiles, Protocol):
    """What a host must be able to do to hold runs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the supervisor enforces by itself, with or without a driver: TERM, a grace, KILL of the whole tree.

    Attributes:
        no_driver: seconds without any command of a driver after which the program is stopped (the dead-man's rule);
            0: never. A driver that has nothing to do calls `Job.seen`.
        spool_bytes: bytes of stdout and stderr together at which it is stopped; 0: never.
        free_bytes: bytes that must stay free on the disk of the run directory; 0: any.
        check_every: seconds between two looks at these.
        grace: seconds between TERM and KILL; also for what a program leaves behind.
    """

    no_driver: int = 0
    spool_bytes: int = 0
    free_bytes: int = 0
    check_every: int = 10
    grace: int = 10

    def __post_init__(self) -> None:
        if min(self.no_driver, self.spool_bytes, self.free_bytes, self.grace) < 0 or self.check_every < 1:
            raise ValueError(f"{self}: limits are not negative, and looks are at least a second apart")


NO_LIMITS = Limits()
"""No limit at all; the host then runs two small processes for a run instead of four."""


class Job:
    """A run on a host, for its owner. Made by `start` or `adopt`.

    Attributes:
        rundir: its directory on the host.
        id: its name in the index of the host, and the tag its processes carry in their environment (OPTIO_RUN).
        owner: who this driver is to the run.
    """

    def __init__(
        self, host: JobHost, rundir: str, run: str, owner: Owner, clock: Clock, *, watched: bool = False
    ) -> None:
        self.rundir = rundir
        self.id = run
        self.owner = owner
        self._host = host
        self._clock = clock
        self._watched = watched  # the supervisor stops the program when it sees no driver for too long
        self._rounds = rounds_of(host)
        self._tree = RunTree(host, rundir, run, owner, clock)

    @classmethod
    async def start(
        cls,
        host: JobHost,
        rundir: str,
        command: str,
        *,
        cwd: str,
        owner: Owner,
        env: Mapping[str, str] | None = None,
        limits: Limits = NO_LIMITS,
        shell: str = "/bin/sh",
        clock: Clock = SYSTEM_CLOCK,
    ) -> "Job":
        """Start a program in a new run directory. Repeating a start whose answer was lost does not start it twice.

        Parameters:
            rundir: absolute path; it and its parents are made, 0700.
            command: for /bin/sh -c. The run ends when this command does.
            cwd: absolute path of an existing directory.
            owner: who starts it.
            env: additions to the environment of the login; they are never on a command line, and are on the disk only
                until the program has them.
            limits: what the supervisor enforces.
            shell: the shell on the host that supervises, words separated by blanks.

        Raises StartFailed, NotOwner when the directory holds a run of another owner, ValueError; HostError when the
        answer was lost: start again, or `adopt`.
        """
        _check(rundir, command, cwd, env or {})
        run = secrets.token_hex(16)
        settings = assignments(
            id=run,
            shell=shell,
            cwd=cwd,
            no_driver=str(limits.no_driver),
            spool_limit=str(limits.spool_bytes),
            free_floor=str(limits.free_bytes),
            check=str(limits.check_every),
            grace=str(limits.grace),
        )
        script = assignments(
            dir=rundir,
            run="",
            id=run,
            owner=str(owner),
            shell=shell,
            cwd=cwd,
            settings=settings,
            command=command,
            environment=exports(env or {}),
            supervise=farside("processes", "supervise"),
        )
        script = "_umask=$(umask)\n" + farside("processes", "act", "index", "start") + script + "start\n"
        # By stdin, not as an argument: the environment must not show in a list of processes.
        answers = await ask(
            host, f"exec {shell}", what=f"start of a run in {rundir}", rundir=rundir, input=script.encode(errors=_KEEP)
        )
        return cls._of(host, answers, owner, clock)

    @classmethod
    async def adopt(cls, host: JobHost, rundir: str, owner: Owner, *, clock: Clock = SYSTEM_CLOCK) -> "Job":
        """Take over a run, with a higher generation than its owner has, or again with the same owner.

        From then on every other owner is refused. Raises NotOwner for a generation that is not higher, JobGone.
        """
        _check(rundir, "", "/", {})
        answers = await act(host, "adopt", owner.store, owner.session, owner.generation, rundir=rundir)
        return cls._of(host, answers, owner, clock)

    @classmethod
    def _of(cls, host: JobHost, answers: Answers, owner: Owner, clock: Clock) -> "Job":
        seen = read_snapshot(answers)
        return cls(host, seen.directory, seen.run, owner, clock, watched=seen.watched)

    @property
    def stdin_path(self) -> str:
        """The spool of what the program was sent."""
        return f"{self.rundir}/stdin"

    @property
    def stdout_path(self) -> str:
        """The spool of what it writes to stdout: for `host.follow`."""
        return f"{self.rundir}/stdout"

    @property
    def stderr_path(self) -> str:
        """The spool of what it writes to stderr."""
        return f"{self.rundir}/stderr"

    async def append(self, offset: int, data: bytes, *, spool: str = "stdin") -> int:
        """Send bytes to the program: put them at this offset of its stdin spool. Returns the offset behind them.

        The same bytes at the same offset may be sent again, after a cut in the middle or a lost answer: what is there
        is compared, what is missing is completed. Note offset and bytes in the journal before the first try.

        Parameters:
            spool: another file that only the owner writes, relative to the run directory.

        Raises InputConflict, InputClosed, NotOwner, JobGone; HostError when the answer was lost or the disk is full:
        send the same again.
        """
        if isinstance(self._host, AppendsQuickly) and await self._host.appends.append(
            self.rundir, self.id, str(self.owner), offset, data, spool
        ):
            return offset + len(data)
        answers = await self._act("append", offset, len(data), spool, input=data)
        if ("closed", "") in answers:
            raise InputClosed(f"{self.rundir}/stdin: the input of this run is closed; the bytes were not appended")
        if ("appended", str(offset + len(data))) not in answers:
            raise HostError(
                f"{self.rundir}/stdin: {len(data)} bytes at offset {offset} did not all arrive ({answers}): "
                "is the disk full? Make room and append the same again"
            )
        return offset + len(data)

    @asynccontextmanager
    async def appending(self) -> AsyncIterator[None]:
        """While this lasts, appends are quick: what that takes on the host is kept from the first one on."""
        if isinstance(self._host, AppendsQuickly):
            async with self._host.appends.expected():
                yield
        else:
            yield

    async def close_stdin(self) -> None:
        """Give end of input, behind everything that was appended. Again is fine. Raises NotOwner, JobGone."""
        await self._act("close_input")

    async def seen(self) -> None:
        """Be there as the owner: for the dead-man's rule, if the run has one. Raises NotOwner, JobGone."""
        if self._watched or not await self._rounds.unchanged(Known(self.rundir, self.id, owner=str(self.owner))):
            await self._act("touch_seen")

    async def snapshot(self) -> Snapshot:
        """One look at everything the run's files and processes say. Needs no ownership."""
        try:
            return read_snapshot(await act(self._host, "look", rundir=self.rundir, run=self.id))
        except JobGone:
            return Snapshot(gone=True)

    async def state(self) -> JobState:
        """The state of the run now. Needs no ownership."""
        return judge(await self.snapshot())

    async def wait(self) -> Outcome:
        """How the program ended, once it has. `Lost` when nobody can say: see `Unknown`. Needs no ownership.

        Raises HostError when the host does not answer, OSError when this machine cannot ask it; waiting again does no
        harm.
        """
        written = anyio.Event()
        failed: HostError | OSError | None = None
        outcome: Outcome = Lost("the wait for it was given up")
        seen: Snapshot | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_exit, written)
            while True:
                noticed = written.is_set()
                try:
                    if noticed or seen is None or not await self._is_still(seen):
                        seen = await self.snapshot()
                except (HostError, OSError) as error:
                    failed = error  # raised from inside, it would come wrapped in a group
                    break
                match state := judge(seen):
                    case Ending() | Unknown("starting"):
                        pause = ENDING_LOOK_EVERY
                        seen = None
                    case Ended() | Unknown():
                        outcome = outcome_of(state)
                        break
                    case Running() | RunningUnsupervised():
                        pause = until_next(LOOK_EVERY, self._clock)
                    case _:
                        assert_never(state)
                if noticed:
                    await self._clock.sleep(pause)
                else:
                    with self._clock.move_on_after(pause):
                        await written.wait()
            tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed
        return outcome

    async def signal_tree(self, number: signal.Signals) -> tuple[Process, ...]:
        """Send a signal once to every process of the run; those it was sent to. Raises NotOwner.

        TERM or KILL to a run whose start broke off before the program ran makes sure that it never will.
        """
        return (await self._tree.signal(number.name.removeprefix("SIG"))).processes

    async def stop(self, grace: float = 10.0) -> Proof:
        """End the run: TERM to the whole tree, KILL after `grace` seconds; then look again until nothing is found.

        Also ends what a program that has ended left behind, and a run whose directory was removed. Again is fine.
        Raises NotOwner.
        """
        return await self._tree.stop(grace)

    async def _act(self, call: str, *words: object, input: bytes | None = None) -> Answers:
        owner = (self.owner.store, self.owner.session, self.owner.generation)
        return await act(self._host, call, *owner, *words, rundir=self.rundir, run=self.id, input=input)

    async def _is_still(self, seen: Snapshot) -> bool:
        """Whether it runs as it was seen to."""
        supervisor = seen.supervisor if seen.supervised else None
        return await self._rounds.unchanged(Known(self.rundir, self.id, main=seen.main, supervisor=supervisor))

    async def _watch_exit(self, written: anyio.Event) -> None:
        try:
            async with aclosing(self._host.follow(f"{self.rundir}/exit")) as lines:
                async for _ in lines:
                    written.set()
                    return
        except HostError:
            return  # something else has that name, or the host is not reached: the looks go on without this


_KEEP = "surrogateescape"


def _check(rundir: str, command: str, cwd: str, env: Mapping[str, str]) -> None:
    for path in (rundir, cwd):
        if not path.startswith("/"):
            raise ValueError(f"{path!r}: a run is given absolute paths")
    if len(command.encode(errors=_KEEP)) > LONGEST_COMMAND:
        raise ValueError(f"the command is longer than {LONGEST_COMMAND} bytes; put it into a script on the host")
    if any("\0" in text for text in (rundir, command, cwd, *env.values())):
        raise ValueError("a path, a command or a value of the environment contains a NUL")
