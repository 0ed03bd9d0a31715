"""Whatever happens to its drivers, in whatever order: one drives a session, and nothing is lost or doubled."""

import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import cast

import anyio
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from session_rig import AT_ONCE, WAITING, SkippingClock, nothing_left

from host.job_rig import of_runs, until
from optio_agents import session as session_module
from optio_agents.errors import JournalError, LeaseHeld, LeaseLost, SessionRefused
from optio_agents.journal import Driver, OutcomeDocument, Store
from optio_agents.journal.batch import Batch, Committed
from optio_agents.journal.lease import LEASE_TTL, RENEW_EVERY, Lease
from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session
from optio_host.cursor import START, Cursor
from optio_host.errors import HostError
from optio_host.host import OUTPUT_LIMIT, EndOfWriting, Followed, RunResult
from optio_host.lines import DEFAULT_LINE_LIMIT
from optio_host.local.host import LocalHost

ID = "session"

ACTIONS = st.lists(
    st.sampled_from(
        ["line", "burst", "half a line", "deliverable", "kill", "adopt", "pause", "wake", "expire", "settle"] * 3
        + ["overtake", "die over a reply"] * 3
        + ["cancel", "done", "error"]
    ),
    min_size=3,
    max_size=16,
)

# Each example starts real processes and ends them, which takes most of a second: fewer of them, and the same in CI.
# They are short enough to be read as they are, and to shrink one would outlast the deadline of the test.
FEW = settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


class Killed(BaseException):
    """What a driver that is dead meets instead of an answer."""


class DriverProcess:
    """A driver that can be killed or stand still at every call to its store or its host.

    Attributes:
        obtained: set when it has the session, and when it has not got it.
        result: how its driving ended: an outcome, an error, or None while it drives and after it was killed.
        over: set when it does not drive any more.
    """

    def __init__(self, number: int) -> None:
        self.identity = Driver(id=f"driver-{number}", hostname="here", pid=number)
        self.dead = False
        self.paused: anyio.Event | None = None
        self.result: OutcomeDocument | Exception | None = None
        self.obtained = anyio.Event()
        self.over = anyio.Event()
        self._scope = anyio.CancelScope()

    @property
    def at_work(self) -> bool:
        return not self.dead and self.paused is None and not self.over.is_set()

    async def turn(self) -> None:
        """Return when it runs. A process that is stopped or killed is so between any two of its steps."""
        while self.paused is not None and not self.dead:
            await self.paused.wait()
        if self.dead:
            raise Killed

    async def run(self, obtain: Callable[["DriverProcess"], Awaitable[Session]]) -> None:
        try:
            with self._scope:
                session = await obtain(self)
                self.obtained.set()
                self.result = await session.wait()
        except (JournalError, HostError) as error:
            self.result = error
        except BaseException:
            if not self.dead:
                raise
        finally:
            self.obtained.set()
            self.over.set()

    def pause(self) -> None:
        self.paused = anyio.Event()

    def wake(self) -> None:
        if self.paused is not None:
            self.paused.set()
            self.paused = None

    async def kill(self) -> None:
        self.dead = True
        self.wake()
        self._scope.cancel()
        await self.over.wait()


class Connection:
    """One driver's way to the store that all of them share. Notes who has committed what."""

    def __init__(self, store: Store, process: DriverProcess, written: list[tuple[int, str]]) -> None:
        self._store = store
        self._process = process
        self._written = written
        self.url = store.url

    async def create(self, record: object, driver: Driver) -> Lease:
        return cast(Lease, await self._call("create", record, self._process.identity))

    async def acquire(self, session: str, driver: Driver, *, taking_over: int | None) -> Lease:
        identity = self._process.identity
        return cast(Lease, await self._call("acquire", session, identity, taking_over=taking_over))

    async def commit(self, lease: Lease, batch: Batch) -> Committed:
        await self._process.turn()
        committed = await self._store.commit(lease, batch)
        self._written.append((lease.generation, self._process.identity.id))
        await self._process.turn()
        return committed

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        return lambda *args, **options: self._call(name, *args, **options)

    async def _call(self, name: str, *args: object, **options: object) -> object:
        await self._process.turn()
        answer = await getattr(self._store, name)(*args, **options)
        await self._process.turn()
        return answer


