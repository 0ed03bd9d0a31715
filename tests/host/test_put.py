"""A put file is whole and verified, or what stood there before still stands there."""

import asyncio
import errno
import hashlib
import os
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optio_host.errors import FileRefused, HostError, TransferFailed
from optio_host.local.files import ALREADY_UP_TO_DATE, put_file, remove_file, remove_tree, write_text
from optio_host.local.part import PartFile

Run = Callable[[Callable[[], Awaitable[object]]], None]

BIG = os.urandom(3 * 1024 * 1024 + 17)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def put(run: Run, *args: object, **options: object) -> None:
    async def body() -> None:
        await put_file(*args, **options)  # type: ignore[arg-type]

    run(body)


class Told:
    def __init__(self) -> None:
        self.calls: list[tuple[float | None, str | None]] = []

    def __call__(self, percent: float | None, message: str | None) -> None:
        self.calls.append((percent, message))


@pytest.mark.parametrize("kind", ["path", "Path", "bytes", "iterator"])
def test_every_kind_of_source_arrives_whole(run: Run, tmp_path: Path, kind: str) -> None:
    (tmp_path / "source").write_bytes(BIG)
    source: object = {
        "path": str(tmp_path / "source"),
        "Path": tmp_path / "source",
        "bytes": BIG,
        "iterator": chunks_of(BIG[:1], b"", BIG[1:70_000], BIG[70_000:]),
    }[kind]
    target = tmp_path / "new" / "parents" / "target"
    put(run, source, str(target), expected_sha256=sha256(BIG).upper())
    assert target.read_bytes() == BIG
    assert os.listdir(target.parent) == ["target"]


