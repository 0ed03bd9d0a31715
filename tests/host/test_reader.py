"""The far-side readers by themselves, and the frames that they speak."""

import ast
import doctest
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_rig import shells_here

from optio_host import cursor
from optio_host.farside import reader as far
from optio_host.following import NOT_REGULAR, Look
from optio_host.job_shell import farside
from optio_host.ssh import frames
from optio_host.ssh.frames import Alive, Frame, FrameReader, Looked, Refused, Synced

SOURCE = (files("optio_host") / "farside" / "reader.py").read_text()
SHELL = farside("reader")


class Far:
    """A reader that runs, and what it says."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self._frames = FrameReader()
        self._said: list[Frame] = []

    def say(self, command: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(command)
        self.process.stdin.flush()

    def next(self, seconds: float = 10) -> Frame:
        assert self.process.stdout
        deadline = time.monotonic() + seconds
        while not self._said:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"it said nothing for {seconds} s"
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, "it has ended"
            self._said += self._frames.feed(chunk)
        return self._said.pop(0)

    def next_of(self, files: list[int]) -> dict[int, bytes]:
        """What is new in each of some files; a file that is made may be seen before it is written to."""
        seen: dict[int, bytes] = {}
        while set(seen) != set(files):
            frame = self.next()
            assert isinstance(frame, Looked)
            if frame.look.chunk:
                seen[frame.id] = frame.look.chunk
        return seen


@contextmanager
def started(source: str = SOURCE, shell: str | None = None) -> Iterator[Far]:
    command = [sys.executable, "-c", source] if shell is None else [*shell.split(), "-c", SHELL + "follow_files"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        reader = Far(process)
        assert reader.next() == Alive("python3" if shell is None else "sh")
        yield reader
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream
            with suppress(BrokenPipeError):
                stream.close()


# The programs


def test_it_is_python_3_6() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))
    imported = {
        name.name for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Import) for name in node.names
    }
    assert imported <= set(sys.stdlib_module_names)
    # Evaluated when a function is defined, where 3.6 knows no list[...]: so they are text.
    assert not re.search(r"-> (dict|list|tuple|set)\[", SOURCE)


def test_it_counts_as_the_driver_does() -> None:
    assert (far.CHECKED, far.LOOK_COST) == (cursor.CHECKED_BYTES, frames.LOOK_COST)
    assert far.CHUNK + far.CHECKED <= frames.LONGEST_LOOK
    assert f"- {frames.LOOK_COST}))" in SHELL
    assert NOT_REGULAR in SOURCE
    assert NOT_REGULAR in SHELL


@pytest.mark.parametrize("shell", [None, *shells_here()])
@pytest.mark.parametrize("following", [False, True])
def test_it_ends_when_its_stdin_does(tmp_path: Path, shell: str | None, following: bool) -> None:
    (tmp_path / "log").write_bytes(b"one\n")
    with started(shell=shell) as reader:
        if following:
            reader.say(frames.follow(1, 1, 0, 100_000, str(tmp_path / "log")))
            assert isinstance(reader.next(), Looked)
        assert reader.process.stdin
        reader.process.stdin.close()
        assert reader.process.wait(10) == 0


def test_it_ends_when_nobody_takes_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\n" * 100_000)
    with started() as reader:
        assert reader.process.stdout
        reader.process.stdout.close()
        reader.say(frames.follow(1, 1, 0, 1_000_000, str(tmp_path / "log")))
        assert reader.process.wait(10) == 0


def test_it_ends_when_its_driver_says_nothing_for_long() -> None:
    assert SOURCE.count("SILENCE = 60.0") == 1
    with started(SOURCE.replace("SILENCE = 60.0", "SILENCE = SWEEP = 0.1")) as reader:
        assert reader.process.wait(10) == 0


@pytest.mark.parametrize(
    "broken",
    [
        ("inotify_init1", "inotify_of_another_system"),
        ("import ctypes", "raise ImportError"),
        ("self._libc.inotify_add_watch(self.descriptor, path, WATCHED)", "-1"),
    ],
    ids=["no inotify", "no ctypes", "no watch to be had"],
)
def test_without_the_kernels_notices_files_are_polled(tmp_path: Path, broken: tuple[str, str]) -> None:
    assert broken[0] in SOURCE
    log = tmp_path / "log"
    with started(SOURCE.replace(*broken).replace("SWEEP = 1.0", "SWEEP = 1000.0")) as reader:
        reader.say(frames.follow(1, 1, 0, 100_000, str(log)) + frames.sync(1))
        assert reader.next() == Synced(1, 1)
        log.write_bytes(b"one\n")
        assert reader.next_of([1]) == {1: b"one\n"}


def test_what_no_notice_tells_of_is_seen_by_the_sweep(tmp_path: Path) -> None:
    log = tmp_path / "log"
    # A symbolic link to a file in a directory that is not watched.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "log").write_bytes(b"")
    log.symlink_to(tmp_path / "other" / "log")
    with started() as reader:
        reader.say(frames.follow(1, 1, 0, 100_000, str(log)) + frames.sync(1))
        assert isinstance(reader.next(), Looked)
        assert reader.next() == Synced(1, 1)
        (tmp_path / "other" / "log").write_bytes(b"one\n")
        assert reader.next_of([1]) == {1: b"one\n"}


def test_a_file_that_is_renamed_into_place_is_noticed_at_once(tmp_path: Path) -> None:
    (tmp_path / "exit.part").write_bytes(b"exited 0\n")
    with started(SOURCE.replace("SWEEP = 1.0", "SWEEP = 1000.0")) as reader:
        reader.say(frames.follow(1, 1, 0, 100_000, str(tmp_path / "exit")) + frames.sync(1))
        assert reader.next() == Synced(1, 1)
        (tmp_path / "exit.part").rename(tmp_path / "exit")
        assert reader.next_of([1]) == {1: b"exited 0\n"}


def test_a_directory_that_comes_and_goes_is_watched_as_it_stands_there(tmp_path: Path) -> None:
    place = tmp_path / "run"
    reader = far.Reader()
    try:
        reader.obey(frames.follow(1, 1, 0, 100_000, str(place / "log")).split())
        [directory] = reader.directories.values()
        assert directory.watch == -1
        for _ in range(2):
            place.mkdir()
            reader.sweep()
            assert directory.watch >= 0
            place.rmdir()
            reader.notice()
            assert directory.watch == -1
    finally:
        os.close(reader.inotify.descriptor)


def test_when_the_kernel_lost_notices_every_file_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = far.Reader()
    try:
        for number in range(3):
            reader.obey(frames.follow(number, 1, 0, 100_000, str(tmp_path / str(number))).split())
        reader.serve()
        assert not reader.waiting
        monkeypatch.setattr(reader.inotify, "read", lambda: [(-1, far.IN_Q_OVERFLOW, b"")])
        reader.notice()
        assert len(reader.waiting) == 3
    finally:
        os.close(reader.inotify.descriptor)


@pytest.mark.parametrize("shell", [None, *shells_here()])
def test_no_more_than_the_credit_is_sent_before_more_is_allowed(tmp_path: Path, shell: str | None) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 300_000)
    with started(shell=shell) as reader:
        reader.say(frames.follow(1, 1, 0, 100_000, str(log)) + frames.sync(1) + frames.TICK)
        sent = 0
        while isinstance(seen := reader.next(), Looked):
            assert sent < 100_000
            sent += seen.cost
        assert isinstance(seen, Alive)
        reader.say(frames.more(1, 1_000_000))
        while isinstance(seen := reader.next(), Looked):
            sent += seen.cost
        assert seen == Synced(1, 1)
        assert 300_000 < sent < 310_000


@pytest.mark.parametrize("shell", [None, *shells_here()])
def test_a_file_that_is_begun_again_is_read_from_where_the_driver_says(tmp_path: Path, shell: str | None) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\n")
    state = log.stat()
    with started(shell=shell) as reader:
        for epoch, offset in ((1, 0), (2, 4), (3, 8)):
            reader.say(frames.follow(1, epoch, offset, 100_000, str(log)))
            look = Look(f"{state.st_dev}:{state.st_ino}", 8, offset, b"one\ntwo\n"[:offset], b"one\ntwo\n"[offset:])
            assert reader.next() == Looked(1, epoch, look)
        reader.say(frames.unfollow(1) + frames.sync(1) + frames.more(1, 5) + frames.TICK)
        assert isinstance(reader.next(), Alive)


def test_two_files_of_one_name_under_two_names_of_their_directory_are_both_told(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "same").symlink_to("there")
    with started(SOURCE.replace("SWEEP = 1.0", "SWEEP = 1000.0")) as reader:
        for number, place in enumerate(("there", "same", "there")):
            reader.say(frames.follow(number, 1, 0, 100_000, str(tmp_path / place / "log")) + frames.sync(number))
            assert reader.next() == Synced(number, 1)
        (tmp_path / "there" / "log").write_bytes(b"one\n")
        assert reader.next_of([0, 1, 2]) == dict.fromkeys([0, 1, 2], b"one\n")
        reader.say(frames.unfollow(0) + frames.unfollow(2) + frames.sync(1))
        assert reader.next() == Synced(1, 1)
        with (tmp_path / "there" / "log").open("ab") as log:
            log.write(b"two\n")
        assert reader.next_of([1]) == {1: b"two\n"}


# The frames


LOOKS = st.builds(
    Look,
    file=st.just("8:12"),
    size=st.integers(0, 1 << 60),
    offset=st.integers(0, 1 << 60),
    before=st.binary(max_size=64),
    chunk=st.binary(max_size=200) | st.just(b"\nalive sh\nlook 1 1 8:1 5 0 0 3\n"),
)
NUMBERS = st.integers(0, 1 << 40)
FRAMES = st.one_of(
    st.builds(Alive, st.sampled_from(["python3", "sh"])),
    st.builds(Looked, NUMBERS, NUMBERS, LOOKS),
    st.builds(Synced, NUMBERS, NUMBERS),
    st.builds(Refused, NUMBERS, NUMBERS, st.just("it cannot be read: Permission denied")),
)


def written(frame: Frame, hexadecimal: bool) -> bytes:
    match frame:
        case Alive(reader):
            return f"alive {reader}\n".encode()
        case Synced(id, epoch):
            return f"synced {id} {epoch}\n".encode()
        case Refused(id, epoch, reason):
            return f"refused {id} {epoch} {reason}\n".encode()
        case Looked(id, epoch, look):
            data = look.before + look.chunk
            head = f"{id} {epoch} {look.file} {look.size} {look.offset} {len(look.before)} {len(look.chunk)}\n".encode()
            return b"hexlook " + head + data.hex().encode() if hexadecimal else b"look " + head + data


@given(st.lists(st.tuples(FRAMES, st.booleans()), max_size=6), st.lists(st.integers(1, 40), max_size=40))
def test_frames_are_the_same_however_their_bytes_are_cut(said: list[tuple[Frame, bool]], sizes: list[int]) -> None:
    data = b"".join(written(frame, hexadecimal) for frame, hexadecimal in said)
    reader = FrameReader()
    found: list[Frame] = []
    for size in [*sizes, len(data)]:
        found += reader.feed(data[:size])
        data = data[size:]
    assert found == [frame for frame, _ in said]


@pytest.mark.parametrize(
    "noise",
    [
        b"Welcome!\n",
        b"x" * 2000,
        b"look 1 1 8:1 5 0 0\n",
        b"look 1 1 8:1 5 0 0 -3\n",
        b"look 1 1 8:1 5 0 0 99999999\n",
        b"look 1 1 8:1 five 0 0 0\n",
        b"hexlook 1 1 8:1 5 0 0 1\nzz",
        b"synced one 1\n",
        b"\xff\xfe\n",
    ],
)
def test_what_is_no_frame_is_an_error(noise: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        FrameReader().feed(noise)


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_else_than_frames_and_errors(data: bytes) -> None:
    try:
        FrameReader().feed(data)
    except ValueError:
        return


def test_the_examples_in_its_documentation_hold() -> None:
    assert doctest.testmod(frames).failed == 0


@pytest.mark.parametrize("shell", shells_here())
def test_every_byte_of_a_path_comes_through_printf(shell: str) -> None:
    path = bytes(range(1, 256)) + b"\n"
    said = subprocess.run([*shell.split(), "-c", f"printf %b '{frames.escaped(path).decode()}'"], capture_output=True)
    assert said.stdout == path
