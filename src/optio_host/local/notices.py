"""What the kernel tells of directories, by inotify(7): a watch each, added and removed one by one."""

import asyncio
import os
from collections.abc import Callable

from ..farside.reader import IN_DELETE_SELF, IN_IGNORED, IN_MOVE_SELF, IN_Q_OVERFLOW, Inotify

_GONE = IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF

CHECK_ALL = 10
"""Each how many times of `renew` directories are looked at that are watched."""


class Notices:
    """Tells of changes in directories, on the loop that it was made in. The same reading as that of the far side.

    Parameters:
        changed: called with a directory and the name in it that changed; None: perhaps all of them.

    Raises OSError when there are no more to be had, or none on this platform.
    """

    def __init__(self, changed: Callable[[str, str | None], None]) -> None:
        self._changed = changed
        self._inotify = Inotify()
        if self._inotify.descriptor < 0:
            raise OSError("inotify: this user has too many instances open, or this system has none")
        self._renewals = 0
        self._watches: dict[int, set[str]] = {}
        self._directories: dict[str, tuple[int, tuple[int, int]] | None] = {}
        asyncio.get_running_loop().add_reader(self._inotify.descriptor, self._read)

    def watch(self, directory: str) -> None:
        """Tell of a directory as it stands there now. One that is not there, or has no watch, is tried by `renew`."""
        self._directories[directory] = None
        try:
            state = os.stat(directory)
            watch = self._inotify.add(os.fsencode(directory))
        except OSError:
            return
        self._directories[directory] = watch, (state.st_dev, state.st_ino)
        self._watches.setdefault(watch, set()).add(directory)

    def unwatch(self, directory: str) -> None:
        """Tell of it no longer."""
        watched = self._directories.pop(directory, None)
        if watched is None:
            return
        # Two paths may lead to one directory; the kernel has one watch for both.
        sharing = self._watches.get(watched[0], set())
        sharing.discard(directory)
        if not sharing and self._watches.pop(watched[0], None) is not None:
            self._inotify.remove(watched[0])

    def renew(self) -> None:
        """Watch directories that were not there; every so often, look whether the others are still those."""
        self._renewals += 1
        # The kernel tells when a directory goes; not when something is mounted over it.
        all_of_them = self._renewals % CHECK_ALL == 0
        for directory, watched in list(self._directories.items()):
            if watched is not None and not all_of_them:
                continue
            try:
                state = os.stat(directory)
            except OSError:
                continue
            if watched is None or watched[1] != (state.st_dev, state.st_ino):
                self._again(directory)

    def close(self) -> None:
        """Tell nothing any more."""
        asyncio.get_running_loop().remove_reader(self._inotify.descriptor)
        os.close(self._inotify.descriptor)

    def _again(self, directory: str) -> None:
        self.unwatch(directory)
        self.watch(directory)
        if self._directories[directory] is not None:
            self._changed(directory, None)

    def _read(self) -> None:
        for watch, mask, name in self._inotify.read():
            if mask & IN_Q_OVERFLOW:
                for directory in list(self._directories):
                    self._changed(directory, None)
            for directory in list(self._watches.get(watch, ())):
                if mask & _GONE:
                    self._again(directory)
                else:
                    self._changed(directory, os.fsdecode(name))
