"""The fake host: files in memory, commands that answer what a test says, a clock that jumps."""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optio_host.errors import FileRefused, HostError, TransferFailed
from optio_host.host import Followed, FollowsFiles, Host, StreamsFiles, proc_wait
from optio_host.lines import Line
from optio_host.outcome import Exited, Signalled, TimedOut
from optio_host.testing.clock import ManualClock
from optio_host.testing.fake import (
    Append,
    Die,
    Exit,
    Expect,
    ExpectEnd,
    FakeHost,
    FileTree,
    Hang,
    RemoveFile,
    ScriptFailed,
    Stderr,
    Stdout,
    Wait,
    WriteFile,
)

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def host() -> FakeHost:
    host = FakeHost()
    host.files.mkdir(host.workdir)
    return host


def test_it_is_a_host_and_all_that_goes_beyond(host: FakeHost) -> None:
    assert isinstance(host, Host)
    assert isinstance(host, FollowsFiles)
    assert isinstance(host, StreamsFiles)


# Scripts.


def test_answers_come_in_the_order_in_which_they_were_declared(run: Run, host: FakeHost) -> None:
    host.on("make", exit_code=2, stderr="no rule")
    host.on("make", stdout="built")
    host.on(re.compile("git .*"), stdout="clean", repeat=True)

    async def body() -> None:
        first, second = await host.run_command("make"), await host.run_command("make")
        assert (first.exit_code, first.stderr, second.exit_code, second.stdout) == (2, "no rule", 0, "built")
        for _ in range(3):
            assert (await host.run_command("git status")).stdout == "clean"

    run(body)
    host.verify()


def test_an_answer_to_one_run_goes_before_one_to_any_number(run: Run, host: FakeHost) -> None:
    host.on(re.compile(".*"), stdout="whatever", repeat=True)
    host.on("make", exit_code=2)

    async def body() -> None:
        assert [(await host.run_command("make")).exit_code for _ in range(3)] == [2, 0, 0]

    run(body)
    host.verify()


def test_a_command_that_nobody_answers_fails_and_says_what_was_expected(run: Run, host: FakeHost) -> None:
    host.on("git status")

    async def body() -> None:
        with pytest.raises(ScriptFailed, match=r"no script answers the command 'git push'.*'git status' \(1 left\)"):
            await host.run_command("git push")

    run(body)


def test_a_command_run_more_often_than_it_has_answers_fails(run: Run, host: FakeHost) -> None:
    host.on("make")

    async def body() -> None:
        await host.run_command("make")
        with pytest.raises(ScriptFailed, match=r"'make' was run once more than it has answers \(1\)"):
            await host.run_command("make")

    run(body)


def test_an_answer_that_nobody_asked_for_is_told_at_the_end(host: FakeHost) -> None:
    host.on("make")
    host.on("anything", repeat=True)
    with pytest.raises(ScriptFailed, match=r"'make' was run 0 times, 1 answers were given$"), host:
        pass


def test_a_swallowed_failure_is_told_at_the_end(run: Run, host: FakeHost) -> None:
    async def careless() -> None:
        with suppress(AssertionError):
            await host.run_command("rm -rf / --no-preserve-root")

    run(careless)
    with pytest.raises(ScriptFailed, match="no-preserve-root"):
        host.verify()


def test_the_block_does_not_hide_what_failed_in_it(host: FakeHost) -> None:
    host.on("make")
    with pytest.raises(ZeroDivisionError), host:
        _ = 1 / 0


def test_a_function_may_say_which_commands_are_meant(run: Run, host: FakeHost) -> None:
    host.on(lambda command: command.endswith("status"), stdout="yes")

    async def body() -> None:
        assert (await host.run_command("git status")).stdout == "yes"

    run(body)


def test_steps_and_plain_output_are_not_mixed(host: FakeHost) -> None:
    with pytest.raises(ValueError, match="not both"):
        host.on("make", Wait(1), stdout="text")


