"""Following files by one reader on the far side. The far side is this machine here; a real sshd is at the end."""

import os
import random
import shutil
import signal
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from job_rig import shells_here, until
from local_link import LocalLink

from optio_host.cursor import START, Cursor
from optio_host.errors import ConnectFailed, FileRefused, HostError
from optio_host.host import FileReset, Followed
from optio_host.lines import Line, LongLine
from optio_host.ssh.link import Link
from optio_host.ssh.reader import CREDIT, LONGEST_PAUSE, TRIES, FarReader
from optio_host.ssh.reader_run import SILENT_SECONDS, TICK_SECONDS
from optio_host.testing.clock import ManualClock
from optio_host.testing.relay import Relay
from ssh_rig import config_for
from sshd_rig import plain_user, sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]
Lines = AsyncGenerator[tuple[Followed, Cursor]]
Seen = bytes | int | FileReset


@asynccontextmanager
async def following(link: LocalLink | Link, clock: ManualClock | None = None) -> AsyncIterator[FarReader]:
    reader = FarReader(link, clock=clock) if clock else FarReader(link)  # type: ignore[arg-type]
    try:
        yield reader
    finally:
        await reader.aclose()


@pytest.fixture
def link() -> LocalLink:
    return LocalLink()


@pytest.fixture(params=["python3", *shells_here()])
def any_link(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalLink:
    """A far side with python3, and one without it under each shell."""
    if request.param == "python3":
        return LocalLink()
    programs = tmp_path_factory.mktemp("programs")
    for name in ("stat", "dd", "tail", "od", "tr"):
        if request.param.startswith("busybox"):
            (programs / name).symlink_to(str(shutil.which("busybox")))
        else:
            (programs / name).symlink_to(str(shutil.which(name)))
    return LocalLink(request.param, str(programs))


async def take(lines: Lines, count: int) -> list[Seen]:
    """The next lines: their bytes, the size of an over-long one, a reset as it is."""
    found: list[Seen] = []
    async for line, _ in lines:
        found.append(line.data if isinstance(line, Line) else line.size if isinstance(line, LongLine) else line)
        if len(found) == count:
            break
    return found


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_lines_that_stand_in_the_file_and_lines_that_come_later_are_seen_once(
    run: Run, tmp_path: Path, any_link: LocalLink
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\0\xff\n")

    async def body() -> None:
        async with following(any_link) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 2) == [b"one", b"two\0\xff"]
            append(log, b"three\nfo")
            assert await take(lines, 1) == [b"three"]
            append(log, b"ur\n")
            assert await take(lines, 1) == [b"four"]

    run(body)


def test_a_cursor_is_the_one_that_a_local_host_would_give(run: Run, tmp_path: Path, any_link: LocalLink) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100 + b"\ntwo\nthr")

    async def body() -> None:
        async with following(any_link) as reader, aclosing(reader.follow(str(log))) as lines:
            cursors = [(await anext(lines))[1] for _ in range(2)]
        state, data = log.stat(), log.read_bytes()
        file = f"{state.st_dev}:{state.st_ino}"
        assert cursors == [Cursor(file, end, Cursor.check_of(data[:end])) for end in (101, 105)]
        append(log, b"ee\n")
        async with following(any_link) as reader, aclosing(reader.follow(str(log), cursors[1])) as lines:
            assert await take(lines, 1) == [b"three"]

    run(body)


def test_a_file_that_is_not_there_yet_is_seen_when_it_is_renamed_into_place(
    run: Run, tmp_path: Path, any_link: LocalLink
) -> None:
    end, other = tmp_path / "exit", tmp_path / "other"
    other.write_bytes(b"here\n")

    async def body() -> None:
        async with following(any_link) as reader, anyio.create_task_group() as tasks:
            async with aclosing(reader.follow(str(end))) as lines, aclosing(reader.follow(str(other))) as others:

                async def write() -> None:
                    # The reader takes its commands in order: it has looked for the first when it reads the second.
                    assert await take(others, 1) == [b"here"]
                    (tmp_path / "exit.part").write_bytes(b"exited 0\n")
                    (tmp_path / "exit.part").rename(end)

                tasks.start_soon(write)
                assert await take(lines, 1) == [b"exited 0"]

    run(body)


