"""A workdir comes back as it was; a bad archive changes nothing and leaves its directory by no way."""

import asyncio
import gzip
import io
import os
import stat
import subprocess
import tarfile
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optio_host.restore as restore
import optio_host.tar_stream as tar_stream
from optio_host.archive import DEFAULT_WORKDIR_EXCLUDES, consume_workdir_archive, yield_workdir_archive
from optio_host.errors import FileRefused, TransferFailed
from optio_host.restore import leads_out

Run = Callable[[Callable[[], Awaitable[object]]], None]


async def pack(workdir: Path, exclude: tuple[str, ...] = (), **options: object) -> bytes:
    packed = b""
    async with aclosing(yield_workdir_archive(str(workdir), exclude, **options)) as chunks:  # type: ignore[arg-type]
        async for chunk in chunks:
            packed += chunk
    return packed


async def chunks_of(content: bytes, size: int = 5000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def unpack(content: bytes, workdir: Path) -> None:
    await consume_workdir_archive(chunks_of(content), str(workdir))


def seen(directory: Path) -> dict[str, object]:
    """Every path below a directory with what matters of it."""
    found: dict[str, object] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = mode
        else:
            found[name] = (mode, path.lstat().st_mtime, path.read_bytes())
    return found


def tree(directory: Path) -> Path:
    (directory / "src" / "deep").mkdir(parents=True)
    (directory / "empty").mkdir(mode=0o750)
    (directory / "src" / "main.py").write_text("print()\n")
    (directory / "src" / "deep" / "run").write_text("#!/bin/sh\n")
    (directory / "src" / "deep" / "run").chmod(0o755)
    (directory / "big").write_bytes(os.urandom(700_000))
    (directory / "nothing").touch(mode=0o400)
    (directory / "grüße\n zwei").write_text("x")
    (directory / os.fsdecode(b"no \xff utf-8")).write_text("x")
    (directory / "link").symlink_to("src/main.py")
    (directory / "src" / "up").symlink_to("../big")
    (directory / "src" / "dangling").symlink_to("nowhere")
    return directory


def names(packed: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        return sorted(tar.getnames())


def tar_of(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member, io.BytesIO(bytes(member.size)))
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return plain.getvalue()


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def test_a_tree_comes_back_as_it_was(run: Run, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")

    async def body() -> None:
        await unpack(await pack(source), tmp_path / "target")

    run(body)
    assert seen(tmp_path / "target") == seen(source)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o700


def test_the_archive_is_one_that_tar_reads(run: Run, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    (tmp_path / "target").mkdir()

    async def body() -> None:
        (tmp_path / "archive.tar.gz").write_bytes(await pack(source))

    run(body)
    subprocess.run(["tar", "-xzf", tmp_path / "archive.tar.gz", "-C", tmp_path / "target"], check=True)
    (tmp_path / "target" / "empty").chmod(0o750)
    assert seen(tmp_path / "target") == seen(source)


def test_what_tar_writes_is_restored(run: Run, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    os.link(source / "big", source / "src" / "same")
    packed = subprocess.run(["tar", "-czf", "-", "-C", source, "."], check=True, capture_output=True).stdout

    async def body() -> None:
        await unpack(packed, tmp_path / "target")

    run(body)
    assert (tmp_path / "target" / "src" / "same").read_bytes() == (source / "big").read_bytes()
    assert os.path.samefile(tmp_path / "target" / "big", tmp_path / "target" / "src" / "same")
    assert list(seen(tmp_path / "target")) == list(seen(source))


def test_the_defaults_leave_out_what_tools_make_again(run: Run, tmp_path: Path) -> None:
    for name in (
        ".git/config",
        "a/node_modules/x",
        "__pycache__/m.pyc",
        "a/.venv/bin",
        "a/m.pyc",
        ".DS_Store",
        "a/keep",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    async def body() -> None:
        assert names(await pack(tmp_path, DEFAULT_WORKDIR_EXCLUDES)) == ["a", "a/keep"]

    run(body)


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.log", ["a", "a/b", "a/b/keep"]),
        ("b", ["a", "a/x.log", "x.log"]),
        ("a/b", ["a", "a/x.log", "x.log"]),
        ("a/*.log", ["a", "a/b", "a/b/keep", "x.log"]),
        ("a", ["x.log"]),
        ("A", ["a", "a/b", "a/b/keep", "a/x.log", "x.log"]),
    ],
)
def test_excludes_match_a_segment_or_the_whole_path(run: Run, tmp_path: Path, pattern: str, left: list[str]) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/b/keep", "a/x.log", "x.log"):
        (tmp_path / name).touch()

    async def body() -> None:
        assert names(await pack(tmp_path, (pattern,))) == left

    run(body)


def test_special_files_and_links_that_lead_out_are_left_out_and_named(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "absolute").symlink_to("/etc/passwd")
    (tmp_path / "climbing").symlink_to("../x")
    (tmp_path / "keep").symlink_to("fifo")
    skipped: dict[str, str] = {}

    async def body() -> None:
        assert names(await pack(tmp_path, on_skip=skipped.__setitem__)) == ["keep"]

    run(body)
    assert sorted(skipped) == ["absolute", "climbing", "fifo"]
    assert "leads out: /etc/passwd" in skipped["absolute"]


@given(
    st.text(st.sampled_from("ab/\xe4\udcff"), max_size=120).map(lambda text: f"{text}z"),
    st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE]),
    st.integers(0, 0o7777),
    st.sampled_from([0, 1, 4096, 8**11 - 1, 8**11]),
    st.sampled_from([-1.5, 0.0, 1.9, 8.0**11 - 1, 8.0**11]),
    st.sampled_from(["", "target"]),
)
def test_every_header_for_other_tars_is_that_of_tarfile(
    name: str, kind: bytes, mode: int, size: int, mtime: float, target: str
) -> None:
    expected = tarfile.TarInfo(name)
    expected.type, expected.mode, expected.size, expected.linkname = kind, mode, size, target
    expected.mtime = int(mtime)
    format: tar_stream.Format = tarfile.GNU_FORMAT
    made = tar_stream.header(name, kind, mode=mode, mtime=mtime, size=size, target=target, format=format)
    assert made == expected.tobuf(format, "utf-8", "surrogateescape")


def test_a_directory_that_is_not_there_is_file_not_found(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        await pack(tmp_path / "missing")

    with pytest.raises(FileNotFoundError):
        run(body)


def test_a_file_that_becomes_shorter_is_an_error_not_zeros(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(3 * tar_stream.CHUNK))

    async def body() -> None:
        async with aclosing(yield_workdir_archive(str(tmp_path), ())) as chunks:
            async for _ in chunks:
                os.truncate(tmp_path / "file", tar_stream.CHUNK)

    with pytest.raises(TransferFailed, match="became shorter"):
        run(body)


def test_a_file_that_grows_is_kept_as_long_as_it_was(run: Run, tmp_path: Path) -> None:
    before = os.urandom(3 * tar_stream.CHUNK)
    (tmp_path / "file").write_bytes(before)
    packed = b""

    def grow() -> None:
        with open(tmp_path / "file", "ab") as file:
            file.write(b"more")

    async def body() -> None:
        nonlocal packed
        async with aclosing(yield_workdir_archive(str(tmp_path), ())) as chunks:
            async for chunk in chunks:
                packed += chunk
                grow()

    run(body)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        content = tar.extractfile("file")
        assert content is not None
        assert content.read() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "locked").touch(mode=0o000)

    async def body() -> None:
        await pack(tmp_path)

    with pytest.raises(TransferFailed, match="locked: cannot be archived"):
        run(body)


def test_archiving_and_restoring_take_little_memory(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "huge", "wb") as file:
        file.truncate(300 * 1024 * 1024)

    async def body() -> None:
        tracemalloc.start()
        async with aclosing(yield_workdir_archive(str(source), ())) as chunks:
            await consume_workdir_archive(chunks, str(tmp_path / "target"))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * 1024 * 1024

    run(body)
    assert (tmp_path / "target" / "huge").stat().st_size == 300 * 1024 * 1024


def test_an_archive_that_is_left_early_holds_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(10 * tar_stream.CHUNK))

    async def body() -> None:
        async with aclosing(yield_workdir_archive(str(tmp_path), ())) as chunks:
            async for _ in chunks:
                break
        task = asyncio.ensure_future(pack(tmp_path))
        await anyio.lowlevel.checkpoint()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body)