def test_what_was_run_is_on_record_with_its_directory_environment_and_input(run: Run, host: FakeHost) -> None:
    host.files.mkdir(f"{host.workdir}/sub")
    host.on("cat", Expect(b"hello"), ExpectEnd(), Stdout("hello"))

    async def body() -> None:
        await host.run_command("cat", cwd="sub", env={"A": "1"}, input=b"hello")

    run(body)
    host.verify()
    (record,) = host.commands
    assert (record.command, record.cwd, record.input) == ("cat", f"{host.workdir}/sub", b"hello")
    assert (record.env["A"], record.env["HOME"]) == ("1", "/home/user")


def test_names_are_dropped_from_the_environment_by_pattern(run: Run, host: FakeHost) -> None:
    host.on("agent")

    async def body() -> None:
        await proc_wait(await host.launch_subprocess("agent", env={"SHELL": "x"}, env_remove=["PA*", "SHELL"]))

    run(body)
    assert sorted(host.commands[0].env) == ["HOME", "SHELL", "USER"]


def test_a_directory_that_is_not_there_is_an_error_and_nothing_is_run(run: Run, host: FakeHost) -> None:
    async def body() -> None:
        with pytest.raises(FileNotFoundError):
            await host.run_command("true", cwd="missing")

    run(body)
    assert host.commands == ()


# Programs.


def test_a_program_follows_its_script_on_the_clock_of_its_host(run: Run, host: FakeHost) -> None:
    host.on(
        "agent",
        Stdout("begun\n"),
        Wait(3600),
        WriteFile("deliverables/report.md", "text"),
        Append("optio.log", "DONE\n"),
        Stderr("warning\n"),
        Exit(4),
    )

    async def body() -> None:
        handle = await host.launch_subprocess("agent", merge_stderr=False)
        assert await anext(handle.stdout) == b"begun\n"
        assert not host.files.exists(f"{host.workdir}/optio.log")
        assert await proc_wait(handle) == 4
        assert host.clock.monotonic() == 3600
        assert handle.stderr is not None
        assert [line async for line in handle.stderr] == [b"warning\n"]
        assert host.files.files(host.workdir) == {
            f"{host.workdir}/deliverables/report.md": b"text",
            f"{host.workdir}/optio.log": b"DONE\n",
        }

    run(body)


def test_a_program_talks_by_stdin_and_stdout(run: Run, host: FakeHost) -> None:
    host.on("agent", Expect("one\n"), Stdout("two\n"), Expect("three\n"), ExpectEnd(), Stdout("four"))

    async def body() -> None:
        handle = await host.launch_subprocess("agent", stdin=True)
        assert handle.stdin is not None
        for piece in (b"on", b"e\n"):
            handle.stdin.write(piece)
        await handle.stdin.drain()
        assert await anext(handle.stdout) == b"two\n"
        handle.stdin.write(b"three\n")
        handle.stdin.close()
        assert [line async for line in handle.stdout] == [b"four"]
        assert await proc_wait(handle) == 0
        with pytest.raises(BrokenPipeError):
            handle.stdin.write(b"more")
        with pytest.raises(BrokenPipeError):
            await handle.stdin.drain()

    run(body)
    host.verify()


def test_input_that_comes_while_a_program_waits_is_read_afterwards(run: Run, host: FakeHost) -> None:
    host.on("agent", Wait(10), Expect("now\n"), Wait(10), Stdout("read"))

    async def body() -> None:
        handle = await host.launch_subprocess("agent", stdin=True)
        assert handle.stdin is not None
        await host.clock.sleep(5)
        handle.stdin.write(b"now\n")
        assert await proc_wait(handle) == 0
        assert (host.clock.monotonic(), host.clock.waiting) == (20, 0)

    run(body)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ((Expect("yes\n"),), "was to read b'yes\\n', and got b'no\\n'"),
        ((Expect("no\nnever\n"),), "was to read b'no\\nnever\\n', and got b'no\\n' and then the end"),
        ((ExpectEnd(),), "was to read the end of its stdin, and got b'no\\n'"),
    ],
)
def test_other_input_than_the_expected_fails_the_test(
    run: Run, host: FakeHost, script: tuple[Expect | ExpectEnd, ...], said: str
) -> None:
    host.on("agent", *script)

    async def body() -> None:
        done = await host.run_command("agent", input=b"no\n")
        assert done.exit_code == 1
        assert said in done.stderr

    run(body)
    with pytest.raises(ScriptFailed, match=re.escape(said)):
        host.verify()


