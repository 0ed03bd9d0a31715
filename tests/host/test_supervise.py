"""What holds a run on its host, under each shell that may be /bin/sh there."""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from job_rig import (
    OVER_SSH,
    OWNER,
    Rig,
    alive,
    each_kind_of_rig,
    main_pid,
    rig_in,
    shells_here,
    supervisor_pid,
    tagged,
    until,
    until_stdout,
)

from optio_host.job import Job, Limits
from optio_host.job_errors import StartFailed
from optio_host.job_shell import farside
from optio_host.job_state import Ended, Ending, Running, RunningUnsupervised, Unknown
from optio_host.job_stop import Gone
from optio_host.outcome import Exited, Lost, Outcome, Signalled

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture(params=[*shells_here(), OVER_SSH])
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Rig]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with each_kind_of_rig(tmp_path, request) as rig:
        yield rig


def test_a_program_gets_its_input_and_its_output_is_kept_apart(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("echo warning >&2; while read -r line; do echo got $line; done; echo end; exit 7")
        await job.append(await job.append(0, b"one\n"), b"two\n")
        await until_stdout(job, "got two")
        await job.close_stdin()
        assert await job.wait() == Exited(7)
        assert Path(job.stdout_path).read_text() == "got one\ngot two\nend\n"
        assert Path(job.stderr_path).read_text() == "warning\n"

    run(body)


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        ("exit 0", Exited(0)),
        ("exit 143", Exited(143)),
        ("exit 137", Exited(137)),
        ("exit 255", Exited(255)),
        ("exit 130", Exited(130)),
        ("kill -TERM $$", Signalled(15)),
        ("kill -KILL $$", Signalled(9)),
        ("kill -HUP $$", Signalled(1)),
        ("kill -SEGV $$", Signalled(11)),
    ],
)
def test_status_143_is_told_from_a_death_by_term(run: Run, rig: Rig, command: str, outcome: Outcome) -> None:
    async def body() -> None:
        job = await rig.start(command)
        assert await job.wait() == outcome
        assert await job.state() == Ended(outcome)

    run(body)


