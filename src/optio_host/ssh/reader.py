"""Following files over SSH: one reader on the far side for all files of a host, however many they are.

The reader there sends looks; here they become lines, and what they mean is decided here. So a reader that is gone, with
the link or without it, costs nothing but time: the next one goes on at the offsets that were reached, and the bytes
before them are compared.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

import anyio

from ..clock import SYSTEM_CLOCK, Clock
from ..cursor import START, Cursor
from ..errors import ConnectFailed, FileRefused, HostError, LinkLost
from ..following import Following, began_again
from ..host import EndOfWriting, Followed
from ..job_shell import farside
from ..lines import DEFAULT_LINE_LIMIT
from ..python_program import python_program
from . import frames
from .frames import LONGEST_LOOK, Alive, Frame, Looked, Refused, Synced
from .link import Link
from .reader_run import ReaderRun

CREDIT = 512 * 1024
"""Bytes of one file that may be under way or wait for a slow consumer; see `frames.LOOK_COST`."""

QUIT_SECONDS = 2.0
"""How long a reader that is told to end may take before it is ended."""

LONGEST_PAUSE = 30.0
"""Seconds between a reader that failed and the next one, at most; they double from 0.1."""

TRIES = 10
"""How many readers in a row may fail on a link that lives, in some two minutes, before whoever follows is told."""

HEALTHY_SECONDS = 60.0
"""A reader that lived so long ends the row."""


class _File:
    def __init__(self, id: int, path: str, cursor: Cursor, limit: int) -> None:
        self.id = id
        self.path = path
        self.following = Following(cursor, limit)
        self.epoch = 0
        self.ending = False
        self.arrived: deque[Looked | Synced | Refused] = deque()
        self.waiting = 0  # the cost of what has arrived
        self.consumed = 0  # likewise of what was taken since the reader was last told
        self.failed: Exception | None = None
        self.news = asyncio.Event()


class FarReader:
    """All followed files of one host.

    Parameters:
        link: the way there.
        clock: time, for tests.
    """

    def __init__(self, link: Link, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._link = link
        self._clock = clock
        self._files: dict[int, _File] = {}
        self._last_id = 0
        self._task: asyncio.Task[None] | None = None
        self._run: ReaderRun | None = None
        self._python = True
        self._has_worked = False

    async def follow(
        self,
        path: str,
        cursor: Cursor = START,
        *,
        limit: int = DEFAULT_LINE_LIMIT,
        until: EndOfWriting | None = None,
    ) -> AsyncGenerator[tuple[Followed, Cursor]]:
        """See `optio_host.host.FollowsFiles.follow`.

        While a link that broke is down it waits. Raises FileRefused when the path is no regular file, ConnectFailed
        when there has been no way to the host, or it refuses us now, HostError when nothing there can follow files.
        """
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"{path!r}: a followed file is named by its absolute path")
        file = self._add(path, cursor, limit)
        ending = None if until is None else asyncio.ensure_future(until.wait())
        try:
            if ending is not None:
                ending.add_done_callback(lambda _: file.news.set())
            while True:
                file.news.clear()
                # Asked before the reader is: what was written before the end must be seen by the looks after it.
                if until is not None and until.is_set() and not file.ending:
                    file.ending = True
                    self._say(frames.sync(file.id))
                while file.arrived:
                    frame = file.arrived.popleft()
                    match frame:
                        case Looked():
                            epoch = file.epoch
                            found = file.following.take(frame.look)
                            if began_again(found):
                                self._begin(file)
                            for each in found:
                                yield each
                            if file.epoch == epoch:
                                self._give_back(file, frame.cost)
                        case Synced():
                            for each in file.following.finish():
                                yield each
                            return
                        case Refused():
                            raise FileRefused(path, frame.reason)
                if file.failed is not None:
                    raise file.failed
                await file.news.wait()
        finally:
            self._files.pop(file.id, None)
            self._say(frames.unfollow(file.id))
            if ending is not None:
                ending.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([ending])

    async def aclose(self) -> None:
        """End the reader, and with it the link if that is dark. Whoever still follows a file gets HostError."""
        self._fail(HostError(f"{self._link.target}: this host was disconnected; connect a new one"))
        task, self._task = self._task, None
        if task is None:
            return
        with anyio.CancelScope(shield=True):
            if self._run is not None:
                self._run.quit()
                with self._clock.move_on_after(QUIT_SECONDS):
                    await asyncio.wait([task])
            task.cancel()
            # A link that went dark holds up ending the reader by a second command; without the link it ends by itself.
            await asyncio.wait([task], timeout=QUIT_SECONDS)
            if not task.done():
                await self._link.close()
                await asyncio.wait([task])

    def _add(self, path: str, cursor: Cursor, limit: int) -> _File:
        self._last_id += 1
        file = self._files[self._last_id] = _File(self._last_id, path, cursor, limit)
        self._begin(file)
        if self._task is None:
            self._task = asyncio.create_task(self._keep_reading(), name=f"optio follows files of {self._link.target}")
        return file

    def _begin(self, file: _File) -> None:
        """Have a file read from where its lines have come to; what is under way of it is void."""
        file.epoch += 1
        file.arrived.clear()
        file.waiting = file.consumed = 0
        self._say(frames.follow(file.id, file.epoch, file.following.fed, CREDIT, file.path))
        if file.ending:
            self._say(frames.sync(file.id))

    def _give_back(self, file: _File, cost: int) -> None:
        file.waiting -= cost
        file.consumed += cost
        if file.consumed >= CREDIT // 2:
            self._say(frames.more(file.id, file.consumed))
            file.consumed = 0

    def _say(self, command: bytes) -> None:
        """A reader that is not there is told everything when it begins."""
        if self._run is not None:
            self._run.say(command)

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Alive):
            self._has_worked = True
            return
        file = self._files.get(frame.id)
        if file is None or file.epoch != frame.epoch:
            return
        if isinstance(frame, Looked):
            file.waiting += frame.cost
            if file.waiting > CREDIT + LONGEST_LOOK:
                raise ValueError(f"more of {file.path} than was asked for")
        file.arrived.append(frame)
        file.news.set()

    def _fail(self, error: Exception) -> None:
        failed, self._files = self._files, {}
        for file in failed.values():
            file.failed = error
            file.news.set()

    async def _keep_reading(self) -> None:
        failures = 0
        while self._files:
            began = self._clock.monotonic()
            try:
                await self._read()
                failures = 0
            except Exception as error:
                if self._clock.monotonic() - began >= HEALTHY_SECONDS:
                    failures = 0
                failures += 1
                if not self._worth_another(error, failures):
                    self._fail(error)
                    break
                await self._clock.sleep(min(LONGEST_PAUSE, 0.05 * 2**failures))
        self._task = None  # no step lies between this and the end: whoever comes now starts another one

    def _worth_another(self, error: Exception, failures: int) -> bool:
        match error:
            case LinkLost():
                return True
            case ConnectFailed():
                return self._link.was_connected and not error.final
            case HostError():
                return self._has_worked and failures < TRIES
            case _:
                return False

    async def _read(self) -> None:
        """Serve all files by one reader. Returns when the next one may begin at once; raises for what went wrong."""
        if self._python:
            script, source = python_program("reader")
        else:
            script, source = farside("reader") + "follow_files", b""
        async with self._link.channel(script) as channel:
            run = self._run = ReaderRun(channel, source, self._take, lambda: bool(self._files), self._clock)
            try:
                for file in self._files.values():
                    self._begin(file)
                ended = await run.run()
            finally:
                self._run = None
        if ended == "unused" or (ended == "lost" and run.began):
            return  # a link paces its own tries to come back
        what = f"{self._link.target}: following files:"
        if ended == "lost":
            raise LinkLost(f"{what} the link broke before the reader there had begun")
        if run.began:
            raise HostError(f"{what} the reader there {ended} again and again; it said {channel.said!r}")
        if not self._python:
            raise HostError(f"{what} neither python3 nor sh can do it there; the latter {ended}: {channel.said!r}")
        self._python = self._has_worked
        if self._python:
            raise HostError(f"{what} python3 there does not begin any more; it {ended}: {channel.said!r}")