def test_a_program_that_still_waits_for_input_is_told_at_the_end(run: Run, host: FakeHost) -> None:
    host.on("agent", Expect("go\n"))

    async def body() -> None:
        await host.launch_subprocess("agent", stdin=True)

    run(body)
    with pytest.raises(ScriptFailed, match=r"'agent' still waits for b'go\\n'"):
        host.verify()


@pytest.mark.parametrize(
    ("steps", "aggressive", "code", "took"),
    [
        ((Hang(),), False, -15, 0.0),
        ((Hang(ignores_term=True),), False, -9, 5.0),
        ((Hang(ignores_term=True),), True, -9, 0.0),
        ((Wait(1e6),), False, -15, 0.0),
        ((Exit(3),), False, 3, 0.0),
    ],
)
def test_a_program_is_ended_by_term_and_then_by_kill(
    run: Run, host: FakeHost, steps: tuple[Hang | Wait | Exit, ...], aggressive: bool, code: int, took: float
) -> None:
    host.on("agent", *steps)

    async def body() -> None:
        handle = await host.launch_subprocess("agent")
        await host.terminate_subprocess(handle, aggressive=aggressive)
        assert await proc_wait(handle) == code
        assert (host.clock.monotonic(), host.clock.waiting) == (took, 0)

    run(body)


def test_a_process_of_another_host_is_not_ended_here(run: Run, host: FakeHost) -> None:
    async def body() -> None:
        other = FakeHost()
        other.files.mkdir(other.workdir)
        other.on("agent", Hang())
        handle = await other.launch_subprocess("agent")
        with pytest.raises(HostError, match="not launched by this host"):
            await host.terminate_subprocess(handle, aggressive=True)

    run(body)


def test_a_death_by_signal_is_no_exit_code(run: Run, host: FakeHost) -> None:
    host.on("agent", Die(signal.SIGSEGV))

    async def body() -> None:
        done = await host.run_command("agent")
        assert (done.outcome, done.exit_code) == (Signalled(11), -11)

    run(body)


def test_a_command_that_hangs_times_out_with_its_output(run: Run, host: FakeHost) -> None:
    host.on("agent", Stdout("part"), Hang(ignores_term=True))

    async def body() -> None:
        done = await host.run_command("agent", timeout=30)
        assert (done.outcome, done.exit_code, done.stdout) == (TimedOut(30), 124, "part")
        assert host.clock.monotonic() == 32

    run(body)


def test_a_cancelled_command_is_ended(run: Run, host: FakeHost) -> None:
    host.on("agent", Hang(ignores_term=True))

    async def body() -> None:
        with host.clock.move_on_after(1) as scope:
            await host.run_command("agent")
        assert scope.cancelled_caught
        assert host.clock.monotonic() == 3

    run(body)
    assert [call.what for call in host.history] == ["run_command", "end_tree"]


def test_long_output_keeps_head_and_tail(run: Run, host: FakeHost) -> None:
    host.on("seq", stdout=b"a" * 50 + b"b" * 100_000 + b"c" * 50, stderr=b"\xff")

    async def body() -> None:
        done = await host.run_command("seq", output_limit=100)
        assert done.stdout == "a" * 50 + "\n[... 100000 bytes left out ...]\n" + "c" * 50
        assert (done.stdout_dropped, done.stderr) == (100_000, "\ufffd")

    run(body)


