"""A durable session on a host over SSH, by a link that is cut, stalled and reset: nothing is lost, doubled or left."""

import getpass
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from session_rig import AT_ONCE, Driving

from host.job_rig import of_runs, until
from optio_agents.errors import LeaseLost
from optio_agents.history import read_history
from optio_agents.journal import Limits, Store
from optio_agents.journal.memory import MemoryStore
from optio_agents.session import Session
from optio_agents.stall import look_for_signs
from optio_host.errors import AuthenticationRefused
from optio_host.testing.relay import Relay
from ssh_rig import HereOverSsh, config_for
from sshd_rig import Sshd, plain_user, sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]

LINES = 400
TROUBLES = 8
PROGRAM = f"""
log() {{ printf '%s\\n' "$1" >>"$OPTIO_LOG"; }}
i=0
while [ $i -lt {LINES} ]; do
    log "STATUS: line $i."; i=$((i + 1))
    case $i in
        *00) head -c 30000 /dev/urandom >"$OPTIO_DELIVERABLES/$i"; cksum <"$OPTIO_DELIVERABLES/$i" >>sums
             log "DELIVERABLE: $i" ;;
        *0) sleep 0.05 ;;
    esac
done
until [ "$(wc -l <"$OPTIO_REPLIES")" -ge {LINES // 100} ]; do sleep 0.05; done
log DONE
"""


@pytest.fixture(autouse=True)
def nothing_runs_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield

    async def gone() -> None:
        await until(lambda: not of_runs(tmp_path), "the end of every process of a run")

    anyio.run(gone)


class Scene:
    """A session's place, and the drivers that reach it through a relay."""

    def __init__(self, base: Path, relay: Relay, server: Sshd) -> None:
        self.base = base
        self.relay = relay
        self.store: Store = MemoryStore()
        self._config = config_for(server, port=relay.port, keepalive_interval=0.3, keepalive_count=2)

    @asynccontextmanager
    async def host(self) -> AsyncIterator[HereOverSsh]:
        host = HereOverSsh(self._config, str(self.base / "task"))
        try:
            await host.connect()
            yield host
        finally:
            await host.disconnect()

    async def start(self, host: HereOverSsh, program: str, limits: Limits = AT_ONCE) -> Session:
        return await Session.start(
            host,
            self.store,
            ["sh", "-c", program],
            cwd=str(self.base),
            make_cwd=True,
            deliverables=str(self.base / "out"),
            state_dir=str(self.base / "sessions"),
            limits=limits,
        )

    async def texts(self, session: Session) -> list[str]:
        return [
            record.event.message
            async for record in read_history(self.store, session.id)
            if record.event.type == "status"
        ]


@asynccontextmanager
async def scene(base: Path, server: Sshd) -> AsyncIterator[Scene]:
    async with Relay(server.port) as relay:
        yield Scene(base, relay, server)


async def trouble(relay: Relay, kind: str, dice: random.Random) -> None:
    """The link works for a while, then it does not, again and again."""
    for _ in range(TROUBLES):
        await anyio.sleep(dice.uniform(0.3, 2.0))
        match kind:
            case "cut":
                await relay.drop(hard=False)
            case "reset":
                relay.reset_after(dice.randrange(50_000))
            case "stall":
                relay.stall()
                await anyio.sleep(dice.uniform(0.2, 2.0))
                relay.restore()
                await relay.drop()
            case _:
                raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
def test_a_link_in_trouble_loses_no_line_doubles_none_and_brings_every_deliverable_home(
    run: Run, tmp_path: Path, sshd_here: Sshd, kind: str
) -> None:
    async def body() -> None:
        async with scene(tmp_path, sshd_here) as at, at.host() as host:
            session = await at.start(host, PROGRAM)
            driving = Driving(session)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(trouble, at.relay, kind, random.Random(kind))
                with anyio.fail_after(50):
                    await driving.run()
                tasks.cancel_scope.cancel()
            assert driving.error is None
            assert driving.outcome is not None
            assert driving.outcome.outcome == "done"
            assert await at.texts(session) == [f"line {number}." for number in range(LINES)]
            landed = sorted((at.base / "out").iterdir(), key=lambda each: int(each.name))
            assert [each.name for each in landed] == ["100", "200", "300", "400"]
            sums = (at.base / "sums").read_text().splitlines()
            for file, expected in zip(landed, sums, strict=True):
                with file.open("rb") as content:
                    summed = await anyio.run_process(["cksum"], stdin=content)
                assert summed.stdout.decode().split() == expected.split()
            replies = Path(session.record.taskdir, "replies").read_text().splitlines()
            assert len(replies) == LINES // 100

    run(body)


def test_the_timeline_says_that_the_link_broke_and_that_it_is_back(run: Run, tmp_path: Path, sshd_here: Sshd) -> None:
    async def body() -> None:
        async with scene(tmp_path, sshd_here) as at, at.host() as host:
            session = await at.start(host, 'until [ -e go ]; do sleep 0.02; done; echo DONE >>"$OPTIO_LOG"')
            driving = Driving(session)

            async def notices() -> list[str]:
                return [
                    each.event.message
                    async for each in read_history(at.store, session.id)
                    if each.event.type == "notice"
                ]

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driving.run)
                await at.relay.refuse()
                await at.relay.drop()

                async def told(word: str) -> bool:
                    return any(word in each for each in await notices())

                await until(lambda: told("broke"), "the broken link is told")
                at.relay.restore()
                await until(lambda: told("is back"), "the mended link is told")
                (tmp_path / "go").touch()
                assert (await driving.ended()).outcome == "done"

    run(body)


