"""A machine that lets nobody watch its files any more: Linux gives each user 128 watchers for all their programs."""

import errno
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
import watchfiles

from optio_host.farside.reader import Inotify
from optio_host.lines import Line
from optio_host.local import watcher
from optio_host.local.host import LocalHost

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.mark.parametrize("error", [RuntimeError("Too many open files"), OSError("OS file watch limit reached")])
def test_a_file_is_followed_by_looking_where_watchfiles_can_watch_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def refused(*directories: str, **options: object) -> AsyncGenerator[object]:
        raise error
        yield

    monkeypatch.setattr(watcher, "INOTIFY", False)
    monkeypatch.setattr(watchfiles, "awatch", refused)
    follows_by_looking(run, tmp_path, monkeypatch)


@pytest.mark.parametrize("call", ["inotify_init1", "inotify_add_watch"])
def test_a_file_is_followed_by_looking_where_the_kernel_gives_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    if call == "inotify_init1":
        monkeypatch.setattr(Inotify, "__init__", lambda inotify: setattr(inotify, "descriptor", -1))
    else:
        monkeypatch.setattr(Inotify, "add", refused_watch)
    follows_by_looking(run, tmp_path, monkeypatch)


def refused_watch(inotify: Inotify, path: bytes) -> int:
    raise OSError(errno.ENOSPC, "inotify_add_watch")


def test_a_line_is_told_by_watchfiles_where_there_is_no_inotify(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "INOTIFY", False)
    follows_by_looking(run, tmp_path, monkeypatch, sweep=3600)


def follows_by_looking(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweep: float = 0.01) -> None:
    monkeypatch.setattr(watcher, "SWEEP_SECONDS", sweep)

    async def body() -> None:
        path = tmp_path / "log"
        path.write_text("before\n")
        seen = []
        with anyio.fail_after(20):
            async with aclosing(LocalHost(str(tmp_path)).follow(str(path))) as lines:
                async for line, _ in lines:
                    assert isinstance(line, Line)
                    seen.append(line.data)
                    if len(seen) == 2:
                        break
                    path.write_text("before\nafter\n")
        assert seen == [b"before", b"after"]

    run(body)
