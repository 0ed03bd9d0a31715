"""The published driver and its log: whatever happens to the file, and whatever stands in it."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from bare_host import BareHost
from driven import Driven

from optio_agents.context import HookContext, StandaloneContext
from optio_agents.errors import SessionFailed
from optio_agents.outcome import Done, Lost
from optio_host.host import Host
from optio_host.local.host import LocalHost
from optio_host.testing.clock import ManualClock

Run = Callable[[Callable[[], Awaitable[object]]], None]


class Unreadable(BareHost):
    """Its tail gives one line, then fails or just stops."""

    def __init__(self, taskdir: str, failure: Exception | None) -> None:
        super().__init__(taskdir)
        self.failure = failure

    async def tail_file(self, absolute_path: str) -> Any:
        yield "STATUS: 10% so far"
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize("failure", [ConnectionResetError("link down"), None])
def test_a_log_reader_that_dies_is_never_a_success(run: Run, taskdir: str, failure: Exception | None) -> None:
    driven = Driven(Unreadable(taskdir, failure))

    async def session() -> None:
        with pytest.raises(SessionFailed, match="the log cannot be followed any more") as raised:
            await driven.run(body=driven.agent())
        assert isinstance(raised.value.outcome, Lost)
        if failure is not None:
            assert "link down" in str(raised.value)

    run(session)


def test_a_log_that_is_replaced_by_a_directory_is_lost(run: Run, taskdir: str) -> None:
    driven = Driven(LocalHost(taskdir))

    async def body(host: Host, hook_ctx: HookContext) -> None:
        os.unlink(driven.log)
        os.mkdir(driven.log)
        await anyio.sleep_forever()

    async def session() -> None:
        with pytest.raises(SessionFailed, match="no regular file") as raised:
            await driven.run(body=body)
        assert isinstance(raised.value.outcome, Lost)

    run(session)


def test_a_log_truncated_by_a_single_arrow_is_reported_and_read_on(run: Run, taskdir: str) -> None:
    driven = Driven(LocalHost(taskdir))
    seen = anyio.Event()
    driven.ctx = StandaloneContext(lambda percent, message: seen.set() if message == "first" else None)

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.write("STATUS: first", "STATUS: second, so that the next one is shorter")
        await seen.wait()
        Path(driven.log).write_bytes(b"DONE: short\n")
        await anyio.sleep_forever()

    async def session() -> None:
        assert await driven.run(body=body) == Done("short")
        assert any("it is read from its beginning now" in line for line in driven.progress)

    run(session)


def test_an_old_done_is_gone_at_the_start(run: Run, driven: Driven, clock: ManualClock) -> None:
    old = Path(driven.log)
    old.parent.mkdir(parents=True)
    old.write_text("DONE: yesterday\n")
    (old.parent / "left-over").write_text("")
    driven_files: list[str] = []

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven_files.extend(os.listdir(host.workdir))
        driven.write("DONE: today")
        await anyio.sleep_forever()

    async def session() -> None:
        assert await driven.run(body=body) == Done("today")
        assert sorted(driven_files) == ["deliverables", "optio.log"]

    run(session)


def test_a_log_that_prepare_restores_is_gone_too(run: Run, driven: Driven) -> None:
    def prepare(host: Host, hook_ctx: HookContext) -> None:
        Path(host.workdir, "optio.log").write_text("DONE: before the interruption\n")
        Path(host.workdir, "restored").write_text("")

    async def body(host: Host, hook_ctx: HookContext) -> None:
        assert Path(host.workdir, "restored").exists()
        driven.write("DONE: after it")
        await anyio.sleep_forever()

    async def session() -> None:
        assert await driven.run(prepare=prepare, body=body) == Done("after it")

    run(session)


def test_a_log_that_prepare_leaves_as_a_link_is_not_written_through(run: Run, driven: Driven, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")

    async def session() -> None:
        await driven.run(
            prepare=lambda host, hook_ctx: Path(host.workdir, "optio.log").symlink_to(mine), body=driven.agent("DONE")
        )
        assert mine.read_text() == "precious"

    run(session)


def test_noise_bad_bytes_bom_crlf_and_nul_end_nothing(run: Run, driven: Driven) -> None:
    async def session() -> None:
        outcome = await driven.run(
            body=driven.agent(
                b"\xef\xbb\xbfSTATUS: 1% behind a BOM",
                b"Warning: \xff\xfe",
                b"nul \x00 inside",
                b"",
                b"{}",
                b"STATUS: 2% crlf\r",
                b"DONE: fine\r",
            )
        )
        assert outcome == Done("fine")
        assert driven.ctx.progress[0] == (1, "behind a BOM")
        assert "Warning: \ufffd\ufffd" in driven.progress
        assert "nul \x00 inside" in driven.progress
        assert "{}" in driven.progress
        assert (2, "crlf") in driven.ctx.progress
        assert "" not in driven.progress

    run(session)


def test_a_line_of_100_mb_becomes_one_report_in_bounded_memory(run: Run, taskdir: str) -> None:
    import resource

    driven = Driven(LocalHost(taskdir))
    size = 100 * 1024 * 1024

    async def body(host: Host, hook_ctx: HookContext) -> None:
        for _ in range(100):
            driven.write_bytes(b"x" * (1024 * 1024))
        driven.write_bytes(b"\nDONE\n")
        await anyio.sleep_forever()

    async def session() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert await driven.run(body=body) == Done(None)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown * 1024 < 32 * 1024 * 1024, f"{grown} KiB more"
        assert any(f"A line of {size} bytes" in line for line in driven.progress)

    run(session)
