"""Sessions whose journal is in MongoDB: the command line, drivers on two machines, and a store that is away."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import anyio
import mongo_driver
import pytest
from mongo_driver import EVERY, SESSION
from optio_bench import GO, LOG, REPLY, Bench, read_until, rest_of
from optio_bench import bench as bench
from pymongo import AsyncMongoClient
from session_rig import AT_ONCE, Driving

from host.job_rig import of_runs, until
from mongo_rig import CANCELLED_CONNECTS, mongo_url, new_store, own_mongo
from optio_agents.events import Status
from optio_agents.history import follow_history, read_history
from optio_agents.journal import Store
from optio_agents.journal.mongo.store import open_mongo
from optio_agents.journal.mongo.url import Place, place_of
from optio_agents.patient_store import PatientStore
from optio_agents.session import Session
from optio_host.local.host import LocalHost
from optio_host.testing.relay import Relay
from sshd_rig import Sshd

pytestmark = CANCELLED_CONNECTS

DRIVERS = int(os.environ.get("OPTIO_TEST_DRIVERS", "8"))
TROUBLES = int(os.environ.get("OPTIO_TEST_TROUBLES", "8"))
"""Blows that the drivers of one session get; OPTIO_TEST_TROUBLES=300 goes on for many minutes."""
PATIENCE = 120.0
"""Seconds in which drivers must have done something; they take few, but there are many of them."""
AWAY = float(os.environ.get("OPTIO_TEST_AWAY", "4"))
"""Seconds that the store is away; OPTIO_TEST_AWAY=60 for the minute that is promised."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mongo_url(tmp_path_factory.mktemp("mongo")) as url:
        yield url


# The command line


def test_every_command_works_with_it(bench: Bench, server: str) -> None:
    bench.env["OPTIO_STORE"] = url = new_store(server)
    session = bench.detached(LOG + f'say "STATUS: up"; {GO} echo content | hand a; {REPLY} say "DONE: all of it"')
    assert bench.record(session)["state"] in ("starting", "running")
    assert [each["id"] for each in bench.run("ls", "--json").events] == [session]
    following = bench.start_optio("logs", session, "--follow", "--json")
    read_until(following, '"up"')
    assert "holds no conversation" in bench.run("send", session, "hello").err
    os.kill(bench.driver(session), signal.SIGKILL)
    bench.go()
    attached = bench.run("attach", session[:4], "--json")
    assert (attached.code, attached.err) == (0, "")
    assert attached.ended["summary"] == "all of it"
    out, err = rest_of(following)
    assert err == ""
    assert json.loads(out.splitlines()[-1])["type"] == "session.ended"
    assert bench.run("logs", session, "--json").out == attached.out

    assert bench.run("export", session, "kept").code == 0
    assert bench.run("prune", "--older-than", "0s").code == 0
    assert bench.run("ls", "--all", "--json").out == ""
    assert bench.run("import", "kept").code == 0
    assert bench.run("show", session, "--json").record["outcome"] == "done"

    endless = bench.detached("exec sleep 300")
    assert bench.run("cancel", endless).code == 0
    assert bench.run("show", endless, "--json", OPTIO_STORE="").code == 2  # it is in no other journal
    assert bench.run("show", endless, "--json", "--store", url).record["outcome"] == "cancelled"


# Two machines


