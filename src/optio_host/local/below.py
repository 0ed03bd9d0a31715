"""Directories below one that is open, entered segment by segment: no symbolic link is followed on the way."""

import errno
import os
from collections.abc import Sequence

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_below(root: int, segments: Sequence[str]) -> int:
    """A new descriptor of a directory below `root`; what is missing on the way is created with mode 0700.

    Parameters:
        root: descriptor of a directory; it stays open.
        segments: names, none of them "", "." or "..".

    Raises NotADirectoryError when a segment is a symbolic link or anything else that is no directory.
    """
    directory = os.dup(root)
    for segment in segments:
        try:
            entered = _enter(directory, segment)
        finally:
            os.close(directory)
        directory = entered
    return directory


def _enter(directory: int, segment: str) -> int:
    try:
        return os.open(segment, _FLAGS, dir_fd=directory)
    except FileNotFoundError:
        os.mkdir(segment, 0o700, dir_fd=directory)
        return os.open(segment, _FLAGS, dir_fd=directory)
    except OSError as error:
        # Linux says ENOTDIR of a symbolic link here, macOS ELOOP.
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise NotADirectoryError(errno.ENOTDIR, "is no directory", segment) from None
        raise