class DriversHost(LocalHost):
    """One driver's way to this machine."""

    def __init__(self, taskdir: str, process: DriverProcess) -> None:
        super().__init__(taskdir)
        self._process = process

    async def run_command(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        input: bytes | None = None,
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> RunResult:
        await self._process.turn()
        result = await super().run_command(
            command, cwd=cwd, env=env, input=input, timeout=timeout, output_limit=output_limit
        )
        await self._process.turn()
        return result

    async def follow(
        self,
        path: str,
        cursor: Cursor = START,
        *,
        limit: int = DEFAULT_LINE_LIMIT,
        until: EndOfWriting | None = None,
    ) -> AsyncGenerator[tuple[Followed, Cursor]]:
        async with aclosing(super().follow(path, cursor, limit=limit, until=until)) as lines:
            async for each in lines:
                await self._process.turn()
                yield each

    async def stream_file(
        self, path: str, *, within: str | None = None, max_bytes: int | None = None
    ) -> AsyncGenerator[bytes]:
        await self._process.turn()
        async with aclosing(super().stream_file(path, within=within, max_bytes=max_bytes)) as chunks:
            async for chunk in chunks:
                yield chunk
        await self._process.turn()


class Machine:
    """One session, everyone who drives it, and what the program has written."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.taskdir = base / "sessions" / ID
        self.clock = SkippingClock()
        self.store = MemoryStore(self.clock)
        self.drivers: list[DriverProcess] = []
        self.written: list[tuple[int, str]] = []
        self.lines: list[str] = []
        self.half = ""
        self.handed_over: dict[str, str] = {}
        self.cancelled_after: int | None = None

    def is_proved_dead(self, driver: Driver) -> bool:
        return any(each.identity.id == driver.id and each.dead for each in self.drivers)

    async def obtain(self, process: DriverProcess) -> Session:
        store = cast(Store, Connection(self.store, process, self.written))
        host = DriversHost(str(self.base), process)
        if len(self.drivers) > 1:
            return await Session.adopt(host, store, ID, clock=self.clock)
        return await Session.start(
            host, store, WAITING, cwd=str(self.base), deliverables=str(self.base / "out"),
            state_dir=str(self.base / "sessions"), session_id=ID, limits=AT_ONCE, clock=self.clock,
        )  # fmt: skip

    @property
    def driver(self) -> DriverProcess | None:
        """The latest one that is at work."""
        return next((each for each in reversed(self.drivers) if each.at_work), None)

    async def has_ended(self) -> bool:
        return (await self.store.snapshot(ID)).record.state == "ended"

    async def log_types(self) -> list[str]:
        return [each.type for each in (await self.store.events(ID)).events if each.source == "log"]

    async def act(self, action: str, tasks: anyio.abc.TaskGroup) -> None:
        number = len(self.lines) + 1
        match action:
            case "line":
                self.say(f"STATUS: step {number}")
            case "burst":
                for place in range(number, number + 20):
                    self.say(f"line {place}")
            case "half a line":
                self.half += f"half {number} "
                self.append(self.half[-len(f"half {number} ") :])
            case "deliverable":
                name = f"file-{len(self.handed_over)}"
                self.handed_over[name] = f"content of {name}"
                (self.taskdir / "deliverables" / name).write_text(self.handed_over[name])
                self.say(f"DELIVERABLE: {name}")
            case "done":
                self.say("DONE: all of it")
            case "error":
                self.say("ERROR: no way")
            case "cancel":
                await self.cancel()
            case "kill" if self.driver is not None:
                await self.driver.kill()
            case "pause" if self.driver is not None:
                self.driver.pause()
            case "wake":
                for driver in self.drivers:
                    driver.wake()
            case "expire" if self.cancelled_after is None:
                # A cancelled session reads what was announced before for so long and no longer.
                self.clock.skip(LEASE_TTL)
            case "adopt":
                self.drivers.append(DriverProcess(len(self.drivers)))
                tasks.start_soon(self.drivers[-1].run, self.obtain)
            case "settle":
                await self.settle()
            # What chance alone would seldom put together.
            case "overtake":
                await self.act("pause", tasks)
                await self.act("line", tasks)
                await anyio.wait_all_tasks_blocked()  # the driver that stands still was about to write it
                for each in ("expire", "adopt", "settle"):
                    await self.act(each, tasks)
            case "die over a reply":
                for each in ("adopt", "deliverable", "settle", "kill"):
                    await self.act(each, tasks)

    def say(self, line: str) -> None:
        self.lines.append(self.half + line)
        self.append(line + "\n")
        self.half = ""

    def append(self, text: str) -> None:
        with open(self.taskdir / "optio.log", "a") as log:
            log.write(text)

    async def cancel(self) -> None:
        if self.cancelled_after is not None or await self.has_ended():
            return
        self.cancelled_after = len(self.lines)
        await self.store.put(ID, "cancel", {"reason": "enough"}, sender="the test")

    async def settle(self) -> None:
        """Let the driver that is at work do what there is to do."""
        if (driver := self.driver) is None:
            return
        await driver.obtained.wait()
        async with anyio.create_task_group() as tasks:

            async def stop_when_it_is_over() -> None:
                await driver.over.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(stop_when_it_is_over)
            change = 0
            while len(await self.log_types()) < len(self.lines) and not await self.has_ended():
                change = await self.store.news(ID, change)
            tasks.cancel_scope.cancel()

    async def finish(self, tasks: anyio.abc.TaskGroup) -> None:
        """Wake everyone, end the session if nothing else does, and see everyone off."""
        await self.act("wake", tasks)
        if self.half:
            self.say("and its end")
        while not await self.has_ended():
            if self.driver is None:
                if self.drivers and isinstance(self.drivers[-1].result, LeaseHeld):
                    self.clock.skip(LEASE_TTL)
                await self.act("adopt", tasks)
            await self.settle()
            driver = self.driver
            if driver is not None and (await self.store.snapshot(ID)).lease.driver == driver.identity:
                if (await self.store.snapshot(ID)).record.outcome is None:
                    await until(self.every_reply_has_arrived, "every reply arrives")
                    self.say("DONE: at last")
                await driver.over.wait()
            elif driver is not None:
                self.clock.skip(RENEW_EVERY)  # time for it to notice that it lost the lease
                await driver.over.wait()
        self.clock.skip(RENEW_EVERY)
        for each in self.drivers:
            await each.over.wait()

    async def every_reply_has_arrived(self) -> bool:
        return (self.taskdir / "replies").read_bytes() == await self.told()

    async def told(self) -> bytes:
        """All that the journal says was to be told to the program."""
        outbox = (await self.store.snapshot(ID)).outbox
        return b"".join(each.data for each in outbox["replies"].entries) if outbox else b""

    async def check(self) -> None:
        """What holds at every moment."""
        page = await self.store.events(ID)
        assert [each.seq for each in page.events] == list(range(1, page.last_seq + 1))
        assert [each.type for each in page.events].count("session.ended") <= 1
        logged = [each for each in page.events if each.source == "log"]
        assert len({each.event_id for each in logged}) == len(logged)
        assert [(each.type, _text(each.type, each.data)) for each in logged] == [
            _expected(line) for line in self.lines
        ][: len(logged)]
        # Who has a generation has it alone, and once there is a later one nobody of an earlier one writes.
        assert [generation for generation, _ in self.written] == sorted(each for each, _ in self.written)
        assert len(set(self.written)) == len({generation for generation, _ in self.written})
        told = await self.told()
        assert told.startswith((self.taskdir / "replies").read_bytes())
        announced = [text for kind, text in map(_expected, self.lines[: len(logged)]) if kind == "deliverable"]
        assert [line.split()[2] for line in told.decode().splitlines()] == [f"{name}:" for name in announced]

    async def check_end(self) -> None:
        events = (await self.store.events(ID)).events
        snapshot = await self.store.snapshot(ID)
        assert events[-1].type == "session.ended"
        decided = next(each for each in events if each.type in ("done", "error", "stop"))
        outcome = {"done": "done", "error": "failed", "stop": "cancelled"}[decided.type]
        assert (snapshot.record.state, snapshot.record.outcome and snapshot.record.outcome.outcome) == (
            "ended",
            outcome,
        )
        first = next((n for n, line in enumerate(self.lines, 1) if line.startswith(("DONE", "ERROR"))), 0)
        read = len(await self.log_types())
        assert read >= (self.cancelled_after or 0 if outcome == "cancelled" else first)
        assert all(command.receipt is not None for command in snapshot.commands)
        landed = [str(each.data["name"]) for each in events if each.type == "deliverable"]
        assert sorted(path.name for path in (self.base / "out").glob("*")) == sorted(landed)
        for name in landed:
            assert (self.base / "out" / name).read_text() == self.handed_over[name]
        # Everyone else was told: that another one drives it, or that there is nothing left to drive.
        results = [each.result for each in self.drivers if not each.dead]
        assert all(isinstance(each, OutcomeDocument | LeaseHeld | LeaseLost | SessionRefused) for each in results), (
            results
        )
        assert sum(isinstance(each, OutcomeDocument) for each in results) <= 1
        await nothing_left(self.base)


def _text(kind: str, data: Mapping[str, object]) -> object:
    return data[
        {"status": "message", "line": "text", "deliverable": "name", "done": "summary", "error": "message"}[kind]
    ]


def _expected(line: str) -> tuple[str, str]:
    for keyword, kind in {"STATUS": "status", "DELIVERABLE": "deliverable", "DONE": "done", "ERROR": "error"}.items():
        if line.startswith(f"{keyword}: "):
            return kind, line.removeprefix(f"{keyword}: ")
    return "line", line


async def live(machine: Machine, actions: list[str]) -> None:
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            machine.drivers.append(DriverProcess(0))
            tasks.start_soon(machine.drivers[0].run, machine.obtain)
            # The first driver is undisturbed until the program runs: what a start that breaks off does is tested
            # at its seams, with the driver really killed.
            change = 0
            while not machine.store._journals or (await machine.store.snapshot(ID)).record.state != "running":
                change = await machine.store.news(None, change)
            for action in actions:
                await machine.act(action, tasks)
                await machine.check()
            await machine.finish(tasks)
        await machine.check()
        await machine.check_end()


@pytest.mark.timeout(300)
@FEW
@given(actions=ACTIONS)
def test_whatever_happens_to_its_drivers_a_session_is_driven_by_one_and_nothing_is_lost_or_doubled(
    actions: list[str],
) -> None:
    with tempfile.TemporaryDirectory(prefix="optio-machine-") as directory, pytest.MonkeyPatch.context() as patch:
        machine = Machine(Path(directory))
        patch.setenv("XDG_STATE_HOME", str(machine.base / "state"))
        patch.setattr(session_module, "is_proved_dead", machine.is_proved_dead)
        anyio.run(live, machine, actions)
        assert not of_runs(machine.base)
