"""Sessions on this machine whose program only waits, while the test writes its log; and a clock that can be set on."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest

from host.job_rig import of_runs, until
from optio_agents import drive
from optio_agents.events import Record
from optio_agents.history import follow_history, read_history
from optio_agents.journal import Limits, OutcomeDocument, Store
from optio_agents.journal.batch import Batch, Committed
from optio_agents.journal.lease import LEASE_TTL, Lease
from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session
from optio_agents.stall import look_for_signs
from optio_host.clock import SystemClock
from optio_host.host import RunsCommands
from optio_host.job import Job
from optio_host.local.host import LocalHost

WAITING = ("sleep", "300")
AT_ONCE = Limits(grace=0)
"""A program that only waits is not worth waiting for."""


class SkippingClock(SystemClock):
    """The machine's clock, which a test sets on. Time flows by itself too: a host takes real time to answer."""

    def __init__(self) -> None:
        self._skipped = 0.0
        self._scopes: set[anyio.CancelScope] = set()
        self.wall_error = 0.0
        """By how much the wall clock alone is wrong."""

    def time(self) -> float:
        return super().time() + self._skipped + self.wall_error

    def monotonic(self) -> float:
        return super().monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        with self.move_on_after(seconds):
            await anyio.sleep_forever()

    @contextmanager
    def move_on_after(self, seconds: float | None) -> Iterator[anyio.CancelScope]:
        with anyio.move_on_after(seconds) as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.remove(scope)

    def skip(self, seconds: float) -> None:
        """It is so much later now; whatever is due by then comes due."""
        self._skipped += seconds
        for scope in self._scopes:
            scope.deadline -= seconds


