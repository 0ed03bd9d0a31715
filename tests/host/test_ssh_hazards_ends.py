"""Hazards of the ends of commands and links over SSH: nothing is guessed, nothing lost or doubled unsaid."""

import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from optio_host.cursor import START
from optio_host.errors import HostError
from optio_host.host import RunResult
from optio_host.outcome import Exited, Lost, Signalled
from optio_host.ssh import channel as channels
from optio_host.ssh.channel import Channel
from optio_host.testing.relay import Relay
from optio_host.types import SSHConfig
from ssh_rig import config_for, connected
from sshd_rig import Sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def server(sshd_here: Sshd) -> Sshd:
    return sshd_here


# The end of a command's output


@pytest.mark.usefixtures("a_session_each")
def test_what_a_command_left_behind_may_write_for_ever(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "SETTLE_SECONDS", 0.5)

    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            # It ends when nobody takes what it writes.
            result = await host.run_command("echo mine; (while echo x; do sleep 0.05; done) & exit 4", timeout=20)
            assert result.outcome == Exited(4)
            assert result.stdout.startswith("mine\n")

    run(body)


class Peer:
    """What a channel is made on, and a host that answers when it is told to."""

    def __init__(self) -> None:
        self.answer = anyio.Event()
        self.asked = anyio.Event()

    async def round_trip(self) -> None:
        self.asked.set()
        await self.answer.wait()

    def channel(self) -> Channel:
        made = Channel("peer", stream_stderr=True, on_close=lambda _: None, round_trip=self.round_trip)
        made.connection_made(self)  # type: ignore[arg-type]
        made.send_script(b"exit", cwd=None, env={}, stdin=True)
        return made

    def write(self, data: bytes) -> None:
        self.marker = data.partition(b'echo "')[2].partition(b" ")[0]

    def is_closing(self) -> bool:
        return False


def test_output_that_comes_behind_the_exit_on_a_link_that_is_held_up_is_whole(run: Run) -> None:
    async def body() -> None:
        peer = Peer()
        channel = peer.channel()
        channel.data_received(peer.marker + b" 12 \n", None)
        channel.exit_status_received(0)
        assert await channel.wait() == Exited(0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.settled)
            await peer.asked.wait()
            channel.data_received(b"late", None)
            peer.answer.set()
        assert (channel.take()[0], channel.cut) == (b"late", None)

    run(body)


def test_a_command_whose_first_word_comes_behind_its_exit_has_begun_all_the_same(run: Run) -> None:
    async def body() -> None:
        peer = Peer()
        channel = peer.channel()
        channel.exit_status_received(0)
        ends: list[object] = []

        async def wait() -> None:
            ends.append(await channel.wait())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await peer.asked.wait()
            channel.data_received(peer.marker + b" 12 \nlate", None)
            peer.answer.set()
        assert (ends, channel.take()[0]) == ([Exited(0)], b"late")

    run(body)


@pytest.mark.usefixtures("a_session_each")
def test_a_link_lost_behind_the_exit_and_before_the_output_is_lost(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = anyio.Event()

    async def never(connection: object) -> None:
        asked.set()
        await anyio.sleep_forever()

    monkeypatch.setattr("optio_host.ssh.pool._round_trip", never)
    monkeypatch.setattr(channels, "ANSWER_SECONDS", 0.3)

    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            result = await host.run_command("echo mine; sleep 1 & exit 0")
            assert asked.is_set()
            assert isinstance(result.outcome, Lost)
            assert "output may be missing" in result.outcome.reason
            assert result.stdout == "mine\n"

    run(body)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("TERM", signal.SIGTERM),
        ("USR1", signal.SIGUSR1),
        ("BUS@example.org", signal.SIGBUS),
        ("SIG34@example.org", 34),
    ],
)
def test_a_signal_that_ended_a_command_is_known_by_its_name_or_its_number(run: Run, said: str, number: int) -> None:
    async def body() -> None:
        peer = Peer()
        channel = peer.channel()
        channel.data_received(peer.marker + b" 12 \n", None)
        channel.exit_signal_received(said, False, "", "")
        assert await channel.wait() == Signalled(number)

    run(body)


# Links that break again and again


@pytest.mark.parametrize("held", ["a session each", "one shell"])
def test_a_command_that_a_signal_without_a_name_has_ended_is_no_success(
    run: Run, server: Sshd, taskdir: str, held: str, request: pytest.FixtureRequest
) -> None:
    if held == "a session each":
        request.getfixturevalue("a_session_each")

    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            for number in (signal.SIGBUS, signal.SIGSYS):
                ran = await host.run_command(f"kill -{number:d} $$", timeout=20)
                assert ran.exit_code != 0
                assert isinstance(ran.outcome, Lost | Signalled)

    run(body)


