"""A deliverable can be a trap: what is handed over is a regular file, from inside, whole, and one version of it."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import optio_host.local.stream as stream
from optio_host.errors import FileRefused, TransferFailed
from optio_host.local.files import fetch_bytes, stream_file
from optio_host.local.stream import is_below

Run = Callable[[Callable[[], Awaitable[object]]], None]


def read(run: Run, path: object, **options: object) -> bytes:
    content: list[bytes] = []

    async def body() -> None:
        async with aclosing(stream_file(str(path), **options)) as chunks:  # type: ignore[arg-type]
            async for chunk in chunks:
                content.append(chunk)

    run(body)
    return b"".join(content)


def refused(run: Run, path: object, reason: str, **options: object) -> None:
    with pytest.raises(FileRefused) as caught:
        read(run, path, **options)
    assert reason in caught.value.reason


def test_a_file_comes_in_chunks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 40)
    assert read(run, tmp_path / "file", chunk_size=1000) == bytes(range(256)) * 40


def test_a_symlink_out_of_deliverables_is_refused(run: Run, tmp_path: Path) -> None:
    inside = tmp_path / "deliverables"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (inside / "report").symlink_to("../secret")
    refused(run, inside / "report", "outside", within=str(inside))


def test_a_symlinked_directory_out_of_deliverables_is_refused(run: Run, tmp_path: Path) -> None:
    inside = tmp_path / "deliverables"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (inside / "up").symlink_to("..")
    refused(run, inside / "up" / "secret", "outside", within=str(inside))
    refused(run, f"{inside}/../secret", "outside", within=str(inside))


def test_a_directory_with_a_longer_name_is_outside(run: Run, tmp_path: Path) -> None:
    (tmp_path / "deliverables").mkdir()
    (tmp_path / "deliverables-2").mkdir()
    (tmp_path / "deliverables-2" / "file").write_bytes(b"x")
    refused(run, tmp_path / "deliverables-2" / "file", "outside", within=str(tmp_path / "deliverables"))


def test_a_link_that_stays_inside_is_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    (tmp_path.parent / "way-in").symlink_to(tmp_path)
    assert read(run, tmp_path / "link", within=str(tmp_path)) == b"x"
    assert read(run, tmp_path / "link", within=str(tmp_path.parent / "way-in")) == b"x"


@pytest.mark.skipif(sys.platform != "linux", reason="what the open file says needs /proc")
def test_a_directory_exchanged_for_a_link_between_look_and_open_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, outside = tmp_path / "deliverables", tmp_path / "outside"
    (inside / "sub").mkdir(parents=True)
    outside.mkdir()
    (inside / "sub" / "file").write_bytes(b"harmless")
    (outside / "file").write_bytes(b"secret")
    real = os.open

    def exchange_before(asked: str, flags: int) -> int:
        os.rename(inside / "sub", inside / "was")
        (inside / "sub").symlink_to(outside)
        return real(asked, flags)

    monkeypatch.setattr(stream.os, "open", exchange_before)
    refused(run, inside / "sub" / "file", "outside", within=str(inside))


def test_without_proc_the_place_is_resolved_once_more(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.readlink

    def none(path: str) -> str:
        if path.startswith("/proc/"):
            raise FileNotFoundError(path)
        return real(path)

    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.setattr(stream.os, "readlink", none)
    assert read(run, tmp_path / "file", within=str(tmp_path)) == b"x"
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to("../file")
    refused(run, tmp_path / "inside" / "link", "outside", within=str(tmp_path / "inside"))


def test_a_fifo_is_refused_without_blocking(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    refused(run, tmp_path / "fifo", "is a FIFO")


def test_a_file_exchanged_for_a_fifo_between_look_and_open_does_not_block(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"harmless")
    real = os.open

    def exchange_before(asked: str, flags: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(asked, flags)

    monkeypatch.setattr(stream.os, "open", exchange_before)
    refused(run, path, "is a FIFO")


def test_a_socket_is_refused(run: Run, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        refused(run, tmp_path / "socket", "is a socket")


def test_a_device_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    refused(run, tmp_path / "link", "is a character device")


def test_a_directory_is_refused(run: Run, tmp_path: Path) -> None:
    refused(run, tmp_path, "is a directory")


@pytest.mark.parametrize("name", ["missing", "missing/file", "file/below", "dangling"])
def test_what_is_not_there_is_file_not_found(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        read(run, tmp_path / name)


def test_links_in_a_circle_are_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    refused(run, tmp_path / "a", "circle")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_this_user_may_not_read_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o000)
    refused(run, tmp_path / "file", "may not read")


@pytest.mark.parametrize("path", ["relative", "", "/nul\0"])
def test_a_path_that_is_not_absolute_is_an_error_of_the_caller(run: Run, path: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        read(run, path)


def test_a_file_above_the_limit_is_refused_before_it_is_read(run: Run, tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(100 * 1024**3)
    refused(run, tmp_path / "huge", "more than the limit of 1000", max_bytes=1000)
    (tmp_path / "fits").write_bytes(bytes(1000))
    assert len(read(run, tmp_path / "fits", max_bytes=1000)) == 1000


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that has more than its size says")
def test_the_limit_holds_for_a_file_that_lies_about_its_size(run: Run) -> None:
    assert read(run, "/proc/self/status").startswith(b"Name:")
    refused(run, "/proc/self/status", "the limit", max_bytes=100)


def change_after_first_chunk(run: Run, path: Path, change: Callable[[], object]) -> None:
    got: list[bytes] = []

    async def body() -> None:
        async with aclosing(stream_file(str(path), chunk_size=1000)) as chunks:
            async for chunk in chunks:
                got.append(chunk)
                if len(got) == 1:
                    change()

    with pytest.raises(FileRefused, match="changed while it was read"):
        run(body)
    assert got


def test_a_file_that_grows_while_read_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3000))

    def grow() -> None:
        with open(path, "ab") as file:
            file.write(b"more")

    change_after_first_chunk(run, path, grow)


def test_a_file_that_is_cut_while_read_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3000))
    change_after_first_chunk(run, path, lambda: os.truncate(path, 1500))


def test_a_file_that_is_rewritten_in_place_while_read_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3000))
    os.utime(path, (1, 1))

    def rewrite() -> None:
        with open(path, "r+b") as file:
            file.write(b"x" * 3000)

    change_after_first_chunk(run, path, rewrite)


def test_a_file_that_is_replaced_while_read_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3000))
    (tmp_path / "new").write_bytes(bytes(3000))
    change_after_first_chunk(run, path, lambda: os.rename(tmp_path / "new", path))


def test_a_file_that_is_removed_while_read_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3000))
    change_after_first_chunk(run, path, path.unlink)


def test_a_disk_that_fails_is_a_failed_transfer(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    (tmp_path / "file").write_bytes(b"x")

    async def body() -> None:
        async with stream.open_regular(str(tmp_path / "file")) as file:
            with monkeypatch.context() as patched:
                patched.setattr(stream.os, "read", broken)
                with pytest.raises(TransferFailed, match="Input/output error"):
                    file.read(10)

    run(body)


def test_a_stream_that_is_left_early_holds_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10_000))

    async def body() -> None:
        async with aclosing(stream_file(str(tmp_path / "file"), chunk_size=10)) as chunks:
            async for _ in chunks:
                break

    run(body)


def test_a_stream_that_is_cancelled_holds_nothing(run: Run, tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.truncate(10 * 1024**3)

    async def body() -> None:
        begun = asyncio.Event()

        async def consume() -> None:
            async for _ in stream_file(str(tmp_path / "file"), chunk_size=1000):
                begun.set()

        task = asyncio.ensure_future(consume())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body)


def test_fetching_tells_percents_and_ends_at_100(run: Run, tmp_path: Path) -> None:
    content = os.urandom(3 * 1024 * 1024 + 5)
    (tmp_path / "file").write_bytes(content)
    told: list[float | None] = []
    got: list[bytes] = []

    async def body() -> None:
        got.append(await fetch_bytes(str(tmp_path / "file"), progress_cb=lambda percent, _: told.append(percent)))

    run(body)
    assert got == [content]
    assert told[-1] == 100.0
    assert told == sorted(set(told), key=lambda each: each or 0)
    assert len(told) >= 3


def test_fetching_what_is_not_there(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        await fetch_bytes(str(tmp_path / "missing"))

    with pytest.raises(FileNotFoundError):
        run(body)


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=5).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(names, max_size=4), st.lists(names, max_size=4))
def test_below_means_below(path: list[str], directory: list[str]) -> None:
    expected = len(path) > len(directory) and path[: len(directory)] == directory
    assert is_below("/" + "/".join(path), "/" + "/".join(directory)) is expected