def test_a_program_whose_file_cannot_be_written_says_so_and_ends(run: Run, host: FakeHost) -> None:
    host.files.free = 3
    host.on("agent", Append("log", "abc"), Append("log", "d"), Stdout("not reached"))

    async def body() -> None:
        done = await host.run_command("agent")
        assert done.outcome == Exited(1)
        assert "No space left" in done.stderr
        assert done.stdout == ""

    run(body)


# The commands of a session's driver.


def test_the_few_commands_that_are_known_need_no_script(run: Run, host: FakeHost) -> None:
    async def body() -> None:
        assert (await host.run_command("mkdir -p 'a b'/c d && true && chmod 0700 d")).exit_code == 0
        assert host.files.node(f"{host.workdir}/d").mode == 0o700
        assert (await host.run_command("rm -rf 'a b' missing")).exit_code == 0
        assert host.files.listing(host.workdir) == ["d"]
        assert (await host.run_command('printf %s "$HOME"')).stdout == "/home/user"
        failed = await host.run_command("chmod 700 missing")
        assert (failed.exit_code, failed.stderr) == (1, f"{host.workdir}/missing: No such file or directory\n")

    run(body)


@pytest.mark.parametrize(
    "command", ["mkdir -p $A", "true; rm -rf x", "true | true", "rm -rf *", "mkdir x", "rm -rf", "true &&", "rm -f 'x"]
)
def test_what_only_a_shell_understands_is_not_guessed_at(run: Run, host: FakeHost, command: str) -> None:
    async def body() -> None:
        with pytest.raises(ScriptFailed):
            await host.run_command(command)

    run(body)


def test_a_script_wins_over_a_known_command(run: Run, host: FakeHost) -> None:
    host.on("mkdir -p x", exit_code=1, stderr="read-only")

    async def body() -> None:
        assert (await host.run_command("mkdir -p x")).stderr == "read-only"

    run(body)
    assert host.files.listing(host.workdir) == []


# Files.


def test_a_put_file_can_be_fetched_streamed_and_skipped(run: Run, host: FakeHost, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "tool").write_bytes(content)
    (tmp_path / "tool").chmod(0o755)
    target = f"{host.workdir}/new/tool"
    told: list[tuple[float | None, str | None]] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield content[:1]
        yield content[1:]

    async def body() -> None:
        for source in (tmp_path / "tool", str(tmp_path / "tool"), content, chunks()):
            host.files.remove(host.workdir)
            await host.put_file_to_host(source, target)
            assert await host.fetch_bytes_from_host(target) == content
        assert b"".join([chunk async for chunk in host.stream_file(target, within=host.workdir)]) == content
        inode = host.files.node(target).inode
        await host.put_file_to_host(
            content, target, skip_if_unchanged=True, progress_cb=lambda *each: told.append(each)
        )
        assert told == [(100.0, "already up to date")]
        assert host.files.node(target).inode == inode
        host.files.remove(target)
        await host.put_file_to_host(tmp_path / "tool", target)
        assert host.files.node(target).mode == 0o755

    run(body)


def test_a_copy_that_is_not_the_expected_one_leaves_the_old_file(run: Run, host: FakeHost) -> None:
    target = f"{host.workdir}/file"
    host.files.write(target, "old")

    async def body() -> None:
        with pytest.raises(TransferFailed, match="SHA-256"):
            await host.put_file_to_host(b"new", target, expected_sha256="0" * 64)
        host.files.free = 2
        with pytest.raises(TransferFailed, match="No space left"):
            await host.put_file_to_host(b"longer", target)

    run(body)
    assert host.files.text(target) == "old"


