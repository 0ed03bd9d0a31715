"""Extracting an archive that nobody vouches for, and exchanging the content of a directory for what it held.

Only the headers are left to `tarfile`. Its own extraction with filter="data" has had holes (CVE-2025-4517 and its kin,
open in 3.11.4), so here no link is ever followed: parents are entered segment by segment without following links, and
the archive's symbolic links are made last.
"""

import gzip
import os
import secrets
import stat
import tarfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import IO

from .errors import FileRefused, TransferFailed
from .local.below import open_below
from .local.files import remove_tree
from .local.part import PART_SUFFIX

CHUNK = 1024 * 1024
STEP_FILES = 200
"""Members between two steps, at which an extraction can be cancelled."""

HEADER_LIMIT = 1024 * 1024
"""Bytes of an extended header; a larger one only serves to fill the memory of whoever reads it."""


def restore(workdir: str, archive: str) -> Generator[int, None, None]:
    """Exchange the content of a directory for that of an archive; yields between steps. Blocking.

    Parameters:
        workdir: the directory.
        archive: name of the archive, a file in it that is not touched.

    Raises FileRefused and TransferFailed; the directory is then as it was.
    """
    staging = os.path.join(workdir, f".restore.{secrets.token_hex(4)}{PART_SUFFIX}")
    new, old = os.path.join(staging, "new"), os.path.join(staging, "old")
    try:
        for directory in (staging, new, old):
            os.mkdir(directory, 0o700)
        root = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield from _extract(os.path.join(workdir, archive), root)
        finally:
            os.close(root)
        _exchange(workdir, new, old, keep={archive, os.path.basename(staging)})
        remove_tree(old)
    # tarfile raises ValueError for numbers that are none, and RecursionError for headers of headers.
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, RecursionError) as error:
        raise TransferFailed(f"{workdir}: the archive is broken or cut off ({error}); nothing was changed") from error
    except OSError as error:
        raise TransferFailed(f"{workdir}: cannot be restored: {error.strerror}; nothing was changed") from error
    finally:
        # What could not be moved back is the only copy there is.
        if not os.path.isdir(old) or not os.listdir(old):
            remove_tree(staging)


def leads_out(name: str, target: str) -> bool:
    """Whether a symbolic link may lead out of its tree.

    Parameters:
        name: where it stands, relative to the tree; no link among its parents.
        target: what it says.

    `..` is accepted only at the beginning of a target, where it climbs from a real directory. Behind a name it could
    climb from wherever that name leads if it is a link itself, and no look at the text would tell.
    """
    if not target or target.startswith("/") or "\0" in target:
        return True
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    return climbs > name.count("/") or ".." in parts[climbs:]


class SafeHeader(tarfile.TarInfo):
    """A header that is not believed: a broken one is an error and not the end, an extended one is bounded."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "SafeHeader":
        """See `tarfile.TarInfo.frombuf`."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # Behind the first member `tarfile` takes a broken header for the end, which only an empty block is.
            if bytes(buf) == bytes(tarfile.BLOCKSIZE):
                raise
            raise EOFError(str(error)) from error
        ordinary = (*tarfile.REGULAR_TYPES, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE)
        if header.type not in ordinary and header.size > HEADER_LIMIT:
            raise FileRefused(header.name, f"has a header of {header.size} bytes in the archive; limit {HEADER_LIMIT}")
        return header


def _extract(archive: str, root: int) -> Generator[int, None, None]:
    directories: dict[tuple[str, ...], int] = {}
    links: list[tuple[tuple[str, ...], str]] = []
    count = 0
    with gzip.open(archive) as plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=SafeHeader) as tar:
        for member in tar:
            # A TarFile remembers every member it has seen.
            tar.members = []  # type: ignore[attr-defined]
            segments = _segments(member.name)
            if member.isdir():
                if segments:
                    os.close(_open(root, segments))
                    directories[segments] = member.mode & 0o777
            elif not segments:
                raise FileRefused(member.name, "is the archive's own top and no directory")
            elif member.issym():
                if leads_out("/".join(segments), member.linkname):
                    raise FileRefused(member.name, f"is a link that may lead out of the directory: {member.linkname}")
                links.append((segments, member.linkname))
            elif member.islnk():
                _link(root, segments, _segments(member.linkname))
            elif member.isreg() and not member.issparse():
                content = tar.extractfile(member)
                assert content is not None
                yield from _write(root, segments, member, content)
            else:
                raise FileRefused(member.name, "is no file, directory or link; an archive may hold no more")
            count += 1
            if count % STEP_FILES == 0:
                yield count
        # Only at the very end does gzip compare its check sum.
        while plain.read(CHUNK):
            yield count
    for segments, target in links:
        with _parent(root, segments) as parent:
            _remove_earlier(parent, segments)
            os.symlink(target, segments[-1], dir_fd=parent)
    # Deepest first: a mode may forbid entering.
    for segments, mode in sorted(directories.items(), key=lambda each: len(each[0]), reverse=True):
        with _parent(root, segments) as parent:
            os.chmod(segments[-1], mode, dir_fd=parent)