# Restoring


def old_tree(tmp_path: Path) -> Path:
    workdir = tmp_path / "workdir"
    (workdir / "old").mkdir(parents=True)
    (workdir / "old" / "file").write_bytes(b"old")
    (workdir / ".hidden").write_bytes(b"old")
    workdir.chmod(0o700)
    return workdir


OUT_OF_THE_DIRECTORY = {
    "absolute name": [("/tmp/optio-evil", b"x")],
    "dot-dot": [("../evil", b"x")],
    "dot-dot inside": [("a/../../evil", b"x")],
    "absolute link": [member("link", tarfile.SYMTYPE, "/etc")],
    "climbing link": [member("a/link", tarfile.SYMTYPE, "../../x")],
    "link climbing through a link": [
        member("d/l", tarfile.SYMTYPE, ".."),
        member("x", tarfile.SYMTYPE, "d/l/../.."),
    ],
    "file through a link": [member("link", tarfile.SYMTYPE, "d"), ("link/file", b"x")],
    "file through a link, link last": [("link/file", b"x"), member("link", tarfile.SYMTYPE, "d")],
    "hard link out": [member("link", tarfile.LNKTYPE, "../old/file")],
    "absolute hard link": [member("link", tarfile.LNKTYPE, "/etc/passwd")],
    "hard link to nothing": [member("link", tarfile.LNKTYPE, "missing")],
    "hard link to a directory": [member("d", tarfile.DIRTYPE), member("link", tarfile.LNKTYPE, "d")],
    "hard link to the top": [member("link", tarfile.LNKTYPE, ".")],
    "device": [member("null", tarfile.CHRTYPE)],
    "block device": [member("disk", tarfile.BLKTYPE)],
    "fifo": [member("fifo", tarfile.FIFOTYPE)],
    "top as a file": [(".", b"x")],
    "file as a directory": [("a", b"x"), ("a/b", b"x")],
    "directory as a file": [("a/b", b"x"), ("a", b"x")],
}