WAITS = 'until [ -e go ]; do sleep 0.02; done; echo DONE >>"$OPTIO_LOG"'


def test_a_link_that_is_away_for_longer_than_a_connection_is_waited_for_ends_nothing(
    run: Run, tmp_path: Path, sshd_here: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away before anything was read of the program, and again later; each time every task of the driver meets it."""
    monkeypatch.setattr("optio_host.ssh.pool.RECONNECT_SECONDS", 0.1)
    monkeypatch.setattr("optio_agents.drive.LOOK_EVERY", 0.1)
    looks = 0

    async def look(*arguments: Any) -> Mapping[str, str]:
        nonlocal looks
        try:
            return await look_for_signs(*arguments)
        finally:
            looks += 1

    monkeypatch.setattr("optio_agents.drive.look_for_signs", look)

    async def body() -> None:
        async with scene(tmp_path, sshd_here) as at, at.host() as host:
            session = await at.start(host, WAITS)
            driving = Driving(session)
            async with anyio.create_task_group() as tasks:
                for number in (1, 2):
                    await at.relay.refuse()
                    await at.relay.drop()
                    if number == 1:
                        tasks.start_soon(driving.run)
                    missed = looks + 3
                    await until(lambda missed=missed: looks >= missed, "looks that were missed")  # type: ignore[misc]
                    at.relay.restore()
                    found = looks + 3
                    await until(lambda found=found: looks >= found, "looks that were made")  # type: ignore[misc]
                (tmp_path / "go").touch()
                assert (await driving.ended()).outcome == "done"

    run(body)


def test_a_login_that_is_refused_meanwhile_ends_the_driving_and_not_the_program(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        with sshd(tmp_path / "sshd") as server:
            keys = server.directory / "authorized_keys"
            allowed = keys.read_text()
            async with scene(tmp_path, server) as at:
                async with at.host() as host:
                    session = await at.start(host, "echo 'STATUS: up' >>\"$OPTIO_LOG\"; " + WAITS)
                    driving = Driving(session)
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(driving.run)
                        await until(lambda: reads(at, session), "the log is read")
                        keys.write_text("")
                        await at.relay.drop()
                        assert isinstance(await driving.failed(), AuthenticationRefused)
                record = (await at.store.snapshot(session.id)).record
                assert (record.state, record.outcome) == ("running", None)
                keys.write_text(allowed)
                async with at.host() as host:
                    again = Driving(await Session.adopt(host, at.store, session.id))
                    (tmp_path / "go").touch()
                    await again.run()
                    assert (await again.ended()).outcome == "done"

    async def reads(at: Scene, session: Session) -> bool:
        return await at.texts(session) == ["up"]

    run(body)


def test_a_driver_cut_off_from_the_host_is_refused_there_once_another_one_has_taken_over(
    run: Run, tmp_path: Path, sshd_here: Sshd
) -> None:
    async def body() -> None:
        async with scene(tmp_path, sshd_here) as at, at.host() as first_host, at.host() as second_host:
            session = await at.start(first_host, 'until [ -e go ]; do sleep 0.02; done; echo DONE >>"$OPTIO_LOG"')
            await at.store.release(session.lease)
            second = await Session.adopt(second_host, at.store, session.id)
            with pytest.raises(LeaseLost):
                await session.wait()
            (tmp_path / "go").touch()
            outcome = await second.wait()
            assert outcome is not None
            assert outcome.outcome == "done"

    run(body)


@pytest.fixture(params=["this user", "a plain user"])
def login(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sshd, Path]]:
    """A server, and a directory of whoever logs in there."""
    # pytest's own directories are for this user alone.
    directory = Path(tempfile.mkdtemp(prefix="optio-cancel-", dir="/tmp"))
    directory.chmod(0o755)
    user = plain_user() if request.param == "a plain user" else getpass.getuser()
    base = directory / "base"
    base.mkdir()
    shutil.chown(base, user)
    monkeypatch.setenv("XDG_STATE_HOME", str(base / "state"))
    with sshd(directory / "sshd", user=user) as server:
        yield server, base
    shutil.rmtree(directory)


def test_a_cancel_leaves_nothing_of_a_program_that_hides_its_children(run: Run, login: tuple[Sshd, Path]) -> None:
    server, base = login

    async def body() -> None:
        async with scene(base, server) as at, at.host() as host:
            session = await at.start(
                host,
                "setsid sleep 300 & nohup sleep 300 >/dev/null & (trap '' TERM; sleep 300; sleep 300) & "
                "trap '' TERM; echo begun >>\"$OPTIO_LOG\"; while :; do sleep 300; done",
            )
            driving = Driving(session)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driving.run)
                await until(lambda: len(of_runs(base)) >= 6, "everything runs")
                await session.cancel("enough")
                assert (await driving.ended()).outcome == "cancelled"
            assert of_runs(base) == []

    run(body)
