"""Hazards of an SSH host that no single part of it is about: what each took from the whole is named in its test."""

import asyncio
import os
import pwd
import random
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

import anyio
import pytest
from job_rig import OWNER, Rig, alive, main_pid, rig_in, until

from left_out import require
from optio_host.cursor import START
from optio_host.errors import ConnectFailed, HostError, LinkLost, TransferFailed
from optio_host.host import LinkState, RunResult, proc_wait
from optio_host.job import Job
from optio_host.job_errors import StartFailed
from optio_host.outcome import Exited, Lost
from optio_host.ssh import channel as channels
from optio_host.ssh import shell
from optio_host.ssh.channel import Channel
from optio_host.ssh.host import RemoteHost
from optio_host.ssh.opening import BOOTSTRAP, opening
from optio_host.testing.relay import Relay
from optio_host.types import SSHConfig
from ssh_rig import HereOverSsh, config_for, connected, own_sshd
from sshd_rig import Sshd, sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]

SECRET = "not-for-everyone"


@pytest.fixture
def server(sshd_here: Sshd) -> Sshd:
    return sshd_here


@pytest.fixture
def a_session_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "SLOW_LOGIN", 1000.0)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Sshd) -> Iterator[Rig]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with rig_in(tmp_path, "sh", server) as rig:
        yield rig


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[None]:
    """A file system of its own in a directory."""
    directory.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", directory], capture_output=True)
    if done.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


# Sessions: few on a connection, and each is given back


