"""What lands on the person's disk lands where it may, whole, and in nobody's way."""

import asyncio
import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optio_agents.landing import Landed, Landing, check_name
from optio_host.errors import FileRefused, TransferFailed
from optio_host.local.part import PART_SUFFIX

Run = Callable[[Callable[[], Awaitable[object]]], None]


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def land(run: Run, landing: Landing, name: str, content: bytes = b"content") -> Landed:
    landed: list[Landed] = []

    async def body() -> None:
        landed.append(await landing.receive(name, chunks_of(content[:3], content[3:])))

    run(body)
    return landed[0]


def files(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_symlink() or not path.is_dir()
    )


def test_a_deliverable_lands_below_the_directory(run: Run, tmp_path: Path) -> None:
    landing = Landing(tmp_path / "out")
    landed = land(run, landing, "sub/report.md")
    path = tmp_path / "out" / "sub" / "report.md"
    assert landed == Landed("sub/report.md", str(path), 7, sha256_of(b"content"))
    assert path.read_bytes() == b"content"
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, tmp_path / "out")] == [
        0o600,
        0o700,
        0o700,
    ]
    assert landing.ours == {"sub/report.md": landed}


def test_a_relative_directory_is_below_the_current_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert land(run, Landing("out"), "a").path == str(tmp_path / "out" / "a")


def test_the_directory_may_be_a_link_that_the_person_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    land(run, Landing(tmp_path / "out"), "a")
    assert files(tmp_path / "real") == ["a"]


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "/etc/passwd", "..", "../x", "a/../x", "a/..", ".", "./a", "a/.", "a//b", "a/", "//a"),
        *("nul\0", "new\nline", "escape\x1b[2J", "tab\t", "del\x7f", "c1\x9b", "line\u2028", "gpj\u202eexe.", "\udcff"),
        *("x" * 256, "ü" * 128, "ok/" + "x" * 256),
    ],
)
def test_a_name_that_could_lead_or_mislead_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    with pytest.raises(FileRefused):
        land(run, Landing(tmp_path / "out"), name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["a", ".hidden", "..a", "a b", "-rf", "ü/ö.md", "x" * 255, "ü" * 127, "👩‍🔬.txt", "a\\b"]
)
def test_a_plain_name_is_kept_as_it_is(run: Run, tmp_path: Path, name: str) -> None:
    assert land(run, Landing(tmp_path), name).path == str(tmp_path / name)
    assert files(tmp_path) == [name]


def test_a_file_that_is_not_ours_is_never_replaced(run: Run, tmp_path: Path) -> None:
    for name in ("report.md", "report-2.md"):
        (tmp_path / name).write_bytes(b"the person's")
    landing = Landing(tmp_path)
    assert land(run, landing, "report.md").path == str(tmp_path / "report-3.md")
    assert (tmp_path / "report.md").read_bytes() == (tmp_path / "report-2.md").read_bytes() == b"the person's"
    assert land(run, landing, "report.md", b"once more").path == str(tmp_path / "report-3.md")
    assert files(tmp_path) == ["report-2.md", "report-3.md", "report.md"]


@pytest.mark.parametrize(
    ("name", "landed"),
    [
        ("a.tar.gz", "a.tar-2.gz"),
        (".hidden", ".hidden-2"),
        ("x" * 255, "x" * 253 + "-2"),
        ("a." + "x" * 253, "2-a." + "x" * 241),
    ],
)
def test_the_number_fits_into_the_name(run: Run, tmp_path: Path, name: str, landed: str) -> None:
    (tmp_path / name).write_bytes(b"the person's")
    assert land(run, Landing(tmp_path), name).path == str(tmp_path / landed)


def test_delivered_again_it_replaces_what_was_delivered(run: Run, tmp_path: Path) -> None:
    landing = Landing(tmp_path)
    land(run, landing, "report.md", b"first")
    assert land(run, landing, "report.md", b"second").path == str(tmp_path / "report.md")
    assert (tmp_path / "report.md").read_bytes() == b"second"
    assert files(tmp_path) == ["report.md"]