def test_the_pid_is_on_disk_before_the_program_runs(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(f"cat {shlex.quote(rig.rundir)}/pid; echo me $$; ps -o pgid= -o sid= -o tty= -p $$")
        assert await job.wait() == Exited(0)
        lines = Path(job.stdout_path).read_text().splitlines()
        pid, group, start, boot = lines[0].split()
        assert lines[1] == f"me {pid}"
        assert lines[2].split() == [pid, pid, "?"]
        assert group == pid
        assert start.isdigit()
        assert boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    run(body)


def test_a_starter_in_the_background_does_not_make_the_program_ignore_int(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("kill -INT $$; echo ignored")
        assert await job.wait() == Exited(130)  # no shell tells a death by INT from status 130
        assert Path(job.stdout_path).read_text() == ""

    run(body)


def test_the_environment_arrives_and_is_nowhere_else(run: Run, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("_")]:
        monkeypatch.delenv(name)  # of whoever started the tests
    secret = 'it\'s a "secret"\n$HOME `id` \\ end'

    async def body() -> None:
        job = await rig.start('printf %s "$SECRET"; read -r line; exec env', env={"SECRET": secret, "_command": "mine"})
        await until_stdout(job, "end")
        assert Path(job.stdout_path).read_text() == secret
        assert not Path(job.rundir, "env").exists()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                assert b"`id`" not in (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
        for pid in tagged(job.id):
            if pid != main_pid(job):
                assert b"SECRET" not in Path(f"/proc/{pid}/environ").read_bytes()
        for path in Path(job.rundir).rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path
            assert not path.is_file() or path.name == "stdout" or b"`id`" not in path.read_bytes()
        await job.append(0, b"\n")
        assert await job.wait() == Exited(0)
        names = {line.partition("=")[0] for line in Path(job.stdout_path).read_text().splitlines() if "=" in line}
        assert {"SECRET", "OPTIO_RUN", "_command"} <= names
        assert not {name for name in names if name.startswith("_") and name not in ("_", "_command")}
        assert "OPTIO_SUPERVISES" not in names

    run(body)


def test_a_program_has_the_umask_and_the_directory_of_its_caller_not_of_its_supervisor(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("umask; pwd; touch made")
        assert await job.wait() == Exited(0)
        expected = (await rig.host.run_command("umask")).stdout + rig.host.workdir + "\n"
        assert Path(job.stdout_path).read_text() == expected
        assert "077" not in expected

    run(body)


@pytest.mark.parametrize("without", [(), ("setsid",), ("setsid", "perl")])
def test_a_program_leads_its_own_session_with_setsid_or_perl_or_python(
    run: Run, rig: Rig, without: tuple[str, ...]
) -> None:
    async def body() -> None:
        rig.only_programs(without=without)
        if "perl" in without:
            Path(str(rig.host.path), "python3").unlink(missing_ok=True)
            Path(str(rig.host.path), "python3").symlink_to(sys.executable)
        job = await rig.start("ps -o sid= -p $$; echo $$; kill -INT $$; echo ignored")
        await job.wait()
        session, pid = Path(job.stdout_path).read_text().split()
        assert session == pid

    run(body)


def test_a_host_that_cannot_make_a_session_is_refused(run: Run, rig: Rig) -> None:
    async def body() -> None:
        rig.only_programs(without=("setsid", "perl", "python3"))
        with pytest.raises(StartFailed, match="neither setsid nor perl nor python3"):
            await rig.start("echo ran")
        assert Path(rig.rundir, "stdout").read_text() == ""

    run(body)


def test_a_host_with_nothing_but_busybox_is_enough(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "busybox sh" not in shells_here():
        pytest.skip("busybox is not installed")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    programs = tmp_path / "busybox"
    programs.mkdir()
    busybox = str(shutil.which("busybox"))
    for name in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
        (programs / name).symlink_to(busybox)

    async def body() -> None:
        with rig_in(tmp_path, busybox + " sh") as rig:
            rig.host.path = str(programs)
            job = await rig.start(
                "read -r line; echo got $line; (sleep 1000 & env -i setsid sleep 1000 &) ; sleep 1000"
            )
            await job.append(0, b"one\n")
            await until_stdout(job, "got one")
            assert await job.append(0, b"one\n") == 4
            assert await job.stop(5) == Gone()
            assert await job.state() == Ended(Signalled(15))

    run(body)


def test_a_repeated_start_does_not_start_twice(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("echo started; read -r line")
        again = await rig.start("echo started; read -r line")
        assert (again.id, again.rundir) == (job.id, job.rundir)
        assert await again.state() == Running(main_pid(job))
        await job.close_stdin()
        await again.wait()
        await rig.start("echo started")
        assert Path(job.stdout_path).read_text() == "started\n"

    run(body)


def test_a_killed_supervisor_leaves_a_program_that_still_gets_its_input(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("while read -r line; do echo got $line; done; echo end")
        pid = main_pid(job)
        os.kill(supervisor_pid(job), signal.SIGKILL)
        await until(lambda: not alive(supervisor_pid(job)), "the supervisor is gone")
        assert await job.state() == RunningUnsupervised(pid)
        await job.append(0, b"one\n")
        await until_stdout(job, "got one")
        await job.close_stdin()
        await until_stdout(job, "end")
        await until(lambda: not alive(pid), "the program has ended")
        assert await job.state() == Unknown("supervisor killed")
        assert isinstance(await job.wait(), Lost)
        await until(lambda: tagged(job.id) == [], "the feeder is gone")

    run(body)


def test_no_feeder_and_no_watcher_is_left_when_supervisor_and_program_are_both_killed(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("read -r line", limits=Limits(no_driver=1000, check_every=1))
        assert await job.state() == Running(main_pid(job))
        os.kill(supervisor_pid(job), signal.SIGKILL)
        os.kill(main_pid(job), signal.SIGKILL)
        await until(lambda: tagged(job.id) == [], "nothing is left")
        assert await job.wait() == Lost("program and supervisor were both killed")

    run(body)


def test_a_supervisor_that_is_asked_to_end_still_writes_down_the_end(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("read -r line; exit 3")
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(supervisor_pid(job), number)
        await job.append(0, b"\n")
        assert await job.wait() == Exited(3)

    run(body)


def test_a_zombie_is_dead(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("read -r line")
        supervisor = supervisor_pid(job)
        os.kill(supervisor, signal.SIGSTOP)  # so nobody collects the program
        stat = Path(f"/proc/{supervisor}/stat")
        await until(lambda: stat.read_text().split()[2] == "T", "the supervisor is stopped")
        os.kill(main_pid(job), signal.SIGKILL)
        await until(lambda: not alive(main_pid(job)), "the program is a zombie")
        os.kill(main_pid(job), 0)  # as kill -0 sees it, it is there
        assert await job.state() == Ending()
        os.kill(supervisor, signal.SIGCONT)
        assert await job.wait() == Signalled(9)

    run(body)


def test_a_run_ends_with_its_main_process_and_what_it_left_is_named_and_stopped(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("setsid sleep 1000 & sleep 1001 & echo $!; read -r line")
        await until_stdout(job, "\n")
        left = int(Path(job.stdout_path).read_text())
        await job.append(0, b"\n")
        assert await job.wait() == Exited(0)
        state = await job.state()
        assert isinstance(state, Ended)
        assert left in {process.pid for process in state.left}
        assert {process.name for process in state.left} == {"sleep"}
        await until(lambda: tagged(job.id) == [], "what it left is gone")  # with no help from a driver
        assert await job.stop() == Gone()

    run(body)


def test_a_program_that_nobody_watches_is_stopped_by_the_dead_mans_rule(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("read -r line", limits=Limits(no_driver=2, check_every=1))
        assert await job.wait() == Signalled(15)
        assert await job.state() == Ended(Signalled(15), "no-driver")

    run(body)


def test_a_driver_that_shows_itself_keeps_a_program_from_the_dead_mans_rule(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start("read -r line", limits=Limits(no_driver=2, check_every=1))
        for _ in range(4):
            await until(lambda: not Path(job.rundir, "seen").exists(), "the supervisor has looked")
            await job.seen()
        assert await job.state() == Running(main_pid(job))
        await job.close_stdin()
        assert await job.wait() == Exited(1)

    run(body)


def test_a_program_that_writes_too_much_is_stopped_even_when_it_ignores_term(run: Run, rig: Rig) -> None:
    async def body() -> None:
        job = await rig.start(
            "trap '' TERM; seq 1 1000; seq 1 1000 >&2; read -r line",
            limits=Limits(spool_bytes=5000, check_every=1, grace=1),
        )
        assert await job.wait() == Signalled(9)
        assert await job.state() == Ended(Signalled(9), "spool-limit")

    run(body)


def test_a_program_is_stopped_before_it_fills_the_disk(run: Run, rig: Rig) -> None:
    async def body() -> None:
        rig.program("df", "echo Filesystem 1024-blocks Used Available Capacity Mounted; echo /dev/x y 9 8 7 99% /a b")
        job = await rig.start("read -r line", limits=Limits(free_bytes=8 * 1024, check_every=1))
        assert await job.wait() == Signalled(15)
        assert await job.state() == Ended(Signalled(15), "free-space")

    run(body)


def test_a_limit_that_holds_stops_nothing_and_delays_no_end(run: Run, rig: Rig) -> None:
    async def body() -> None:
        limits = Limits(no_driver=900, spool_bytes=10**9, free_bytes=1, check_every=900)
        job = await rig.start("read -r line; exit 4", limits=limits)
        await job.append(0, b"\n")
        assert await job.wait() == Exited(4)
        assert await job.state() == Ended(Exited(4))
        await until(lambda: tagged(job.id) == [], "watcher and its sleep are gone")

    run(body)


def test_a_path_with_every_kind_of_character_is_quoted(run: Run, rig: Rig) -> None:
    async def body() -> None:
        rig.rundir = str(rig.base / "-rf \"double\" 'single' $HOME `id` \\back\n new; line é" / "-1\n")
        cwd = str(rig.base / "-c 'w' \"d\" $x\n")
        os.mkdir(cwd)
        job = await rig.start('printf %s "$PWD"; read -r line; echo "$line"', cwd=cwd)
        assert job.rundir == rig.rundir
        assert await job.append(0, b"one\n") == 4
        assert await job.wait() == Exited(0)
        assert Path(job.stdout_path).read_text() == f"{cwd}one\n"
        assert await job.stop() == Gone()

    run(body)


def test_a_program_that_names_itself_like_a_dead_process_is_alive(run: Run, rig: Rig) -> None:
    async def body() -> None:
        shutil.copy(str(shutil.which("sleep")), rig.base / "x) Z 1\n) Z")
        job = await rig.start(f"exec {shlex.quote(str(rig.base))}/'x) Z 1\n) Z' 1000")
        await until(lambda: Path(f"/proc/{main_pid(job)}/comm").read_text().startswith("x)"), "it has its name")
        assert await job.state() == Running(main_pid(job))
        assert await job.stop() == Gone()
        assert await job.state() == Ended(Signalled(15))

    run(body)


def test_a_start_into_a_directory_that_is_not_there_is_refused(run: Run, rig: Rig) -> None:
    async def body() -> None:
        with pytest.raises(StartFailed, match="working directory"):
            await rig.start("echo ran", cwd=str(rig.base / "missing"))
        assert not Path(rig.rundir).exists()

    run(body)


def test_a_run_directory_that_is_a_link_is_refused(run: Run, rig: Rig) -> None:
    async def body() -> None:
        (rig.base / "elsewhere").mkdir()
        Path(rig.rundir).parent.mkdir()
        Path(rig.rundir).symlink_to(rig.base / "elsewhere")
        with pytest.raises(StartFailed, match="not a directory of this user"):
            await rig.start("echo ran")
        assert os.listdir(rig.base / "elsewhere") == []

    run(body)


def test_a_program_outlives_a_driver_that_was_killed(run: Run, rig: Rig) -> None:
    driver = f"""
import anyio, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path, PosixPath
from job_rig import Rig
from sshd_rig import Sshd
async def main():
    rig = Rig(Path({str(rig.base / "driver")!r}), {rig.shell!r}, {rig.server!r})
    rig.rundir = {rig.rundir!r}
    job = await rig.start("while read -r line; do echo got $line; done; exit 5")
    await job.append(0, b"one\\n")
    print("appended", flush=True)
    await anyio.sleep_forever()
anyio.run(main)
"""

    async def body() -> None:
        kill_after_first_line(driver)
        job = await Job.adopt(rig.host, rig.rundir, type(OWNER)("store", "session", 2))
        assert await job.state() == Running(main_pid(job))
        await job.append(4, b"two\n")
        await job.close_stdin()
        assert await job.wait() == Exited(5)
        assert Path(job.stdout_path).read_text() == "got one\ngot two\n"

    run(body)


def kill_after_first_line(driver: str) -> None:
    with subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"appended\n"
        process.kill()


@pytest.mark.parametrize("shell", shells_here())
def test_a_process_that_has_ended_is_not_signalled_since_another_may_have_its_number_by_now(shell: str) -> None:
    """On a host so busy that numbers come round while one search is made, the end of a session could end another."""
    script = (
        f'_id={secrets.token_hex(8)}; sleep 300 & look_at "$!"; _number=$! _began=$_start; '
        'processes() { echo "$_number $_when $_number sleep"; }; carriers() { echo "$_number"; }; '
        "_when=1; signal_processes TERM >/dev/null; signal_supervisors KILL; "
        'signal_process TERM "$_number" 1 || echo "another process"; kill -0 "$_number" && echo "goes on"; '
        '_when=$_began; signal_processes TERM >/dev/null; wait "$_number"; echo "ended $?"'
    )
    ran = subprocess.run(
        [*shell.split(), "-c", farside("processes") + script], capture_output=True, text=True, timeout=30
    )
    assert ran.stdout == "another process\ngoes on\nended 143\n", ran.stderr


@pytest.mark.parametrize("shell", shells_here())
@pytest.mark.parametrize("tool", ["awk", "grep", "ls", "sed"])
def test_a_search_that_breaks_off_is_made_again_and_is_never_taken_for_proof_that_nothing_is_left(
    shell: str, tool: str, tmp_path: Path
) -> None:
    """Seen: one awk ends itself when a process ends while it reads of it; a session was then said to have ended."""
    begin = (
        f"_id={secrets.token_hex(8)} _dir=/nonexistent _broken={shlex.quote(str(tmp_path / 'broken'))}\n"
        "OPTIO_RUN=$_id sleep 300 &\n_program=$!\n"
    )
    breaks = f'{tool}() {{ if [ -e "$_broken" ]; then return 137; fi; command {tool} "$@"; }}\n'
    script = (
        ': >"$_broken"; processes; echo "broken $?"; nothing_found processes && echo "nothing found"; '
        '{ command sleep 0.05; rm "$_broken"; } & _mended=$!; nothing_found processes || echo "found $?"; '
        'wait "$_mended"; set -- $(processes); [ "$1" = "$_program" ] && echo "$4"; signal_processes KILL >/dev/null; '
        "wait; nothing_found processes && echo gone"
    )
    ran = subprocess.run(
        [*shell.split(), "-c", farside("processes") + begin + breaks + script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout == "broken 1\nfound 1\nsleep\ngone\n", ran.stderr