def test_a_directory_that_is_not_there_yet_is_waited_for(run: Run, tmp_path: Path, any_link: LocalLink) -> None:
    log, other = tmp_path / "run" / "1" / "log", tmp_path / "other"
    other.write_bytes(b"here\n")

    async def body() -> None:
        async with following(any_link) as reader, anyio.create_task_group() as tasks:
            async with aclosing(reader.follow(str(log))) as lines, aclosing(reader.follow(str(other))) as others:

                async def write() -> None:
                    assert await take(others, 1) == [b"here"]
                    log.parent.mkdir(parents=True)
                    log.write_bytes(b"one\n")

                tasks.start_soon(write)
                assert await take(lines, 1) == [b"one"]

    run(body)


def test_a_directory_that_was_removed_and_made_again_is_watched_again(
    run: Run, tmp_path: Path, link: LocalLink
) -> None:
    log = tmp_path / "run" / "log"
    log.parent.mkdir()
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
            await take(lines, 1)
            shutil.rmtree(log.parent)
            log.parent.mkdir()
            log.write_bytes(b"new\n")
            reset, line = await take(lines, 2)
            assert isinstance(reset, FileReset)
            assert line == b"new"

    run(body)


@pytest.mark.parametrize(
    "name", ["two\nlines\n", 'it\'s "q"', "-n \\n %s", "caf\xe9 \U0001f600", os.fsdecode(b"\xff\xfe")]
)
def test_any_name_can_be_followed(run: Run, tmp_path: Path, any_link: LocalLink, name: str) -> None:
    log = tmp_path / name
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with following(any_link) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 1) == [b"one"]

    run(body)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [make_fifo, make_device, Path.mkdir])
def test_what_is_no_regular_file_is_refused_and_blocks_nobody(
    run: Run, tmp_path: Path, any_link: LocalLink, make: Callable[[Path], None]
) -> None:
    log, other = tmp_path / "log", tmp_path / "other"
    make(log)
    other.write_bytes(b"one\n")

    async def body() -> None:
        async with following(any_link) as reader:
            async with aclosing(reader.follow(str(log))) as lines, aclosing(reader.follow(str(other))) as others:
                with pytest.raises(FileRefused, match="no regular file"):
                    await take(lines, 1)
                assert await take(others, 1) == [b"one"]

    run(body)


def test_a_log_replaced_by_a_directory_is_an_error(run: Run, tmp_path: Path, any_link: LocalLink) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with following(any_link) as reader, aclosing(reader.follow(str(log))) as lines:
            await take(lines, 1)
            log.unlink()
            log.mkdir()
            with pytest.raises(FileRefused, match="no regular file"):
                await take(lines, 2)

    run(body)


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(run: Run, tmp_path: Path, link: LocalLink) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
            await take(lines, 1)
            append(log, b"last of the old\n")
            log.rename(tmp_path / "log.1")
            log.write_bytes(b"first of the new\n")
            assert await take(lines, 3) == [b"last of the old", FileReset("replaced", 0), b"first of the new"]

    run(body)


def truncate(log: Path) -> None:
    log.write_bytes(b"new\n")


def replace(log: Path) -> None:
    (log.parent / "next").write_bytes(b"new\n")
    (log.parent / "next").rename(log)


def rewrite(log: Path) -> None:
    with log.open("r+b") as file:  # in one step: else it may be seen while it is empty, and that is truncated
        file.write(b"new\n" + b"longer than what was there\n" * 2)


