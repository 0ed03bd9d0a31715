"""A file that crosses a link is whole and verified, or what stood there before still stands there; traps stay there."""

import hashlib
import os
import socket
import stat
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from far_link import FarLink
from job_rig import shells_here
from test_ssh_trees import SHELLS, far

from optio_host.errors import FileRefused, LinkLost, TransferFailed
from optio_host.job_shell import arguments, assignments, farside
from optio_host.local.files import ALREADY_UP_TO_DATE
from optio_host.ssh import get, put
from optio_host.ssh.link import Link
from optio_host.testing.clock import ManualClock
from optio_host.testing.relay import Relay
from ssh_rig import config_for
from sshd_rig import Sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]

BIG = os.urandom(300_017)
ODD = 'it\'s "odd" $(touch x)\n-ü'


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.fixture(params=SHELLS)
def link(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FarLink:
    return far(request.param, tmp_path_factory.mktemp("bin"))


def send(run: Run, link: FarLink, source: object, target: object, **options: object) -> None:
    async def body() -> None:
        await put.put_file(link, source, str(target), **options)  # type: ignore[arg-type]

    run(body)


def read(run: Run, link: FarLink, path: object, **options: object) -> bytes:
    content: list[bytes] = []

    async def body() -> None:
        async with aclosing(get.stream_file(link, str(path), **options)) as chunks:  # type: ignore[arg-type]
            async for chunk in chunks:
                content.append(chunk)

    run(body)
    return b"".join(content)


def refused(run: Run, link: FarLink, path: object, reason: str, **options: object) -> None:
    with pytest.raises(FileRefused) as caught:
        read(run, link, path, **options)
    assert reason in caught.value.reason


class Told:
    def __init__(self) -> None:
        self.calls: list[tuple[float | None, str | None]] = []

    def __call__(self, percent: float | None, message: str | None) -> None:
        self.calls.append((percent, message))


@pytest.mark.parametrize("kind", ["path", "bytes", "iterator"])
def test_every_kind_of_source_arrives_whole(run: Run, tmp_path: Path, link: FarLink, kind: str) -> None:
    (tmp_path / "source").write_bytes(BIG)
    source: object = {
        "path": tmp_path / "source",
        "bytes": BIG,
        "iterator": chunks_of(BIG[:1], b"", BIG[1:70_000], BIG[70_000:]),
    }[kind]
    target = tmp_path / ODD / "parents" / f"-{ODD}"
    told = Told()
    send(run, link, source, target, expected_sha256=sha256(BIG).upper(), progress_cb=told)
    assert target.read_bytes() == BIG
    assert os.listdir(target.parent) == [target.name]
    assert told.calls[-1] == (100.0, None)


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_tiny_file_comes_and_goes(run: Run, tmp_path: Path, link: FarLink, content: bytes) -> None:
    send(run, link, content, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
    assert read(run, link, tmp_path / "file") == content


def test_a_name_that_is_not_utf8_and_as_long_as_names_may_be(run: Run, tmp_path: Path, link: FarLink) -> None:
    name = os.fsdecode(b"\xff" * 255)
    send(run, link, b"x", tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    assert read(run, link, tmp_path / name) == b"x"


# The SHA-256 behind the bytes is 64 digits long: cut before it, in it, and one byte before its end.
@pytest.mark.parametrize("at", [1, 150_000, 300_017, 300_030, 300_080])
@pytest.mark.parametrize("kind", ["bytes", "iterator"])
def test_a_link_lost_in_the_middle_leaves_the_old_file_and_no_part(
    run: Run, tmp_path: Path, link: FarLink, kind: str, at: int
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    link.budgets = [at]
    with pytest.raises(LinkLost):
        send(run, link, BIG if kind == "bytes" else chunks_of(BIG), target)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["target"]


def test_bytes_that_are_not_the_expected_ones_leave_the_old_file(run: Run, tmp_path: Path, link: FarLink) -> None:
    (tmp_path / "target").write_bytes(b"old")
    with pytest.raises(TransferFailed, match="expected was"):
        send(run, link, BIG, tmp_path / "target", expected_sha256=sha256(b"other"))
    assert (tmp_path / "target").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["target"]


def test_bytes_that_a_bad_disk_stored_otherwise_are_noticed(run: Run, tmp_path: Path, link: FarLink) -> None:
    spoil = 'for f in .*.optio-part; do printf y | command dd of="$f" conv=notrunc 2>/dev/null; done'
    link.before_script = f'dd() {{ command dd "$@"; {spoil}; }}\n'
    with pytest.raises(TransferFailed, match="check the disk"):
        send(run, link, b"xxx", tmp_path / "target")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_the_old_file_and_says_why(run: Run, tmp_path: Path, link: FarLink) -> None:
    (tmp_path / "target").write_bytes(b"old")
    link.before_script = (
        "cat() { command dd bs=1 count=10 2>/dev/null; echo 'No space left on device' >&2; return 1; }\n"
    )
    with pytest.raises(TransferFailed, match="No space left on device"):
        send(run, link, BIG, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["target"]


def test_too_little_free_space_is_said_before_anything_is_sent(run: Run, tmp_path: Path, link: FarLink) -> None:
    head = "Filesystem 1024-blocks Used Available Capacity Mounted on"
    link.before_script = f"df() {{ echo '{head}'; echo '/dev/a b 9 8 1 90% /mnt/x y'; }}\n"
    with pytest.raises(TransferFailed, match="needs 300017 bytes, free are 1024"):
        send(run, link, BIG, tmp_path / "target")
    assert os.listdir(tmp_path) == []
    assert link.taken == [0]


def test_modes_are_those_of_a_local_copy(run: Run, tmp_path: Path, link: FarLink) -> None:
    (tmp_path / "replaced").touch(mode=0o604)
    (tmp_path / "replaced").chmod(0o604)
    (tmp_path / "tool").touch()
    (tmp_path / "tool").chmod(0o755)
    link.before_script = "umask 027\n"
    send(run, link, b"new", tmp_path / "replaced")
    send(run, link, b"new", tmp_path / "plain")
    send(run, link, tmp_path / "tool", tmp_path / "executable")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("replaced", "plain", "executable")]
    assert modes == [0o604, 0o640, 0o750]


def test_a_partial_file_is_readable_by_its_owner_alone(run: Run, tmp_path: Path, link: FarLink) -> None:
    seen: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        yield b"secret"
        [part] = tmp_path.glob(".target.*.optio-part")
        seen.append(stat.S_IMODE(part.stat().st_mode))

    send(run, link, source(), tmp_path / "target")
    assert seen == [0o600]


def test_what_must_not_be_replaced_is_refused(run: Run, tmp_path: Path, link: FarLink) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path)
    for target, why in (
        ("fifo", "no regular file"),
        ("link", "is a directory"),
        ("", "is a directory"),
        ("x/", "is a dir"),
    ):
        with pytest.raises(FileRefused, match=why):
            send(run, link, b"x", f"{tmp_path}/{target}")
    for bad in ("relative", "", "/tmp/nul\0"):
        with pytest.raises(ValueError, match="absolute"):
            send(run, link, b"x", bad)
    (tmp_path / "file").touch()
    with pytest.raises(TransferFailed, match="cannot be written"):
        send(run, link, b"x", tmp_path / "file" / "below")
    assert sorted(os.listdir(tmp_path)) == ["fifo", "file", "link"]


def test_a_link_as_target_is_replaced_and_what_it_leads_to_stays(run: Run, tmp_path: Path, link: FarLink) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "target").symlink_to("precious")
    send(run, link, b"new", tmp_path / "target")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "target").is_symlink()


@pytest.mark.parametrize("kind", ["path", "bytes", "iterator"])
def test_a_copy_that_is_up_to_date_sends_nothing(run: Run, tmp_path: Path, link: FarLink, kind: str) -> None:
    (tmp_path / "source").write_bytes(BIG)
    (tmp_path / "target").write_bytes(BIG)
    told = Told()
    source: object = {"path": tmp_path / "source", "bytes": BIG, "iterator": chunks_of(b"never read")}[kind]
    expected = sha256(BIG) if kind == "iterator" else None
    send(run, link, source, tmp_path / "target", skip_if_unchanged=True, expected_sha256=expected, progress_cb=told)
    assert told.calls == [(100.0, ALREADY_UP_TO_DATE)]
    assert link.taken == [0]
    (tmp_path / "target").write_bytes(BIG[::-1])
    send(run, link, BIG, tmp_path / "target", skip_if_unchanged=True)
    assert (tmp_path / "target").read_bytes() == BIG


def test_a_source_that_raises_leaves_nothing(run: Run, tmp_path: Path, link: FarLink) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError, match="source is gone"):
        send(run, link, broken(), tmp_path / "target")
    assert os.listdir(tmp_path) == []


