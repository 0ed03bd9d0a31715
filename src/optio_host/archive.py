"""A working directory as a gzip-compressed tar, and back. Both ways in bounded memory."""

import os
import stat
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import aclosing
from fnmatch import fnmatchcase

import anyio

from .errors import TransferFailed
from .local.part import PART_SUFFIX, open_part
from .restore import leads_out, restore
from .steps import in_threads
from .tar_stream import END, file_member, gzipped, header

DEFAULT_WORKDIR_EXCLUDES = (".git", "node_modules", "__pycache__", ".venv", "*.pyc", ".DS_Store")
"""What is left out unless the caller says otherwise: what tools can make again. Published."""

Skipped = Callable[[str, str], None]
"""Called with (relative path, why it was left out). Called in a worker thread."""


def yield_workdir_archive(
    root: str, exclude: Sequence[str] | None = None, *, on_skip: Skipped | None = None
) -> AsyncGenerator[bytes, None]:
    """A directory as a gzip-compressed tar, in chunks.

    Symbolic links are kept as links. FIFOs, sockets and devices are left out, and so are links that lead out of the
    directory, which could not be restored. A file that grows meanwhile is kept as long as it was.

    Parameters:
        root: absolute path.
        exclude: glob patterns; what matches one with any segment or with the whole relative path is left out. None:
            `DEFAULT_WORKDIR_EXCLUDES`.
        on_skip: told what was left out for another reason than a pattern.

    Raises FileNotFoundError when there is no such directory; TransferFailed when something in it cannot be read or a
    large file became shorter meanwhile.
    """
    patterns = DEFAULT_WORKDIR_EXCLUDES if exclude is None else tuple(exclude)
    return in_threads(gzipped(_tar(root, patterns, on_skip or (lambda path, reason: None))))


async def consume_workdir_archive(stream: AsyncIterator[bytes], dest: str) -> None:
    """Replace the content of a directory by that of such an archive. A broken archive leaves it as it was.

    The archive is first stored, then extracted, both inside the directory under temporary names; only then are the old
    entries moved away and the new ones in. The directory itself stays: a process may stand in it, a watcher may look at
    it, it may be a mount point. Killed in the middle of those moves (not of the extraction), it holds a mixture, and
    the rest of both is in its `.restore.*.optio-part`.

    Parameters:
        stream: the chunks.
        dest: absolute path; created with mode 0700 if it is not there.

    Raises FileRefused for an archive that would leave the directory (absolute names, `..`, links leading out, hard
    links to anything but a file of the archive) or holds devices; TransferFailed for one that is broken or cut off, and
    when the disk is full.
    """
    await anyio.to_thread.run_sync(lambda: os.makedirs(dest, mode=0o700, exist_ok=True))
    async with open_part(dest, "archive", lambda: _open_directory(dest), mode=0o600) as stored:
        async for chunk in stream:
            await anyio.to_thread.run_sync(stored.write, chunk)
        async with aclosing(in_threads(restore(dest, stored.name))) as steps:
            async for _ in steps:
                pass


def _open_directory(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _tar(workdir: str, exclude: tuple[str, ...], on_skip: Skipped) -> Generator[bytes, None, None]:
    pending = [""]
    while pending:
        directory = pending.pop()
        for name in _names(workdir, directory):
            relative = f"{directory}/{name}" if directory else name
            if is_excluded(relative, name, exclude):
                continue
            path = os.path.join(workdir, relative)
            try:
                seen = os.lstat(path)
                mode = stat.S_IMODE(seen.st_mode)
                if stat.S_ISDIR(seen.st_mode):
                    pending.append(relative)
                    yield header(relative, tarfile.DIRTYPE, mode=mode, mtime=seen.st_mtime)
                elif stat.S_ISREG(seen.st_mode):
                    yield from file_member(path, relative)
                elif not stat.S_ISLNK(seen.st_mode):
                    on_skip(relative, "is no file, directory or symbolic link")
                elif leads_out(relative, target := os.readlink(path)):
                    on_skip(relative, f"is a symbolic link that leads out: {target}")
                else:
                    yield header(relative, tarfile.SYMTYPE, mode=mode, mtime=seen.st_mtime, target=target)
            except FileNotFoundError:
                continue  # removed since its directory was listed
            except OSError as error:
                raise TransferFailed(f"{path}: cannot be archived: {error.strerror}; exclude it") from error
    yield END


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


def is_excluded(relative: str, name: str, exclude: Sequence[str]) -> bool:
    """Whether a path, of which `name` is the last segment, is left out; those above it are asked about first."""
    # What stands above was not excluded, or it would not have been entered: its own name is the segment that is left.
    if name.endswith(PART_SUFFIX):
        return True
    return any(fnmatchcase(name, pattern) or fnmatchcase(relative, pattern) for pattern in exclude)