@pytest.mark.parametrize("theirs", [b"the person's own", b"firsT"])
def test_what_a_person_has_put_in_its_place_is_not_replaced(run: Run, tmp_path: Path, theirs: bytes) -> None:
    landing = Landing(tmp_path)
    land(run, landing, "report.md", b"first")
    (tmp_path / "report.md").rename(tmp_path / "kept.md")
    (tmp_path / "report.md").write_bytes(theirs)
    for again in (landing, Landing(tmp_path, ours=landing.ours)):
        assert land(run, again, "report.md", b"second").path == str(tmp_path / "report-2.md")
    assert (tmp_path / "report.md").read_bytes() == theirs
    assert files(tmp_path) == ["kept.md", "report-2.md", "report.md"]


def test_what_is_ours_outlives_the_driver(run: Run, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_bytes(b"the person's")
    first = Landing(tmp_path)
    land(run, first, "report.md", b"first")
    second = Landing(tmp_path, ours=first.ours)
    assert land(run, second, "report.md", b"second").path == str(tmp_path / "report-2.md")
    assert files(tmp_path) == ["report-2.md", "report.md"]


def test_a_driver_killed_between_landing_and_its_note_does_not_land_it_twice(run: Run, tmp_path: Path) -> None:
    land(run, Landing(tmp_path), "report.md")
    again = Landing(tmp_path)
    assert land(run, again, "report.md").path == str(tmp_path / "report.md")
    assert files(tmp_path) == ["report.md"]
    # It may as well be the person's own file, so it is not taken for ours.
    assert again.ours == {}
    assert land(run, again, "report.md", b"changed").path == str(tmp_path / "report-2.md")


KILLED = """
import os, signal, sys
import anyio
from optio_agents.landing import Landing

async def chunks():
    yield b"half of "
    os.kill(os.getpid(), signal.SIGKILL)

anyio.run(Landing(sys.argv[1], session=sys.argv[2]).receive, "report.md", chunks())
"""


def test_what_a_driver_that_was_killed_had_not_finished_is_removed_by_the_next_one_and_nothing_else(
    run: Run, tmp_path: Path
) -> None:
    for session in ("5e55104", "another"):
        killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path, session])
        assert killed.returncode == -signal.SIGKILL
    (tmp_path / f".report.md.12345678{PART_SUFFIX}").write_bytes(b"of a copy that is under way")
    assert len(files(tmp_path)) == 3
    assert land(run, Landing(tmp_path, session="5e55104"), "report.md").path == str(tmp_path / "report.md")
    assert len(files(tmp_path)) == 3
    land(run, Landing(tmp_path, session="another"), "other.md")
    assert files(tmp_path) == [f".report.md.12345678{PART_SUFFIX}", "other.md", "report.md"]


