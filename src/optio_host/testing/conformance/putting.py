"""Promises about `put_file_to_host`: whole, verified and in one step, or not at all."""

import hashlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel

from ...errors import FileRefused, TransferFailed
from ...host import Source
from .ground import Ground, fails

CONTENT = bytes(range(256)) * 5000
"""More than any buffer on the way holds."""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def every_kind_of_source_arrives_whole(ground: Ground) -> None:
    """A path, as text or `Path`, the bytes, or a stream of them; parents are made; percents rise to 100."""
    with tempfile.TemporaryDirectory(prefix="optio-conformance-") as directory:
        source = await anyio.to_thread.run_sync(_written, directory)
        sources: dict[str, Source] = {
            "path": str(source),
            "Path": source,
            "bytes": CONTENT,
            "stream": _chunks(CONTENT[:1], b"", CONTENT[1:70_000], CONTENT[70_000:]),
        }
        for name, each in sources.items():
            target = ground.path(f"new dir/{name}")
            told: list[float] = []

            def tell(percent: float | None, message: str | None, told: list[float] = told) -> None:
                if percent is not None:
                    told.append(percent)

            await ground.host.put_file_to_host(
                each, target, expected_sha256=_sha256(CONTENT), skip_if_unchanged=True, progress_cb=tell
            )
            assert await ground.host.fetch_bytes_from_host(target) == CONTENT
            assert (told[-1], told) == (100.0, sorted(told)), name
        assert await ground.far.names(ground.path("new dir")) == sorted(sources)


def _written(directory: str) -> Path:
    path = Path(directory, "source file")
    path.write_bytes(CONTENT)
    return path


async def an_empty_file_is_put(ground: Ground) -> None:
    """Nothing is something too, from every kind of source."""
    for source in (b"", _chunks(), _chunks(b"", b"")):
        await ground.host.put_file_to_host(source, ground.path("empty"))
        assert await ground.far.read(ground.path("empty")) == b""
        await ground.host.remove_file(ground.path("empty"))


async def bytes_that_are_not_the_expected_ones_leave_the_old_file(ground: Ground) -> None:
    """TransferFailed; where there was no file there is none, and nothing else is left either."""
    host, far = ground.host, ground.far
    await host.put_file_to_host(b"old", ground.path("old"), expected_sha256=_sha256(b"old").upper())
    for name in ("old", "none"):
        await fails(TransferFailed, host.put_file_to_host(b"new", ground.path(name), expected_sha256=_sha256(b"other")))
    assert await far.read(ground.path("old")) == b"old"
    assert await far.names(host.workdir) == ["old"]


