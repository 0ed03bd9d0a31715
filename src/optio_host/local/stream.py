"""Reading a file that someone else may own, write or have put there as a trap.

A path says little: it can be a symbolic link to /etc/shadow, a FIFO that blocks whoever opens it, a device, or a file
that changes while it is read. So the file is opened first, without waiting, and judged by what the open descriptor
says. A hard link cannot be told from the file itself.
"""

import errno
import os
import stat
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio

from ..errors import FileRefused, TransferFailed
from ..host import ProgressCallback
from ..progress import CopyProgress

CHUNK = 1024 * 1024
"""Bytes read at a time: one hop to a worker thread is then lost in the cost of reading and hashing."""

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO (named pipe)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFLNK: "a symbolic link",
}


async def stream_file(
    path: str, *, within: str | None = None, max_bytes: int | None = None, chunk_size: int = CHUNK
) -> AsyncGenerator[bytes, None]:
    """A regular file in chunks, as `optio_host.host.StreamsFiles` says.

    Parameters:
        path: absolute path; symbolic links are followed.
        within: a directory that the file must lie in once they are.
        max_bytes: the largest size that is handed over.
        chunk_size: bytes per chunk, at most.

    Raises FileNotFoundError (also for a link that leads nowhere), ValueError for a relative path, TransferFailed when
    reading breaks, FileRefused for what is no regular file, outside `within`, too large, not readable for this user, or
    changed while it was read. The last one comes after the chunks: nothing may be made of them before the end.
    """
    async with open_regular(path, within=within, max_bytes=max_bytes) as file:
        async with aclosing(file.chunks(chunk_size)) as chunks:
            async for chunk in chunks:
                yield chunk


async def fetch_bytes(path: str, *, progress_cb: ProgressCallback | None = None, max_bytes: int | None = None) -> bytes:
    """The content of a regular file; raises what `stream_file` raises."""
    async with open_regular(path, max_bytes=max_bytes) as file:
        progress = CopyProgress(progress_cb, file.size)
        pieces: list[bytes] = []
        count = 0
        async with aclosing(file.chunks()) as chunks:
            async for chunk in chunks:
                pieces.append(chunk)
                count += len(chunk)
                progress.advance(count)
    progress.finish()
    return b"".join(pieces)


@asynccontextmanager
async def open_regular(
    path: str, *, within: str | None = None, max_bytes: int | None = None
) -> AsyncIterator["RegularFile"]:
    """Open and judge a file, and close it at the end; raises what `stream_file` raises."""
    file = RegularFile(path, within=within, max_bytes=max_bytes)
    try:
        await anyio.to_thread.run_sync(file.open)
        yield file
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(file.close)


