"""The reader of a log: entries in order with their cursors, whatever the host offers."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from bare_host import BareHost

from optio_agents.errors import LogChannelLost
from optio_agents.protocol.channel import LogChannel, LogEntry
from optio_agents.protocol.events import (
    CallerMessageEvent,
    DoneEvent,
    OverlongLine,
    StatusEvent,
    UnknownLine,
)
from optio_agents.protocol.features import ProtocolFeatures
from optio_host.cursor import START, Cursor
from optio_host.host import FileReset
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "optio.log"


@pytest.fixture(params=[BareHost, LocalHost])
def host(request: pytest.FixtureRequest, taskdir: str) -> BareHost | LocalHost:
    made: BareHost | LocalHost = request.param(taskdir)
    return made


async def take(entries: AsyncGenerator[LogEntry], count: int) -> list[LogEntry]:
    return [await anext(entries) for _ in range(count)]


async def read_all(entries: AsyncGenerator[LogEntry], into: list[LogEntry]) -> None:
    async for entry in entries:
        into.append(entry)


def events(entries: list[LogEntry]) -> list[object]:
    return [entry.event for entry in entries]


def is_set() -> anyio.Event:
    event = anyio.Event()
    event.set()
    return event


def test_entries_come_in_order_on_any_host(run: Run, host: BareHost | LocalHost, log: Path) -> None:
    log.write_bytes(b"\xef\xbb\xbfSTATUS: 1% a\nnoise\n\xef\xbb\xbfDONE\nDONE: b\r\n")

    async def body() -> None:
        async with aclosing(LogChannel(host, str(log)).entries()) as entries:
            assert events(await take(entries, 4)) == [
                StatusEvent(1, "a"),
                UnknownLine("noise"),
                UnknownLine("\ufeffDONE"),
                DoneEvent("b"),
            ]

    run(body)


def test_features_decide_what_is_known(run: Run, host: BareHost | LocalHost, log: Path) -> None:
    log.write_bytes(b"CALLER_MESSAGE: vote 1\n")

    async def body() -> None:
        for features, expected in [
            (ProtocolFeatures(), UnknownLine("CALLER_MESSAGE: vote 1")),
            (ProtocolFeatures(caller_messages=True), CallerMessageEvent("vote", 1)),
        ]:
            async with aclosing(LogChannel(host, str(log), features=features).entries()) as entries:
                assert events(await take(entries, 1)) == [expected]

    run(body)


def test_a_reader_that_was_stopped_goes_on_behind_its_last_entry(
    run: Run, host: BareHost | LocalHost, log: Path
) -> None:
    log.write_bytes(b"one\ntwo\nthree\n")

    async def body() -> None:
        channel = LogChannel(host, str(log))
        seen: list[object] = []
        for _ in range(3):
            async with aclosing(channel.entries()) as entries:
                seen += events(await take(entries, 1))
        assert seen == [UnknownLine("one"), UnknownLine("two"), UnknownLine("three")]

    run(body)


def test_a_copy_reads_on_and_leaves_the_original_where_it_is(run: Run, host: BareHost | LocalHost, log: Path) -> None:
    log.write_bytes(b"one\ntwo\nthree\n")

    async def body() -> None:
        channel = LogChannel(host, str(log))
        async with aclosing(channel.entries()) as entries:
            await take(entries, 1)
            async with aclosing(channel.copy().entries()) as ahead:
                assert events(await take(ahead, 2)) == [UnknownLine("two"), UnknownLine("three")]
            assert events(await take(entries, 1)) == [UnknownLine("two")]

    run(body)


def test_at_the_end_of_writing_the_unfinished_line_is_a_line(run: Run, host: BareHost | LocalHost, log: Path) -> None:
    log.write_bytes(b"one\ntwo\nDONE: unfinished")

    async def body() -> None:
        channel = LogChannel(host, str(log))
        seen = [entry async for entry in channel.entries(until=is_set())]
        assert events(seen) == [UnknownLine("one"), UnknownLine("two"), DoneEvent("unfinished")]

    run(body)


def test_the_end_of_writing_is_noticed_while_waiting(run: Run, host: BareHost | LocalHost, log: Path) -> None:
    log.write_bytes(b"one\ntw")
    ended = anyio.Event()
    seen: list[LogEntry] = []

    async def read() -> None:
        async for entry in LogChannel(host, str(log)).entries(until=ended):
            seen.append(entry)

    async def body() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            while not seen:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            ended.set()
        assert events(seen) == [UnknownLine("one"), UnknownLine("tw")]

    run(body)


@pytest.mark.parametrize("size", [20, 21])
def test_an_overlong_line_is_one_event_with_its_size(
    run: Run, host: BareHost | LocalHost, log: Path, size: int
) -> None:
    line = b"DONE: " + b"x" * (size - 6)
    log.write_bytes(line + b"\nDONE\n")

    async def body() -> None:
        async with aclosing(LogChannel(host, str(log), limit=20).entries()) as entries:
            first, second = events(await take(entries, 2))
            if size > 20:
                assert first == OverlongLine(size, line.decode())
            else:
                assert first == DoneEvent("x" * 14)
            assert second == DoneEvent(None)

    run(body)


def test_a_cursor_is_behind_its_entry_and_another_channel_starts_from_it(run: Run, taskdir: str, log: Path) -> None:
    log.write_bytes(b"one\ntwo\nthree\n")
    host = LocalHost(taskdir)

    async def body() -> None:
        async with aclosing(LogChannel(host, str(log)).entries()) as entries:
            cursors = [entry.cursor for entry in await take(entries, 3)]
        assert [cursor.offset for cursor in cursors if cursor is not None] == [4, 8, 14]
        committed = cursors[0]
        assert isinstance(committed, Cursor)
        async with aclosing(LogChannel(host, str(log), cursor=committed).entries()) as entries:
            assert events(await take(entries, 2)) == [UnknownLine("two"), UnknownLine("three")]

    run(body)


def test_a_host_that_only_tails_gives_no_cursor(run: Run, taskdir: str, log: Path) -> None:
    log.write_bytes(b"one\n")

    async def body() -> None:
        async with aclosing(LogChannel(BareHost(taskdir), str(log)).entries()) as entries:
            assert (await take(entries, 1))[0].cursor is None

    run(body)


def test_a_file_that_was_rewritten_is_an_entry_of_its_own(run: Run, taskdir: str, log: Path) -> None:
    log.write_bytes(b"STATUS: 50% half\nunfin")

    async def body() -> None:
        async with aclosing(LogChannel(LocalHost(taskdir), str(log)).entries()) as entries:
            assert events(await take(entries, 1)) == [StatusEvent(50, "half")]
            log.write_bytes(b"\xef\xbb\xbfDONE\n")
            reset, done = await take(entries, 2)
            assert reset == LogEntry(FileReset("truncated", 5), START)
            assert done.event == DoneEvent(None)

    run(body)


class Failing(BareHost):
    failure: Exception | None = None

    async def tail_file(self, absolute_path: str) -> Any:
        yield "one"
        if self.failure:
            raise self.failure


class FailingFollower(Failing):
    async def follow(self, *arguments: object, **options: object) -> Any:
        async for line in self.tail_file(""):
            from optio_host.lines import Line

            yield Line(line.encode(), 4), Cursor("1:1", 4)


@pytest.mark.parametrize("kind", [Failing, FailingFollower])
@pytest.mark.parametrize("failure", [ConnectionResetError("link down"), None])
def test_a_reader_that_dies_raises_and_never_just_ends(
    run: Run, taskdir: str, kind: type[Failing], failure: Exception | None
) -> None:
    host = kind(taskdir)
    host.failure = failure

    async def body() -> None:
        for until in (None, anyio.Event()):
            seen: list[LogEntry] = []
            with pytest.raises(LogChannelLost, match=r"/optio\.log: the log cannot be followed any more") as raised:
                await read_all(LogChannel(host, "/optio.log").entries(until=until), seen)
            assert events(seen) == [UnknownLine("one")]
            assert raised.value.__cause__ is failure

    run(body)


def test_others_get_their_turn_while_a_long_log_is_read(run: Run, taskdir: str, log: Path) -> None:
    log.write_bytes(b"line\n" * 10_000)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async def body() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(count)
            async with aclosing(LogChannel(LocalHost(taskdir), str(log)).entries()) as entries:
                await take(entries, 10_000)
            group.cancel_scope.cancel()
        assert turns >= 99

    run(body)
