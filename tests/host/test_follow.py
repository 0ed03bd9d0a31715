"""What is special about following files of this machine; what every host promises is in `conformance`."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from optio_host.cursor import Cursor
from optio_host.errors import FileRefused
from optio_host.host import FileReset, Followed
from optio_host.lines import Line, LongLine
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]


async def take(lines: AsyncGenerator[tuple[Followed, Cursor]], count: int) -> list[tuple[Followed, Cursor]]:
    found: list[tuple[Followed, Cursor]] = []
    async for each in lines:
        found.append(each)
        if len(found) == count:
            return found
    return found


def texts(found: list[tuple[Followed, Cursor]]) -> list[bytes | str]:
    return [each.data if isinstance(each, Line) else type(each).__name__ for each, _ in found]


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_a_file_and_a_directory_that_do_not_exist_yet_are_waited_for(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "later" / "log"

    async def body() -> None:
        async with aclosing(LocalHost(str(tmp_path)).follow(str(log))) as lines, anyio.create_task_group() as tasks:

            async def write() -> None:
                log.parent.mkdir()
                log.write_bytes(b"here\n")

            tasks.start_soon(write)
            assert texts(await take(lines, 1)) == [b"here"]

    run(body)


def test_a_truncated_file_is_noticed_and_its_new_content_is_read(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nhalf")

    async def body() -> None:
        async with aclosing(LocalHost(str(tmp_path)).follow(str(log))) as lines:
            await take(lines, 2)
            log.write_bytes(b"new\n")
            found = await take(lines, 2)
            assert [found[0][0], texts(found)[1]] == [FileReset("truncated", 4), b"new"]

    run(body)


def test_a_line_without_an_end_holds_up_nobody_else(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    os.truncate(log, 300_000_000)

    async def body() -> None:
        turns = 0

        async def work() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        async with aclosing(LocalHost(str(tmp_path)).follow(str(log))) as lines, anyio.create_task_group() as tasks:
            tasks.start_soon(work)
            append(log, b"\n")
            [(line, _)] = await take(lines, 1)
            assert isinstance(line, LongLine)
            assert turns > 100
            tasks.cancel_scope.cancel()

    run(body)


def test_a_directory_whose_link_leads_elsewhere_later_is_followed_there(run: Run, tmp_path: Path) -> None:
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log").write_text(f"{name}\n")
    (tmp_path / "current").symlink_to("v1")

    async def body() -> None:
        async with aclosing(LocalHost(str(tmp_path)).follow(str(tmp_path / "current" / "log"))) as lines:
            assert texts(await take(lines, 1)) == [b"v1"]
            (tmp_path / "next").symlink_to("v2")
            (tmp_path / "next").rename(tmp_path / "current")
            assert texts(await take(lines, 2)) == ["FileReset", b"v2"]
            append(tmp_path / "v2" / "log", b"more\n")
            assert texts(await take(lines, 1)) == [b"more"]

    run(body)


def test_what_cannot_be_followed_leaves_no_watch(run: Run, tmp_path: Path) -> None:
    def watches() -> int:
        places = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
        return sum(os.path.islink(each) and "inotify" in os.readlink(each) for each in places)

    async def body() -> None:
        before = watches()
        for _ in range(5):
            with pytest.raises(FileRefused):
                await anext(LocalHost(str(tmp_path)).follow(str(tmp_path)))
        assert watches() == before

    run(body)


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with aclosing(LocalHost(str(tmp_path)).follow(str(log))) as lines:
            await take(lines, 1)
            append(log, b"last of the old\n")
            log.rename(tmp_path / "log.1")
            log.write_bytes(b"first of the new\n")
            found = await take(lines, 3)
            assert texts(found) == [b"last of the old", "FileReset", b"first of the new"]
            assert found[1][0] == FileReset("replaced", 0)

    run(body)


def test_a_cursor_for_another_file_reads_the_new_one_from_its_beginning_and_says_so(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"whatever stands here\n")

    async def body() -> None:
        old = Cursor("1:1", 5, 0)
        async with aclosing(LocalHost(str(tmp_path)).follow(str(log), old)) as lines:
            assert texts(await take(lines, 2)) == ["FileReset", b"whatever stands here"]

    run(body)


def test_a_log_replaced_by_a_directory_is_an_error(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with aclosing(LocalHost(str(tmp_path)).follow(str(log))) as lines:
            await take(lines, 1)
            log.unlink()
            log.mkdir()
            with pytest.raises(FileRefused, match="no regular file"):
                await take(lines, 2)

    run(body)


def test_an_over_long_line_is_one_event_and_the_next_line_is_whole(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100_000_000 + b"\nDONE\n")

    async def body() -> None:
        async with aclosing(LocalHost(str(tmp_path)).follow(str(log))) as lines:
            (long, _), (done, _) = await take(lines, 2)
            assert isinstance(long, LongLine)
            assert (long.size, done) == (100_000_000, Line(b"DONE", 100_000_006))

    run(body)


def test_many_files_share_one_watcher_and_each_reader_sees_its_own(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        host = LocalHost(str(tmp_path))
        seen: dict[int, list[bytes | str]] = {}

        async def follow(number: int) -> None:
            async with aclosing(host.at(str(tmp_path / str(number))).follow(str(tmp_path / str(number)))) as lines:
                seen[number] = texts(await take(lines, 3))

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(follow, number)
            await anyio.wait_all_tasks_blocked()
            for number in range(50):
                for text in "abc":
                    append(tmp_path / str(number), f"{number} {text}\n".encode())
        assert seen == {number: [f"{number} {text}".encode() for text in "abc"] for number in range(50)}

    run(body)