@pytest.fixture
def resumed_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(put, "RESUMED", 100_000)
    monkeypatch.setattr(put, "CHUNK", 10_000)


@pytest.mark.usefixtures("resumed_early")
def test_a_large_copy_goes_on_behind_what_is_there_when_the_link_comes_back(
    run: Run, tmp_path: Path, link: FarLink
) -> None:
    # The last one breaks in the hash behind the bytes.
    link.budgets = [100_000, 50_000, 150_017 + 7 + 20]
    told = Told()
    send(run, link, BIG, tmp_path / "target", progress_cb=told)
    assert (tmp_path / "target").read_bytes() == BIG
    assert sum(link.taken) < len(BIG) + 200
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.usefixtures("resumed_early")
def test_a_large_copy_that_failed_is_continued_by_the_next_one(
    run: Run, tmp_path: Path, link: FarLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put, "RECONNECTS", 0)
    (tmp_path / "source").write_bytes(BIG)
    link.budgets = [200_000]
    with pytest.raises(LinkLost):
        send(run, link, tmp_path / "source", tmp_path / "to" / "target")
    assert len(os.listdir(tmp_path / "to")) == 1
    send(run, link, tmp_path / "source", tmp_path / "to" / "target")
    assert link.taken[-1] < 100_200
    assert os.listdir(tmp_path / "to") == ["target"]
    assert (tmp_path / "to" / "target").read_bytes() == BIG