@pytest.mark.parametrize("members", OUT_OF_THE_DIRECTORY.values(), ids=OUT_OF_THE_DIRECTORY.keys())
def test_an_archive_does_not_leave_its_directory(
    run: Run, tmp_path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]]
) -> None:
    workdir = old_tree(tmp_path)
    before = seen(tmp_path)

    async def body() -> None:
        await unpack(tar_of(("good", b"x"), *members), workdir)

    with pytest.raises(FileRefused):
        run(body)
    assert seen(tmp_path) == before
    assert not os.path.lexists("/tmp/optio-evil")


def test_a_restore_wipes_and_keeps_the_directory_itself(run: Run, tmp_path: Path) -> None:
    workdir = old_tree(tmp_path)
    before = workdir.stat().st_ino
    (workdir / ".stale.1234.optio-part").write_bytes(b"of a killed copy")

    async def body() -> None:
        await unpack(tar_of(("new", b"new"), ("old", b"now a file")), workdir)

    run(body)
    assert sorted(os.listdir(workdir)) == ["new", "old"]
    assert (workdir / "old").read_bytes() == b"now a file"
    assert workdir.stat().st_ino == before


def test_directories_that_forbid_writing_come_and_go(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "locked" / "deeper").mkdir(parents=True)
    (source / "locked" / "deeper" / "file").write_bytes(b"x")
    (source / "locked" / "deeper").chmod(0o555)
    (source / "locked").chmod(0o555)

    async def body() -> None:
        packed = await pack(source)
        for _ in range(2):
            await unpack(packed, tmp_path / "target")

    run(body)
    assert seen(tmp_path / "target") == seen(source)
    for directory in (source, tmp_path / "target"):
        (directory / "locked").chmod(0o700)
        (directory / "locked" / "deeper").chmod(0o700)


