"""The contract of a host on this machine, as task code uses it: through LocalHost and nothing else."""

import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from optio_host.errors import FileRefused, TransferFailed
from optio_host.host import FollowsFiles, StreamsFiles
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture
def host(taskdir: str) -> LocalHost:
    host = LocalHost(taskdir)
    os.makedirs(host.workdir)
    return host


def test_it_offers_following_and_streaming(host: LocalHost) -> None:
    assert isinstance(host, FollowsFiles)
    assert isinstance(host, StreamsFiles)


def test_connecting_and_disconnecting_twice_is_fine(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        for _ in range(2):
            await host.connect()
        for _ in range(2):
            await host.disconnect()

    run(body)


def test_text_is_written_below_the_workdir_and_nowhere_else(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        await host.write_text("a/b/note.txt", "grüße\n")
        assert Path(host.workdir, "a/b/note.txt").read_text() == "grüße\n"
        for outside in ("../note.txt", "/etc/note.txt", "a/../../note.txt"):
            with pytest.raises(ValueError, match="workdir"):
                await host.write_text(outside, "x")

    run(body)


def test_a_file_is_put_and_fetched_with_progress(run: Run, host: LocalHost, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    source = tmp_path / "source"
    source.write_bytes(content)

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 50_000):
            yield content[start : start + 50_000]

    async def body() -> None:
        sources = {"path": source, "text": str(source), "bytes": content, "stream": stream()}
        for name, each in sources.items():
            target = os.path.join(host.workdir, "new", name)
            seen: list[tuple[float | None, str | None]] = []
            await host.put_file_to_host(
                each, target,
                expected_sha256=hashlib.sha256(content).hexdigest(),
                progress_cb=lambda percent, message, seen=seen: seen.append((percent, message)),
            )  # fmt: skip
            assert seen[-1][0] == 100.0
            assert await host.fetch_bytes_from_host(target) == content
        await host.remove_file(target)
        await host.remove_file(target)
        with pytest.raises(FileNotFoundError):
            await host.fetch_bytes_from_host(target)

    run(body)


def test_a_broken_copy_leaves_the_old_file(run: Run, host: LocalHost) -> None:
    target = os.path.join(host.workdir, "file")

    async def body() -> None:
        await host.put_file_to_host(b"old", target)
        with pytest.raises(TransferFailed):
            await host.put_file_to_host(b"new", target, expected_sha256="0" * 64)
        assert Path(target).read_bytes() == b"old"
        assert os.listdir(host.workdir) == ["file"]

    run(body)


def test_an_unchanged_file_is_not_copied_again(run: Run, host: LocalHost) -> None:
    target = os.path.join(host.workdir, "file")
    said: list[str | None] = []

    async def body() -> None:
        await host.put_file_to_host(b"same", target)
        before = os.stat(target)
        await host.put_file_to_host(
            b"same", target, skip_if_unchanged=True, progress_cb=lambda _, message: said.append(message)
        )
        after = os.stat(target)
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert said[-1] == "already up to date"

    run(body)


def test_what_is_no_regular_file_is_not_fetched_and_does_not_block(run: Run, host: LocalHost) -> None:
    fifo = os.path.join(host.workdir, "fifo")
    os.mkfifo(fifo)

    async def body() -> None:
        for path in (fifo, host.workdir, "/dev/zero"):
            with pytest.raises(FileRefused):
                await host.fetch_bytes_from_host(path)

    run(body)


def test_a_workdir_survives_archive_and_restore(run: Run, host: LocalHost, tmp_path: Path) -> None:
    async def body() -> None:
        await host.write_text("src/main.py", "print()\n")
        await host.write_text("node_modules/x/index.js", "")
        os.symlink("src/main.py", os.path.join(host.workdir, "link"))
        chunks = [chunk async for chunk in host.archive_workdir(["node_modules"])]
        other = LocalHost(str(tmp_path / "other"))
        await other.setup_workdir()
        await other.write_text("stale.txt", "goes away")

        async def stream() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        await other.restore_workdir(stream())
        assert sorted(os.listdir(other.workdir)) == ["link", "src"]
        assert Path(other.workdir, "link").read_text() == "print()\n"
        assert os.stat(other.workdir).st_mode & 0o777 == 0o700

    run(body)


def test_the_home_directory_is_the_users(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        assert await host.resolve_host_home() == str(Path.home())

    run(body)


def test_paths_with_every_odd_character_are_taken_as_they_are(run: Run, host: LocalHost) -> None:
    async def body() -> None:
        for name in ("with blank", "quo'te\"s", "new\nline", "-rf", "$(touch x)", "ünïcode", "*"):
            target = os.path.join(host.workdir, name)
            await host.put_file_to_host(b"x", target)
            assert await host.fetch_bytes_from_host(target) == b"x"
            await host.remove_file(target)
        assert os.listdir(host.workdir) == []

    run(body)
