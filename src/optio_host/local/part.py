"""A file that is whole or not there: written under a temporary name beside its target, then renamed."""

import errno
import hashlib
import os
import re
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import anyio

from ..errors import TransferFailed

PART_SUFFIX = ".optio-part"
"""How the temporary names end: a file named so belongs to a copy that is under way or was killed."""

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EFBIG: "it grew too large"}


@asynccontextmanager
async def open_part(
    shown: str,
    name: str,
    open_directory: Callable[[], int],
    *,
    mode: int | None,
    size: int | None = None,
    writer: str = "",
) -> AsyncIterator["PartFile"]:
    """Begin a file; whatever was not put in its place when the block ends is removed.

    Parameters:
        shown: the target, as messages name it.
        name: the last part of the target, from which the temporary name is made.
        open_directory: opens the directory it will stand in; the descriptor is closed at the end. Blocking.
        mode: permission bits at the end; None: what the umask gives a new file. While it is partial it is 0600.
        size: how many bytes are to come, if known; TransferFailed when there is not so much room.
        writer: a few letters for who begins at most one file at a time: what it began in the same directory before, and
            was killed over, is removed. "": nobody in particular, and nothing is.
    """
    part = PartFile(shown, name, open_directory, mode, writer)
    try:
        await anyio.to_thread.run_sync(part.begin, size)
        yield part
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(part.discard)


class PartFile:
    """A file being written. All methods block; call them in worker threads. Every OSError comes as TransferFailed.

    A caller's task may be cancelled while a worker thread is still inside; the lock makes `discard` wait for it.

    Attributes:
        name: its temporary name in the directory.
        size: bytes written so far.
        mode: permission bits it will have.
    """

    def __init__(
        self, shown: str, name: str, open_directory: Callable[[], int], mode: int | None, writer: str = ""
    ) -> None:
        self._shown = shown
        # 50 characters are at most 200 bytes, so the temporary name fits where the name does.
        self.name = f".{name[:50]}.{writer}{secrets.token_hex(4)}{PART_SUFFIX}"
        self._writer = writer
        self._open_directory = open_directory
        self._wanted_mode = mode
        self._lock = threading.Lock()
        self._directory: int | None = None
        self._file: int | None = None
        self._discarded = False
        self._hash = hashlib.sha256()
        self.size = 0
        self.mode = 0o600

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written so far, in lower-case hexadecimal."""
        return self._hash.hexdigest()

    def begin(self, size: int | None) -> None:
        """Look for room and create the temporary file."""
        with self._lock:
            if self._discarded:
                return
            try:
                self._directory = self._open_directory()
                self._remove_what_was_left()
                self._check_room(size)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                # Created with the widest mode to learn what the umask leaves of it: it cannot be read without being
                # set. Nothing is in the file yet.
                mode = 0o666 if self._wanted_mode is None else 0o600
                self._file = os.open(self.name, flags, mode, dir_fd=self._directory)
                self.mode = os.fstat(self._file).st_mode & 0o777 if self._wanted_mode is None else self._wanted_mode
                os.fchmod(self._file, 0o600)
            except OSError as error:
                raise self._failed(error) from error

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes."""
        with self._lock:
            if self._file is None:
                return
            try:
                rest = memoryview(chunk)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
            except OSError as error:
                raise self._failed(error) from error
            self._hash.update(chunk)
            self.size += len(chunk)

    def replace(self, name: str) -> None:
        """Give it its name, in place of whatever file has it."""
        with self._lock:
            if self._directory is None:
                return
            try:
                self._seal()
                os.rename(self.name, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
                os.fsync(self._directory)
            except OSError as error:
                raise self._failed(error) from error

    def take_free_name(self, name: str) -> bool:
        """Give it its name if nothing has that name; otherwise False, and it can be tried with another."""
        with self._lock:
            if self._directory is None:
                return False
            try:
                self._seal()
                if not self._link(name):
                    return False
                os.fsync(self._directory)
            except OSError as error:
                raise self._failed(error) from error
            return True

    def discard(self) -> None:
        """Let go of it; the temporary file is removed if it was not renamed."""
        with self._lock:
            self._discarded = True
            if self._file is not None:
                os.close(self._file)
            if self._directory is not None:
                try:
                    os.unlink(self.name, dir_fd=self._directory)
                except FileNotFoundError:
                    pass  # it has its name
                finally:
                    os.close(self._directory)
            self._file = self._directory = None

    def _link(self, name: str) -> bool:
        # A rename replaces what is there; a link does not. Where there are no hard links (FAT), an empty file reserves
        # the name.
        assert self._directory is not None
        try:
            os.link(self.name, name, src_dir_fd=self._directory, dst_dir_fd=self._directory, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
        else:
            return True
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.mode, dir_fd=self._directory))
        except FileExistsError:
            return False
        os.rename(self.name, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        return True

    def _remove_what_was_left(self) -> None:
        if not self._writer:
            return
        of_this_writer = re.compile(rf"\..*\.{re.escape(self._writer)}[0-9a-f]{{8}}{re.escape(PART_SUFFIX)}")
        for left in filter(of_this_writer.fullmatch, os.listdir(self._directory)):
            with suppress(FileNotFoundError):
                os.unlink(left, dir_fd=self._directory)

    def _seal(self) -> None:
        assert self._file is not None
        stored = os.fstat(self._file).st_size
        if stored != self.size:
            raise TransferFailed(f"{self._shown}: {self.size} bytes were written and {stored} stored; check the disk")
        os.fchmod(self._file, self.mode)
        os.fsync(self._file)

    def _check_room(self, size: int | None) -> None:
        assert self._directory is not None
        disk = os.fstatvfs(self._directory)
        free = disk.f_bavail * disk.f_frsize
        # Some network file systems do not tell their size; theirs is 0 blocks.
        if size is not None and disk.f_blocks and size > free:
            raise TransferFailed(f"{self._shown}: needs {size} bytes, free are {free}; make room or use another disk")

    def _failed(self, error: OSError) -> TransferFailed:
        reason = _FULL.get(error.errno or 0, error.strerror)
        return TransferFailed(f"{self._shown}: cannot be written: {reason}; what was there before is untouched")