@pytest.mark.usefixtures("resumed_early")
def test_what_lies_in_wait_under_the_name_of_a_broken_copy_is_not_believed(
    run: Run, tmp_path: Path, link: FarLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put, "RECONNECTS", 0)
    (tmp_path / "precious").write_bytes(b"precious")
    for trap in ("other bytes", "link"):
        link.budgets = [200_000]
        with pytest.raises(LinkLost):
            send(run, link, BIG, tmp_path / "target")
        [part] = tmp_path.glob("*.optio-part")
        if trap == "link":
            # Even one to the right bytes: what it leads to is not ours to write to.
            (tmp_path / "precious").write_bytes(BIG[:1000])
            part.unlink()
            part.symlink_to("precious")
        else:
            part.write_bytes(b"x" * 200_000)
        send(run, link, BIG, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == BIG
        assert len((tmp_path / "precious").read_bytes()) == (1000 if trap == "link" else 8)
        assert sorted(os.listdir(tmp_path)) == ["precious", "target"]


@pytest.mark.usefixtures("resumed_early")
def test_a_large_copy_that_is_given_up_leaves_nothing(run: Run, tmp_path: Path, link: FarLink) -> None:
    def angry(percent: float | None, message: str | None) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        send(run, link, BIG, tmp_path / "target", progress_cb=angry)
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("resumed_early")
def test_old_leftovers_are_swept(run: Run, tmp_path: Path, link: FarLink) -> None:
    for name, days in ((".a.0.optio-part", 3), (".b.0.optio-part", 0)):
        (tmp_path / name).touch()
        old = (tmp_path / name).stat().st_mtime - days * 86400
        os.utime(tmp_path / name, (old, old))
    send(run, link, BIG, tmp_path / "target")
    assert sorted(os.listdir(tmp_path)) == [".b.0.optio-part", "target"]


# write_text


def test_write_text_creates_parents_and_follows_links_that_stay_inside(run: Run, tmp_path: Path, link: FarLink) -> None:
    (tmp_path / "link").symlink_to("a/../real")

    async def body() -> None:
        await put.write_text(link, str(tmp_path), f"a/{ODD}/b.txt", "grüße\n")  # type: ignore[arg-type]
        await put.write_text(link, str(tmp_path), "link", "x")  # type: ignore[arg-type]

    run(body)
    assert (tmp_path / "a" / ODD / "b.txt").read_bytes() == "grüße\n".encode()
    assert (tmp_path / "real").read_text() == "x"


@pytest.mark.parametrize("relpath", ["../out", "/etc/out", "a/../../out", "", ".", "link/out", "to-out", "loop/x"])
def test_write_text_does_not_leave_the_workdir(run: Run, tmp_path: Path, link: FarLink, relpath: str) -> None:
    workdir = tmp_path / "workdir"
    workdir.mkdir()
    (workdir / "link").symlink_to(tmp_path)
    (workdir / "to-out").symlink_to("../out")
    (workdir / "loop").symlink_to("loop")

    async def body() -> None:
        await put.write_text(link, str(workdir), relpath, "x")  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=r"leads out|relative"):
        run(body)
    assert not (tmp_path / "out").exists()


