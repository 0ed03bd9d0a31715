"""Positions in files that others write."""

from hypothesis import given
from hypothesis import strategies as st

from optio_host.cursor import START, Changed, Cursor, FileState, Same, compare

CONTENT = st.binary(max_size=300)


def read(content: bytes, offset: int) -> Cursor:
    return START.advanced("1:2", content[:offset])


@given(content=CONTENT, more=CONTENT, offset=st.integers(0, 300))
def test_a_file_that_only_grew_is_read_on_where_it_was_left(content: bytes, more: bytes, offset: int) -> None:
    cursor = read(content, min(offset, len(content)))
    now = content + more
    verdict = compare(cursor, FileState("1:2", len(now)), Cursor.check_of(now[: cursor.offset]))
    assert verdict == Same(len(now) - cursor.offset)


@given(content=CONTENT, size=st.integers(0, 300))
def test_a_file_shorter_than_the_cursor_was_truncated(content: bytes, size: int) -> None:
    cursor = read(content, len(content))
    verdict = compare(cursor, FileState("1:2", size), None)
    assert verdict == (Changed("truncated") if size < len(content) else Same(size - len(content)))


@given(content=CONTENT, offset=st.integers(0, 300))
def test_another_file_of_the_same_name_was_put_there(content: bytes, offset: int) -> None:
    cursor = read(content, min(offset, len(content)))
    assert compare(cursor, FileState("1:3", 10_000), None) == Changed("replaced")


@given(content=st.binary(min_size=1, max_size=300), other=st.binary(min_size=1, max_size=300))
def test_other_bytes_before_the_cursor_were_written_in_its_place(content: bytes, other: bytes) -> None:
    cursor = read(content, len(content))
    check = Cursor.check_of(other)
    verdict = compare(cursor, FileState("1:2", 1_000), check)
    same = check == cursor.check
    assert verdict == (Same(1_000 - len(content)) if same else Changed("rewritten"))
    if content[-64:] == other[-64:]:
        assert same


@given(pieces=st.lists(CONTENT, max_size=5))
def test_a_cursor_does_not_depend_on_how_its_bytes_were_read(pieces: list[bytes]) -> None:
    step = START
    content = b""
    for piece in pieces:
        content += piece
        step = step.advanced("1:2", content, offset=len(content))
    assert step == (read(content, len(content)) if pieces else START)