def test_files_are_refused_for_what_they_are(run: Run, host: FakeHost) -> None:
    host.files.write("/etc/shadow", "secret", mode=0)
    host.files.write(f"{host.workdir}/big", "12345")
    host.files.symlink(f"{host.workdir}/link", "/etc/hosts")
    host.files.write("/etc/hosts", "localhost")
    host.files.symlink(f"{host.workdir}/circle", "circle")
    host.files.fifo(f"{host.workdir}/fifo")

    async def refused(path: str, reason: str, **options: object) -> None:
        with pytest.raises(FileRefused, match=reason):
            async for _ in host.stream_file(path, **options):  # type: ignore[arg-type]
                pass

    async def body() -> None:
        await refused("/etc/shadow", "may not read")
        await refused(f"{host.workdir}/big", "more than the limit of 4", max_bytes=4)
        await refused(f"{host.workdir}/link", "lies outside", within=host.workdir)
        await refused(f"{host.workdir}/circle", "circle")
        await refused(f"{host.workdir}/fifo", "FIFO")
        await refused(host.workdir, "directory")
        with pytest.raises(FileNotFoundError):
            await host.fetch_bytes_from_host("/missing")
        for target in (host.workdir, f"{host.workdir}/fifo"):
            with pytest.raises(FileRefused):
                await host.put_file_to_host(b"", target)

    run(body)


def test_a_file_that_changes_while_it_is_read_is_refused(run: Run, host: FakeHost) -> None:
    path = f"{host.workdir}/file"
    host.files.write(path, b"x" * 200_000)

    async def read_and(change: Callable[[], None]) -> None:
        async for _ in host.stream_file(path):
            change()

    async def body() -> None:
        for change in (lambda: host.files.append(path, "y"), lambda: host.files.replace(path, "z")):
            host.files.write(path, b"x" * 200_000)
            with pytest.raises(FileRefused, match="changed while it was read"):
                await read_and(change)

    run(body)


def test_a_text_file_cannot_leave_the_workdir(run: Run, host: FakeHost) -> None:
    host.files.symlink(f"{host.workdir}/out", "/etc")
    host.files.mkdir("/etc")

    async def body() -> None:
        await host.write_text("a/b.txt", "ü")
        assert host.files.text(f"{host.workdir}/a/b.txt") == "ü"
        for path in ("/etc/passwd", "../x", "out/passwd", "."):
            with pytest.raises((ValueError, FileRefused)):
                await host.write_text(path, "")

    run(body)
    assert host.files.listing("/etc") == []


def test_a_workdir_is_archived_and_restored_like_any_other(run: Run, host: FakeHost) -> None:
    host.files.write(f"{host.workdir}/bin/tool", "run", mode=0o755)
    host.files.write(f"{host.workdir}/.git/HEAD", "ref")
    host.files.symlink(f"{host.workdir}/link", "bin/tool")
    host.files.fifo(f"{host.workdir}/fifo")
    other = FakeHost()
    other.files.write(f"{other.workdir}/old", "old")

    async def broken() -> AsyncIterator[bytes]:
        yield b"no archive"

    async def body() -> None:
        with pytest.raises(TransferFailed):
            await other.restore_workdir(broken())
        assert other.files.listing(other.workdir) == ["old"]
        await other.restore_workdir(host.archive_workdir([".git"]))

    run(body)
    assert other.files.listing(other.workdir) == ["bin", "link"]
    assert other.files.node(f"{other.workdir}/bin/tool").mode == 0o755
    assert other.files.text(f"{other.workdir}/link") == "run"


async def followed(host: FakeHost, path: str, count: int) -> list[Followed]:
    found: list[Followed] = []
    lines = host.follow(path)
    async for each, _ in lines:
        found.append(each)
        if len(found) == count:
            break
    await lines.aclose()
    return found


def test_a_followed_file_gives_each_line_as_a_program_writes_it(run: Run, host: FakeHost) -> None:
    host.on("agent", Append("log", "one\ntw"), Wait(1), Append("log", "o\n"), RemoveFile("log"))

    async def body() -> None:
        await host.launch_subprocess("agent")
        assert await followed(host, f"{host.workdir}/log", 2) == [Line(b"one", 4), Line(b"two", 8)]
        ended = anyio.Event()
        ended.set()
        host.files.write(f"{host.workdir}/log", "a\nb")
        rest = [each async for each, _ in host.follow(f"{host.workdir}/log", until=ended)]
        assert rest == [Line(b"a", 2), Line(b"b", 3)]

    run(body)