@pytest.mark.parametrize("seed", range(2))
def test_commands_on_a_link_that_is_cut_again_and_again_end_as_they_did_or_are_lost(
    run: Run, server: Sshd, taskdir: str, seed: int
) -> None:
    chance = random.Random(seed)

    async def body() -> None:
        async with Relay(server.port) as relay, connected(config_for(server, port=relay.port), taskdir) as host:
            counted: dict[str, int] = {}

            async def command(number: int) -> None:
                try:
                    result = await host.run_command(f"echo {number}; echo x >>{number}; seq 2000; echo {number}")
                except HostError as error:
                    counted[type(error).__name__] = counted.get(type(error).__name__, 0) + 1
                    return
                if isinstance(result.outcome, Lost):
                    assert result.exit_code == 255
                else:
                    numbers = "".join(f"{each}\n" for each in range(1, 2001))
                    assert (result.exit_code, result.stdout) == (0, f"{number}\n{numbers}{number}\n")
                kind = type(result.outcome).__name__
                counted[kind] = counted.get(kind, 0) + 1

            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(command, number)
                for _ in range(5):
                    relay.reset_after(chance.randrange(200_000))
                    await anyio.sleep(0.05)
            assert sum(counted.values()) == 50
            relay.restore()
            # Nothing ran twice. The last reset may hit this, too.
            doubled = RunResult("", "", 255, Lost("not asked yet"))
            while isinstance(doubled.outcome, Lost):
                doubled = await host.run_command("for f in [0-9]*; do [ $(wc -l <$f) = 1 ] || echo $f; done")
            assert doubled.stdout == ""

    run(body)


@pytest.mark.parametrize("seed", range(3))
def test_cuts_at_random_bytes_lose_no_line_and_double_none(run: Run, server: Sshd, taskdir: str, seed: int) -> None:
    chance = random.Random(seed)
    wanted = [f"{number} {'x' * chance.randrange(2000)}\n".encode() for number in range(210)]

    async def body() -> None:
        async with Relay(server.port) as relay, connected(config_for(server, port=relay.port), taskdir) as host:
            log = Path(taskdir, "log")
            log.touch()
            found: list[bytes] = []
            async with aclosing(host.follow(str(log), START)) as lines:
                with log.open("ab") as writer:  # noqa: ASYNC230
                    for start in range(0, len(wanted), 30):
                        relay.reset_after(chance.randrange(20_000))
                        piece = b"".join(wanted[start : start + 30])
                        writer.write(piece[: len(piece) // 2])
                        writer.flush()
                        writer.write(piece[len(piece) // 2 :])
                        writer.flush()
                        while len(found) < start + 30:
                            item, _ = await anext(lines)
                            found.append(item.data + b"\n")  # type: ignore[union-attr]
            assert relay.accepted > 3
            assert found == wanted

    run(body)


# Hosts that went dark


def test_a_dead_link_is_noticed_within_20_seconds_unless_told_otherwise() -> None:
    config = SSHConfig("host", "", "")
    assert config.keepalive_interval * (config.keepalive_count + 1) <= 20


@pytest.mark.usefixtures("a_session_each")
def test_a_host_that_went_dark_is_left_in_the_time_of_one_connection(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optio_host.ssh.connect.CLOSE_DEADLINE", 0.5)
    monkeypatch.setattr(channels, "CLOSE_SECONDS", 0.5)
    monkeypatch.setattr("optio_host.ssh.pool.SESSIONS", 1)

    async def body() -> None:
        async with Relay(server.port) as relay, connected(config_for(server, port=relay.port), taskdir) as host:
            for _ in range(6):
                await host.launch_subprocess("exec sleep 3")
            assert relay.accepted == 6
            relay.stall()
            began = time.monotonic()
            await host.disconnect()
            assert time.monotonic() - began < 2.5
            relay.restore()

    run(body)


def test_a_host_that_went_dark_is_left_soon_although_files_of_it_are_followed(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optio_host.ssh.connect.CLOSE_DEADLINE", 0.3)
    monkeypatch.setattr("optio_host.ssh.reader.QUIT_SECONDS", 0.3)
    monkeypatch.setattr(channels, "CLOSE_SECONDS", 0.3)

    async def body() -> None:
        async with Relay(server.port) as relay, connected(config_for(server, port=relay.port), taskdir) as host:
            log = Path(taskdir, "log")
            log.write_bytes(b"line\n")
            async with aclosing(host.follow(str(log))) as lines:
                await anext(lines)
                relay.stall()
                with anyio.fail_after(10):
                    await host.disconnect()
                relay.restore()

    run(body)