def _write(
    root: int, segments: tuple[str, ...], member: tarfile.TarInfo, content: IO[bytes]
) -> Generator[int, None, None]:
    with _parent(root, segments) as parent:
        _remove_earlier(parent, segments)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(segments[-1], flags, 0o600, dir_fd=parent)
    with open(descriptor, "wb", buffering=0) as file:
        left = member.size
        while left > 0:
            chunk = content.read(min(left, CHUNK))
            if not chunk:
                raise EOFError(f"{member.name} is cut off")
            rest = memoryview(chunk)
            while rest:
                rest = rest[file.write(rest) :]
            left -= len(chunk)
            if left:
                yield left
        os.fchmod(descriptor, member.mode & 0o777)
        # The time comes from the archive and may be anything, not a number included.
        if 0 <= member.mtime < 2**40:
            os.utime(descriptor, (member.mtime, member.mtime))


def _link(root: int, segments: tuple[str, ...], target: tuple[str, ...]) -> None:
    name = "/".join(segments)
    if not target:
        raise FileRefused(name, "is a hard link to the top of the archive")
    with _parent(root, target) as source, _parent(root, segments) as parent:
        try:
            if not stat.S_ISREG(os.stat(target[-1], dir_fd=source, follow_symlinks=False).st_mode):
                raise FileRefused(name, "is a hard link to something that is no file")
        except FileNotFoundError:
            raise FileRefused(name, f"is a hard link to {'/'.join(target)}, which did not come before it") from None
        if segments != target:
            _remove_earlier(parent, segments)
            os.link(target[-1], segments[-1], src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)


def _segments(name: str) -> tuple[str, ...]:
    segments = tuple(segment for segment in name.split("/") if segment not in ("", "."))
    if name.startswith("/") or ".." in segments or "\0" in name:
        raise FileRefused(name, "leads out of the directory that the archive is extracted to")
    return segments


def _open(root: int, segments: tuple[str, ...]) -> int:
    try:
        return open_below(root, segments)
    except NotADirectoryError:
        raise FileRefused("/".join(segments), "is a directory and something else in the same archive") from None


@contextmanager
def _parent(root: int, segments: tuple[str, ...]) -> Iterator[int]:
    directory = _open(root, segments[:-1])
    try:
        yield directory
    finally:
        os.close(directory)


def _remove_earlier(parent: int, segments: tuple[str, ...]) -> None:
    """In a tar, the later member of a name wins."""
    try:
        seen = os.stat(segments[-1], dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(seen.st_mode):
        raise FileRefused("/".join(segments), "is a directory and something else in the same archive")
    os.unlink(segments[-1], dir_fd=parent)


def _exchange(workdir: str, new: str, old: str, keep: set[str]) -> None:
    moved: list[tuple[str, str]] = []
    try:
        for source, target in ((workdir, old), (new, workdir)):
            for name in sorted(set(os.listdir(source)) - keep):
                _move(os.path.join(source, name), os.path.join(target, name))
                moved.append((os.path.join(source, name), os.path.join(target, name)))
    except OSError as error:
        try:
            for came_from, went_to in reversed(moved):
                _move(went_to, came_from)
        except OSError as second:
            raise TransferFailed(
                f"{workdir}: cannot be restored: {error.strerror}, nor can the old content be put back: "
                f"{second.strerror}; what is missing is in {old}"
            ) from error
        raise


def _move(source: str, target: str) -> None:
    mode = os.lstat(source).st_mode
    # A directory that changes its parent is written to (its "..").
    locked = stat.S_ISDIR(mode) and mode & 0o700 != 0o700
    if locked:
        os.chmod(source, 0o700)
    os.rename(source, target)
    if locked:
        os.chmod(target, stat.S_IMODE(mode))