class Driving:
    """A session that is driven in the background of a test.

    Attributes:
        outcome: how it ended; None also when the driver let go of it.
        error: what `wait` raised.
        over: set when `wait` has returned or raised.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.outcome: OutcomeDocument | None = None
        self.error: Exception | None = None
        self.over = anyio.Event()
        self.scope = anyio.CancelScope()

    async def run(self) -> None:
        with self.scope:
            try:
                self.outcome = await self.session.wait()
            except Exception as error:
                self.error = error
        self.over.set()

    async def ended(self) -> OutcomeDocument:
        """How the session ended, once it has."""
        with anyio.fail_after(20):
            await self.over.wait()
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome

    async def failed(self) -> Exception:
        """What `wait` raised, once it has."""
        with anyio.fail_after(20):
            await self.over.wait()
        assert self.error is not None
        return self.error


class Counted:
    """How often something has happened, for who waits for the next time."""

    def __init__(self) -> None:
        self._count = 0
        self._awaited = 0
        self._happened = anyio.Event()

    def happened(self) -> None:
        self._count += 1
        self._happened.set()

    async def once_more(self) -> None:
        """Return when it has happened once more than this was called; and whoever did it waits again for its time."""
        self._awaited += 1
        with anyio.fail_after(20):
            while self._count < self._awaited:
                self._happened = anyio.Event()
                await self._happened.wait()
        await anyio.wait_all_tasks_blocked()


class RigStore(MemoryStore):
    """A store that fails where a test says so.

    Attributes:
        broken: what is raised, by the name of the method.
    """

    def __init__(self, clock: SkippingClock) -> None:
        super().__init__(clock)
        self.broken: dict[str, Exception] = {}

    async def renew(self, lease: Lease, *, ttl: float = LEASE_TTL) -> None:
        self._check("renew")
        await super().renew(lease, ttl=ttl)

    async def commit(self, lease: Lease, batch: Batch) -> Committed:
        self._check("commit")
        return await super().commit(lease, batch)

    async def release(self, lease: Lease) -> None:
        self._check("release")
        await super().release(lease)

    def _check(self, method: str) -> None:
        if method in self.broken:
            raise self.broken[method]


class SessionRig:
    """One machine with a store and a state directory below `base`."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = base
        self.clock = SkippingClock()
        self.memory = RigStore(self.clock)
        self.store: Store = self.memory
        self.host = LocalHost(str(base))
        self.out = base / "out"
        self._looks = Counted()

        async def look(host: RunsCommands, taskdir: str, run: str) -> Mapping[str, str]:
            signs = await look_for_signs(host, taskdir, run)
            self._looks.happened()
            return signs

        monkeypatch.setattr(drive, "look_for_signs", look)
        seen = Job.seen
        self._renewals = Counted()

        async def seen_and_counted(job: Job) -> None:
            await seen(job)
            self._renewals.happened()

        monkeypatch.setattr(Job, "seen", seen_and_counted)

    async def looked(self) -> None:
        """Return when the session has looked once more for signs of life."""
        await self._looks.once_more()

    async def renewed(self) -> None:
        """Return when the lease has been renewed once more, or that was tried, and the host was told."""
        await self._renewals.once_more()

    async def until_it_computes(self, session: Session) -> None:
        """Return when the program has used processor time since now."""
        stat = Path(f"/proc/{program_pid(session)}/stat")
        before = stat.read_text().split()[13]
        await until(lambda: stat.read_text().split()[13] != before, "processor time is used")

    async def start(self, *command: str, **options: object) -> Session:
        given: dict[str, object] = {
            "cwd": str(self.base), "deliverables": str(self.out), "state_dir": str(self.base / "sessions"),
            "clock": self.clock, "limits": AT_ONCE,
        }  # fmt: skip
        given.update(options)
        return await Session.start(self.host, self.store, command or WAITING, **given)  # type: ignore[arg-type]

    async def adopt(self, session: str, **options: object) -> Session:
        given: dict[str, object] = {"clock": self.clock, **options}
        return await Session.adopt(self.host, self.store, session, **given)  # type: ignore[arg-type]

    @asynccontextmanager
    async def driven(self, session: Session) -> AsyncIterator[Driving]:
        driving = Driving(session)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driving.run)
            await anyio.wait_all_tasks_blocked()
            yield driving
            driving.scope.cancel()

    async def until_event(self, session: str, kind: str, number: int = 1) -> Record:
        """The event of this type, once there are so many, and what comes of it waits for its time."""
        found = 0
        with anyio.fail_after(20):
            async with aclosing(follow_history(self.store, session)) as records:
                async for record in records:
                    found += record.event.type == kind
                    if found == number:
                        await anyio.wait_all_tasks_blocked()
                        return record
        raise AssertionError(f"the session ended without {number} {kind} events")

    async def history(self, session: str) -> list[Record]:
        async with aclosing(read_history(self.store, session)) as records:
            return [record async for record in records]

    async def types(self, session: str) -> list[str]:
        return [record.event.type for record in await self.history(session)]

    async def stop(self, session: str) -> None:
        """End a session that has no driver."""
        adopted = await self.adopt(session, without_callbacks=True)
        await self.store.put(session, "cancel", {})
        await adopted.wait()


def taskdir(session: Session) -> Path:
    return Path(session.record.taskdir)


def say(session: Session, *lines: str) -> None:
    """Write lines as the program would."""
    with open(taskdir(session) / "optio.log", "a") as log:
        log.writelines(f"{line}\n" for line in lines)


def hand_over(session: Session, name: str, content: str) -> None:
    """Hand over a file as the program would."""
    (taskdir(session) / "deliverables" / name).write_text(content)
    say(session, f"DELIVERABLE: {name}")


def program_pid(session: Session) -> int:
    return int(Path(session.record.rundir, "pid").read_text().split()[0])


def supervisor_pid(session: Session) -> int:
    return int(Path(session.record.rundir, "supervisor").read_text().split()[0])


@contextmanager
def session_rig(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionRig]:
    """A rig; at the end nothing of any of its programs may be left, and what is left is killed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(base / "state"))
    try:
        yield SessionRig(base, monkeypatch)
        anyio.run(nothing_left, base)
    finally:
        for pid in of_runs(base):
            os.kill(pid, 9)


async def nothing_left(base: Path) -> None:
    await until(lambda: not of_runs(base), "the end of every process of a run")
