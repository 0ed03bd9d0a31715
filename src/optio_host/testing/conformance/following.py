"""Promises about files that others write while they are read: `tail_file`, and `follow` from any position."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio

from ...cursor import START, Cursor
from ...errors import FileRefused
from ...host import FileReset, Followed
from ...lines import Line, LongLine
from .ground import Ground, take


@asynccontextmanager
async def _tail(ground: Ground, path: str) -> AsyncGenerator[AsyncIterator[str]]:
    # The published surface promises no more than an iterator; what can be closed is closed.
    lines = aiter(ground.host.tail_file(path))
    try:
        yield lines
    finally:
        if isinstance(lines, AsyncGenerator):
            await lines.aclose()


def _texts(found: list[tuple[Followed, Cursor]]) -> list[bytes | str]:
    return [each.data if isinstance(each, Line) else type(each).__name__ for each, _ in found]


async def a_tail_begins_with_the_first_line_and_goes_on(ground: Ground) -> None:
    """Without line ends; what is not UTF-8 becomes U+FFFD, and what has no line end yet is not given out."""
    log, far = ground.path("optio.log"), ground.far
    await far.append(log, b"one\r\n\na\xffb\nha")
    async with _tail(ground, log) as lines:
        assert await take(lines, 3) == ["one", "", "a\ufffdb"]
        await far.append(log, "lf ü\nnext\n".encode())
        assert await take(lines, 2) == ["half ü", "next"]


async def a_tail_waits_for_a_file_that_is_not_there_yet(ground: Ground) -> None:
    """And for its directory."""
    log = ground.path("later/optio.log")

    async def write() -> None:
        await ground.far.mkdir(ground.path("later"))
        await ground.far.append(log, b"here\n")

    async with _tail(ground, log) as lines, anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        assert await take(lines, 1) == ["here"]


async def each_line_is_seen_once_with_the_position_behind_it(ground: Ground) -> None:
    """Those that stand there and those that come; offsets count bytes."""
    log, far = ground.path("log"), ground.far
    await far.append(log, b"one\r\ntwo\n")
    async with aclosing(ground.follower.follow(log)) as lines:
        found = await take(lines, 2)
        assert [(each, cursor.offset) for each, cursor in found] == [(Line(b"one", 5), 5), (Line(b"two", 9), 9)]
        await far.append(log, b"three\nfo")
        assert _texts(await take(lines, 1)) == [b"three"]
        await far.append(log, b"ur\n\xff\n")
        assert _texts(await take(lines, 2)) == [b"four", b"\xff"]


async def a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice(ground: Ground) -> None:
    """From the position it had, however often; an unfinished last line becomes a line when its end arrives."""
    log, cursor, seen = ground.path("log"), START, []
    await ground.far.append(log, b"one\ntwo\nthree\npart")
    for _ in range(3):
        async with aclosing(ground.follower.follow(log, cursor)) as lines:
            [(line, cursor)] = await take(lines, 1)
            seen.append((line, cursor))
    assert _texts(seen) == [b"one", b"two", b"three"]
    await ground.far.append(log, b"ial\n")
    async with aclosing(ground.follower.follow(log, cursor)) as lines:
        assert _texts(await take(lines, 1)) == [b"partial"]


async def a_truncated_file_is_noticed(ground: Ground) -> None:
    """The unfinished line that will never be completed is counted, and the new content is read from its beginning."""
    log = ground.path("log")
    await ground.far.append(log, b"one\ntwo\nhalf")
    async with aclosing(ground.follower.follow(log)) as lines:
        await take(lines, 2)
        await ground.far.overwrite(log, b"new\n")
        (reset, _), (line, cursor) = await take(lines, 2)
    assert reset in (FileReset("truncated", 4), FileReset("truncated", 0)), reset
    assert (line, cursor.offset) == (Line(b"new", 4), 4)


async def a_file_rewritten_past_the_old_position_is_noticed(ground: Ground) -> None:
    """What `echo DONE > log` does where `>>` was meant; also when the reader comes back only later."""
    log = ground.path("log")
    await ground.far.append(log, b"STATUS: 1%\n")
    async with aclosing(ground.follower.follow(log)) as lines:
        [(_, cursor)] = await take(lines, 1)
    await ground.far.overwrite(log, b"DONE: everything that was asked for\n")
    async with aclosing(ground.follower.follow(log, cursor)) as lines:
        (reset, _), (line, _) = await take(lines, 2)
    assert (reset, line) == (FileReset("rewritten", 0), Line(b"DONE: everything that was asked for", 36))


async def a_replaced_file_is_noticed(ground: Ground) -> None:
    """While it is read and from a position in the old one; the new one is read from its beginning."""
    log = ground.path("log")
    await ground.far.append(log, b"one\n")
    await ground.far.append(ground.path("new"), b"first of the new\n")
    async with aclosing(ground.follower.follow(log)) as lines:
        [(_, old)] = await take(lines, 1)
        await ground.far.rename(ground.path("new"), log)
        (reset, _), (line, _) = await take(lines, 2)
        assert (reset, line) == (FileReset("replaced", 0), Line(b"first of the new", 17))
    async with aclosing(ground.follower.follow(log, old)) as lines:
        (reset, _), (line, _) = await take(lines, 2)
        assert (reset, line) == (FileReset("replaced", 0), Line(b"first of the new", 17))


async def a_followed_path_that_is_no_regular_file_is_refused(ground: Ground) -> None:
    """A FIFO does not block, a directory is an error."""
    await ground.far.fifo(ground.path("fifo"))
    await ground.far.mkdir(ground.path("directory"))
    for name in ("fifo", "directory"):
        async with aclosing(ground.follower.follow(ground.path(name))) as lines:
            try:
                found = await take(lines, 1)
            except FileRefused:
                continue
            raise AssertionError(f"FileRefused was expected, and {found} came")


async def an_over_long_line_is_one_event_and_the_next_line_is_whole(ground: Ground) -> None:
    """Memory is bounded; a line of exactly the limit is a line like others. Also 3 MB with a limit above that."""
    log = ground.path("log")
    await ground.host.put_file_to_host(b"a" * 101 + b"\n" + b"b" * 100 + b"\n" + b"c" * 3_000_000 + b"\nDONE\n", log)
    async with aclosing(ground.follower.follow(log, limit=100)) as lines:
        long, fits, longer, done = [each for each, _ in await take(lines, 4)]
    assert isinstance(long, LongLine)
    assert isinstance(longer, LongLine)
    assert (long.size, long.head[:3], longer.size, longer.head[:3]) == (101, b"aaa", 3_000_000, b"ccc")
    assert (fits, done) == (Line(b"b" * 100, 203), Line(b"DONE", 3_000_209))
    async with aclosing(ground.follower.follow(log, limit=4_000_000)) as lines:
        sizes = [len(each.data) for each, _ in await take(lines, 4) if isinstance(each, Line)]
    assert sizes == [101, 100, 3_000_000, 4]


async def when_writing_has_ended_the_last_line_needs_no_end(ground: Ground) -> None:
    """Everything up to the end of the file comes, then the iteration ends."""
    log, ended = ground.path("log"), anyio.Event()
    await ground.far.append(log, b"one\n")
    async with aclosing(ground.follower.follow(log, until=ended)) as lines:
        await take(lines, 1)
        await ground.far.append(log, b"two\nDONE")
        ended.set()
        found = await take(lines, 10)
    assert _texts(found) == [b"two", b"DONE"]
    assert found[-1][1].offset == 12
    async with aclosing(ground.follower.follow(ground.path("never there"), until=ended)) as lines:
        assert await take(lines, 1) == []


async def many_files_are_followed_at_once(ground: Ground) -> None:
    """Each reader sees its own lines, whatever the others do; more than an OpenSSH server has sessions."""
    count = 18
    seen: dict[int, list[bytes | str]] = {}
    waiting = 0
    begun, done = anyio.Event(), anyio.Event()

    async def follow(number: int) -> None:
        nonlocal waiting
        async with aclosing(ground.follower.follow(ground.path(f"log {number}"))) as lines:
            first = await take(lines, 1)
            waiting += 1
            if waiting == count:
                begun.set()
            seen[number] = _texts(first + await take(lines, 2))
            if len(seen) == count / 3:
                done.set()

    for number in range(count):
        await ground.host.write_text(f"log {number}", f"{number} a\n")
    async with anyio.create_task_group() as tasks:
        for number in range(count):
            tasks.start_soon(follow, number)
        await begun.wait()
        for number in range(0, count, 3):
            await ground.far.append(ground.path(f"log {number}"), f"{number} b\n{number} c\n".encode())
        await done.wait()
        tasks.cancel_scope.cancel()
    expected = {n: [f"{n} {text}".encode() for text in "abc"] for n in range(0, count, 3)}
    assert seen == expected


async def a_file_with_an_odd_name_is_followed(ground: Ground) -> None:
    """As the file operations take it."""
    for name in ("with blank's", "new\nline", "-f", "$(x)"):
        await ground.host.write_text(name, "here\n")
        async with aclosing(ground.follower.follow(ground.path(name))) as lines:
            assert _texts(await take(lines, 1)) == [b"here"]


PROMISES = (
    a_tail_begins_with_the_first_line_and_goes_on,
    a_tail_waits_for_a_file_that_is_not_there_yet,
    each_line_is_seen_once_with_the_position_behind_it,
    a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice,
    a_truncated_file_is_noticed,
    a_file_rewritten_past_the_old_position_is_noticed,
    a_replaced_file_is_noticed,
    a_followed_path_that_is_no_regular_file_is_refused,
    an_over_long_line_is_one_event_and_the_next_line_is_whole,
    when_writing_has_ended_the_last_line_needs_no_end,
    many_files_are_followed_at_once,
    a_file_with_an_odd_name_is_followed,
)