def test_a_note_that_points_elsewhere_is_forgotten(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "out" / "mine").write_bytes(b"precious")
    for path in (str(tmp_path / "precious"), f"{tmp_path}/out/../precious", "precious", f"{tmp_path}/out/mine"):
        landing = Landing(tmp_path / "out", ours={"sub/a": Landed("sub/a", path, 8, sha256_of(b"precious"))})
        assert landing.ours == {}
        assert land(run, landing, "sub/a").path == str(tmp_path / "out" / "sub" / "a")
    assert (tmp_path / "precious").read_bytes() == (tmp_path / "out" / "mine").read_bytes() == b"precious"


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_what_stands_where_ours_stood_is_not_replaced(run: Run, tmp_path: Path, kind: str) -> None:
    landing = Landing(tmp_path / "out")
    land(run, landing, "report.md")
    path = tmp_path / "out" / "report.md"
    path.unlink()
    (tmp_path / "precious").write_bytes(b"precious")
    {"link": lambda: path.symlink_to("../precious"), "directory": path.mkdir, "fifo": lambda: os.mkfifo(path)}[kind]()
    before = path.lstat().st_ino
    assert land(run, landing, "report.md").path == str(tmp_path / "out" / "report-2.md")
    assert path.lstat().st_ino == before
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_dangling_link_is_not_written_through(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to("../evil")
    assert land(run, Landing(tmp_path / "out"), "a").path == str(tmp_path / "out" / "a-2")
    assert not (tmp_path / "evil").exists()


def test_a_link_on_the_way_is_not_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to("..")
    (tmp_path / "out" / "file").write_bytes(b"x")
    for name in ("sub/evil", "sub/deeper/evil", "file/evil"):
        with pytest.raises(FileRefused, match="symbolic link or a file"):
            land(run, Landing(tmp_path / "out"), name)
    assert files(tmp_path) == ["out/file", "out/sub"]


def test_a_full_disk_leaves_what_landed_before(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    landing = Landing(tmp_path)
    land(run, landing, "report.md", b"first")
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        if bytes(data) == b"xxxx":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(TransferFailed, match="disk is full"):
        land(run, landing, "report.md", b"..." + b"xxxx")
    assert (tmp_path / "report.md").read_bytes() == b"first"
    assert files(tmp_path) == ["report.md"]


def test_a_stream_that_refuses_at_its_end_leaves_nothing(run: Run, tmp_path: Path) -> None:
    async def changing() -> AsyncIterator[bytes]:
        yield b"half"
        raise FileRefused("report.md", "changed while it was read")

    async def body() -> None:
        await Landing(tmp_path).receive("report.md", changing())

    with pytest.raises(FileRefused, match="changed while"):
        run(body)
    assert files(tmp_path) == []


def test_the_stream_is_closed_even_when_the_name_is_refused(run: Run, tmp_path: Path) -> None:
    closed: list[bool] = []

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield b"x"
        finally:
            closed.append(True)

    async def body() -> None:
        chunks = stream()
        await anext(chunks)
        with pytest.raises(FileRefused):
            await Landing(tmp_path).receive("../x", chunks)
        assert closed == [True]

    run(body)


def test_a_cancelled_landing_leaves_nothing(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        begun = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1000)
                begun.set()

        task = asyncio.ensure_future(Landing(tmp_path).receive("a", endless()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(body)
    assert files(tmp_path) == []


def test_on_a_disk_without_hard_links_nothing_is_replaced_either(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*args: object, **options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    (tmp_path / "a").write_bytes(b"the person's")
    assert land(run, Landing(tmp_path), "a").path == str(tmp_path / "a-2")
    assert (tmp_path / "a").read_bytes() == b"the person's"
    assert (tmp_path / "a-2").read_bytes() == b"content"


def test_preparing_creates_nothing(run: Run, tmp_path: Path) -> None:
    run(Landing(tmp_path / "new" / "out").prepare)
    run(Landing(tmp_path).prepare)
    assert os.listdir(tmp_path) == []


def test_a_file_where_the_directory_should_be_is_said_before_anything(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "file/out", "dangling"):
        with pytest.raises(TransferFailed, match="cannot land here"):
            run(Landing(tmp_path / name).prepare)


def test_an_unwritable_directory_is_said_before_anything(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    # Root may write to any directory but one of a file system that takes no files.
    unwritable = Path("/proc") if os.geteuid() == 0 else tmp_path / "out"
    for directory in (unwritable, unwritable / "deeper"):
        with pytest.raises(TransferFailed, match="cannot land here"):
            run(Landing(directory).prepare)


@given(st.text(max_size=30))
def test_no_name_leads_out(name: str) -> None:
    try:
        segments = check_name(name)
    except FileRefused:
        return
    assert "/".join(segments) == name
    assert os.path.normpath(os.path.join("/out", name)) == f"/out/{name}"
    assert name.isprintable() or not any(ord(char) < 32 for char in name)