class Machines:
    """Driver processes, each on a machine of its own, of one session on a host that all of them reach by SSH."""

    def __init__(self, base: Path, sshd: Sshd) -> None:
        self.root = base / "root"
        self.root.mkdir()
        self._log = (base / "drivers.log").open("ab")
        self._env = {
            **os.environ,
            "XDG_STATE_HOME": str(base / "state"),
            "OPTIO_TEST_SSHD": f"{sshd.port}:{sshd.user}:{sshd.key}:{sshd.known_hosts}",
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, url: str, *options: str) -> None:
        words = [sys.executable, mongo_driver.__file__, str(self.root), name, url, *options]
        self.running[name] = subprocess.Popen(words, env=self._env, stdout=self._log, stderr=self._log)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait(timeout=10)

    def let_it_end(self) -> None:
        """The program writes until then."""
        (self.root / "go").touch()

    def wrote(self) -> list[tuple[str, str, int, int, int]]:
        """What was written, to the journal or to the host: by whom, in which generation, from where to where."""
        return [tuple(json.loads(line)) for line in (self.root / "wrote").read_text().splitlines()]

    def said(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text()

    def close(self) -> None:
        for name, process in list(self.running.items()):
            process.send_signal(signal.SIGCONT)
            self.kill(name)
        self._log.close()


@pytest.fixture
def machines(tmp_path: Path, sshd_here: Sshd) -> Iterator[Machines]:
    machines = Machines(tmp_path, sshd_here)
    yield machines
    machines.close()

    async def gone() -> None:
        await until(lambda: not of_runs(tmp_path), "the end of every process of a run")

    anyio.run(gone)


async def lines_read(store: Store, count: int) -> None:
    """Return when so many lines of the program are in the journal."""
    with anyio.fail_after(PATIENCE):
        change = 0
        while SESSION not in [each.id for each in await store.sessions()]:
            change = await store.news(None, change)
        async with aclosing(follow_history(store, SESSION)) as records:
            async for record in records:
                if record.event == Status(None, f"line {count - 1}."):
                    return


async def number_read(store: Store) -> int:
    """How many lines of the program are in the journal."""
    return len([each async for each in read_history(store, SESSION) if each.event.type == "status"])


async def assert_driven_by_one_at_a_time(store: Store, place: Place, machines: Machines) -> list[int]:
    """One writer for each generation, here and on the host; nothing lost, nothing doubled. The generations."""
    history = [each async for each in read_history(store, SESSION)]
    snapshot = await store.snapshot(SESSION)
    assert [each.seq for each in history] == list(range(1, snapshot.last_seq + 1))
    written = Path(snapshot.record.taskdir, "optio.log").read_text().count("STATUS: ")
    lines = [each.event.message for each in history if each.event.type == "status"]
    assert lines == [f"line {n}." for n in range(written)]
    types = [each.event.type for each in history]
    assert (types.count("session.started"), types.count("session.ended")) == (1, 1)
    assert snapshot.record.outcome is not None
    assert snapshot.record.outcome.outcome == "done"

    files = [str(n) for n in range(EVERY, written + 1, EVERY)]
    assert [each.name for each in snapshot.deliverables] == files
    assert types.count("deliverable") == len(files)
    replies = Path(snapshot.record.taskdir, "replies").read_text().splitlines()
    assert [re.findall(r"noted (\d+)", line) for line in replies] == [[name] for name in files]

    owners: dict[int, str] = {}
    committed: dict[int, tuple[str, int]] = {}
    for what, who, generation, first, last in machines.wrote():
        assert owners.setdefault(generation, who) == who, f"generation {generation} has two owners"
        for seq in range(first, last + 1) if what == "commit" else ():
            assert committed.setdefault(seq, (who, generation)) == (who, generation), f"event {seq} has two writers"
    async with AsyncMongoClient[dict[str, Any]](place.client_url) as client:
        life = (await client[place.database]["optio_sessions"].find_one({"_id": f"{place.tenant}/{SESSION}"}))["life"]  # type: ignore[index]
        rows = (
            await client[place.database]["optio_events"].find({"_id": {"$gt": f"{life}/", "$lt": f"{life}0"}}).to_list()
        )
    generations = [row["generation"] for row in sorted(rows, key=lambda row: str(row["_id"]))][: snapshot.last_seq]
    assert generations == sorted(generations)
    for seq, (_, generation) in committed.items():
        assert generations[seq - 1] == generation
    return sorted(set(generations))


def test_another_machine_adopts_after_kill_9_once_the_lease_has_run_out(server: str, machines: Machines) -> None:
    url = new_store(server)

    async def body() -> None:
        place = place_of(url)
        async with open_mongo(place) as store:
            machines.start("alpha", url, "--start")
            await lines_read(store, 10)
            machines.start("beta", url)
            await lines_read(store, 60)  # the first driver goes on while the second one waits
            machines.kill("alpha")
            await lines_read(store, await number_read(store) + 20)
            machines.let_it_end()
            await until(lambda: machines.running["beta"].poll() is not None, "the end of the session", PATIENCE)
            assert machines.running["beta"].returncode == 0, machines.said()
            assert await assert_driven_by_one_at_a_time(store, place, machines) == [1, 2]
            changes = [each.event async for each in read_history(store, SESSION) if each.event.type == "driver.changed"]
        assert [each.reason for each in changes] == ["expired"]

    anyio.run(body)


def test_of_eight_drivers_that_are_paused_killed_and_cut_off_each_generation_has_one_writer(
    server: str, machines: Machines
) -> None:
    dice = random.Random(int(os.environ.get("OPTIO_TEST_SEED", "1")))
    url = new_store(server)
    port = int(server.rpartition(":")[2])

    async def body() -> None:
        place = place_of(url)
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_mongo(place))
            relays = {f"m{n}": await stack.enter_async_context(Relay(port)) for n in range(DRIVERS)}
            by_relay = {name: url.replace(f":{port}/", f":{relay.port}/") for name, relay in relays.items()}
            machines.start("m0", by_relay["m0"], "--start")
            await lines_read(store, 1)
            for name in list(relays)[1:]:
                machines.start(name, by_relay[name])
            for number in range(TROUBLES):
                await lines_read(store, await number_read(store) + 1)
                driver = (await store.snapshot(SESSION)).lease.driver
                owner = "m0" if driver is None else driver.hostname
                await trouble(KINDS[number % len(KINDS)], dice, machines, relays, by_relay, owner)
            machines.let_it_end()
            await until(lambda: all(each.poll() is not None for each in machines.running.values()), "the end", PATIENCE)
            assert {each.returncode for each in machines.running.values()} == {0}, machines.said()
            assert len(await assert_driven_by_one_at_a_time(store, place, machines)) > 1

    anyio.run(body)


