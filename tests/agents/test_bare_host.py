"""Driver and hook context on a host that has the published methods and nothing more."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from bare_host import BareHost, PaperHost
from driven import Driven

from optio_agents.context import HookContext
from optio_agents.outcome import Done
from optio_agents.protocol.protocol import get_protocol
from optio_host.host import FollowsFiles, Host, StreamsFiles

Run = Callable[[Callable[[], Awaitable[object]]], None]

PUBLISHED = {
    "taskdir", "workdir", "connect", "disconnect", "setup_workdir", "write_text", "establish_tunnel", "tail_file",
    "cleanup_taskdir", "launch_subprocess", "terminate_subprocess", "remove_file", "put_file_to_host",
    "fetch_bytes_from_host", "run_command", "resolve_host_home", "archive_workdir", "restore_workdir",
}  # fmt: skip
FOR_TESTS = {"append", "commands"}


def test_the_bare_host_has_just_the_published_methods(taskdir: str) -> None:
    host = BareHost(taskdir)
    assert {name for name in dir(host) if not name.startswith("_")} == PUBLISHED | FOR_TESTS
    assert isinstance(host, Host)
    assert not isinstance(host, FollowsFiles)
    assert not isinstance(host, StreamsFiles)


def test_a_whole_session_runs_on_it(run: Run, taskdir: str, tmp_path: Path) -> None:
    driven = Driven(BareHost(taskdir))
    (tmp_path / "input.txt").write_text("input")
    got: list[tuple[str, str]] = []

    async def before_execute(hook_ctx: HookContext) -> None:
        await hook_ctx.copy_file(tmp_path / "input.txt", "input.txt")
        assert await hook_ctx.run_on_host("cat input.txt") == "input"

    async def on_deliverable(hook_ctx: HookContext, path: str, text: str) -> str:
        got.append((path, text))
        await hook_ctx.send_to_agent("one more")
        return "ok"

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver("report.md", "all is well")
        driven.write(
            "STATUS: 30% working",
            "DELIVERABLE: deliverables/report.md",
            "ATTENTION: look",
            "CALLER_MESSAGE: vote 1",
            "DONE: fine",
        )
        await anyio.sleep_forever()

    async def session() -> None:
        outcome = await driven.run(
            body=body,
            before_execute=before_execute,
            on_deliverable=on_deliverable,
            on_caller_message=lambda hook_ctx, keyword, data: "counted",
            protocol=get_protocol(browser="suppress", caller_messages=True),
        )
        assert outcome == Done("fine")
        assert got == [("report.md", "all is well")]
        assert sorted(driven.said) == [
            "System: deliverable report.md: accepted. thanks for the good work.",
            "System: message vote: counted",
            "System: one more",
        ]

    run(session)


def test_a_paper_host_that_runs_no_commands_delivers_by_name_alone(run: Run, taskdir: str) -> None:
    driven = Driven(PaperHost(taskdir))
    got: list[tuple[str, str]] = []

    async def body(host: Host, hook_ctx: HookContext) -> None:
        driven.deliver("report.md", "all is well")
        Path(host.workdir, "secret.md").write_text("secret")
        driven.write(
            "DELIVERABLE: deliverables/report.md",
            "DELIVERABLE: deliverables/../secret.md",
            "DELIVERABLE: /etc/passwd",
            "DELIVERABLE: deliverables/missing.md",
            "DONE",
        )
        await anyio.sleep_forever()

    async def session() -> None:
        await driven.run(body=body, on_deliverable=lambda hook_ctx, path, text: got.append((path, text)))
        assert got == [("report.md", "all is well")]
        assert [("accepted" in line, "refused" in line) for line in driven.said] == [
            (True, False),
            (False, True),
            (False, True),
            (False, True),
        ]

    run(session)
