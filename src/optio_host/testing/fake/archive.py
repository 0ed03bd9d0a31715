"""Archives of a fake host's workdir, made and extracted by the code of the real ones in a temporary directory."""

import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from posixpath import join
from tempfile import TemporaryDirectory

from ...archive import consume_workdir_archive, yield_workdir_archive
from .link import Operation
from .tree import FileTree


async def pack(
    operation: Operation, files: FileTree, workdir: str, exclude: Sequence[str] | None
) -> AsyncGenerator[bytes]:
    """See `optio_host.Host.archive_workdir`."""
    await operation.reach()
    with TemporaryDirectory(prefix="optio-fake-") as directory:
        _copy_out(files, workdir, directory)
        async with aclosing(yield_workdir_archive(directory, exclude)) as chunks:
            async for chunk in chunks:
                pieces: list[bytes] = []
                await operation.carry(chunk, pieces.append)
                yield b"".join(pieces)


async def unpack(operation: Operation, files: FileTree, workdir: str, stream: AsyncIterator[bytes]) -> None:
    """See `optio_host.Host.restore_workdir`."""
    with TemporaryDirectory(prefix="optio-fake-") as directory:
        await consume_workdir_archive(_carried(operation, stream), directory)
        files.mkdir(workdir, mode=0o700)
        for name in files.listing(workdir):
            files.remove(join(workdir, name))
        _copy_in(files, workdir, directory)
    await operation.answer()


async def _carried(operation: Operation, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    async for chunk in stream:
        pieces: list[bytes] = []
        await operation.carry(chunk, pieces.append)
        yield b"".join(pieces)


def _copy_out(files: FileTree, source: str, target: str) -> None:
    for name in files.listing(source):
        node, path = files.node(join(source, name), follow=False), os.path.join(target, name)
        if node.is_dir:
            os.mkdir(path, 0o700)
            _copy_out(files, join(source, name), path)
        elif node.kind == stat.S_IFLNK:
            os.symlink(node.target, path)
            continue
        elif node.is_file:
            with open(path, "wb") as file:
                file.write(node.data)
        else:
            os.mkfifo(path)
        os.chmod(path, node.mode)
        os.utime(path, (node.mtime, node.mtime))


def _copy_in(files: FileTree, target: str, source: str) -> None:
    for entry in sorted(os.scandir(source), key=lambda each: each.name):
        path = join(target, entry.name)
        seen = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(seen.st_mode):
            files.symlink(path, os.readlink(entry.path))
            continue
        if stat.S_ISDIR(seen.st_mode):
            files.mkdir(path)
            os.chmod(entry.path, 0o700)
            _copy_in(files, path, entry.path)
        else:
            with open(entry.path, "rb") as file:
                files.write(path, file.read())
        files.chmod(path, stat.S_IMODE(seen.st_mode))
        files.node(path).mtime = seen.st_mtime
