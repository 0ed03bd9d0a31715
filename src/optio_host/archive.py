"""A working directory as a gzip-compressed tar, and back. Both ways in bounded memory."""

import os
import stat
import tarfile
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import aclosing
from fnmatch import fnmatchcase

import anyio

from .errors import TransferFailed
from .local.part import PART_SUFFIX, open_part
from .restore import leads_out, restore
from .steps import in_threads

DEFAULT_WORKDIR_EXCLUDES = (".git", "node_modules", "__pycache__", ".venv", "*.pyc", ".DS_Store")
"""What is left out unless the caller says otherwise: what tools can make again. Published."""

CHUNK = 256 * 1024
LEVEL = 3
"""Of zlib: about three times as fast as its default 6, for a few percent more bytes."""

Skipped = Callable[[str, str], None]
"""Called with (relative path, why it was left out). Called in a worker thread."""


def yield_workdir_archive(
    workdir: str, exclude: Sequence[str] = DEFAULT_WORKDIR_EXCLUDES, *, on_skip: Skipped | None = None
) -> AsyncGenerator[bytes, None]:
    """A directory as a gzip-compressed tar, in chunks.

    Symbolic links are kept as links. FIFOs, sockets and devices are left out, and so are links that lead out of the
    directory, which could not be restored. A file that grows meanwhile is kept as long as it was.

    Parameters:
        workdir: absolute path.
        exclude: glob patterns; what matches one with any segment or with the whole relative path is left out.
        on_skip: told what was left out for another reason than a pattern.

    Raises FileNotFoundError when there is no such directory; TransferFailed when something in it cannot be read or a
    large file became shorter meanwhile.
    """
    return in_threads(_archive(workdir, tuple(exclude), on_skip))


async def consume_workdir_archive(stream: AsyncIterator[bytes], workdir: str) -> None:
    """Replace the content of a directory by that of such an archive. A broken archive leaves it as it was.

    The archive is first stored, then extracted, both inside the directory under temporary names; only then are the old
    entries moved away and the new ones in. The directory itself stays: a process may stand in it, a watcher may look at
    it, it may be a mount point. Killed in the middle of those moves (not of the extraction), it holds a mixture, and
    the rest of both is in its `.restore.*.optio-part`.

    Parameters:
        stream: the chunks.
        workdir: absolute path; created with mode 0700 if it is not there.

    Raises FileRefused for an archive that would leave the directory (absolute names, `..`, links leading out, hard
    links to anything but a file of the archive) or holds devices; TransferFailed for one that is broken or cut off, and
    when the disk is full.
    """
    await anyio.to_thread.run_sync(lambda: os.makedirs(workdir, mode=0o700, exist_ok=True))
    async with open_part(workdir, "archive", lambda: _open_directory(workdir), mode=0o600) as stored:
        async for chunk in stream:
            await anyio.to_thread.run_sync(stored.write, chunk)
        async with aclosing(in_threads(restore(workdir, stored.name))) as steps:
            async for _ in steps:
                pass


def _open_directory(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _archive(workdir: str, exclude: tuple[str, ...], on_skip: Skipped | None) -> Generator[bytes, None, None]:
    # 31: the largest window, in a gzip frame.
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    ready = bytearray()
    for block in _tar(workdir, exclude, on_skip or (lambda path, reason: None)):
        ready += compressor.compress(block)
        if len(ready) >= CHUNK:
            yield bytes(ready)
            ready.clear()
    yield bytes(ready) + compressor.flush()


def _tar(workdir: str, exclude: tuple[str, ...], on_skip: Skipped) -> Generator[bytes, None, None]:
    pending = [""]
    while pending:
        directory = pending.pop()
        for name in _names(workdir, directory):
            relative = f"{directory}/{name}" if directory else name
            if _is_excluded(relative, name, exclude):
                continue
            path = os.path.join(workdir, relative)
            try:
                seen = os.lstat(path)
                if stat.S_ISDIR(seen.st_mode):
                    pending.append(relative)
                    yield _header(relative, seen, tarfile.DIRTYPE)
                elif stat.S_ISREG(seen.st_mode):
                    yield from _file(path, relative)
                elif not stat.S_ISLNK(seen.st_mode):
                    on_skip(relative, "is no file, directory or symbolic link")
                elif leads_out(relative, target := os.readlink(path)):
                    on_skip(relative, f"is a symbolic link that leads out: {target}")
                else:
                    yield _header(relative, seen, tarfile.SYMTYPE, target=target)
            except FileNotFoundError:
                continue  # removed since its directory was listed
            except OSError as error:
                raise TransferFailed(f"{path}: cannot be archived: {error.strerror}; exclude it") from error
    # Two empty blocks end a tar, as pax(1) has it.
    yield bytes(2 * tarfile.BLOCKSIZE)


def _names(workdir: str, directory: str) -> list[str]:
    path = os.path.join(workdir, directory)
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        if not directory:
            raise
        return []
    except OSError as error:
        raise TransferFailed(f"{path}: cannot be archived: {error.strerror}; exclude it") from error


def _is_excluded(relative: str, name: str, exclude: tuple[str, ...]) -> bool:
    # What stands above was not excluded, or it would not have been entered: its own name is the segment that is left.
    if name.endswith(PART_SUFFIX):
        return True
    return any(fnmatchcase(name, pattern) or fnmatchcase(relative, pattern) for pattern in exclude)


def _file(path: str, relative: str) -> Generator[bytes, None, None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            return
        # The size stands before the content; of a file that fits in one chunk it is what was really read.
        chunk = file.read(CHUNK) or b""
        size = len(chunk) if len(chunk) < CHUNK else max(seen.st_size, CHUNK)
        yield _header(relative, seen, tarfile.REGTYPE, size=size)
        left = size
        while left > 0:
            if not chunk:
                raise TransferFailed(f"{path}: became shorter while it was archived; try again")
            yield chunk[:left]
            left -= len(chunk)
            chunk = file.read(CHUNK) if left > 0 else b""
        yield bytes(-size % tarfile.BLOCKSIZE)


def _header(relative: str, seen: os.stat_result, kind: bytes, *, size: int = 0, target: str = "") -> bytes:
    info = tarfile.TarInfo(relative)
    info.type = kind
    info.size = size
    info.linkname = target
    info.mode = stat.S_IMODE(seen.st_mode)
    info.mtime = seen.st_mtime
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
