"""A machine that lets nobody watch its files any more: Linux gives each user 128 watchers for all their programs."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
import watchfiles

from optio_host.lines import Line
from optio_host.local import watcher
from optio_host.local.host import LocalHost


@pytest.mark.parametrize("error", [RuntimeError("Too many open files"), OSError("OS file watch limit reached")])
def test_a_file_is_followed_by_looking_when_nothing_can_be_watched(
    run: Callable[[Callable[[], Awaitable[object]]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    async def refused(*directories: str, **options: object) -> AsyncGenerator[object]:
        raise error
        yield

    monkeypatch.setattr(watchfiles, "awatch", refused)
    monkeypatch.setattr(watcher, "SWEEP_SECONDS", 0.01)

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