# Reading


def test_a_file_comes_in_chunks_with_its_percents(run: Run, tmp_path: Path, link: FarLink) -> None:
    (tmp_path / ODD).write_bytes(BIG * 4)
    told = Told()

    async def body() -> None:
        content = await get.fetch_bytes(link, str(tmp_path / ODD), progress_cb=told)  # type: ignore[arg-type]
        assert content == BIG * 4

    run(body)
    assert told.calls[-1] == (100.0, None)
    assert len(told.calls) >= 3


def test_traps_are_refused_for_what_they_are(run: Run, tmp_path: Path, link: FarLink) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("missing")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(tmp_path)  # the address of a socket is short
        listener.bind("socket")
    refused(run, link, tmp_path, "is a directory")
    refused(run, link, tmp_path / "fifo", "FIFO")
    refused(run, link, tmp_path / "socket", "a socket")
    refused(run, link, tmp_path / "loop", "circle")
    refused(run, link, "/dev/zero", "a character device")
    for name in ("missing", "nowhere", "missing/below"):
        with pytest.raises(FileNotFoundError):
            read(run, link, tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(run: Run, tmp_path: Path, link: FarLink) -> None:
    (tmp_path / "locked").touch(mode=0o000)
    refused(run, link, tmp_path / "locked", "may not read")


def test_what_leads_out_of_deliverables_is_refused(run: Run, tmp_path: Path, link: FarLink) -> None:
    inside = tmp_path / ODD
    inside.mkdir()
    (tmp_path / f"{ODD}-2").mkdir()
    (tmp_path / f"{ODD}-2" / "file").touch()
    (tmp_path / "secret").write_bytes(b"secret")
    (inside / "report").symlink_to("../secret")
    (inside / "up").symlink_to("..")
    (inside / "real\n").write_bytes(b"x")
    (inside / "link").symlink_to("real\n")
    (tmp_path / "way-in").symlink_to(ODD)
    for path in (inside / "report", inside / "up" / "secret", f"{inside}/../secret", tmp_path / f"{ODD}-2" / "file"):
        refused(run, link, path, "outside", within=str(inside))
    assert read(run, link, inside / "link", within=str(inside)) == b"x"
    assert read(run, link, inside / "link", within=str(tmp_path / "way-in")) == b"x"


def test_a_file_above_the_limit_is_refused(run: Run, tmp_path: Path, link: FarLink) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    refused(run, link, tmp_path / "file", "more than the limit of 4", max_bytes=4)
    assert read(run, link, tmp_path / "file", max_bytes=5) == b"12345"
    refused(run, link, "/proc/cpuinfo", "the limit", max_bytes=100)


# What stands in for cat changes the file when half of it is read.
CHANGES = {
    "grows": 'echo more >>"$F"',
    "shrinks": ': >"$F"',
    "is exchanged": 'cp "$F" "$F.new"; mv "$F.new" "$F"',
    "is removed": 'rm "$F"',
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_changes_while_it_is_read_is_refused(run: Run, tmp_path: Path, change: str) -> None:
    link = FarLink()
    (tmp_path / "file").write_bytes(BIG)
    link.before_script = f"F={tmp_path}/file; cat() {{ head -c 100; {change}; command cat; }}\n"
    refused(run, link, tmp_path / "file", "changed while it was read")


def test_bytes_that_are_not_those_on_the_host_are_noticed(run: Run, tmp_path: Path) -> None:
    link = FarLink()
    (tmp_path / "file").write_bytes(BIG)
    link.before_script = "cat() { tr a b; }\n"
    with pytest.raises(TransferFailed, match="SHA-256"):
        read(run, link, tmp_path / "file")


def test_a_link_lost_while_a_file_is_read_is_lost(run: Run, tmp_path: Path) -> None:
    link = FarLink()
    (tmp_path / "file").write_bytes(BIG)
    link.before_script = "cat() { head -c 1000; kill -KILL $$; }\n"
    with pytest.raises(Exception, match="killed by SIGKILL"):
        read(run, link, tmp_path / "file")


def test_a_fifo_that_is_swapped_in_holds_nobody_up(run: Run, tmp_path: Path) -> None:
    link = FarLink()
    (tmp_path / "file").write_bytes(b"x")
    # Between the look and the opening.
    link.edited = ("exec 6>&1", f"exec 6>&1; rm {tmp_path}/file; mkfifo {tmp_path}/file")
    clock = ManualClock(jump_after=0.3)
    with pytest.raises(TransferFailed, match="nothing has moved for 60 s"):
        read(run, link, tmp_path / "file", clock=clock)


def test_a_host_that_computes_no_hash_is_refused_and_told_what_to_install(run: Run, tmp_path: Path) -> None:
    tools = ("cat", "chmod", "dd", "df", "find", "mkdir", "mv", "rm", "sed", "stat", "sync", "tail")
    for name in tools:
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(
            f"/usr/bin/{name}" if os.path.exists(f"/usr/bin/{name}") else f"/bin/{name}"
        )
    link = FarLink("sh", path=str(tmp_path / "bin"))
    with pytest.raises(TransferFailed, match="install openssl"):
        send(run, link, b"x", tmp_path / "to" / "target")
    assert os.listdir(tmp_path / "to") == []


# Over a real sshd


def over_sshd(run: Run, server: Sshd, body: Callable[[Link, Relay], Awaitable[object]]) -> None:
    async def connected() -> None:
        async with Relay(server.port) as relay:
            link = Link(config_for(server, port=relay.port))
            try:
                await body(link, relay)
            finally:
                await link.close()

    run(connected)


def test_files_cross_a_real_link_both_ways(run: Run, tmp_path: Path, sshd_here: Sshd) -> None:
    content = os.urandom(5_000_000)

    async def body(link: Link, relay: Relay) -> None:
        await put.put_file(link, content, str(tmp_path / ODD))
        assert await get.fetch_bytes(link, str(tmp_path / ODD)) == content
        with pytest.raises(FileNotFoundError):
            await get.fetch_bytes(link, str(tmp_path / "missing"))

    over_sshd(run, sshd_here, body)


@pytest.mark.usefixtures("resumed_early")
def test_a_copy_whose_real_link_is_cut_three_times_arrives_whole(run: Run, tmp_path: Path, sshd_here: Sshd) -> None:
    content = os.urandom(8_000_000)
    cuts = 0

    async def body(link: Link, relay: Relay) -> None:
        far_enough = {percent: anyio.Event() for percent in (10, 40, 70)}

        def told(percent: float | None, message: str | None) -> None:
            for each, event in far_enough.items():
                if percent is not None and percent >= each:
                    event.set()

        async def cut_each_time() -> None:
            nonlocal cuts
            for event in far_enough.values():
                await event.wait()
                await relay.drop()
                cuts += 1

        async with anyio.create_task_group() as group:
            group.start_soon(cut_each_time)
            await put.put_file(link, content, str(tmp_path / "target"), progress_cb=told)

    over_sshd(run, sshd_here, body)
    assert cuts == 3
    assert (tmp_path / "target").read_bytes() == content
    assert os.listdir(tmp_path) == ["target"]


def test_a_put_that_is_cancelled_leaves_nothing_over_there(run: Run, tmp_path: Path, sshd_here: Sshd) -> None:
    async def body(link: Link, relay: Relay) -> None:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1000)
                begun.set()

        begun = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(put.put_file, link, endless(), str(tmp_path / "target"))
            await begun.wait()
            group.cancel_scope.cancel()

    over_sshd(run, sshd_here, body)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("shell", shells_here())
def test_a_link_lost_before_the_first_answer_leaves_no_part(tmp_path: Path, shell: str) -> None:
    script = farside("files", "put")
    script += assignments(
        target=str(tmp_path / "new"), parent=str(tmp_path), name="new", part=".new.optio-part", keep="", nonce="n"
    )
    script += arguments("receive", "3", "0", "")
    nobody_reads, answers = os.pipe()
    os.close(nobody_reads)
    try:
        subprocess.run([*shell.split(), "-c", script], input=b"abc", stdout=answers, timeout=20, check=False)
    finally:
        os.close(answers)
    assert os.listdir(tmp_path) == []
