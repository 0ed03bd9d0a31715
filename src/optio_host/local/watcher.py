"""One watcher for all followed files of this machine: it says "look again", never what is in a file.

On Linux it reads inotify itself: it adds and removes directories one by one, and costs nothing while nothing happens.
Elsewhere it runs watchfiles, which takes its directories once, at construction: when their set changes, a new watch is
started before the old one is stopped, and every reader is told to look, so that no change falls between the two. A slow
sweep over the state of each file is the safety net for what no event tells (network file systems, a queue that
overflowed, a directory that was made again).
"""

import asyncio
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager

import anyio

from ..clock import SYSTEM_CLOCK, Clock
from .notices import Notices

_log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""How often the safety net looks at every followed file."""

STEP_MS = 1
"""watchfiles' `step` and `debounce`. Measured: 1 ms gives a median of 2 ms from an append to the reader with one file
and with 1,000; the defaults give 52 ms and 521 ms. It wakes up as often as that."""

INOTIFY = sys.platform == "linux"

_Seen = tuple[int, int, int, int] | None


class Wake:
    """The reader's side: something may have happened to the file."""

    def __init__(self, path: str) -> None:
        directory, self.name = os.path.split(path)
        # Events name files by the resolved directory where the platform resolves links.
        self.directory = os.path.realpath(directory)
        # As it was given: a link on the way may lead elsewhere later, which only the sweep sees.
        self.path = path
        self.event = asyncio.Event()
        self.seen: _Seen = None

    async def wait(self) -> None:
        """Return when there may be something new; clear `event` before looking."""
        await self.event.wait()


class Watcher:
    """Runs while at least one file is followed; owns its one background task."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._wakes: dict[str, dict[str, set[Wake]]] = {}  # by directory and name
        self._task: asyncio.Task[None] | None = None
        self._notices: Notices | None = None
        self._directories_changed = asyncio.Event()

    @contextmanager
    def watching(self, path: str) -> Iterator[Wake]:
        """Wake-ups for an absolute path while the context lasts. The file, and its directory, need not exist yet."""
        wake = Wake(path)
        if self._task is None or self._task.done():
            self._notices = self._open_notices()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="optio file watcher")
        names = self._wakes.setdefault(wake.directory, {})
        if not names and self._notices is not None:
            self._notices.watch(wake.directory)
        names.setdefault(wake.name, set()).add(wake)
        self._directories_changed.set()
        try:
            yield wake
        finally:
            names[wake.name].remove(wake)
            if not names[wake.name]:
                del names[wake.name]
            if not names:
                del self._wakes[wake.directory]
                if self._notices is not None:
                    self._notices.unwatch(wake.directory)
            self._directories_changed.set()

    async def stop_if_unused(self) -> None:
        """End the background task when nothing is followed any more; join it."""
        if not self._wakes and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task])
            if self._notices is not None:  # a task that was cancelled before its first step closes nothing
                self._notices.close()
                self._notices = None

    def _open_notices(self) -> Notices | None:
        if not INOTIFY:
            return None
        try:
            return Notices(self._noticed)
        except OSError as error:
            # Linux gives a user 128 of them. The sweep sees what changes.
            _log.warning("files are looked at once in %g s, because they cannot be watched: %s", SWEEP_SECONDS, error)
            return None

    def _noticed(self, directory: str, name: str | None) -> None:
        names = self._wakes.get(directory, {})
        self._wake(names.get(name, ()) if name is not None else _all(names))

    async def _run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep)
            if not INOTIFY:
                await self._keep_watching()

    async def _keep_watching(self) -> None:
        watched: dict[str, int] = {}
        stop = anyio.Event()
        async with anyio.create_task_group() as tasks:
            try:
                while True:
                    self._directories_changed.clear()
                    wanted = {each: inode for each in self._wakes if (inode := _inode(each))}
                    if wanted != watched:
                        previous, stop, watched = stop, anyio.Event(), wanted
                        try:
                            if wanted:
                                tasks.start_soon(self._watch, list(wanted), stop)
                                # watchfiles takes its watches when its iterator is first advanced, before it waits.
                                await anyio.lowlevel.checkpoint()
                            self._wake(self._all())
                        finally:
                            previous.set()
                    await self._directories_changed.wait()
            finally:
                # watchfiles waits in a thread that only its stop event ends; a cancellation would wait for it.
                stop.set()

    async def _watch(self, directories: list[str], stop: anyio.Event) -> None:
        from watchfiles import awatch

        changes = awatch(
            *directories,
            watch_filter=None,
            step=STEP_MS,
            debounce=STEP_MS,
            stop_event=stop,
            recursive=False,
            ignore_permission_denied=True,
        )
        try:
            async with aclosing(changes):
                async for batch in changes:
                    for path in {path for _, path in batch}:
                        self._noticed(*os.path.split(path))
        except FileNotFoundError:
            return  # a directory went away before it was watched; the sweep sees it when it is back
        except (OSError, RuntimeError) as error:
            # watchfiles raises a RuntimeError beyond what a user may have. The sweep sees what changes.
            _log.warning("files are looked at once in %g s, because they cannot be watched: %s", SWEEP_SECONDS, error)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            wakes = self._all()
            states = await anyio.to_thread.run_sync(_states, [wake.path for wake in wakes])
            for wake, state in zip(wakes, states, strict=True):
                if state != wake.seen:
                    wake.seen = state
                    wake.event.set()
            if self._notices is not None:
                self._notices.renew()
            self._directories_changed.set()

    def _all(self) -> list[Wake]:
        return [wake for names in self._wakes.values() for wake in _all(names)]

    def _wake(self, wakes: Iterable[Wake]) -> None:
        for wake in wakes:
            wake.event.set()


def _all(names: Mapping[str, set[Wake]]) -> list[Wake]:
    return [wake for wakes in names.values() for wake in wakes]


def _inode(directory: str) -> int | None:
    try:
        return os.stat(directory).st_ino
    except OSError:
        return None


def _states(paths: list[str]) -> list[_Seen]:
    return [_state(path) for path in paths]


def _state(path: str) -> _Seen:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
