"""Promises about the workdir as an archive, and back."""

import io
import tarfile
from collections.abc import AsyncIterator

from ...archive import DEFAULT_WORKDIR_EXCLUDES
from ...errors import FileRefused, HostError
from .files import ODD_NAMES
from .ground import Ground, collect, fails


async def _chunks(archive: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(archive), size):
        yield archive[start : start + size]


def _tar(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return packed.getvalue()


def _member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


async def a_workdir_comes_back_as_it_was(ground: Ground) -> None:
    """Contents, permissions, empty directories, links, every odd name; what came since is gone, 0700 stays."""
    host, far = ground.host, ground.far
    content = bytes(range(256)) * 2000
    for name in ODD_NAMES:
        await host.put_file_to_host(name.encode(errors="surrogateescape"), ground.path(f"names/{name}"))
    await host.put_file_to_host(content, ground.path("src/deep/data"))
    await host.write_text("src/run.sh", "#!/bin/sh\n")
    await far.chmod(ground.path("src/run.sh"), 0o750)
    await far.mkdir(ground.path("empty"))
    await far.symlink("src/deep/data", ground.path("link"))
    archive = await collect(host.archive_workdir([]))
    await host.remove_file(ground.path("src/run.sh"))
    await host.write_text("src/deep/data", "overwritten")
    await host.write_text("stale", "goes away")
    await host.restore_workdir(_chunks(archive))
    assert await far.names(host.workdir) == ["empty", "link", "names", "src"]
    assert await far.names(ground.path("names")) == sorted(ODD_NAMES)
    assert await host.fetch_bytes_from_host(ground.path("link")) == content
    for name in ODD_NAMES:
        found = await host.fetch_bytes_from_host(ground.path(f"names/{name}"))
        assert found == name.encode(errors="surrogateescape")
    assert await far.mode(ground.path("src/run.sh")) == 0o750
    assert await far.names(ground.path("empty")) == []
    assert await far.mode(host.workdir) == 0o700


async def an_archive_is_a_gzip_compressed_tar(ground: Ground) -> None:
    """Other programs read it, and what they write is restored."""
    await ground.host.write_text("a/file", "content")
    packed = await collect(ground.host.archive_workdir(()))
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        files = {each.name.removeprefix("./"): each for each in archive if each.isfile()}
        content = archive.extractfile(files["a/file"])
        assert list(files) == ["a/file"]
        assert content is not None
        assert content.read() == b"content"
    await ground.host.restore_workdir(_chunks(_tar(("./b/file", b"other"), ("top", b""))))
    assert await ground.far.names(ground.host.workdir) == ["b", "top"]
    assert await ground.far.read(ground.path("b/file")) == b"other"


async def what_is_excluded_is_left_out(ground: Ground) -> None:
    """A pattern is held against each segment and against the whole relative path."""
    paths = ("keep.py", "drop.pyc", "a/.git/config", "a/node_modules/x/y.js", "docs/out/page", "out/page", "a/out")
    for path in paths:
        await ground.host.write_text(path, "x")
    for exclude, left in (
        (DEFAULT_WORKDIR_EXCLUDES, {"keep.py", "docs/out/page", "out/page", "a/out"}),
        (["docs/out"], set(paths) - {"docs/out/page"}),
        (["out"], {"keep.py", "drop.pyc", "a/.git/config", "a/node_modules/x/y.js"}),
        (["*.p?"], set(paths) - {"keep.py"}),
        ([], set(paths)),
    ):
        packed = await collect(ground.host.archive_workdir(exclude))
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
            assert {each.name.removeprefix("./") for each in archive if each.isfile()} == left, exclude


async def an_archive_that_leaves_the_workdir_is_refused_whole(ground: Ground) -> None:
    """FileRefused, nothing outside is touched, and the workdir is as it was: also not half of it is extracted."""
    host, far = ground.host, ground.far
    await host.write_text("old", "still here")
    for bad in (
        [("../evil", b"x")],
        [(f"{host.taskdir}/evil", b"x")],
        [("a/../../evil", b"x")],
        [_member("link", tarfile.SYMTYPE, ".."), ("link/evil", b"x")],
        [_member("link", tarfile.SYMTYPE, "/etc")],
        [_member("link", tarfile.LNKTYPE, "../../../../../../etc/passwd")],
        [_member("pipe", tarfile.FIFOTYPE)],
        [_member("null", tarfile.CHRTYPE)],
    ):
        await fails(FileRefused, host.restore_workdir(_chunks(_tar(("good", b"x"), *bad))))
        assert await far.names(host.workdir) == ["old"], bad
        assert await far.names(host.taskdir) == ["workdir"], bad
    assert await far.read(ground.path("old")) == b"still here"


async def an_archive_that_breaks_off_leaves_the_workdir_as_it_was(ground: Ground) -> None:
    """Cut short, damaged, nothing at all, or a stream that fails."""
    host = ground.host
    await host.write_text("old", "still here")
    packed = _tar(*((f"file {number}", bytes([number]) * 5000) for number in range(20)))
    for broken in (packed[: len(packed) // 2], packed[:-9], packed[:-6] + b"\0" + packed[-5:], b"no archive", b""):
        await fails(HostError, host.restore_workdir(_chunks(broken)))

    async def failing() -> AsyncIterator[bytes]:
        yield packed[:100]
        raise ArithmeticError("the source broke")

    await fails(ArithmeticError, host.restore_workdir(failing()))
    assert await ground.far.names(host.workdir) == ["old"]
    assert await ground.far.read(ground.path("old")) == b"still here"


PROMISES = (
    a_workdir_comes_back_as_it_was,
    an_archive_is_a_gzip_compressed_tar,
    what_is_excluded_is_left_out,
    an_archive_that_leaves_the_workdir_is_refused_whole,
    an_archive_that_breaks_off_leaves_the_workdir_as_it_was,
)
