"""Hazards of processes on an SSH host: they begin alike everywhere, and only who means to ends them."""

import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from job_rig import Rig, content, main_pid, rig_in, until

from left_out import require
from optio_host.errors import LinkLost
from optio_host.outcome import Exited
from optio_host.ssh import shell
from optio_host.ssh.opening import BOOTSTRAP, opening
from optio_host.testing.relay import Relay
from ssh_rig import HereOverSsh, config_for
from sshd_rig import Sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def server(sshd_here: Sshd) -> Sshd:
    return sshd_here


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Sshd) -> Iterator[Rig]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with rig_in(tmp_path, "sh", server) as rig:
        yield rig


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


def test_without_setsid_a_run_over_ssh_is_held_and_ended_all_the_same(run: Run, rig: Rig) -> None:
    async def body() -> None:
        rig.only_programs(without=("setsid",))
        job = await rig.start("sleep 1000 & echo up; exec sleep 1001")
        await until(lambda: content(Path(job.stdout_path)) == "up\n", "it runs")
        assert os.getpgid(main_pid(job)) == main_pid(job)
        await job.stop(grace=0)

    run(body)


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
