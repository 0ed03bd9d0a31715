"""`optio` on another host: a real sshd, a home directory of the test's own with ~/.ssh/config, and real processes."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync as to_thread
from optio_bench import GO, LOG, REPLY, Bench, Ran, read_until, rest_of, wait_for, wait_until_dead
from optio_bench import bench as bench

from optio_host.testing.relay import Relay
from sshd_rig import Sshd, sshd


@pytest.fixture
def far(bench: Bench, tmp_path: Path) -> Iterator[Sshd]:
    """A host that ~/.ssh/config calls `far`, with a place for sessions that this machine does not have."""
    home_there = tmp_path / "home there"
    home_there.mkdir()
    # A home directory without rc files: those of this user may take long.
    settings = f'SetEnv XDG_STATE_HOME={tmp_path}/far FAR=yes "HOME={home_there}"'
    with sshd(tmp_path / "sshd", settings=settings) as server:
        ssh = tmp_path / "home" / ".ssh"
        ssh.mkdir(parents=True, mode=0o700)
        (ssh / "config").write_text(
            f"Host far\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n  IdentityFile {server.key}\n"
            "  IdentityAgent none\n"
        )
        (ssh / "known_hosts").write_text(Path(server.known_hosts).read_text())
        bench.env["HOME"] = str(ssh.parent)
        yield server
        wait_for(lambda: not running_on(tmp_path), f"the end of {running_on(tmp_path)} on the host")


def running_on(tmp_path: Path) -> list[str]:
    """The command lines of what runs on `far`."""
    mark = f"XDG_STATE_HOME={tmp_path}/far\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() and " Z " not in (process / "stat").read_text():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has just ended
    return found


def state_of(far: Sshd) -> Path:
    return far.directory.parent / "far" / "optio"


def over_ssh(bench: Bench, script: str, *options: str) -> Ran:
    return bench.script(script, "--host", "far", *options)


def test_a_program_on_another_host_is_followed_to_its_end_and_its_deliverables_land_here(
    bench: Bench, far: Sshd
) -> None:
    script = LOG + 'echo "$FAR" | hand a.txt; pwd | hand b.txt; say "STATUS: 50% half"; ' + REPLY + "say 'DONE: well'"
    ran = over_ssh(bench, script, "--deliverables", "out", "--env", "SECRET=hunter2")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.ended["outcome"], ran.ended["summary"]) == ("done", "well")
    assert (bench.cwd / "out" / "a.txt").read_text() == "yes\n"
    session = bench.run("ls", "--json").record
    assert session["host"] == "far"
    assert Path(session["taskdir"]).parent == state_of(far)
    assert (bench.cwd / "out" / "b.txt").read_text() == f"{session['taskdir']}/workdir\n"
    assert state_of(far).stat().st_mode & 0o777 == 0o700
    assert "hunter2" not in (state_of(far) / session["id"] / "run" / "1" / "command").read_text()
    assert bench.run("attach", session["id"]).code == 0


def test_the_environment_names_a_host_and_in_names_a_directory_there(bench: Bench, far: Sshd, tmp_path: Path) -> None:
    bench.env["OPTIO_HOST"] = f"ssh://{far.user}@127.0.0.1:{far.port}{tmp_path}/elsewhere"
    (Path(bench.env["HOME"]) / ".ssh" / "config").write_text(f"IdentityFile {far.key}\n")
    below_home = os.path.relpath(bench.cwd, tmp_path / "home there")
    ran = bench.script(LOG + "pwd | hand a; say DONE", "--in", below_home, "--deliverables", "out")
    assert (ran.code, ran.err) == (0, "")
    assert (bench.cwd / "out" / "a").read_text() == f"{bench.cwd}\n"
    assert Path(bench.run("ls", "--json").record["taskdir"]).parent == tmp_path / "elsewhere"


def test_kill_9_of_the_driver_loses_and_doubles_nothing(bench: Bench, far: Sshd) -> None:
    script = LOG + "say 'STATUS: 1'; " + GO + "say 'STATUS: 2'; echo x | hand a; " + REPLY + "say DONE"
    running = bench.start(script, "--host", "far", "--in", str(bench.cwd))
    session = json.loads(read_until(running, '"1"')[0])["session"]
    os.kill(running.pid, signal.SIGKILL)
    rest_of(running)
    assert running_on(far.directory.parent), "the program ended with its driver"
    bench.go()
    ran = bench.run("attach", session, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert [status["message"] for status in ran.data("status")] == ["1", "2"]
    assert len(ran.data("deliverable")) == 1
    assert [each["seq"] for each in ran.events] == list(range(1, len(ran.events) + 1))


def test_detach_lets_a_driver_in_the_background_dial_again(bench: Bench, far: Sshd) -> None:
    session = bench.detached(GO + LOG + "say DONE", "--host", "far", "--in", str(bench.cwd))
    assert bench.driver(session)
    assert (bench.state / session / "driver.log").read_text() == ""
    bench.go()
    assert bench.run("attach", session).code == 0


@pytest.mark.parametrize("driver", ["alive", "gone"])
def test_cancel_leaves_nothing_on_the_host(bench: Bench, far: Sshd, tmp_path: Path, driver: str) -> None:
    script = "trap '' TERM; setsid sleep 300 & sleep 300 & wait"
    session = bench.detached(script, "--host", "far", "--in", str(bench.cwd))
    pid = bench.driver(session)
    if driver == "gone":
        os.kill(pid, signal.SIGKILL)
        wait_until_dead(pid)
    assert any("sleep 300" in each for each in running_on(tmp_path))
    ran = bench.run("cancel", session)
    assert (ran.code, ran.out.partition(":")[0]) == (0, "cancelled")
    assert not any("sleep" in each for each in running_on(tmp_path))


def test_jobs_and_reap_look_at_the_host_that_is_named(bench: Bench, far: Sshd) -> None:
    session = bench.detached("sleep 300", "--host", "far", "--in", str(bench.cwd))
    assert bench.run("jobs", "--host", "far", "--json").record["session"] == session
    assert bench.run("jobs").out == "no runs\n"
    driver = bench.driver(session)
    os.kill(driver, signal.SIGKILL)
    wait_until_dead(driver)
    subprocess.run(["rm", "-rf", state_of(far) / session], check=True)
    assert bench.run("reap").out == "nothing to clear away\n"
    assert "processes ended" in bench.run("reap", "--host", "far").out
    assert not running_on(far.directory.parent)
    assert bench.run("attach", session).code == 3


def test_adopt_all_dials_only_hosts_that_are_named(bench: Bench, far: Sshd) -> None:
    session = bench.detached(GO + LOG + "say DONE", "--host", "far", "--in", str(bench.cwd))
    driver = bench.driver(session)
    os.kill(driver, signal.SIGKILL)
    wait_until_dead(driver)
    ran = bench.run("adopt", "--all")
    assert (ran.code, ran.out) == (0, "")
    assert f"{session} is left alone: it runs on far; name it, or add --host far" in ran.err
    ran = bench.run("adopt", "--all", "--host", "far")
    assert (ran.code, ran.out, ran.err) == (0, f"{session}\n", "")
    bench.go()
    assert bench.run("attach", session).code == 0


def test_prune_dials_only_hosts_that_are_named_and_clears_them(bench: Bench, far: Sshd) -> None:
    assert over_ssh(bench, LOG + "say DONE").code == 0
    session = bench.run("ls", "--json").record["id"]
    ran = bench.run("prune", "--older-than", "0")
    assert ran.code == 0
    assert "1 on far stay; --host far forgets them, too" in ran.err
    assert bench.run("ls", "--json").record["id"] == session
    ran = bench.run("prune", "--older-than", "0", "--host", "far")
    assert (ran.code, ran.err) == (0, "")
    assert bench.run("ls").out == "no sessions\n"
    assert not (state_of(far) / session).exists()
    assert not (bench.state / session).exists()
    assert bench.run("jobs", "--host", "far").out == "no runs\n"


def make_tree(bench: Bench) -> Path:
    tree = bench.cwd / "tree"
    (tree / "sub dir").mkdir(parents=True)
    (tree / "same").write_text("same")
    (tree / "sub dir" / "edited").write_text("before")
    (tree / "gone").write_text("gone")
    (tree / "job.sh").write_text(
        '#!/bin/sh\necho after > "sub dir/edited"; echo new > -new; rm gone; ln -s /etc/passwd out; cp -p same copied; '
        'echo DONE >> "$OPTIO_LOG"\n'
    )
    (tree / "job.sh").chmod(0o755)
    for path in tree.rglob("*"):
        os.utime(path, (1e9, 1e9))
    return tree


@pytest.mark.parametrize("host", ["local", "far"])
def test_a_directory_is_uploaded_and_what_changes_is_pulled(bench: Bench, far: Sshd, host: str) -> None:
    tree = make_tree(bench)
    ran = bench.run("run", "--host", host, "--upload", "tree", "--", "./job.sh")
    assert (ran.code, "copied 4 files" in ran.err) == (0, True)
    session = bench.run("ls", "--json").record["id"]
    dry = bench.run("pull", session, "--dry-run")
    assert dry.out.splitlines() == [
        f"optio-{session}-work/{name}" for name in ("-new", "copied", "out", "sub dir/edited")
    ]
    assert not (bench.cwd / f"optio-{session}-work").exists()
    ran = bench.run("pull", session)
    landed = bench.cwd / f"optio-{session}-work"
    assert (landed / "sub dir" / "edited").read_text() == "after\n"
    assert sorted(path.name for path in landed.rglob("*")) == ["-new", "copied", "edited", "sub dir"]
    assert ran.code == 1, "a link that leads out was left out, and that is said"
    assert "left out  out: is a symbolic link that leads out" in ran.err
    assert "removed   gone" in ran.out
    assert list(far.directory.parent.rglob("pull-*")) == []
    again = bench.run("pull", session, "--into", "tree", "--json").record
    assert (again["new"], again["replaced"], again["kept"]) == (["-new", "copied"], ["sub dir/edited"], [])
    assert (tree / "gone").exists()


@pytest.mark.parametrize("host", ["local", "far"])
def test_what_was_pulled_is_replaced_by_the_next_pull_and_what_was_put_here_since_is_not(
    bench: Bench, far: Sshd, host: str
) -> None:
    tree = make_tree(bench)
    bench.run("run", "--host", host, "--upload", "tree", "--", "./job.sh")
    session = bench.run("ls", "--json").record["id"]
    assert "sub dir/edited" in bench.run("pull", session, "--into", "tree", "--json").record["replaced"]
    there = (state_of(far) if host == "far" else bench.state) / session / "workdir"
    (there / "sub dir" / "edited").write_text("later")
    (there / "same").write_text("not the same")
    (tree / "same").unlink()
    (tree / "same").write_text("the person's, unpacked with its old time")
    os.utime(tree / "same", (1e9, 1e9))
    again = bench.run("pull", session, "--into", "tree", "--json").record
    assert (again["replaced"], again["kept"]) == (["sub dir/edited"], ["same"])
    assert (tree / "sub dir" / "edited").read_text() == "later"
    (tree / "sub dir" / "edited").write_text("by hand")
    (there / "sub dir" / "edited").write_text("latest")
    assert bench.run("pull", session, "--into", "tree", "--json").record["kept"] == ["same", "sub dir/edited"]


@pytest.mark.parametrize("host", ["local", "far"])
def test_a_file_that_was_changed_here_too_is_kept_unless_it_may_be_replaced(bench: Bench, far: Sshd, host: str) -> None:
    tree = make_tree(bench)
    assert bench.run("run", "--host", host, "--upload", "tree", "--", "./job.sh").code == 0
    session = bench.run("ls", "--json").record["id"]
    (tree / "sub dir" / "edited").write_text("by hand")
    ran = bench.run("pull", session, "--into", "tree")
    assert ran.code == 1
    assert "kept      sub dir/edited: it was changed here, too" in ran.err
    assert (tree / "sub dir" / "edited").read_text() == "by hand"
    bench.run("pull", session, "sub dir", "--into", "tree", "--overwrite")
    assert (tree / "sub dir" / "edited").read_text() == "after\n"


@pytest.mark.parametrize("host", ["local", "far"])
def test_nothing_is_pulled_through_a_symbolic_link_of_the_person(
    bench: Bench, far: Sshd, host: str, tmp_path: Path
) -> None:
    make_tree(bench)
    assert bench.run("run", "--host", host, "--upload", "tree", "--", "./job.sh").code == 0
    into, elsewhere = bench.cwd / "into", tmp_path / "elsewhere"
    into.mkdir()
    elsewhere.mkdir()
    (into / "sub dir").symlink_to(elsewhere)
    ran = bench.run("pull", bench.run("ls", "--json").record["id"], "--into", "into")
    assert "left out  sub dir/edited: sub dir on its way here is a symbolic link" in ran.err
    assert list(elsewhere.iterdir()) == []


WRONG = {
    "no such program": (["--", "no-such-program"], 2, "no-such-program: there is no such program in PATH on far"),
    "no such file": (["--in", "/tmp", "--", "./no-such"], 2, "./no-such: there is no such program in /tmp on far"),
    "no such directory": (["--in", "/no/such", "--", "true"], 2, "--in /no/such: there is no such directory on far"),
    "not in the upload": (["--upload", ".", "--", "./no-such"], 2, "./no-such: there is no such program in"),
    "in and upload": (["--upload", ".", "--in", "/tmp", "--", "true"], 2, "--upload and --in exclude each other"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_work_is_said_before_anything_is_changed(bench: Bench, far: Sshd, case: str) -> None:
    words, code, message = WRONG[case]
    ran = bench.run("run", "--host", "far", *words)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert not state_of(far).exists()
    assert not bench.state.exists()


def test_an_unknown_host_key_is_refused_before_anything_is_changed(bench: Bench, far: Sshd) -> None:
    (Path(bench.env["HOME"]) / ".ssh" / "known_hosts").write_text("")
    ran = bench.run("run", "--host", "far", "--", "true")
    assert (ran.code, ran.out) == (1, "")
    assert f"{far.user}@127.0.0.1:{far.port}: host key: it is not known" in ran.err
    assert "SHA256:" in ran.err
    assert not state_of(far).exists()
    assert not bench.state.exists()


@pytest.mark.parametrize("url", ["ssh://me:hunter2@far", "ftp://far", "far:22"])
def test_what_is_no_host_is_wrong_usage_and_a_password_is_never_shown(bench: Bench, url: str) -> None:
    for words in (["run", "--host", url, "--", "true"], ["jobs", "--host", url], ["prune", "--host", url]):
        ran = bench.run(*words)
        assert (ran.code, ran.out) == (2, "")
        assert "host" in ran.err
        assert "hunter2" not in ran.err


def test_a_session_whose_host_is_gone_can_be_watched_and_is_driven_once_it_is_back(bench: Bench, far: Sshd) -> None:
    session = bench.detached(LOG + "say 'STATUS: up'; " + GO + "say DONE", "--host", "far", "--in", str(bench.cwd))
    driver = bench.driver(session)
    wait_for(lambda: "up" in bench.run("logs", session).out, "the program")
    os.kill(driver, signal.SIGKILL)
    wait_until_dead(driver)
    config = Path(bench.env["HOME"]) / ".ssh" / "config"
    reachable = config.read_text()
    config.write_text(reachable.replace(f"Port {far.port}", "Port 1"))
    watcher = bench.start_optio("attach", "-v", session)
    assert watcher.stderr is not None
    said = "".join(sorted(watcher.stderr.readline() for _ in range(3)))
    assert "nobody drives the session, and its host cannot be reached; trying on" in said
    assert said.count("what the program prints cannot be shown now; trying on") == 2
    assert said.count("refused: nothing listens on port 1") == 3
    ran = bench.run("cancel", session)
    assert ran.code == 1
    assert "its host cannot be reached" in ran.err
    watcher.send_signal(signal.SIGINT)
    assert "goes on without this terminal" in rest_of(watcher)[1]
    assert watcher.returncode == 130
    config.write_text(reachable)
    assert bench.run("attach", session, "--json").ended["outcome"] == "cancelled"


def test_a_driver_in_the_background_waits_for_a_host_that_cannot_be_reached(bench: Bench, far: Sshd) -> None:
    session = bench.detached(LOG + GO + "say DONE", "--host", "far", "--in", str(bench.cwd))
    driver = bench.driver(session)
    os.kill(driver, signal.SIGKILL)
    wait_until_dead(driver)
    config = Path(bench.env["HOME"]) / ".ssh" / "config"

    async def body() -> None:
        async with Relay(far.port) as relay:
            for name, old in (("config", f"Port {far.port}"), ("known_hosts", f":{far.port}")):
                path = config.parent / name
                path.write_text(path.read_text().replace(old, old.replace(str(far.port), str(relay.port))))
            await relay.refuse()
            waiting = bench.start_optio("drive", "--json", session)
            assert waiting.stderr is not None
            assert "cannot be reached; trying on" in await to_thread(waiting.stderr.readline)
            bench.go()
            relay.restore()
            out, err = await to_thread(lambda: rest_of(waiting))
            assert (waiting.returncode, json.loads(out)["outcome"], err) == (0, "done", "")

    anyio.run(body)


def test_doctor_says_what_a_host_has_and_that_it_can_be_used(bench: Bench, far: Sshd) -> None:
    ran = bench.run("doctor", "--host", "far", "--json")
    assert (ran.code, ran.err) == (0, "")
    found = {each["what"]: each for each in ran.events}
    assert f"{far.user}@127.0.0.1:{far.port} in " in found["reachable"]["found"]
    assert found["host key"]["found"].startswith("ssh-ed25519 SHA256:")
    assert f"{bench.env['HOME']}/.ssh/known_hosts line 1" in found["host key"]["found"]
    assert found["MaxSessions"]["found"] == "10 or more"
    assert found["ending"]["verdict"] == "ok"
    assert found["sessions in"]["verdict"] == "ok"
    shown = bench.run("doctor", "--host", "far")
    assert "far can be used" in shown.out
    assert not state_of(far).exists()


def test_doctor_names_what_will_fail_and_exits_with_1(bench: Bench, far: Sshd) -> None:
    (Path(bench.env["HOME"]) / ".ssh" / "known_hosts").write_text("")
    ran = bench.run("doctor", "--host", "far")
    assert ran.code == 1
    assert "fails  host key" in ran.out
    assert "far cannot be used as it is: 1 to be mended" in ran.out


def test_doctor_sees_a_shell_that_prints_and_a_host_with_few_sessions(bench: Bench, tmp_path: Path) -> None:
    settings = 'MaxSessions 2\nForceCommand echo hello; echo warning >&2; eval "$SSH_ORIGINAL_COMMAND"'
    with sshd(tmp_path / "sshd", settings=settings) as server:
        ssh = tmp_path / "home" / ".ssh"
        ssh.mkdir(parents=True)
        (ssh / "known_hosts").write_text(Path(server.known_hosts).read_text())
        (ssh / "config").write_text(f"IdentityFile {server.key}\nIdentityAgent none\n")
        bench.env["HOME"] = str(tmp_path / "home")
        ran = bench.run("doctor", "--host", f"ssh://{server.user}@127.0.0.1:{server.port}", "--json")
    found = {each["what"]: each for each in ran.events}
    assert "they print 14 bytes" in found["rc files"]["found"]
    assert (found["MaxSessions"]["verdict"], found["MaxSessions"]["found"]) == ("slow", "2")
    assert found["ending"]["verdict"] == "ok"


def test_doctor_says_whether_an_agent_is_there(bench: Bench, far: Sshd) -> None:
    ran = bench.run("doctor", "--host", "far", "--agent", "claude", "--json")
    found = {each["what"]: each for each in ran.events}["claude"]
    assert (ran.code, found["verdict"]) in [(1, "fails"), (0, "ok")]


def test_a_watcher_whose_own_link_is_down_when_the_session_ends_says_so_and_ends(
    bench: Bench, far: Sshd, tmp_path: Path
) -> None:
    other = tmp_path / "other home" / ".ssh"
    other.mkdir(parents=True)

    async def body() -> None:
        async with Relay(far.port) as relay:
            for name, old in (("config", f"Port {far.port}"), ("known_hosts", f":{far.port}")):
                text = (Path(bench.env["HOME"]) / ".ssh" / name).read_text()
                (other / name).write_text(text.replace(old, old.replace(str(far.port), str(relay.port))))
            script = "echo up; " + GO + LOG + "echo late; say DONE"
            session = await to_thread(lambda: bench.detached(script, "--host", "far", "--in", str(bench.cwd)))
            await to_thread(lambda: bench.driver(session))  # which has it, so that the watcher only watches
            watcher = bench.start_optio("attach", "-v", session, HOME=str(other.parent))
            await to_thread(lambda: read_until(watcher, "up"))
            assert relay.accepted
            await relay.refuse()
            await relay.drop()
            bench.go()
            out, err = await to_thread(lambda: rest_of(watcher))
            assert (watcher.returncode, "done after" in out) == (0, True)
            assert "the rest of the program's stdout could not be read" in err

    anyio.run(body)
