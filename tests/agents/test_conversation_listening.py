"""The reader of an agent's output: it reads on while others write, and no further ahead than was allowed."""

from collections.abc import AsyncGenerator, Callable

import anyio
import pytest

from optio_agents.conversation.listening import BATCH, BATCH_BYTES, Output, listen
from optio_agents.errors import StoreError
from optio_host.cursor import START, Cursor
from optio_host.errors import FileRefused
from optio_host.host import EndOfWriting, Followed
from optio_host.lines import Line

NOTE = b'{"type": "system", "subtype": "status", "at": %d}'


class Lines:
    """A host with one file of lines, and how far it was read."""

    def __init__(self, lines: list[bytes], failure: Exception | None = None) -> None:
        self.lines = lines
        self.failure = failure
        self.read = 0

    async def follow(
        self, path: str, cursor: Cursor = START, *, limit: int = 0, until: EndOfWriting | None = None
    ) -> AsyncGenerator[tuple[Followed, Cursor]]:
        offset = 0
        for line in self.lines:
            self.read += 1
            offset += len(line) + 1
            yield Line(line, offset), Cursor("1:1", offset)
        await anyio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure


def run(host: Lines, during: Callable[[list[Output]], object] = lambda outputs: None) -> list[list[Output]]:
    heard: list[list[Output]] = []

    async def hear(outputs: list[Output]) -> None:
        await anyio.wait_all_tasks_blocked()
        during(outputs)
        heard.append(outputs)

    async def body() -> None:
        with anyio.fail_after(20):
            await listen(host, "/stdout", START, anyio.Event(), hear)

    anyio.run(body)
    return heard


@pytest.mark.parametrize(
    ("line", "most"), [(NOTE, BATCH), (b'{"type": "system", "subtype": "' + b"x" * (BATCH_BYTES // 4) + b'"}', 4)]
)
def test_it_is_one_batch_ahead_at_most_and_everything_comes_once_and_in_order(line: bytes, most: int) -> None:
    host = Lines([line % at if b"%d" in line else line for at in range(5 * most)])
    heard_of = 0

    def during(outputs: list[Output]) -> None:
        nonlocal heard_of
        heard_of += len(outputs)
        assert len(outputs) <= most
        assert heard_of < host.read or host.read == len(host.lines)
        assert host.read <= heard_of + most

    heard = [output for outputs in run(host, during) for output in outputs]
    assert [each.size for each in heard] == [len(line) for line in host.lines]
    assert [each.cursor.offset for each in heard] == sorted(each.cursor.offset for each in heard)
    assert heard[-1].cursor.offset == sum(len(line) + 1 for line in host.lines)


def test_what_was_read_before_the_host_fails_is_heard_and_then_it_is_said() -> None:
    heard: list[Output] = []
    with pytest.raises(FileRefused):
        run(Lines([NOTE % 1, NOTE % 2], FileRefused("/stdout", "is a FIFO")), heard.extend)
    assert len(heard) == 2


def test_a_journal_that_fails_ends_it_at_once_and_is_said() -> None:
    host = Lines([NOTE % at for at in range(10 * BATCH)])

    def fail(outputs: list[Output]) -> None:
        raise StoreError("the disk is gone")

    with pytest.raises(StoreError):
        run(host, fail)
    assert host.read <= 2 * BATCH