@pytest.mark.parametrize(("change", "reason"), [(truncate, "truncated"), (replace, "replaced"), (rewrite, "rewritten")])
def test_a_file_that_is_not_what_it_was_is_read_from_its_beginning(
    run: Run, tmp_path: Path, any_link: LocalLink, change: Callable[[Path], None], reason: str
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nhalf")

    async def body() -> None:
        async with following(any_link) as reader, aclosing(reader.follow(str(log))) as lines:
            await take(lines, 2)
            change(log)
            assert await take(lines, 2) == [FileReset(reason, 4), b"new"]  # type: ignore[arg-type]

    run(body)


@pytest.mark.parametrize(("change", "reason"), [(truncate, "truncated"), (replace, "replaced"), (rewrite, "rewritten")])
def test_what_happened_to_a_file_while_the_link_was_down_is_noticed(
    run: Run, tmp_path: Path, link: LocalLink, change: Callable[[Path], None], reason: str
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nhalf")

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
            await take(lines, 2)
            with link.down():
                change(log)
            assert await take(lines, 2) == [FileReset(reason, 4), b"new"]  # type: ignore[arg-type]
        assert link.starts == 2

    run(body)


def test_a_line_cut_in_its_middle_by_a_lost_link_is_completed_and_not_doubled(
    run: Run, tmp_path: Path, any_link: LocalLink
) -> None:
    log = tmp_path / "log"
    log.write_bytes("one\nhalf of a caf\u00e9".encode()[:-1])

    async def body() -> None:
        async with following(any_link) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 1) == [b"one"]
            with any_link.down():
                append(log, "\u00e9 is enough\nnext\n".encode()[1:])
            assert await take(lines, 2) == ["half of a caf\u00e9 is enough".encode(), b"next"]

    run(body)


@pytest.mark.parametrize("seed", range(3))
def test_links_cut_at_any_byte_lose_no_line_and_double_none(
    run: Run, tmp_path: Path, link: LocalLink, seed: int
) -> None:
    chance = random.Random(seed)
    cuts = 12
    link.budgets = iter([chance.choice((0, 1, 14, 40, chance.randrange(100_000))) for _ in range(cuts)])
    logs = {tmp_path / name: [] for name in "ab"}  # type: dict[Path, list[bytes]]
    for log, written in logs.items():
        written += [b"%d %s" % (number, b"\xc3\xa9" * chance.randrange(300)) for number in range(8_000)]
        log.write_bytes(b"")

    async def write(log: Path) -> None:
        data = b"".join(line + b"\n" for line in logs[log])
        while data:
            size = chance.randrange(1, 60_000)
            append(log, data[:size])
            data = data[size:]
            await anyio.lowlevel.checkpoint()  # whoever reads has a turn

    async def body() -> None:
        async with following(link) as reader, anyio.create_task_group() as tasks:

            async def follow(log: Path) -> None:
                async with aclosing(reader.follow(str(log))) as lines:
                    assert await take(lines, len(logs[log])) == logs[log]

            for log in logs:
                tasks.start_soon(follow, log)
                tasks.start_soon(write, log)
        assert link.starts == cuts + 1

    run(body)


def test_a_line_of_3_mb_comes_whole_where_it_may_and_else_as_its_size(
    run: Run, tmp_path: Path, link: LocalLink
) -> None:
    log = tmp_path / "log"
    log.write_bytes("\u00e9".encode() * 1_500_000 + b"\nnext\n")

    async def body() -> None:
        async with following(link) as reader:
            async with aclosing(reader.follow(str(log), limit=4_000_000)) as lines:
                assert await take(lines, 2) == ["\u00e9".encode() * 1_500_000, b"next"]
            async with aclosing(reader.follow(str(log))) as lines:
                assert await take(lines, 2) == [3_000_000, b"next"]

    run(body)


def test_a_line_of_100_mb_takes_little_memory(run: Run, tmp_path: Path, link: LocalLink) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\nDONE\n")

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 2) == [100_000_000, b"DONE"]

    tracemalloc.start()
    try:
        run(body)
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()