@pytest.mark.usefixtures("a_session_each")
def test_processes_that_ended_hold_no_session(
    run: Run, server: Sshd, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optio_host.ssh.pool.CONNECTIONS", 1)

    async def body() -> None:
        async with connected(config_for(server), taskdir) as host:
            for _ in range(8):
                assert await proc_wait(await host.launch_subprocess("exit 3")) == 3
            assert (await host.run_command("echo more")).stdout == "more\n"

    run(body)


@pytest.mark.usefixtures("a_session_each")
def test_a_command_that_is_cancelled_before_its_session_is_open_holds_none(
    run: Run, tmp_path: Path, taskdir: str
) -> None:
    async def body() -> None:
        with own_sshd(tmp_path / "sshd", "MaxSessions 1") as server:
            async with Relay(server.port) as relay:
                async with connected(config_for(server, port=relay.port), taskdir) as host:
                    relay.stall("from_target")
                    with anyio.move_on_after(0.1):
                        await host.run_command("true")
                    relay.restore()
                    assert (await host.run_command("echo there")).stdout == "there\n"
                    assert relay.accepted <= 2

    run(body)


@pytest.mark.usefixtures("a_session_each")
def test_a_command_that_is_cancelled_before_it_began_never_begins(
    run: Run, tmp_path: Path, taskdir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not pwd.getpwuid(os.getuid()).pw_shell.endswith("bash"):
        pytest.skip("needs bash as login shell of this user")
    monkeypatch.setattr(channels, "CLOSE_SECONDS", 0.3)

    async def body() -> None:
        with own_sshd(tmp_path / "sshd") as server:
            async with connected(config_for(server), taskdir) as host:
                # The next login waits, those after it do not.
                gate, waits = tmp_path / "gate", tmp_path / "waits"
                os.mkfifo(gate)
                rc = f"if mkdir {waits} 2>/dev/null; then echo $$ >{waits}/pid; read -r _ <{gate}; fi\n"
                Path(server.directory, "home", ".bashrc").write_text(rc)
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(host.run_command, f"touch {tmp_path}/ran")
                        await until(lambda: bool(content(waits / "pid")), "its login waits")
                        scope.cancel()
                opened = os.open(gate, os.O_RDWR)
                os.write(opened, b"go on\n")
                await until(lambda: not alive(int(content(waits / "pid"))), "the login has ended")
                os.close(opened)
                assert not (tmp_path / "ran").exists()

    run(body)


def content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


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


# Whoever listens, cancels, disconnects


def test_a_listener_that_raises_breaks_neither_the_link_nor_other_listeners(
    run: Run, server: Sshd, taskdir: str
) -> None:
    async def body() -> None:
        async with Relay(server.port) as relay, connected(config_for(server, port=relay.port), taskdir) as host:
            raised: list[str] = []
            told: list[str] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: raised.append(str(context["exception"])))

            def bad(state: LinkState) -> None:
                raise RuntimeError(state.state)

            host.on_state(bad)
            host.on_state(lambda state: told.append(state.state))
            await relay.drop()
            await until(lambda: told == ["lost"], "it is noticed")
            assert (await host.run_command("echo on")).stdout == "on\n"
            assert told == raised == ["lost", "reconnecting", "connected"]

    run(body)


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


@pytest.mark.usefixtures("a_session_each")
def test_a_disconnect_that_is_cancelled_leaves_nothing(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        host = RemoteHost(config_for(server), taskdir)
        await host.connect()
        await host.launch_subprocess("exec sleep 1", cwd="/")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await host.disconnect()

    run(body)


def test_commands_while_the_host_is_disconnected_end_and_leave_nothing(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        ends: list[object] = []
        async with connected(config_for(server), taskdir) as host:
            other = host.at(taskdir + "/other")

            async def command(number: int) -> None:
                try:
                    ends.append((await (host, other)[number % 2].run_command("exec sleep 1", cwd="/")).outcome)
                except HostError as error:
                    ends.append(error)

            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(command, number)
                await anyio.wait_all_tasks_blocked()
                await host.disconnect()
            await other.disconnect()
        assert len(ends) == 20
        assert all(isinstance(end, Lost | HostError) for end in ends), ends

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


# The way a command begins


@pytest.mark.parametrize("login", ["dash", "bash", "busybox sh", "tcsh", "fish"])
def test_every_login_shell_takes_a_command_for_the_same_thing(login: str, tmp_path: Path) -> None:
    words = login.split()
    require(words[0])
    script = b'printf \'%s|\' "$PWD" "$ODD"; read -r line; printf \'%s\' "$line"; exit 5'
    odd = "a 'b' \"c\" $d `e` \\ !! % ~ \n ü"
    sent = opening("marker ", "tag", script, cwd=str(tmp_path), env={"ODD": odd}, stdin=True) + b"input\nmore\n"
    # As sshd does it.
    done = subprocess.run([*words, "-c", BOOTSTRAP], input=sent, capture_output=True, timeout=20, cwd="/")
    assert done.returncode == 5, done
    assert done.stdout.partition(b"\n")[2].decode() == f"{tmp_path}|{odd}|input"
    assert odd not in " ".join(words)


@pytest.mark.usefixtures("a_session_each")
def test_commands_processes_and_runs_have_the_same_environment(
    run: Run, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without what only shells themselves set, and what says which process or connection it is.
    show = "env | grep -v '^OPTIO_\\|^SSH_\\|^_=\\|^SHLVL=\\|^OLDPWD=\\|^XDG_STATE_HOME=' | sort; umask; pwd"

    async def body() -> None:
        plain = (await rig.host.run_command(show)).stdout
        assert "PATH=" in plain
        assert "HOME=" in plain
        launched = await rig.host.launch_subprocess(show)
        assert b"".join([line async for line in launched.stdout]).decode() == plain
        monkeypatch.setattr(shell, "SLOW_LOGIN", 0.0)
        assert (await rig.host.run_command(show)).stdout == plain
        job = await rig.start(show)
        await job.wait()
        assert Path(job.stdout_path).read_text() == plain

    run(body)


# The state of the host


def test_a_home_that_cannot_be_written_to_does_not_matter_to_commands_and_is_named_by_runs(
    run: Run, tmp_path: Path
) -> None:
    async def body() -> None:
        with mounted(tmp_path / "ro", "ro"), sshd(tmp_path / "sshd", settings=f"SetEnv HOME={tmp_path}/ro") as server:
            async with connected(config_for(server), str(tmp_path / "task")) as host:
                assert await host.resolve_host_home() == str(tmp_path / "ro")
                await host.put_file_to_host(b"content", host.workdir + "/file")
                assert await host.fetch_bytes_from_host(host.workdir + "/file") == b"content"
                with pytest.raises(TransferFailed, match=r"(?s)ro/file.*[Rr]ead-only file system"):
                    await host.put_file_to_host(b"content", f"{tmp_path}/ro/file")
                with pytest.raises(TransferFailed, match=r"[Rr]ead-only file system"):
                    await host.at(f"{tmp_path}/ro/task").setup_workdir()
                with pytest.raises(StartFailed, match="ro/"):
                    await Job.start(host, host.taskdir + "/run/1", "true", cwd=host.workdir, owner=OWNER)

    run(body)


def test_a_user_without_a_home_is_told_so(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        with sshd(tmp_path / "sshd", settings="SetEnv HOME=/nonexistent") as server:
            async with connected(config_for(server), str(tmp_path / "task")) as host:
                assert (await host.run_command("echo works")).stdout == "works\n"
                with pytest.raises(HostError, match="no home directory"):
                    await host.resolve_host_home()

    run(body)


def test_a_full_disk_leaves_the_old_file_and_says_so(run: Run, server: Sshd, tmp_path: Path) -> None:
    async def body() -> None:
        with mounted(tmp_path / "small", "size=1m"):
            async with connected(config_for(server), str(tmp_path / "small")) as host:
                target = Path(host.workdir, "file")
                await host.put_file_to_host(b"old", str(target))

                async def much() -> object:
                    for _ in range(40):
                        yield bytes(100_000)

                with pytest.raises(TransferFailed, match=r"(?i)space"):
                    await host.put_file_to_host(much(), str(target))  # type: ignore[arg-type]
                assert target.read_bytes() == b"old"
                assert os.listdir(host.workdir) == ["file"]
                source = tmp_path / "tree"
                source.mkdir()
                (source / "big").write_bytes(bytes(3_000_000))
                with pytest.raises(TransferFailed, match=r"(?i)space"):
                    await host.put_tree(str(source), host.workdir + "/tree")
                assert (await host.run_command("echo still")).stdout == "still\n"

    run(body)


def test_without_setsid_a_run_over_ssh_is_held_and_ended_all_the_same(run: Run, rig: Rig) -> None:
    async def body() -> None:
        rig.only_programs(without=("setsid",))
        job = await rig.start("sleep 1000 & echo up; exec sleep 1001")
        await until(lambda: content(Path(job.stdout_path)) == "up\n", "it runs")
        assert os.getpgid(main_pid(job)) == main_pid(job)
        await job.stop(grace=0)

    run(body)


# Links that come back


def test_a_dead_link_is_noticed_within_20_seconds_unless_told_otherwise() -> None:
    config = SSHConfig("host", "", "")
    assert config.keepalive_interval * (config.keepalive_count + 1) <= 20


def test_a_run_is_not_signalled_restarted_or_doubled_by_a_link_that_breaks(run: Run, rig: Rig, server: Sshd) -> None:
    program = """
trap 'echo signalled' HUP INT QUIT PIPE TERM USR1 USR2
echo begun $$
while read -r line; do echo "got $line"; done
echo over"""

    async def body() -> None:
        async with Relay(server.port) as relay:
            rig.host = HereOverSsh(config_for(server, port=relay.port), rig.host.taskdir)
            job = await rig.start(program)
            await until(lambda: "begun" in content(Path(job.stdout_path)), "it runs")
            pid = main_pid(job)
            offset = 0
            for number in range(4):
                await relay.drop()
                while True:
                    try:
                        offset = await job.append(offset, f"{number}\n".encode())
                        break
                    except LinkLost:
                        pass  # the same bytes at the same place may be sent again
            await job.close_stdin()
            assert await job.wait() == Exited(0)
            said = content(Path(job.stdout_path))
            assert said == f"begun {pid}\n" + "".join(f"got {number}\n" for number in range(4)) + "over\n"
            await rig.host.disconnect()

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


def test_a_host_that_says_much_before_the_login_is_no_trouble(run: Run, tmp_path: Path, taskdir: str) -> None:
    (tmp_path / "banner").write_text("Be good.\n" * 200)

    async def body() -> None:
        with own_sshd(tmp_path / "sshd", f"Banner {tmp_path}/banner") as server:
            async with connected(config_for(server), taskdir) as host:
                assert (await host.run_command("echo out")).stdout == "out\n"

    run(body)


def test_a_command_while_no_way_leads_to_the_host_says_why(run: Run, server: Sshd, taskdir: str) -> None:
    async def body() -> None:
        async with Relay(server.port) as relay:
            config = config_for(server, port=relay.port)
        host = RemoteHost(config, taskdir)
        errors = []

        async def command() -> None:
            try:
                await host.run_command("true")
            except ConnectFailed as error:
                errors.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(command)
        assert len(errors) == 10
        assert "refused" in str(errors[0])
        await host.disconnect()

    run(body)
