"""Which announced files are handed over, decided on the host."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from bare_host import BareHost
from driven import Driven

from optio_agents.context import HookContext
from optio_host.host import Host, RunResult
from optio_host.local.host import LocalHost
from optio_host.testing.clock import ManualClock

Run = Callable[[Callable[[], Awaitable[object]]], None]


ACCEPTED = "accepted. thanks for the good work."
REFUSED = "This is for you to fix"
OURS = "not yours; the file is in order"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("deliverables/missing.md", "no such file"),
        ("deliverables/no/such/directory.md", "no such file"),
        ("deliverables/link.md", "lies outside"),
        ("deliverables/up/secret.md", "lies outside"),
        ("secret.md", "lies outside"),
        ("deliverables/../secret.md", "lies outside"),
        ("../../etc/passwd", "no such file"),
        ("/etc/passwd", "lies outside"),
        ("/dev/zero", "lies outside"),
        ("deliverables", "lies outside"),
        ("deliverables/fifo", "is no regular file"),
        ("deliverables/directory", "is no regular file"),
        ("deliverables/latin-1.txt", "not UTF-8 text"),
        ("deliverables/" + "x" * 5000, "longer than 4096 bytes"),
        ("deliverables/a\0b", "holds no NUL"),
    ],
)
def test_what_is_no_deliverable_is_refused_with_a_reply(run: Run, driven: Driven, path: str, told: str) -> None:
    got: list[str] = []

    async def body(host: Host, hook_ctx: HookContext) -> None:
        Path(host.workdir, "secret.md").write_text("secret")
        directory = Path(host.workdir, "deliverables")
        (directory / "link.md").symlink_to("/etc/passwd")
        (directory / "up").symlink_to("..")
        (directory / "directory").mkdir()
        os.mkfifo(directory / "fifo")
        (directory / "latin-1.txt").write_bytes(b"caf\xe9")
        driven.write(f"DELIVERABLE: {path}", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        await driven.run(body=body, on_deliverable=lambda hook_ctx, path, text: got.append(text))
        assert got == []
        assert len(driven.said) == 1
        assert driven.said[0].startswith("System: deliverable ")
        assert told in driven.said[0]
        assert REFUSED in driven.said[0]

    run(session)


def test_a_deliverables_directory_that_is_a_symlink_delivers_nothing(run: Run, driven: Driven, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "passwd").write_text("root")

    async def body(host: Host, hook_ctx: HookContext) -> None:
        Path(host.workdir, "deliverables").rmdir()
        Path(host.workdir, "deliverables").symlink_to(tmp_path / "elsewhere")
        driven.write("DELIVERABLE: deliverables/passwd", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        await driven.run(body=body)
        assert "lies outside" in driven.said[0]

    run(session)


def test_a_file_that_becomes_a_symlink_after_it_was_judged_is_refused(run: Run, taskdir: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")

    class Exchanging(LocalHost):
        async def run_command(self, command: str, **options: Any) -> RunResult:
            result = await super().run_command(command, **options)
            if "optio-deliverable" in command:
                Path(self.workdir, "deliverables", "a.md").unlink()
                Path(self.workdir, "deliverables", "a.md").symlink_to(secret)
            return result

    driven = Driven(Exchanging(taskdir))

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver("a.md")
        driven.write("DELIVERABLE: deliverables/a.md", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        await driven.run(body=body)
        assert REFUSED in driven.said[0]
        assert "lies outside" in driven.said[0]

    run(session)


def test_a_host_that_never_hands_a_file_over_is_answered_for_after_the_limit(
    run: Run, taskdir: str, clock: ManualClock
) -> None:
    fetching = anyio.Event()

    class Slow(BareHost):
        async def fetch_bytes_from_host(self, absolute_path: str, **options: Any) -> bytes:
            fetching.set()
            await anyio.sleep_forever()
            return b""

    driven = Driven(Slow(taskdir))

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver("a.md")
        driven.write("DELIVERABLE: deliverables/a.md")
        await anyio.sleep_forever()

    async def session() -> None:
        async with anyio.create_task_group() as group:
            driven.start(group, body=body, clock=clock)
            await fetching.wait()
            await anyio.wait_all_tasks_blocked()
            await clock.advance(300)
            assert OURS in driven.said[0]
            assert "could not be fetched (TimeoutError)" in driven.said[0]
            group.cancel_scope.cancel()

    run(session)


def test_a_symlink_that_stays_below_deliverables_is_followed(run: Run, driven: Driven) -> None:
    got: list[tuple[str, str]] = []

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver("v2.md", "second")
        Path(host.workdir, "deliverables", "latest.md").symlink_to("v2.md")
        driven.write("DELIVERABLE: deliverables/latest.md", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        await driven.run(body=body, on_deliverable=lambda hook_ctx, path, text: got.append((path, text)))
        assert got == [("latest.md", "second")]

    run(session)


@pytest.mark.parametrize(
    "name", ["with blank.md", "it's.md", '"quoted".md', "$(touch pwned).md", "-rf", "ü.md", ";.md"]
)
def test_odd_names_are_quoted(run: Run, driven: Driven, name: str) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver(name)
        driven.write(f"DELIVERABLE: deliverables/{name}", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        await driven.run(body=body)
        assert driven.said == [f"System: deliverable {name}: {ACCEPTED}"]
        assert sorted(os.listdir(driven.host.workdir)) == ["deliverables", "optio.log"]

    run(session)


def test_a_file_above_16_mib_is_refused_and_the_limit_is_named(run: Run, driven: Driven) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver("limit.txt", b"x" * (16 * 1024 * 1024))
        driven.deliver("above.txt", b"x" * (16 * 1024 * 1024 + 1))
        driven.write("DELIVERABLE: deliverables/limit.txt", "DELIVERABLE: deliverables/above.txt", "DONE")
        await anyio.sleep_forever()

    async def session() -> None:
        await driven.run(body=body)
        assert driven.said[0] == f"System: deliverable limit.txt: {ACCEPTED}"
        assert "16777217 bytes, more than the limit of 16777216" in driven.said[1]

    run(session)