def test_a_tailed_file_is_text(run: Run, host: FakeHost) -> None:
    host.files.write(f"{host.workdir}/log", "eins\r\nzwölf\n")

    async def body() -> None:
        lines = host.tail_file(f"{host.workdir}/log")
        assert [await anext(lines), await anext(lines)] == ["eins", "zwölf"]
        await lines.aclose()

    run(body)


def test_what_is_no_file_cannot_be_followed(run: Run, host: FakeHost) -> None:
    async def body() -> None:
        with pytest.raises(FileRefused, match="no regular file"):
            await followed(host, host.workdir, 1)

    run(body)


def test_hosts_on_one_machine_share_it(run: Run, host: FakeHost) -> None:
    async def body() -> None:
        other = host.at("/srv/other")
        await other.setup_workdir()
        assert host.files.node("/srv/other/workdir").mode == 0o700
        await other.remove_file(f"{other.workdir}/missing")
        await other.cleanup_taskdir(False)
        assert host.files.listing("/srv") == ["task"]
        assert await other.resolve_host_home() == "/home/user"

    run(body)
    assert host.history[0].what == "setup_workdir"


def test_only_declared_tunnels_lead_anywhere(run: Run) -> None:
    host = FakeHost(tunnels={8080: 40123})

    async def body() -> None:
        assert await host.establish_tunnel(8080) == 40123
        with pytest.raises(ScriptFailed, match="no tunnel to port 9090"):
            await host.establish_tunnel(9090)

    run(body)


# The tree.


PATHS = "file dir missing link dead up loop d d/inner d/../file file/x dir/./inner . .."


@pytest.mark.parametrize("name", PATHS.split())
def test_the_tree_has_the_errors_of_a_real_one(tmp_path: Path, name: str) -> None:
    tree = FileTree()
    (tmp_path / "dir").mkdir()
    for file in ("file", "dir/inner"):
        tree.write(f"{tmp_path}/{file}", file)
        (tmp_path / file).write_text(file)
    for link, target in {"link": "file", "dead": "missing", "up": "dir/../file", "loop": "loop", "d": "dir"}.items():
        tree.symlink(f"{tmp_path}/{link}", target)
        (tmp_path / link).symlink_to(target)

    path = f"{tmp_path}/{name}"
    assert outcome_of(lambda: tree.text(path)) == outcome_of(lambda: Path(path).read_text())
    assert outcome_of(lambda: tree.realpath(path)) == outcome_of(lambda: os.path.realpath(path, strict=True))
    assert tree.exists(path) == os.path.exists(path)


NAMES = st.sampled_from(["a", "a/b", "a/b/c", "d", "link", "link/b"])
CHANGES = st.lists(
    st.tuples(st.sampled_from(["write", "append", "mkdir", "symlink", "rename", "remove"]), NAMES, NAMES)
)


# Each example is a directory on the disk.
@settings(max_examples=100)
@given(changes=CHANGES)
def test_changes_have_the_effect_that_they_have_on_a_disk(changes: list[tuple[str, str, str]]) -> None:
    tree = FileTree()
    with tempfile.TemporaryDirectory() as root:
        tree.mkdir(root)
        for kind, name, other in changes:
            change = (kind, f"{root}/{name}", f"{root}/{other}")
            assert works(partial(on_disk, *change)) == works(partial(in_tree, tree, *change))
        names = [os.path.join(where, each) for where, down, files in os.walk(root) for each in [*down, *files]]
        assert sorted(names) == sorted(everything(tree, root))
        for each in names:
            assert outcome_of(partial(Path(each).read_bytes)) == outcome_of(partial(tree.read, each))