def test_a_slow_consumer_is_sent_no_more_than_its_credit_and_holds_up_nobody(
    run: Run, tmp_path: Path, any_link: LocalLink
) -> None:
    big, other = tmp_path / "big", tmp_path / "other"
    big.write_bytes(b"".join(b"%d\n" % number for number in range(150_000)))
    other.write_bytes(b"")

    async def body() -> None:
        async with following(any_link) as reader:
            async with aclosing(reader.follow(str(big))) as slow, aclosing(reader.follow(str(other))) as lines:
                assert await take(slow, 1) == [b"0"]
                for number in range(5):
                    append(other, b"%d\n" % number)
                    assert await take(lines, 1) == [b"%d" % number]
                assert any_link.current is not None
                # As hexadecimal digits each byte is two.
                assert any_link.current.received < 2 * (CREDIT + 128 * 1024)
                assert await take(slow, 149_999) == [b"%d" % number for number in range(1, 150_000)]

    run(body)


def test_what_waited_for_a_slow_consumer_when_the_link_was_lost_comes_once(
    run: Run, tmp_path: Path, link: LocalLink
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"%d\n" % number for number in range(150_000)))

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 1) == [b"0"]
            channel = link.current
            assert channel is not None
            await until(lambda: channel.received > 200_000, "more has come than was taken")
            channel.cut()
            await until(lambda: link.starts == 2 and link.current is not None, "there is another reader")
            assert await take(lines, 149_999) == [b"%d" % number for number in range(1, 150_000)]

    run(body)


def test_200_files_share_one_reader_and_each_sees_its_own(run: Run, tmp_path: Path, link: LocalLink) -> None:
    async def body() -> None:
        seen: dict[int, list[Seen]] = {}
        async with following(link) as reader:

            async def follow(number: int) -> None:
                async with aclosing(reader.follow(str(tmp_path / str(number % 7) / str(number)))) as lines:
                    seen[number] = await take(lines, 3)

            for number in range(7):
                (tmp_path / str(number)).mkdir()
            async with anyio.create_task_group() as tasks:
                for number in range(200):
                    tasks.start_soon(follow, number)
                for text in "abc":
                    for number in range(200):
                        append(tmp_path / str(number % 7) / str(number), f"{number} {text}\n".encode())
                    await link.opened.wait()
        assert seen == {number: [f"{number} {text}".encode() for text in "abc"] for number in range(200)}
        assert link.starts == 1

    run(body)