def test_a_relative_source_path_is_below_the_current_directory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("source").write_bytes(b"x")
    put(run, "source", str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == b"x"


def test_percents_rise_and_end_at_100(run: Run, tmp_path: Path) -> None:
    told = Told()
    put(run, BIG, str(tmp_path / "target"), progress_cb=told)
    percents = [percent for percent, _ in told.calls]
    assert percents[-1] == 100.0
    assert percents == sorted(set(percents), key=lambda each: each or 0)
    assert len(percents) >= 3


@pytest.mark.parametrize("source", [b"", b"x"])
def test_a_tiny_source_still_ends_at_100(run: Run, tmp_path: Path, source: bytes) -> None:
    told = Told()
    put(run, source, str(tmp_path / "target"), progress_cb=told)
    assert told.calls[-1] == (100.0, None)
    assert (tmp_path / "target").read_bytes() == source


def test_bytes_that_are_not_the_expected_ones_leave_the_old_file(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with pytest.raises(TransferFailed, match="expected was"):
        put(run, b"new", str(target), expected_sha256=sha256(b"other"))
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["target"]


def test_a_replaced_file_hands_on_its_mode(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    target.chmod(0o604)
    put(run, b"new", str(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o604


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_gets_what_the_umask_leaves(run: Run, tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        put(run, b"new", str(tmp_path / "target"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == mode


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700)])
def test_an_executable_source_stays_executable(run: Run, tmp_path: Path, umask: int, mode: int) -> None:
    (tmp_path / "tool").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    before = os.umask(umask)
    try:
        put(run, tmp_path / "tool", str(tmp_path / "target"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == mode


def test_a_partial_file_is_readable_by_its_owner_alone(run: Run, tmp_path: Path) -> None:
    seen: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        yield b"secret"
        [part] = tmp_path.glob(".target.*.optio-part")
        seen.append(stat.S_IMODE(part.stat().st_mode))

    put(run, source(), str(tmp_path / "target"))
    assert seen == [0o600]


def test_a_full_disk_leaves_the_old_file_and_no_part(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    real = os.write
    written = 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal written
        if len(data) < 1000:
            return real(descriptor, data)
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written += 1
        return real(descriptor, data[:4096])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(TransferFailed, match="disk is full"):
        put(run, BIG, str(target))
    assert written == 1
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["target"]


def test_too_little_free_space_is_said_before_anything_is_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstatvfs

    def nearly_full(descriptor: int) -> os.statvfs_result:
        seen = list(real(descriptor))
        seen[1], seen[4] = 1, 5  # fragments of 1 byte, 5 of them available
        return os.statvfs_result(seen)

    monkeypatch.setattr(os, "fstatvfs", nearly_full)
    with pytest.raises(TransferFailed, match="needs 6 bytes, free are 5"):
        put(run, b"sixsix", str(tmp_path / "target"))
    assert os.listdir(tmp_path) == []


def test_a_directory_as_target_is_said_before_anything(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for target in (str(tmp_path), f"{tmp_path}/", f"{tmp_path}/link", f"{tmp_path}/new/"):
        with pytest.raises(FileRefused, match="is a directory"):
            put(run, b"x", target)
    assert os.listdir(tmp_path) == ["link"]


def test_a_fifo_as_target_is_not_replaced(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileRefused, match="no regular file"):
        put(run, b"x", str(tmp_path / "fifo"))
    assert stat.S_ISFIFO(os.lstat(tmp_path / "fifo").st_mode)


def test_a_link_as_target_is_replaced_and_what_it_leads_to_stays(run: Run, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "target").symlink_to("precious")
    put(run, b"new", str(tmp_path / "target"))
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "target").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_file_in_the_way_of_a_parent_is_a_clear_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for target in ("file/target", "file/deeper/target"):
        with pytest.raises(TransferFailed, match="cannot be written"):
            put(run, b"x", str(tmp_path / target))
    assert (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.parametrize("target", ["relative", "", "/tmp/nul\0"])
def test_a_target_that_is_no_absolute_path_is_refused(run: Run, target: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        put(run, b"x", target)


def test_a_missing_source_is_file_not_found(run: Run, tmp_path: Path) -> None:
    for options in ({}, {"skip_if_unchanged": True}):
        with pytest.raises(FileNotFoundError):
            put(run, tmp_path / "missing", str(tmp_path / "target"), **options)
    assert os.listdir(tmp_path) == []


def test_a_fifo_as_source_does_not_block(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileRefused, match="FIFO"):
        put(run, tmp_path / "fifo", str(tmp_path / "target"))


def test_a_source_that_raises_leaves_nothing(run: Run, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("the link is gone")

    with pytest.raises(RuntimeError, match="link is gone"):
        put(run, broken(), str(tmp_path / "target"))
    assert os.listdir(tmp_path) == []


def test_a_raising_progress_callback_ends_the_copy_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    def angry(percent: float | None, message: str | None) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        put(run, BIG, str(tmp_path / "target"), progress_cb=angry)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["path", "bytes", "iterator"])
def test_a_copy_that_is_up_to_date_writes_nothing(run: Run, tmp_path: Path, kind: str) -> None:
    (tmp_path / "source").write_bytes(BIG)
    target = tmp_path / "target"
    target.write_bytes(BIG)
    before = target.stat()
    told = Told()
    source: object = {"path": tmp_path / "source", "bytes": BIG, "iterator": chunks_of(b"never read")}[kind]
    expected = sha256(BIG) if kind == "iterator" else None
    put(run, source, str(target), skip_if_unchanged=True, expected_sha256=expected, progress_cb=told)
    assert told.calls == [(100.0, ALREADY_UP_TO_DATE)]
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("old", [b"same size!", b"another size", None])
def test_a_copy_that_is_not_up_to_date_is_made(run: Run, tmp_path: Path, old: bytes | None) -> None:
    target = tmp_path / "target"
    if old is not None:
        target.write_bytes(old)
    told = Told()
    put(run, b"0123456789", str(target), skip_if_unchanged=True, progress_cb=told)
    assert target.read_bytes() == b"0123456789"
    assert told.calls[-1] == (100.0, None)


def test_an_iterator_without_a_hash_is_never_skipped(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"same")
    before = target.stat().st_ino
    put(run, chunks_of(b"same"), str(target), skip_if_unchanged=True)
    assert target.stat().st_ino != before


@pytest.mark.parametrize("native", [False, True], ids=["anyio", "asyncio"])
def test_a_cancelled_copy_leaves_nothing(run: Run, tmp_path: Path, native: bool) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")

    async def endless(begun: anyio.Event) -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)
            begun.set()

    async def body() -> None:
        begun = anyio.Event()
        if native:
            task = asyncio.ensure_future(put_file(endless(begun), str(target)))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return
        async with anyio.create_task_group() as group:
            group.start_soon(put_file, endless(begun), str(target))
            await begun.wait()
            group.cancel_scope.cancel()

    run(body)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["target"]


def test_a_cancel_while_a_thread_writes_waits_for_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, discarding, go_on = threading.Event(), threading.Event(), threading.Event()
    still_open: list[bool] = []
    real, real_discard = os.write, PartFile.discard

    def discard(part: PartFile) -> None:
        discarding.set()
        real_discard(part)

    def slow(descriptor: int, data: bytes) -> int:
        if bytes(data[:4]) == b"slow":
            entered.set()
            go_on.wait(30)
            still_open.append(os.path.exists(f"/dev/fd/{descriptor}"))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", slow)
    monkeypatch.setattr(PartFile, "discard", discard)

    async def body() -> None:
        task = asyncio.ensure_future(put_file(b"slow disk", str(tmp_path / "target")))
        await anyio.to_thread.run_sync(entered.wait)
        task.cancel()
        await anyio.to_thread.run_sync(discarding.wait)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body)
    assert still_open == [True]
    assert os.listdir(tmp_path) == []


def test_a_name_as_long_as_names_may_be(run: Run, tmp_path: Path) -> None:
    name = "ü" * 127
    put(run, b"x", str(tmp_path / name))
    assert os.listdir(tmp_path) == [name]


# Each example is files on the disk: a fifth as many as of a pure function.
@settings(max_examples=settings().max_examples // 5)
@given(chunks=st.lists(st.binary(max_size=300), max_size=8))
def test_any_chunks_arrive_as_they_left(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    target = tmp_path_factory.getbasetemp() / "any-chunks"
    anyio.run(put_file, chunks_of(*chunks), str(target))
    assert target.read_bytes() == b"".join(chunks)


def test_write_text_creates_parents_and_writes_utf8(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        await write_text(str(tmp_path), "a/b.txt", "grüße\n")

    run(body)
    assert (tmp_path / "a/b.txt").read_bytes() == "grüße\n".encode()


@pytest.mark.parametrize("relpath", ["../out", "/etc/out", "a/../../out", "", ".", "link/out", "to-out"])
def test_write_text_does_not_leave_the_workdir(run: Run, tmp_path: Path, relpath: str) -> None:
    workdir = tmp_path / "workdir"
    workdir.mkdir()
    (workdir / "link").symlink_to(tmp_path)
    (workdir / "to-out").symlink_to("../out")

    async def body() -> None:
        await write_text(str(workdir), relpath, "x")

    with pytest.raises(ValueError, match=r"leads out|relative"):
        run(body)
    assert not (tmp_path / "out").exists()


def test_write_text_follows_a_link_that_stays_inside(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")

    async def body() -> None:
        await write_text(str(tmp_path), "link", "x")

    run(body)
    assert (tmp_path / "real").read_text() == "x"
    assert (tmp_path / "link").is_symlink()


def test_removing_a_file_that_is_not_there_is_fine(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to("target")

    async def body() -> None:
        for name in ("missing", "missing/file", "file/below", "file", "link"):
            await remove_file(str(tmp_path / name))

    run(body)
    assert os.listdir(tmp_path) == ["target"]


def test_removing_a_directory_is_a_clear_error(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        await remove_file(str(tmp_path))

    with pytest.raises(FileRefused, match="is a directory"):
        run(body)
    assert tmp_path.is_dir()


def test_a_name_that_cannot_be_is_a_clear_error(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        await remove_file(str(tmp_path / ("x" * 300)))

    with pytest.raises(HostError, match="cannot be removed"):
        run(body)


def test_a_tree_with_locked_directories_is_removed(tmp_path: Path) -> None:
    deep = tmp_path / "tree" / "locked" / "deeper"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x")
    (tmp_path / "outside").mkdir(mode=0o500)
    (deep / "link").symlink_to(tmp_path / "outside")
    for directory in (deep, deep.parent):
        directory.chmod(0o000)
    remove_tree(str(tmp_path / "tree"))
    remove_tree(str(tmp_path / "tree"))
    assert os.listdir(tmp_path) == ["outside"]
    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o500
