"""The framing of bytes into lines."""

import doctest
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

import optio_host.cursor
import optio_host.limited
import optio_host.lines
from optio_host.lines import HEAD_BYTES, Line, LineFramer, LongLine

CONTENT = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"\x00", b"\xff", "é".encode(), b"xyz" * 5])).map(
    b"".join
)


def frame(chunks: list[bytes], limit: int) -> list[Line | LongLine | None]:
    framer = LineFramer(limit=limit)
    return [*(line for chunk in chunks for line in framer.feed(chunk)), framer.finish()]


@given(content=CONTENT, cuts=st.lists(st.integers(0, 60)), limit=st.integers(1, 12))
def test_lines_do_not_depend_on_how_the_bytes_were_chunked(content: bytes, cuts: list[int], limit: int) -> None:
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    chunks = [content[a:b] for a, b in pairwise(edges)]
    assert frame(chunks, limit) == frame([content], limit)


@given(content=CONTENT, limit=st.integers(1, 12))
def test_every_byte_is_accounted_for(content: bytes, limit: int) -> None:
    framer = LineFramer(limit=limit)
    position = 0
    for line in framer.feed(content):
        raw = content[position : line.end]
        assert raw.endswith(b"\n")
        whole = raw[:-2] if raw.endswith(b"\r\n") else raw[:-1]
        if isinstance(line, Line):
            assert line.data == whole
            assert len(whole) <= limit
        else:
            assert (line.size, line.head) == (len(whole), raw[: min(HEAD_BYTES, len(whole))])
            assert len(whole) > limit
        position = line.end
    assert framer.fed == len(content)
    assert framer.pending == len(content) - position


def test_a_crlf_cut_between_its_two_bytes_is_one_line_end() -> None:
    assert frame([b"DONE\r", b"\n"], 100) == [Line(b"DONE", 6), None]


def test_a_line_without_a_final_newline_comes_only_when_the_stream_has_ended() -> None:
    framer = LineFramer()
    assert framer.feed(b"DONE") == []
    assert framer.finish() == Line(b"DONE", 4)


def test_a_line_of_100_megabytes_is_one_event_in_bounded_memory() -> None:
    framer = LineFramer(limit=1000)
    chunk = b"x" * 1_000_000
    for _ in range(100):
        assert framer.feed(chunk) == []
        assert len(framer._pending) <= 1001
    assert framer.feed(b"\nDONE\n") == [
        LongLine(100_000_000, b"x" * HEAD_BYTES, 100_000_001),
        Line(b"DONE", 100_000_006),
    ]


def test_a_line_at_the_limit_is_whole_and_one_byte_more_is_not() -> None:
    assert frame([b"abc\r", b"\nabcd\n"], 3) == [Line(b"abc", 5), LongLine(4, b"abcd", 10), None]


def test_the_examples_in_the_pure_modules_are_true() -> None:
    for module in (optio_host.lines, optio_host.cursor, optio_host.limited):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed
