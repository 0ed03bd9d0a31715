"""One episode: sessions are started, everything in the plan happens to them, all trouble ends, and so do they."""

import json
import os
import random
import shlex
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import numbered
from hiding import is_alive, sleeping
from history_check import Act, Commit, Evidence, Watched, broken
from plan import Action, Member, Plan
from world import PROGRAM, Ran, World, notes_of, until

from optio_agents.errors import JournalError, SessionUnknown
from optio_agents.journal import Snapshot, Store, open_store
from optio_host.local.part import PART_SUFFIX

PATIENCE = 120.0
"""Seconds in which every session must have ended once all trouble is over: a lease that runs out, and a turn."""

WATCHERS_PATIENCE = 30.0
"""Seconds in which whoever watches has seen the end then."""


class Broken(Exception):
    """The episode could not be run as it should; what went wrong is a finding, too."""


class Episode:
    """Runs a plan in a world.

    Attributes:
        findings: what was seen to be wrong meanwhile.
        happened: how often each kind of action was carried out.
    """

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.findings: list[str] = []
        self.happened: dict[str, int] = defaultdict(int)
        self._dice = random.Random(f"{plan.seed} episode")
        self._ids: dict[str, str] = {}
        self._acts: dict[str, list[Act]] = defaultdict(list)
        self._watchers: dict[str, list[_Watcher]] = defaultdict(list)
        self._may_be_cancelled: set[str] = set()
        self._may_be_lost: set[str] = set()
        self._stopped: set[int] = set()
        self._numbers = iter(range(10**6))
        self._all_is_over = anyio.Event()
        self._store: Store

    async def run(self) -> list[str]:
        """Everything that is broken, in sentences."""
        try:
            async with open_store(self.world.store) as self._store, anyio.create_task_group() as tasks:
                for member in self.plan.members:
                    await self._start(member, tasks)
                async with anyio.create_task_group() as actions:
                    for action in self.plan.actions:
                        actions.start_soon(self._act, action, tasks)
                await self._end_all_trouble()
                await self._settle()
                self._all_is_over.set()
                await self._see_watchers_off()
                tasks.cancel_scope.cancel()
        except* Broken as errors:
            self.findings += [str(each) for each in errors.exceptions]
        if not self._all_is_over.is_set():
            return self.findings
        async with open_store(self.world.store) as self._store:
            for member in self.plan.members:
                self.findings += broken(await self._evidence(member))
        self.findings += self.world.problems()
        await until(lambda: not self.world.processes(), WATCHERS_PATIENCE)
        self.findings += [f"still running: pid {pid}: {line}" for pid, line in self.world.processes().items()]
        return self.findings

    # Sessions

    async def _start(self, member: Member, tasks: anyio.abc.TaskGroup) -> None:
        notes = self.world.base / "notes" / member.name
        notes.mkdir()
        settings = {
            "seed": self._seed(member), "lines": member.lines, "pause": member.pause, "end": member.end,
            "kind": member.kind, "notes": str(notes), "hides": self._mark(member) if member.hides else "",
        }  # fmt: skip
        (notes / "settings.json").write_text(json.dumps(settings))
        words = ["python3", "-I", "-S", str(PROGRAM), str(notes / "settings.json")]
        options = ["--deliverables", str(self._landing(member)), "--in", str(self.world.base / "work"), "--json"]
        if member.place == "far":
            options += ["--host", "far"]
        if member.detached:
            options += ["--detach"]
        if member.kind == "agent":
            program = notes / "claude"
            program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            program.chmod(0o755)
            command = ["run", *options, "--agent", "claude", "--executable", str(program), "begin"]
        else:
            command = ["run", *options, "--", *words]
        if member.detached:
            ran = await self.world.optio(*command)
            if ran.code != 0:
                raise Broken(f"{member.name} could not be started: {ran.err.read_text()}")
            self._ids[member.name] = json.loads(ran.out.read_text())["id"]
        else:
            watcher = await tasks.start(self._watch, member.name, tuple(command), 0.0)
            self._ids[member.name] = await self._first_session_in(watcher.ran)

    async def _first_session_in(self, ran: Ran) -> str:
        with anyio.move_on_after(60):
            while b"\n" not in (printed := ran.out.read_bytes()):
                if ran.code is not None:
                    break
                await anyio.sleep(0.05)
            else:
                return str(json.loads(printed.split(b"\n")[0])["session"])
        raise Broken(f"optio {' '.join(ran.arguments)[:100]} started nothing: {ran.err.read_text()}")

    def _seed(self, member: Member) -> int:
        return self.plan.seed * 100 + ord(member.name)

    def _mark(self, member: Member) -> str:
        return f"{7000 + ord(member.name)}.{os.getpid()}{self.plan.seed % 10**6:06}"

    def _landing(self, member: Member) -> Path:
        return self.world.base / "near" / f"landed-{member.name}"

    async def _snapshot(self, name: str) -> Snapshot | None:
        """None where the store does not answer, as on a full disk."""
        try:
            return await self._store.snapshot(self._ids[name])
        except SessionUnknown:
            raise
        except JournalError:
            return None

    async def _driver(self, name: str) -> int:
        """The process that drives it now; 0: none that lives."""
        snapshot = await self._snapshot(name)
        driver = snapshot.lease.driver if snapshot else None
        return driver.pid if driver and is_alive(driver.pid) else 0

    async def _question(self, name: str) -> str:
        """One that is open, if there is one soon."""
        with anyio.move_on_after(3):
            while True:
                snapshot = await self._snapshot(name)
                found = [each.id for each in snapshot.questions if each.status == "open"] if snapshot else []
                if found:
                    return self._dice.choice(found)
                await anyio.sleep(0.1)
        return ""

    # What happens

    async def _act(self, action: Action, tasks: anyio.abc.TaskGroup) -> None:
        await anyio.sleep(action.at)
        self.happened[action.what] += 1
        relay, name = self.world.relay, action.whom
        match action.what:
            case "cut":
                await relay.drop()
            case "end":
                await relay.drop(hard=False)
            case "stall" | "black hole":
                relay.stall()
                await self._for_a_while(action.amount, relay.restore)
            case "half open":
                relay.stall("from_target" if self._dice.random() < 0.5 else "to_target")
                await self._for_a_while(action.amount, relay.restore)
            case "reset after":
                relay.reset_after(int(action.amount))
            case "refuse" | "outage":
                await relay.refuse()
                await relay.drop()
                await self._for_a_while(action.amount, relay.restore)
            case "slow":
                relay.slow(bytes_per_second=200_000, latency=0.05)
                await self._for_a_while(action.amount, relay.slow)
            case "kill sshd":
                self._kill_children_of(self.world.server.pid)
            case "fill here" | "fill far" if self.world.disks:
                place = action.what.split()[1]
                self.world.fill(place)
                await self._for_a_while(action.amount, lambda: self.world.empty(place))
            case "kill reader":
                self._kill_a_reader()
            case "kill supervisor":
                snapshot = await self._snapshot(name)
                with suppress(OSError, IndexError):
                    supervisor = Path(snapshot.record.rundir, "supervisor") if snapshot else Path("/")
                    self._may_be_lost.add(name)
                    self.world.signal_if_there(int(supervisor.read_text().split()[0]), signal.SIGKILL)
            case "drive four times":
                async with anyio.create_task_group() as drivers:
                    for _ in range(4):
                        drivers.start_soon(partial(self.world.optio, "drive", self._ids[name], within=5))
            case "look":
                await self.world.optio(*self._dice.choice(self._looks(name)))
            case "kill driver":
                self.world.signal_if_there(await self._driver(name), signal.SIGKILL)
            case "term driver":
                if driver := await self._driver(name):
                    self._may_be_cancelled.add(name)
                    self.world.signal_if_there(driver, signal.SIGTERM)
            case "pause driver":
                driver = await self._driver(name)
                self.world.signal_if_there(driver, signal.SIGSTOP)
                self._stopped.add(driver)
                await self._for_a_while(action.amount, lambda: self.world.signal_if_there(driver, signal.SIGCONT))
            case "adopt":
                await self.world.optio("adopt", self._ids[name])
            case "attach" | "attach slowly" | "attach and never read":
                pace = {"attach": 0.0, "attach slowly": 2_000.0, "attach and never read": -1.0}[action.what]
                follow = ("logs", "--follow") if self._dice.random() < 0.4 else ("attach",)
                command = (*follow, self._ids[name], "--json", "--from", str(self._dice.choice((1, 1, 30))))
                await tasks.start(self._watch, name, command, pace)
            case "kill watchers" | "interrupt watchers" | "hang up watchers":
                number = {"k": signal.SIGKILL, "i": signal.SIGINT, "h": signal.SIGHUP}[action.what[0]]
                for watcher in self._watchers[name]:
                    if watcher.ran.arguments[0] != "run" or number == signal.SIGHUP:
                        watcher.ended_by_us = True
                        watcher.ran.killed = True
                        self.world.signal_if_there(watcher.ran.pid, number)
            case "cancel" | "force":
                await self._cancel(name, force=action.what == "force")
            case "send":
                await self._send(name)
            case "send twice at once":
                await _both(lambda: self._send(name), lambda: self._send(name))
            case "approve" | "deny":
                await self._answer(name, action.what)
            case "answer at once":
                if question := await self._question(name):
                    await _both(
                        lambda: self._answer(name, "approve", question), lambda: self._answer(name, "deny", question)
                    )
            case "interrupt":
                ran = await self.world.optio("interrupt", self._ids[name])
                self._acts[name].append(Act("interrupt", "", None if ran.killed else ran.code))

    def _looks(self, name: str) -> list[tuple[str, ...]]:
        """Commands that look, or clear away, and must change nothing that goes on."""
        id = self._ids[name]
        export = str(self.world.base / f"export-{next(self._numbers)}")
        return [
            ("ls", "--json"), ("ls", "--all"), ("show", id), ("show", id, "--json"), ("logs", id), ("permissions",),
            ("jobs",), ("jobs", "--host", "far"), ("reap",), ("reap", "--host", "far"), ("export", id, export),
            ("prune", "--older-than", "1d"), ("doctor", "--host", "far"), ("adopt", "--all"),
        ]  # fmt: skip

    async def _for_a_while(self, seconds: float, end: Callable[[], object]) -> None:
        try:
            await anyio.sleep(seconds)
        finally:
            end()

    def _kill_children_of(self, pid: int) -> None:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if self._dice.random() < 0.5:
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)

    def _kill_a_reader(self) -> None:
        """One of the processes on the host that work for a driver: not a program's, and no supervisor."""
        far = f"XDG_STATE_HOME={self.world.base}/far\0".encode()
        found = []
        for pid in self.world.processes():
            with suppress(OSError):
                environment = Path(f"/proc/{pid}/environ").read_bytes()
                of_a_run = b"OPTIO_RUN=" in environment or b"OPTIO_SUPERVISES=" in environment
                if far in environment and not of_a_run:
                    found.append(pid)
        if found:
            self.world.signal_if_there(self._dice.choice(found), signal.SIGKILL)

    # What users do

    async def _cancel(self, name: str, *, force: bool = False) -> None:
        self._may_be_cancelled.add(name)
        ran = await self.world.optio("cancel", self._ids[name], *(["--force"] if force else []))
        self._acts[name].append(Act("cancel", "", None if ran.killed else ran.code))

    async def _send(self, name: str, word: str = "message") -> bool:
        text = f"{word} {next(self._numbers)} of {name}"
        ran = await self.world.optio("send", self._ids[name], text)
        self._acts[name].append(Act("send", text, None if ran.killed else ran.code))
        return ran.code == 0

    async def _answer(self, name: str, verb: str, question: str = "") -> None:
        question = question or await self._question(name)
        if question:
            ran = await self.world.optio(verb, question)
            self._acts[name].append(Act(verb, f"{name} {question}", None if ran.killed else ran.code))

    async def _watch(
        self,
        name: str,
        command: tuple[str, ...],
        pace: float,
        *,
        task_status: "anyio.abc.TaskStatus[_Watcher]",
    ) -> None:
        """Run a command that prints the history; read so many bytes a second of it, or (0) all, or (-1) nothing."""
        ran = self.world.prepare(*command)
        first = int(command[command.index("--from") + 1]) if "--from" in command else 1
        watcher = _Watcher(ran, first)
        async with self.world.started(ran, piped=pace != 0) as process:
            self._watchers[name].append(watcher)
            task_status.started(watcher)
            if process.stdout is not None:
                with ran.out.open("ab") as out:
                    while not self._all_is_over.is_set() and (pace < 0 or process.returncode is None):
                        if pace > 0:
                            with suppress(anyio.EndOfStream), anyio.move_on_after(0.1):
                                out.write(await process.stdout.receive(int(pace / 10)))
                        await anyio.sleep(0.1)
                    with suppress(anyio.EndOfStream, anyio.ClosedResourceError):
                        while True:
                            out.write(await process.stdout.receive())
            ran.code = await process.wait()

    # The end

    async def _end_all_trouble(self) -> None:
        self.world.relay.restore()
        for place in ("here", "far"):
            self.world.empty(place)
        for pid in self._stopped:
            self.world.signal_if_there(pid, signal.SIGCONT)

    async def _settle(self) -> None:
        async with anyio.create_task_group() as tasks:
            for member in self.plan.members:
                tasks.start_soon(self._bring_to_its_end, member)

    async def _bring_to_its_end(self, member: Member) -> None:
        name, began, adopted, finished = member.name, time.monotonic(), -10.0, False
        while time.monotonic() < began + PATIENCE:
            snapshot = await self._snapshot(name)
            if snapshot is not None and snapshot.record.state == "ended":
                return
            now = time.monotonic()
            if not await self._driver(name) and now - adopted > 10:
                adopted = now
                await self.world.optio("adopt", self._ids[name])
            if member.end == "never":
                await self._cancel(name)
            elif member.kind == "agent" and snapshot is not None:
                for question in [each.id for each in snapshot.questions if each.status == "open"]:
                    await self._answer(name, "approve", question)
                if not finished:
                    finished = await self._send(name, "finish")
            await anyio.sleep(0.2)
        self.findings.append(
            f"session {name} has not ended {PATIENCE:g} s after all trouble was over: "
            f"{snapshot.record.state if snapshot else 'its store does not answer'}; its driver: "
            f"{self.world.processes().get(await self._driver(name), 'none')}"
        )

    async def _see_watchers_off(self) -> None:
        everyone = [each.ran for watchers in self._watchers.values() for each in watchers]
        await until(lambda: all(each.code is not None for each in everyone), WATCHERS_PATIENCE)
        for name, watchers in self._watchers.items():
            for watcher in watchers:
                if watcher.ran.code is None:
                    watcher.ended_by_us = True
                    self.findings.append(
                        f"optio {' '.join(watcher.ran.arguments)[:80]} of session {name} still waits "
                        f"{WATCHERS_PATIENCE:g} s after its end"
                    )

    async def _evidence(self, member: Member) -> Evidence:
        name, session = member.name, self._ids[member.name]
        snapshot = await self._store.snapshot(session)
        taskdir = Path(snapshot.record.taskdir)
        log = _bytes_of(taskdir / "optio.log")
        notes = self.world.base / "notes" / name
        spools = {"replies": _bytes_of(taskdir / "replies"), "stdin": _bytes_of(taskdir / "run/1/stdin")}
        announced = [each.removeprefix(b"DELIVERABLE: file-") for each in log.split(b"\n")[:-1]]
        landing = self._landing(member)
        there = [each for each in landing.rglob("*") if each.is_file()] if landing.exists() else []
        commits = [Commit(*rest) for each, *rest in self.world.commits() if each == session]
        return Evidence(
            name=f"{name} ({session})",
            seed=self._seed(member),
            state=snapshot.record.state,
            outcome=snapshot.record.outcome.outcome if snapshot.record.outcome else "",
            events=[event async for event in _events(self._store, session)],
            log=log,
            noted=[str(each["line"]).encode("latin-1") for each in notes_of(notes)],
            spools=spools,
            outbox={
                stream: b"".join(each.data for each in box.entries) for stream, box in snapshot.outbox.items()
            },
            told=_bytes_of(notes / "told"),
            announced={
                numbered.name_of(int(each)): numbered.content(self._seed(member), int(each))
                for each in announced
                if each.isdigit()
            },
            landed={str(each.relative_to(landing)): each.read_bytes() for each in there if not _is_part(each)},
            parts=[each.name for each in there if _is_part(each)],
            acts=[Act(each.what, each.about.removeprefix(f"{name} "), each.code) for each in self._acts[name]],
            commits=commits,
            watched=[
                Watched(
                    f"optio {' '.join(each.ran.arguments)[:60]}",
                    each.first,
                    each.ran.out.read_bytes(),
                    not each.ended_by_us and not each.ran.killed and each.ran.code in (0, 1, 3, 130)
                    and not each.ran.err.read_bytes(),
                )
                for each in self._watchers[name]
            ],
            survivors=sleeping(self._mark(member)) if member.hides else [],
            wanted={"done": "done", "error": "failed", "silent": "failed", "never": ""}[member.end],
            may_be_cancelled=name in self._may_be_cancelled,
            may_be_lost=name in self._may_be_lost,
        )  # fmt: skip


class _Watcher:
    def __init__(self, ran: Ran, first: int) -> None:
        self.ran = ran
        self.first = first
        self.ended_by_us = False


async def _events(store: Store, session: str) -> AsyncIterator[dict[str, object]]:
    after = 0
    while (page := await store.events(session, after=after)).events:
        for each in page.events:
            after = each.seq
            data = {name: value for name, value in each.data.items() if name not in ("turn", "synthetic", "raw")}
            yield {"seq": each.seq, "type": each.type, "source": each.source, "data": data, "event_id": each.event_id}


def _is_part(path: Path) -> bool:
    return path.name.endswith(PART_SUFFIX) or path.name.startswith(".optio-")


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


async def _both(first: Callable[[], Awaitable[object]], second: Callable[[], Awaitable[object]]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        tasks.start_soon(second)