def test_the_later_member_of_a_name_wins(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        await unpack(tar_of(("a", b"first"), ("a", b"second")), tmp_path)

    run(body)
    assert (tmp_path / "a").read_bytes() == b"second"


def test_set_user_id_does_not_come_back(run: Run, tmp_path: Path) -> None:
    tool = tarfile.TarInfo("tool")
    tool.mode = 0o6755

    async def body() -> None:
        await unpack(tar_of(tool), tmp_path)

    run(body)
    assert stat.S_IMODE((tmp_path / "tool").stat().st_mode) == 0o755


@pytest.mark.parametrize("where", ["start", "middle", "trailer", "empty"])
def test_an_archive_that_is_cut_off_changes_nothing(run: Run, tmp_path: Path, where: str) -> None:
    workdir = old_tree(tmp_path)
    before = seen(tmp_path)

    async def body() -> None:
        packed = await pack(tree(Path(tempfile.mkdtemp(dir=tmp_path.parent))))
        length = {"start": 40, "middle": len(packed) // 2, "trailer": len(packed) - 4, "empty": 0}[where]
        await unpack(packed[:length], workdir)

    with pytest.raises(TransferFailed, match="broken or cut off"):
        run(body)
    assert seen(tmp_path) == before


def test_a_tar_that_died_under_its_gzip_changes_nothing(run: Run, tmp_path: Path) -> None:
    workdir = old_tree(tmp_path)
    before = seen(tmp_path)
    plain = gzip.decompress(tar_of(("a", bytes(1000)), ("b", bytes(1000))))
    broken = bytearray(plain)
    broken[1536 + 5] ^= 1  # in the header of the second member

    async def body() -> None:
        for bad in (plain[:1536], plain[:1600], plain[:2048], bytes(broken)):
            with pytest.raises(TransferFailed, match="broken or cut off"):
                await unpack(gzip.compress(bad), workdir)

    run(body)
    assert seen(tmp_path) == before


def test_a_byte_that_was_turned_over_changes_nothing(run: Run, tmp_path: Path) -> None:
    workdir = old_tree(tmp_path)
    before = seen(tmp_path)

    async def body() -> None:
        packed = bytearray(tar_of(("a", b"content")))
        packed[-5] ^= 1  # in the check sum
        await unpack(bytes(packed), workdir)

    with pytest.raises(TransferFailed, match="broken or cut off"):
        run(body)
    assert seen(tmp_path) == before


def test_a_stream_that_breaks_changes_nothing(run: Run, tmp_path: Path) -> None:
    workdir = old_tree(tmp_path)
    before = seen(tmp_path)

    async def breaking() -> AsyncIterator[bytes]:
        yield tar_of(("a", b"content"))
        raise RuntimeError("the link is gone")

    async def body() -> None:
        await consume_workdir_archive(breaking(), str(workdir))

    with pytest.raises(RuntimeError, match="link is gone"):
        run(body)
    assert seen(tmp_path) == before


def test_a_restore_that_is_cancelled_changes_nothing(run: Run, tmp_path: Path) -> None:
    workdir = old_tree(tmp_path)
    before = seen(tmp_path)

    async def body() -> None:
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1000)
                begun.set()

        task = asyncio.ensure_future(consume_workdir_archive(endless(), str(workdir)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body)
    assert seen(tmp_path) == before


def test_a_disk_that_fills_up_changes_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workdir = old_tree(tmp_path)
    before = seen(tmp_path)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restore.os, "utime", full)

    async def body() -> None:
        await unpack(tar_of(("a", b"content")), workdir)

    with pytest.raises(TransferFailed, match="No space left"):
        run(body)
    assert seen(tmp_path) == before


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_move_that_fails_is_undone(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    workdir = old_tree(tmp_path)
    before = seen(tmp_path)
    real = os.rename
    count = 0

    def rename(source: str, target: str) -> None:
        nonlocal count
        count += 1
        if count == failing:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(restore.os, "rename", rename)

    async def body() -> None:
        await unpack(tar_of(("a", b"content"), ("b", b"content")), workdir)

    with pytest.raises(TransferFailed, match="nothing was changed"):
        run(body)
    assert seen(tmp_path) == before


def test_what_cannot_be_put_back_is_kept_and_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workdir = old_tree(tmp_path)
    real = os.rename
    count = 0

    def rename(source: str, target: str) -> None:
        nonlocal count
        count += 1
        if count >= 2:
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(restore.os, "rename", rename)

    async def body() -> None:
        await unpack(tar_of(("a", b"content")), workdir)

    with pytest.raises(TransferFailed, match=r"what is missing is in .*/old"):
        run(body)
    [kept] = workdir.glob(".restore.*/old")
    assert sorted([*os.listdir(kept), *os.listdir(workdir)]) == sorted([".hidden", "old", kept.parent.name])


def test_a_header_made_to_fill_the_memory_is_refused(run: Run, tmp_path: Path) -> None:
    workdir = old_tree(tmp_path)
    bomb = tarfile.TarInfo("bomb")
    bomb.type = tarfile.XHDTYPE
    bomb.size = 8 * 1024 * 1024

    async def body() -> None:
        await unpack(tar_of(bomb), workdir)

    with pytest.raises(FileRefused, match="header of"):
        run(body)


def test_a_workdir_that_is_a_link_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "workdir").symlink_to("real")

    async def body() -> None:
        await unpack(tar_of(("a", b"x")), tmp_path / "workdir")

    with pytest.raises(TransferFailed):
        run(body)
    assert os.listdir(tmp_path / "real") == []


# Each example is files on the disk: a fifth as many as of a pure function.
@settings(max_examples=settings().max_examples // 5)
@given(data=st.data())
def test_no_broken_archive_does_anything_but_fail_cleanly(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    plain = bytearray(gzip.decompress(tar_of(("a", bytes(600)), member("b", tarfile.SYMTYPE, "a"), ("c/d", b"x"))))
    for _ in range(data.draw(st.integers(1, 4))):
        plain[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))
    workdir = tmp_path_factory.getbasetemp() / "broken"
    workdir.mkdir(exist_ok=True)
    outside = sorted(os.listdir(workdir.parent))
    with suppress(FileRefused, TransferFailed):
        anyio.run(unpack, gzip.compress(bytes(plain), 0), workdir)
    assert sorted(os.listdir(workdir.parent)) == outside
    assert not list(workdir.glob("*.optio-part"))


parts = st.sampled_from(["..", ".", "", "a", "b"])


@given(st.lists(st.sampled_from(["a", "b"]), max_size=3), st.lists(parts, min_size=1, max_size=5))
def test_a_link_that_is_accepted_leads_inside(above: list[str], target: list[str]) -> None:
    name = "/".join([*above, "link"])
    if not leads_out(name, "/".join(target)):
        resolved = os.path.normpath("/".join([*above, *target]))
        assert not resolved.startswith("..")
        assert not os.path.isabs(resolved)
