"""The file operations of this machine. A file is put whole, verified and in one step, or not at all."""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import anyio

from ..errors import FileRefused, HostError, TransferFailed
from ..host import ProgressCallback, Source
from ..progress import CopyProgress
from .part import open_part
from .stream import CHUNK, RegularFile, fetch_bytes, is_below, open_regular, stream_file

__all__ = [
    "ALREADY_UP_TO_DATE",
    "fetch_bytes",
    "put_file",
    "remove_file",
    "remove_tree",
    "sha256_of_source",
    "stream_file",
    "write_text",
]

ALREADY_UP_TO_DATE = "already up to date"
"""The message of a copy that was skipped because the target is what it would become. Published."""


async def put_file(
    source: Source,
    target: str,
    *,
    expected_sha256: str | None = None,
    skip_if_unchanged: bool = False,
    progress_cb: ProgressCallback | None = None,
) -> None:
    """Copy to a file of this machine.

    The bytes go to a temporary name beside the target, are hashed on the way, flushed to the disk and renamed; at every
    moment the target is the old file or the new one. Its parents are created. A file that is replaced hands on its
    permission bits; a new one gets what the umask leaves, and the executable bits of a source path. A symbolic link at
    the target is replaced itself, not followed.

    Parameters:
        source: a path, the bytes, or an async iterator of bytes.
        target: absolute path.
        expected_sha256: what the SHA-256 of the bytes must be, in hexadecimal.
        skip_if_unchanged: write nothing when the target has the same bytes already. Of an iterator this can only be
            known by `expected_sha256`.
        progress_cb: told the percents, rising, and 100 at the end; what it raises ends the copy.

    Raises FileNotFoundError when a source path is not there; ValueError for a relative target; FileRefused when source
    or target is a directory or no regular file, or the source changed while it was read; TransferFailed when the bytes
    are not the expected ones or cannot be written, a full disk among the reasons.
    """
    mode = await anyio.to_thread.run_sync(_mode_of_target, target)
    async with AsyncExitStack() as opened:
        file: RegularFile | None = None
        size: int | None = None
        match source:
            case bytes():
                size = len(source)
            case str() | Path():
                file = await opened.enter_async_context(open_regular(_absolute(source)))
                size = file.size
            case _:
                pass
        progress = CopyProgress(progress_cb, size)
        if skip_if_unchanged:
            wanted = expected_sha256 or await sha256_of_source(source)
            if wanted is not None and await _has_content(target, size, wanted):
                progress.finish(ALREADY_UP_TO_DATE)
                return
        directory, name = os.path.split(target)
        async with open_part(target, name, lambda: _made_directory(directory), mode=mode, size=size) as part:
            chunks: AsyncGenerator[bytes | memoryview, None] = file.chunks() if file is not None else _chunks_of(source)
            async with aclosing(chunks):
                async for chunk in chunks:
                    await anyio.to_thread.run_sync(part.write, chunk)
                    progress.advance(part.size)
            if expected_sha256 is not None and part.sha256 != expected_sha256.lower():
                raise TransferFailed(
                    f"{target}: the bytes that came have SHA-256 {part.sha256}, expected was {expected_sha256}; "
                    "what was there before is untouched"
                )
            if file is not None and mode is None:
                # Whoever may read the copy may run it if they could run the source.
                part.mode |= file.mode & 0o111 & (part.mode >> 2)
            await anyio.to_thread.run_sync(part.replace, name)
    progress.finish()


async def write_text(workdir: str, relpath: str, content: str) -> None:
    """Write a text file below a directory, as UTF-8, in one step; parents are created.

    ValueError when the path, symbolic links resolved, leaves the directory; otherwise raises what `put_file` raises.
    """
    if os.path.isabs(relpath):
        raise ValueError(f"{relpath!r}: a path relative to {workdir} is needed")
    root = await anyio.to_thread.run_sync(os.path.realpath, workdir)
    target = await anyio.to_thread.run_sync(os.path.realpath, os.path.join(root, relpath))
    if not is_below(target, root):
        raise ValueError(f"{relpath!r}: leads out of {workdir}")
    await put_file(content.encode(), target)


async def remove_file(path: str) -> None:
    """Remove a file, or a symbolic link itself; one that is not there is fine. FileRefused for a directory."""
    try:
        await anyio.to_thread.run_sync(os.unlink, path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        # unlink(2) of a directory is EISDIR on Linux and EPERM elsewhere.
        if await anyio.to_thread.run_sync(os.path.isdir, path):
            raise FileRefused(path, "is a directory; only files are removed this way") from error
        raise HostError(f"{path}: cannot be removed: {error.strerror}") from error


def remove_tree(path: str) -> None:
    """Remove a directory with all it holds, directories that forbid it (Go's module cache is 0555) included. Blocking.

    One that is not there is fine. OSError when something cannot be removed.
    """
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except PermissionError:
        _unlock(path)
        shutil.rmtree(path)


def _unlock(path: str) -> None:
    pending = [path]
    while pending:
        directory = pending.pop()
        os.chmod(directory, 0o700)
        with os.scandir(directory) as entries:
            pending += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _mode_of_target(target: str) -> int | None:
    """Permission bits of the file that will be replaced; None when there is none. Refuses what must not be replaced."""
    if not os.path.isabs(target) or "\0" in target:
        raise ValueError(f"{target!r}: the target must be an absolute path without NUL")
    if os.path.isdir(target) or os.path.basename(target) in ("", ".", ".."):
        raise FileRefused(target, "is a directory; name the file in it")
    try:
        seen = os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise TransferFailed(f"{target}: cannot be written: {error.strerror}") from error
    if stat.S_ISLNK(seen.st_mode):
        return None
    if not stat.S_ISREG(seen.st_mode):
        raise FileRefused(target, "is no regular file and is not replaced; remove it first if that is meant")
    return stat.S_IMODE(seen.st_mode) & 0o777


def _made_directory(directory: str) -> int:
    try:
        os.makedirs(directory, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{directory} is no directory") from None
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


async def _chunks_of(source: Source) -> AsyncGenerator[bytes | memoryview, None]:
    if isinstance(source, bytes):
        view = memoryview(source)
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]
    elif not isinstance(source, str | Path):
        async for chunk in source:
            yield chunk


def _absolute(path: str | Path) -> str:
    return os.path.join(os.getcwd(), path)


async def sha256_of_source(source: Source) -> str | None:
    """What the bytes of a source will hash to; None for an iterator, which can be read only once."""
    if isinstance(source, bytes):
        return (await anyio.to_thread.run_sync(hashlib.sha256, source)).hexdigest()
    if isinstance(source, str | Path):
        return await _sha256_of_file(_absolute(source))
    return None


async def _has_content(target: str, size: int | None, sha256: str) -> bool:
    try:
        seen = await anyio.to_thread.run_sync(os.lstat, target)
    except OSError:
        return False
    if not stat.S_ISREG(seen.st_mode) or (size is not None and seen.st_size != size):
        return False
    return await _sha256_of_file(target) == sha256.lower()


async def _sha256_of_file(path: str) -> str:
    digest = hashlib.sha256()
    async with open_regular(path) as file:
        async with aclosing(file.chunks()) as chunks:
            async for chunk in chunks:
                await anyio.to_thread.run_sync(digest.update, chunk)
    return digest.hexdigest()