def works(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def outcome_of(act: Callable[[], object]) -> object:
    try:
        return act()
    except OSError as error:
        return error.errno


def on_disk(kind: str, path: str, other: str) -> None:
    if kind in ("write", "append", "symlink"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    match kind:
        case "write" | "append":
            with open(path, "wb" if kind == "write" else "ab") as file:
                file.write(kind.encode())
        case "mkdir":
            os.makedirs(path, exist_ok=True)
        case "symlink":
            os.symlink(other, path)
        case "rename":
            os.rename(path, other)
        case "remove" if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        case "remove":
            os.unlink(path)


def in_tree(tree: FileTree, kind: str, path: str, other: str) -> None:
    match kind:
        case "write":
            tree.write(path, kind)
        case "append":
            tree.append(path, kind)
        case "mkdir":
            tree.mkdir(path)
        case "symlink":
            tree.symlink(path, other)
        case "rename":
            tree.rename(path, other)
        case "remove":
            tree.remove(path)


def everything(tree: FileTree, directory: str) -> Iterator[str]:
    for name in tree.listing(directory):
        path = f"{directory}/{name}"
        yield path
        if tree.node(path, follow=False).is_dir:
            yield from everything(tree, path)


def test_the_space_of_a_removed_file_is_free_again() -> None:
    tree = FileTree()
    tree.free = 10
    tree.write("/a/b", b"12345")
    with pytest.raises(OSError, match="No space left"):
        tree.write("/c", b"123456")
    tree.remove("/a")
    tree.write("/c", b"1234567890")
    tree.truncate("/c", 4)
    assert (tree.free, tree.read("/c")) == (6, b"1234")


def test_a_renamed_file_replaces_another() -> None:
    tree = FileTree()
    tree.write("/new", "new")
    tree.write("/old", "old")
    inode = tree.node("/new").inode
    tree.rename("/new", "/old")
    assert (tree.listing("/"), tree.text("/old"), tree.node("/old").inode) == (["old"], "new", inode)


# The clock.


def test_time_jumps_when_everybody_waits(run: Run) -> None:
    clock = ManualClock(jump_after=0.001)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async def body() -> None:
        async with anyio.create_task_group() as group:
            for name, seconds in (("long", 1000.0), ("short", 1.0), ("middle", 60.0)):
                group.start_soon(sleeper, name, seconds)
            with clock.move_on_after(500) as scope:
                await anyio.sleep_forever()
        assert scope.cancelled_caught

    run(body)
    assert woken == [("short", 1.0), ("middle", 60.0), ("long", 1000.0)]
    assert clock.waiting == 0


def test_time_does_not_jump_while_a_task_or_a_thread_works(run: Run) -> None:
    clock = ManualClock(jump_after=0)
    go_on = anyio.Event()

    async def body() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(clock.sleep, 10)
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            assert clock.monotonic() == 0
            await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(look_often))
            assert clock.monotonic() == 0
            go_on.set()

    async def look_often() -> None:
        for _ in range(100):
            await anyio.lowlevel.checkpoint()

    run(body)
    assert clock.monotonic() == 10


def test_time_does_not_jump_while_a_callback_of_the_loop_is_due(run: Run) -> None:
    clock = ManualClock(jump_after=0)

    async def body() -> None:
        due = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(clock.sleep, 10)
            await anyio.lowlevel.checkpoint()
            asyncio.get_running_loop().call_later(0, due.set)
            await due.wait()
            assert clock.monotonic() == 0

    run(body)


def test_a_test_that_waits_for_ever_is_told(run: Run) -> None:
    clock = ManualClock(jump_after=0, limit=100)

    async def poll() -> None:
        while True:
            await clock.sleep(1)

    async def body() -> None:
        with pytest.raises(TimeoutError, match="nothing has ended within 100 s"):
            await poll()

    run(body)


def test_one_clock_serves_two_event_loops(run: Run) -> None:
    clock = ManualClock(jump_after=0)
    for _ in range(2):
        run(lambda: clock.sleep(5))
    assert clock.monotonic() == 10
