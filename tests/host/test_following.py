"""Following a file by looks at it."""

import doctest
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import optio_host.following
from optio_host.cursor import CHECKED_BYTES, START, Cursor
from optio_host.following import Following, Look, began_again
from optio_host.host import FileReset, Followed
from optio_host.lines import Line


@dataclass
class File:
    """A file as a look sees it."""

    data: bytes
    file: str = "8:1"

    def look(self, following: Following, size: int = 1 << 20) -> list[tuple[Followed, Cursor]]:
        fed = following.fed
        before = self.data[max(0, fed - CHECKED_BYTES) : fed]
        return following.take(Look(self.file, len(self.data), fed, before, self.data[fed : fed + size]))


@dataclass
class Reader:
    """A reader that may be killed: what it has committed stays."""

    lines: list[bytes] = field(default_factory=list)
    cursor: Cursor = START

    def commit(self, found: list[tuple[Followed, Cursor]]) -> None:
        for line, cursor in found:
            assert isinstance(line, Line)
            self.lines.append(line.data)
            self.cursor = cursor


def test_the_example_in_its_documentation_holds() -> None:
    assert doctest.testmod(optio_host.following).failed == 0


@given(
    st.lists(st.text("a\u00e9\r\0", max_size=70), max_size=8),
    st.lists(st.tuples(st.integers(1, 90), st.sampled_from(["look", "cut", "killed"])), max_size=60),
)
def test_however_it_is_looked_at_and_wherever_the_reader_is_killed_each_line_comes_once(
    lines: list[str], looks: list[tuple[int, Literal["look", "cut", "killed"]]]
) -> None:
    file = File("".join(line + "\n" for line in lines).encode())
    reader, following = Reader(), Following()
    for size, then in [*looks, (1 << 20, "look")]:
        found = file.look(following, size)
        if then == "killed":
            following = Following(reader.cursor)  # between the look and the commit
            continue
        if then == "cut":
            assert file.look(following, 0) == []  # the next far-side reader begins with a look at what is known
        reader.commit(found)
    assert reader.lines == [line.encode().removesuffix(b"\r") for line in lines]


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (File(b"one\ntwo\nhalf", "8:2"), "replaced"),
        (File(b"one\n"), "truncated"),
        (File(b"new\nall of it, and it is longer\n"), "rewritten"),
    ],
)
def test_a_file_that_is_not_what_it_was_is_told_once_and_read_from_its_beginning(
    now: File, reason: Literal["replaced", "truncated", "rewritten"]
) -> None:
    following = Following()
    File(b"one\ntwo\nhalf").look(following)
    found = now.look(following)
    assert began_again(found)
    assert found == [(FileReset(reason, 4), START)]
    assert following.fed == 0
    lines = now.look(following)
    assert not began_again(lines)
    assert [line.data for line, _ in lines if isinstance(line, Line)] == now.data.split(b"\n")[:-1]


def test_a_cursor_made_for_another_content_is_noticed_by_the_first_look() -> None:
    cursor = Cursor("8:1", 4, Cursor.check_of(b"old\n"))
    assert File(b"new\nmore\n").look(Following(cursor)) == [(FileReset("rewritten", 0), START)]


def test_a_look_at_another_offset_is_an_error_and_not_a_gap_in_the_lines() -> None:
    with pytest.raises(ValueError, match="offset 7, where 0"):
        Following().take(Look("8:1", 10, 7, b"", b"one\n"))


def test_the_unfinished_last_line_comes_at_the_end_with_its_cursor() -> None:
    following, file = Following(), File(b"one\nDONE")
    file.look(following)
    assert following.finish() == [(Line(b"DONE", 8), Cursor("8:1", 8, Cursor.check_of(b"one\nDONE")))]
    assert following.finish() == []


def test_a_file_that_was_never_seen_has_no_last_line() -> None:
    assert Following().finish() == []