KINDS = ("kill", "pause", "stall", "cut")


async def trouble(
    kind: str, dice: random.Random, machines: Machines, relays: dict[str, Relay], urls: dict[str, str], owner: str
) -> None:
    """Pause, kill or cut off whoever drives, or now and then somebody else, for longer than the lease or not."""
    name = owner if dice.random() < 0.8 else dice.choice(list(relays))
    process = machines.running[name]
    match kind:
        case "pause":
            process.send_signal(signal.SIGSTOP)
            await anyio.sleep(dice.uniform(0.5, 2 * mongo_driver.TTL))
            process.send_signal(signal.SIGCONT)
        case "kill":
            machines.kill(name)
            machines.start(name, urls[name])
        case "stall":
            relays[name].stall()
            await anyio.sleep(dice.uniform(0.5, 2 * mongo_driver.TTL))
            relays[name].restore()
        case "cut":
            relays[name].reset_after(dice.randrange(5_000))


# A store that is away


def test_a_store_that_is_away_stops_no_program_and_loses_nothing(tmp_path: Path) -> None:
    """First it cannot be reached, then it is killed and started again. For a minute, the lease runs out meanwhile."""
    script = (
        'i=0; until [ -e go ]; do echo "STATUS: line $i." >>"$OPTIO_LOG"; i=$((i + 1)); sleep 0.05; done; '
        'echo DONE >>"$OPTIO_LOG"'
    )

    async def body() -> None:
        with own_mongo(tmp_path) as server:
            async with Relay(server.port) as relay:
                place = place_of(f"mongodb://127.0.0.1:{relay.port}/")
                async with open_mongo(place, patience=0.5) as store:
                    host = LocalHost(str(tmp_path / "host"))
                    session = await Session.start(
                        host,
                        store,
                        ["sh", "-c", script],
                        cwd=str(tmp_path),
                        deliverables=str(tmp_path / "out"),
                        state_dir=str(tmp_path / "sessions"),
                        limits=AT_ONCE,
                    )
                    driving = Driving(session)
                    log = Path(session.record.taskdir, "optio.log")
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(driving.run)
                        await counts_on(log, 0.5)
                        relay.stall()
                        await counts_on(log, AWAY / 2)
                        relay.restore()
                        await relay.drop()
                        written = number_of_lines(log)
                        async with aclosing(session.events()) as records:
                            async for record in records:
                                if record.event == Status(None, f"line {written - 1}."):
                                    break
                        await anyio.to_thread.run_sync(server.kill)
                        await counts_on(log, AWAY / 2)
                        await anyio.to_thread.run_sync(server.start)
                        (tmp_path / "go").touch()
                        outcome = await driving.ended()
                        assert outcome.outcome == "done"
                    history = [each async for each in read_history(PatientStore(store), session.id)]
                    lines = [each.event.message for each in history if each.event.type == "status"]
                    assert lines == [f"line {n}." for n in range(len(lines))]
                    assert len(lines) == len(log.read_text().splitlines()) - 1
                    assert (await PatientStore(store).snapshot(session.id)).lease.generation == 1

    anyio.run(body)


def number_of_lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


async def counts_on(log: Path, seconds: float) -> None:
    """Return when the program has written as many lines as it can in this time."""
    wanted = number_of_lines(log) + int(seconds / 0.05)
    await until(lambda: number_of_lines(log) >= wanted, "the program goes on", 20 + 2 * seconds)