def test_when_writing_has_ended_what_is_there_is_read_and_the_last_line_needs_no_newline(
    run: Run, tmp_path: Path, any_link: LocalLink
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")

    async def body() -> None:
        ended = anyio.Event()
        async with following(any_link) as reader, aclosing(reader.follow(str(log), until=ended)) as lines:
            assert await take(lines, 1) == [b"one"]
            append(log, b"two\n" * 150_000 + b"DONE")
            ended.set()
            assert await take(lines, -1) == [b"two"] * 150_000 + [b"DONE"]

    run(body)


def test_when_writing_has_ended_while_the_link_is_down_it_is_waited_for(
    run: Run, tmp_path: Path, link: LocalLink
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntw")

    async def body() -> None:
        ended = anyio.Event()
        async with following(link) as reader, aclosing(reader.follow(str(log), until=ended)) as lines:
            assert await take(lines, 1) == [b"one"]
            with link.down():
                append(log, b"o\nDONE")
                ended.set()
            assert await take(lines, -1) == [b"two", b"DONE"]

    run(body)


def test_a_file_that_was_never_there_ends_empty(run: Run, tmp_path: Path, any_link: LocalLink) -> None:
    async def body() -> None:
        ended = anyio.Event()
        ended.set()
        async with following(any_link) as reader:
            async with aclosing(reader.follow(str(tmp_path / "no"), until=ended)) as lines:
                assert await take(lines, -1) == []

    run(body)


def test_without_python3_the_reader_in_sh_is_tried_and_kept(run: Run, tmp_path: Path) -> None:
    shell = shutil.which("sh")
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("dd", "tail", "od", "tr", "ls"):  # no stat either
        (programs / name).symlink_to(str(shutil.which(name)))

    async def body() -> None:
        link = LocalLink(str(shell), str(programs))
        async with following(link) as reader:
            async with aclosing(reader.follow(str(log))) as lines:
                assert await take(lines, 1) == [b"one"]
                with link.down():
                    append(log, b"two\n")
                assert await take(lines, 1) == [b"two"]
        assert link.starts == 3  # python3, sh, sh

    run(body)


def test_bytes_of_a_file_that_was_replaced_while_sh_read_it_are_not_taken_for_the_old_one(
    run: Run, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old\n")
    (tmp_path / "next").write_bytes(b"new\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("stat", "tail", "od", "tr"):
        (programs / name).symlink_to(str(shutil.which(name)))
    (programs / "dd").write_text(
        f'#!/bin/sh\n[ ! -e {tmp_path}/next ] || /bin/mv {tmp_path}/next {log}\nexec {shutil.which("dd")} "$@"\n'
    )
    (programs / "dd").chmod(0o755)

    async def body() -> None:
        link = LocalLink(str(shutil.which("sh")), str(programs))
        async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 1) == [b"new"]
            append(log, b"more\n")
            assert await take(lines, 1) == [b"more"]

    run(body)


@contextmanager
def shell_that(tmp_path: Path, script: str) -> Iterator[str]:
    shell = tmp_path / "shell"
    shell.write_text(f"#!/bin/sh\n{script}\n")
    shell.chmod(0o755)
    yield str(shell)


@pytest.mark.parametrize("script", ["exit 1", "echo Welcome to this machine", "head -c 5000 /dev/zero"])
def test_a_host_on_which_no_reader_begins_is_an_error_that_says_so(run: Run, tmp_path: Path, script: str) -> None:
    async def body() -> None:
        with shell_that(tmp_path, script) as shell:
            async with following(LocalLink(shell)) as reader, aclosing(reader.follow("/log")) as lines:
                with pytest.raises(HostError, match="here: following files: neither python3 nor sh"):
                    await take(lines, 1)

    run(body)


def test_a_reader_that_is_killed_is_started_again(run: Run, tmp_path: Path, link: LocalLink) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\nhal")

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 1) == [b"one"]
            assert link.current is not None
            link.current.process.kill()
            append(log, b"f\n")
            assert await take(lines, 1) == [b"half"]

    run(body)


def test_readers_that_end_again_and_again_are_an_error_in_the_end(run: Run, tmp_path: Path, clock: ManualClock) -> None:
    async def body() -> None:
        with shell_that(tmp_path, "echo alive python3") as shell:
            link = LocalLink(shell)
            async with following(link, clock) as reader, anyio.create_task_group() as tasks:

                async def fail() -> None:
                    with pytest.raises(
                        HostError, match="here: following files: the reader there ended again and again"
                    ):
                        await take(reader.follow("/log"), 1)

                tasks.start_soon(fail)
                for ended in range(1, TRIES):
                    await until(
                        lambda ended=ended: len(link.ended) == ended and clock.waiting == 1, "a reader has ended"
                    )
                    await clock.advance(min(LONGEST_PAUSE, 0.05 * 2**ended))
            assert link.starts == TRIES

    run(body)


def test_a_reader_that_falls_silent_is_replaced(run: Run, tmp_path: Path, link: LocalLink, clock: ManualClock) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with following(link, clock) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 1) == [b"one"]
            assert link.current is not None
            os.kill(link.current.process.pid, signal.SIGSTOP)
            append(log, b"two\n")
            await clock.advance(TICK_SECONDS)
            await clock.advance(SILENT_SECONDS)
            await until(lambda: link.ended == [-signal.SIGKILL], "the silent reader is gone")
            await clock.advance(1)
            assert await take(lines, 1) == [b"two"]

    run(body)


def test_a_reader_that_nobody_needs_any_more_is_ended_and_started_when_it_is_needed(
    run: Run, tmp_path: Path, link: LocalLink, clock: ManualClock
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with following(link, clock) as reader:
            for starts in (1, 2):
                async with aclosing(reader.follow(str(log))) as lines:
                    assert await take(lines, 1) == [b"one"]
                await clock.advance(TICK_SECONDS)
                await until(lambda starts=starts: len(link.ended) == starts, "the reader has ended")
                assert link.ended[-1] == 0

    run(body)


def readers_of(path: Path) -> list[int]:
    """The processes that have a file open."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(each) == str(path) for each in entry.iterdir()):
                found.append(int(entry.parent.name))
        except OSError:
            continue  # it has ended
    return found


def test_a_file_that_nobody_follows_any_more_is_let_go_over_there(run: Run, tmp_path: Path, link: LocalLink) -> None:
    log, other = tmp_path / "log", tmp_path / "other"
    for each in (log, other):
        each.write_bytes(b"one\n")

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow(str(other))) as others:
            async with aclosing(reader.follow(str(log))) as lines:
                assert await take(lines, 1) == await take(others, 1) == [b"one"]
                assert len(readers_of(log)) == 1
            await until(lambda: not readers_of(log), "the file is closed")
            assert len(readers_of(other)) == 1

    run(body)


def test_whoever_follows_a_host_that_is_disconnected_is_told(run: Run, tmp_path: Path, link: LocalLink) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 1) == [b"one"]
            await reader.aclose()
            assert link.ended == [0]
            with pytest.raises(HostError, match="disconnected"):
                await take(lines, 1)

    run(body)


def test_a_host_that_cannot_be_reached_at_first_is_an_error(run: Run, link: LocalLink) -> None:
    link.refusal = ConnectFailed("here", "connect", "refused")

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow("/log")) as lines:
            with pytest.raises(ConnectFailed, match="refused"):
                await take(lines, 1)

    run(body)


def test_a_host_that_could_be_reached_is_waited_for_unless_waiting_cannot_help(
    run: Run, tmp_path: Path, link: LocalLink
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
            assert await take(lines, 1) == [b"one"]
            link.refusal = ConnectFailed("here", "connect", "refused")
            with link.down():
                append(log, b"two\n")
            await until(lambda: link.refused > 0, "it was tried to connect")
            link.refusal = None
            assert await take(lines, 1) == [b"two"]
            link.refusal = ConnectFailed("here", "authentication", "no key fits", final=True)
            with link.down(), pytest.raises(ConnectFailed, match="no key fits"):
                await take(lines, 1)

    run(body)


def test_a_relative_path_and_a_nul_are_no_paths(run: Run, link: LocalLink) -> None:
    async def body() -> None:
        async with following(link) as reader:
            for path in ("log", "/a\0b"):
                with pytest.raises(ValueError, match="absolute path"):
                    await anext(reader.follow(path, START))
        assert link.starts == 0

    run(body)


# Over a real server


@pytest.mark.parametrize("as_root", [True, False], ids=["this user", "a plain user"])
def test_over_a_real_server_a_lost_connection_loses_no_line_and_leaves_no_reader(
    run: Run, tmp_path: Path, as_root: bool
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\nhal")
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    log.chmod(0o644)

    async def body() -> None:
        with sshd(tmp_path / "sshd", user=None if as_root else plain_user()) as server:
            async with Relay(server.port) as relay:
                link = Link(config_for(server, port=relay.port))
                async with following(link) as reader, aclosing(reader.follow(str(log))) as lines:
                    assert await take(lines, 1) == [b"one"]
                    first = readers_of(log)
                    assert len(first) == 1
                    await relay.drop()
                    append(log, b"f\ntwo\n")
                    assert await take(lines, 2) == [b"half", b"two"]
                    await until(lambda: first[0] not in readers_of(log), "the reader of the lost link has ended")
                    assert len(readers_of(log)) == 1
                await until(lambda: not readers_of(log), "no reader is left")
                await link.close()

    run(body)
