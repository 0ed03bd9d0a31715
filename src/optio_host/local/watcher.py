"""One watcher for all followed files of this machine: it says "look again", never what is in a file.

watchfiles takes its directories once, at construction. When the set of followed directories changes, a new watch is
started before the old one is stopped, and every reader is told to look, so that no change falls between the two. A slow
sweep over the state of each file is the safety net for what no event tells (network file systems, a queue that
overflowed, a directory that was made again).
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import anyio

from ..clock import SYSTEM_CLOCK, Clock

_log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""How often the safety net looks at every followed file."""

STEP_MS = 1
"""watchfiles' `step` and `debounce`. Measured: 1 ms gives a median of 2 ms from an append to the reader with one file
and with 1,000; the defaults give 52 ms and 521 ms."""

_Seen = tuple[int, int, int, int] | None


class Wake:
    """The reader's side: something may have happened to the file."""

    def __init__(self, path: str) -> None:
        directory, self.name = os.path.split(path)
        # Events name files by the resolved directory where the platform resolves links.
        self.directory = os.path.realpath(directory)
        self.path = os.path.join(self.directory, self.name)
        self.event = asyncio.Event()
        self.seen: _Seen = None

    async def wait(self) -> None:
        """Return when there may be something new; clear `event` before looking."""
        await self.event.wait()


class Watcher:
    """Runs while at least one file is followed; owns its one background task."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._wakes: set[Wake] = set()
        self._task: asyncio.Task[None] | None = None
        self._directories_changed = asyncio.Event()

    @contextmanager
    def watching(self, path: str) -> Iterator[Wake]:
        """Wake-ups for an absolute path while the context lasts. The file, and its directory, need not exist yet."""
        wake = Wake(path)
        self._wakes.add(wake)
        self._directories_changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="optio file watcher")
        try:
            yield wake
        finally:
            self._wakes.discard(wake)
            self._directories_changed.set()

    async def stop_if_unused(self) -> None:
        """End the background task when nothing is followed any more; join it."""
        if not self._wakes and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task])

    async def _run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep)
            await self._keep_watching()

    async def _keep_watching(self) -> None:
        watched: dict[str, int] = {}
        stop = anyio.Event()
        async with anyio.create_task_group() as tasks:
            try:
                while True:
                    self._directories_changed.clear()
                    wanted = {wake.directory: inode for wake in self._wakes if (inode := _inode(wake.directory))}
                    if wanted != watched:
                        previous, stop, watched = stop, anyio.Event(), wanted
                        try:
                            if wanted:
                                tasks.start_soon(self._watch, list(wanted), stop)
                                # watchfiles takes its watches when its iterator is first advanced, before it waits.
                                await anyio.lowlevel.checkpoint()
                            self._wake(self._wakes)
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
                    paths = {path for _, path in batch}
                    self._wake({wake for wake in self._wakes if wake.path in paths})
        except FileNotFoundError:
            return  # a directory went away before it was watched; the sweep sees it when it is back
        except (OSError, RuntimeError) as error:
            # Linux gives a user 128 watchers; watchfiles raises a RuntimeError beyond. The sweep sees what changes.
            _log.warning("files are looked at once in %g s, because they cannot be watched: %s", SWEEP_SECONDS, error)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            wakes = list(self._wakes)
            states = await anyio.to_thread.run_sync(_states, [wake.path for wake in wakes])
            for wake, state in zip(wakes, states, strict=True):
                if state != wake.seen:
                    wake.seen = state
                    wake.event.set()
            self._directories_changed.set()

    def _wake(self, wakes: set[Wake]) -> None:
        for wake in wakes:
            wake.event.set()


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