async def a_source_that_breaks_leaves_the_old_file(ground: Ground) -> None:
    """Its own error comes out, and no part of it stays over there."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ArithmeticError("the source broke")

    await ground.host.write_text("file", "old")
    await fails(ArithmeticError, ground.host.put_file_to_host(broken(), ground.path("file")))
    assert await ground.far.read(ground.path("file")) == b"old"
    assert await ground.far.names(ground.host.workdir) == ["file"]


async def a_cancelled_copy_leaves_the_old_file(ground: Ground) -> None:
    """And no part of the new one."""
    with anyio.CancelScope() as scope:

        async def endless() -> AsyncIterator[bytes]:
            yield bytes(100_000)
            scope.cancel()
            while True:
                await anyio.lowlevel.checkpoint()
                yield bytes(1000)

        await ground.host.write_text("file", "old")
        await ground.host.put_file_to_host(endless(), ground.path("file"))
    assert scope.cancelled_caught
    assert await ground.far.read(ground.path("file")) == b"old"
    assert await ground.far.names(ground.host.workdir) == ["file"]


async def a_file_is_replaced_in_one_step(ground: Ground) -> None:
    """Whoever has the old one open keeps reading the old one; a link at the target is replaced, not written through."""
    host, far = ground.host, ground.far
    await host.write_text("file", "old")
    before = await far.inode(ground.path("file"))
    await host.put_file_to_host(b"new", ground.path("file"))
    assert await far.inode(ground.path("file")) != before
    await far.symlink("file", ground.path("link"))
    await host.put_file_to_host(b"newer", ground.path("link"))
    assert await far.read(ground.path("file")) == b"new"
    assert await far.read(ground.path("link")) == b"newer"


async def a_replaced_file_hands_on_its_permissions(ground: Ground) -> None:
    """A script stays executable, a secret stays private; and so does what was executable here."""
    host, far = ground.host, ground.far
    for mode in (0o750, 0o600, 0o644):
        await host.put_file_to_host(b"old", ground.path("file"))
        await far.chmod(ground.path("file"), mode)
        await host.put_file_to_host(b"new", ground.path("file"))
        assert await far.mode(ground.path("file")) == mode
    with tempfile.TemporaryDirectory(prefix="optio-conformance-") as directory:
        tool = await anyio.to_thread.run_sync(_written, directory)
        tool.chmod(0o700)
        await host.put_file_to_host(tool, ground.path("tool"))
        assert (await far.mode(ground.path("tool")) or 0) & 0o700 == 0o700


async def an_unchanged_file_is_not_copied_again(ground: Ground) -> None:
    """The published message says so; a file that differs is copied, and so is one whose bytes cannot be known."""
    host, path = ground.host, ground.path("file")
    await host.put_file_to_host(b"same", path)
    before = await ground.far.inode(path)
    told: list[tuple[float | None, str | None]] = []

    def tell(percent: float | None, message: str | None) -> None:
        told.append((percent, message))

    await host.put_file_to_host(b"same", path, skip_if_unchanged=True, progress_cb=tell)
    await host.put_file_to_host(_chunks(b"same"), path, skip_if_unchanged=True, expected_sha256=_sha256(b"same"))
    assert told[-1][1] == "already up to date"
    assert await ground.far.inode(path) == before
    told.clear()
    await host.put_file_to_host(b"SAME", path, skip_if_unchanged=True, progress_cb=tell)
    assert all(message != "already up to date" for _, message in told)
    assert await ground.far.read(path) == b"SAME"


async def a_target_that_is_no_file_is_refused(ground: Ground) -> None:
    """FileRefused for a directory and for what is no regular file, ValueError for a relative path."""
    host, far = ground.host, ground.far
    await far.mkdir(ground.path("directory"))
    await far.fifo(ground.path("fifo"))
    for name in ("directory", "fifo"):
        await fails(FileRefused, host.put_file_to_host(b"x", ground.path(name)))
    await fails(ValueError, host.put_file_to_host(b"x", "relative"))
    assert await far.names(host.workdir) == ["directory", "fifo"]
    assert await far.names(ground.path("directory")) == []


async def what_is_in_the_way_of_a_parent_is_an_error(ground: Ground) -> None:
    """TransferFailed, and the file in the way is as it was."""
    await ground.host.write_text("file", "x")
    await fails(TransferFailed, ground.host.put_file_to_host(b"x", ground.path("file/below/it")))
    assert await ground.far.read(ground.path("file")) == b"x"


async def a_source_that_is_not_there_is_file_not_found(ground: Ground) -> None:
    """And nothing is touched on the host."""
    with tempfile.TemporaryDirectory(prefix="optio-conformance-") as directory:
        for skip in (False, True):
            call = ground.host.put_file_to_host(f"{directory}/missing", ground.path("new/file"), skip_if_unchanged=skip)
            await fails(FileNotFoundError, call)
    assert await ground.far.names(ground.host.workdir) == []


PROMISES = (
    every_kind_of_source_arrives_whole,
    an_empty_file_is_put,
    bytes_that_are_not_the_expected_ones_leave_the_old_file,
    a_source_that_breaks_leaves_the_old_file,
    a_cancelled_copy_leaves_the_old_file,
    a_file_is_replaced_in_one_step,
    a_replaced_file_hands_on_its_permissions,
    an_unchanged_file_is_not_copied_again,
    a_target_that_is_no_file_is_refused,
    what_is_in_the_way_of_a_parent_is_an_error,
    a_source_that_is_not_there_is_file_not_found,
)