class RegularFile:
    """One regular file, open for reading. Made by `open_regular`.

    A caller's task may be cancelled while a worker thread is still inside; the lock makes `close` wait for that thread,
    so that a descriptor is never closed, and its number given to another file, under a read.
    """

    def __init__(self, path: str, *, within: str | None = None, max_bytes: int | None = None) -> None:
        if not os.path.isabs(path) or "\0" in path:
            raise ValueError(f"{path!r}: an absolute path without NUL is needed")
        self._path = path
        self._within = within
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._closed = False
        self._resolved = path
        self._first: os.stat_result | None = None

    @property
    def size(self) -> int:
        """Its size in bytes when it was opened."""
        return self._opened().st_size

    @property
    def mode(self) -> int:
        """Its permission bits."""
        return stat.S_IMODE(self._opened().st_mode)

    @property
    def identity(self) -> str:
        """Which file it is and in which version, as far as the file system tells."""
        seen = self._opened()
        return f"{seen.st_dev} {seen.st_ino} {seen.st_size} {seen.st_mtime_ns}"

    def open(self) -> None:
        """Open and judge it. Blocking."""
        with self._lock:
            if self._closed:
                return
            try:
                self._resolved = os.path.realpath(self._path, strict=True)
                # Judged before it is opened too: opening is an act for some devices, and fails for a socket.
                self._judge(os.lstat(self._resolved))
                flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
                self._descriptor = os.open(self._resolved, flags)
                self._first = os.fstat(self._descriptor)
            except (FileNotFoundError, NotADirectoryError):
                raise FileNotFoundError(errno.ENOENT, "No such file", self._path) from None
            except OSError as error:
                raise FileRefused(self._path, _why_not_opened(error)) from error
            self._judge(self._first)
            self._check_place()

    def read(self, size: int) -> bytes:
        """The next bytes, b"" at the end, where the file must still be the one that was opened. Blocking."""
        with self._lock:
            if self._descriptor is None:
                raise ValueError(f"{self._path}: is closed")
            try:
                chunk = os.read(self._descriptor, size)
            except OSError as error:
                raise TransferFailed(f"{self._path}: cannot be read: {error.strerror}; check its disk") from error
            # Looked at after each chunk, so that a file that grows as fast as it is read comes to an end.
            self._check_unchanged(os.fstat(self._descriptor))
            if not chunk:
                self._check_still_named()
            return chunk

    def close(self) -> None:
        """Let go of it. Blocking while a read is under way."""
        with self._lock:
            self._closed = True
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    async def chunks(self, size: int = CHUNK) -> AsyncGenerator[bytes, None]:
        """Everything, in chunks of at most `size` bytes."""
        count = 0
        while chunk := await anyio.to_thread.run_sync(self.read, size):
            count += len(chunk)
            # Files of /proc and /sys hold more than their size says.
            if self._max_bytes is not None and count > self._max_bytes:
                raise FileRefused(self._path, f"has more than {self._max_bytes} bytes, the limit")
            yield chunk

    def _opened(self) -> os.stat_result:
        if self._first is None:
            raise ValueError(f"{self._path}: is not open")
        return self._first

    def _judge(self, seen: os.stat_result) -> None:
        if not stat.S_ISREG(seen.st_mode):
            kind = _KINDS.get(stat.S_IFMT(seen.st_mode), "something else")
            raise FileRefused(self._path, f"is {kind}, not a regular file")
        if self._max_bytes is not None and seen.st_size > self._max_bytes:
            raise FileRefused(self._path, f"has {seen.st_size} bytes, more than the limit of {self._max_bytes}")

    def _check_place(self) -> None:
        if self._within is None:
            return
        directory = os.path.realpath(self._within)
        if not is_below(self._where_it_is(), directory):
            raise FileRefused(self._path, f"lies outside {self._within}")

    def _where_it_is(self) -> str:
        """The path of the open file, which a directory exchanged for a link since it was resolved cannot falsify."""
        try:
            return os.readlink(f"/proc/self/fd/{self._descriptor}")
        except OSError:
            pass  # no /proc on this system: resolve once more and see that it is the same file
        again = os.path.realpath(self._path)
        if not os.path.samestat(os.lstat(again), self._opened()):
            raise FileRefused(self._path, "was exchanged while it was opened")
        return again

    def _check_unchanged(self, now: os.stat_result) -> None:
        first = self._opened()
        if (now.st_size, now.st_mtime_ns) != (first.st_size, first.st_mtime_ns):
            raise FileRefused(self._path, "changed while it was read")

    def _check_still_named(self) -> None:
        try:
            now = os.lstat(self._resolved)
        except OSError:
            raise FileRefused(self._path, "changed while it was read: it is no longer there") from None
        if not os.path.samestat(now, self._opened()):
            raise FileRefused(self._path, "changed while it was read: another file has its name now")


def is_below(path: str, directory: str) -> bool:
    """Whether a resolved path lies strictly below a resolved directory."""
    return path.startswith(directory.rstrip("/") + "/") and path.rstrip("/") != directory.rstrip("/")


def _why_not_opened(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "this user may not read it"
    if error.errno == errno.ELOOP:
        return "its symbolic links lead in a circle"
    return f"cannot be opened: {error.strerror}"
