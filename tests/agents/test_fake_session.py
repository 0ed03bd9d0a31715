"""Whole sessions of the published driver on a fake host, also when the way to it breaks."""

from collections.abc import Awaitable, Callable

import pytest

from optio_agents.context import HookContext, StandaloneContext
from optio_agents.errors import RunInTheWay, SessionFailed
from optio_agents.outcome import Done, SessionOutcome
from optio_agents.protocol.protocol import get_protocol
from optio_agents.protocol.session import run_log_protocol_session
from optio_host.errors import LinkLost
from optio_host.host import Host, proc_wait
from optio_host.testing.fake import (
    Append,
    AtByte,
    AtTime,
    Drop,
    Expect,
    FakeHost,
    Fault,
    HalfOpen,
    Reboot,
    Step,
    Wait,
    WriteFile,
)

Run = Callable[[Callable[[], Awaitable[object]]], None]

AGENT = "agent --task 'write a report'"

REPORT: tuple[Step, ...] = (
    Append("optio.log", "STATUS: 10% reading\n"),
    Wait(60),
    WriteFile("deliverables/report.md", "all is well"),
    Append("optio.log", "DELIVERABLE: deliverables/report.md\n"),
    Expect("System: deliverable report.md: accepted. thanks for the good work.\n"),
    Append("optio.log", "DONE: 1 page\n"),
)


class Session:
    """One session with an agent that hears what it is told by its stdin."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.ctx = StandaloneContext()
        self.got: list[tuple[str, str]] = []

    async def run(self, **options: object) -> SessionOutcome:
        handles = []

        async def body(host: Host, hook_ctx: HookContext) -> None:
            handles.append(await host.launch_subprocess(AGENT, stdin=True, env=hook_ctx.browser_launch_env))
            await proc_wait(handles[0])

        async def send(line: str) -> None:
            handles[0].stdin.write(f"{line}\n".encode())
            await handles[0].stdin.drain()

        return await run_log_protocol_session(
            self.host,
            self.ctx,
            body=body,
            on_deliverable=lambda hook_ctx, path, text: self.got.append((path, text)),
            agent_sender=send,
            clock=self.host.clock,
            **options,  # type: ignore[arg-type]
        )


def test_a_session_takes_the_time_of_its_agent_and_none_of_the_test(run: Run) -> None:
    with FakeHost() as host:
        host.on(AGENT, *REPORT)
        session = Session(host)

        async def body() -> None:
            assert await session.run() == Done("1 page")

        run(body)
        assert session.got == [("report.md", "all is well")]
        assert (10, "reading") in session.ctx.progress
        assert host.clock.monotonic() == 60


def test_an_agent_that_ends_without_done_has_the_grace_of_the_driver(run: Run) -> None:
    with FakeHost() as host:
        host.on(AGENT, Wait(5))

        async def body() -> None:
            with pytest.raises(SessionFailed, match="no DONE came within 2 s"):
                await Session(host).run()

        run(body)
        assert host.clock.monotonic() == 7


def test_deliverables_are_judged_with_their_links_resolved(run: Run) -> None:
    names = ["fine.md", "dead.md", "outside.md", "../secret.md", "directory", "missing.md"]
    with FakeHost() as host:
        announced = "".join(f"DELIVERABLE: deliverables/{name}\n" for name in names)
        host.on(AGENT, Append("optio.log", announced + "DONE\n"), repeat=True)
        session = Session(host)

        async def before_execute(hook_ctx: HookContext) -> None:
            files, directory = host.files, f"{host.workdir}/deliverables"
            files.write(f"{directory}/kept here.md", "fine")
            files.symlink(f"{directory}/fine.md", "kept here.md")
            files.symlink(f"{directory}/dead.md", "nowhere")
            files.symlink(f"{directory}/outside.md", "../secret.md")
            files.write(f"{host.workdir}/secret.md", "secret")
            files.mkdir(f"{directory}/directory")

        async def body() -> None:
            await session.run(before_execute=before_execute)

        run(body)
        assert session.got == [("fine.md", "fine")]


def test_the_launchers_of_a_browser_are_written_like_anywhere(run: Run) -> None:
    with FakeHost() as host:
        host.on(AGENT, Append("optio.log", "DONE\n"))

        async def body() -> None:
            await Session(host).run(protocol=get_protocol(browser="redirect"))

        run(body)
        launcher = host.files.node(f"{host.workdir}/bin/xdg-open")
        assert (launcher.mode, host.commands[-1].env["BROWSER"]) == (0o700, f"{host.workdir}/bin/xdg-open")
        assert host.commands[-1].env["PATH"].startswith(f"{host.workdir}/bin:/usr/local/bin")


def test_a_durable_run_in_the_way_is_found(run: Run) -> None:
    with FakeHost("/srv/it's a task") as host:
        host.on(AGENT, Append("optio.log", "DONE\n"))
        host.files.mkdir(f"{host.taskdir}/run/1/claim")

        async def body() -> None:
            with pytest.raises(RunInTheWay, match="it's a task/run/1"):
                await Session(host).run()
            assert host.files.exists(f"{host.taskdir}/run/1/claim")
            host.files.write(f"{host.taskdir}/run/1/exit", "exited 0\n")
            assert await Session(host).run() == Done(None)

        run(body)


def test_cuts_while_the_log_is_read_change_nothing_of_the_session(run: Run) -> None:
    """At each byte of the log; an agent that is not hung on its link goes on, and so does the reading."""
    lines = [f"STATUS: {percent}% at {percent}\n" for percent in range(0, 100, 7)]
    told = []
    for cut in [None, *range(1, sum(map(len, lines)), 31)]:
        faults = [] if cut is None else [Fault(Drop(back_after=3), AtByte(cut, "follow"))]
        with FakeHost(faults=faults) as host:
            host.on("start agent")
            ctx = StandaloneContext()

            async def body(host: Host, hook_ctx: HookContext) -> None:
                assert isinstance(host, FakeHost)
                for line in lines:
                    host.files.append(f"{host.workdir}/optio.log", line)
                    await host.clock.sleep(1)
                host.files.append(f"{host.workdir}/optio.log", "DONE\n")
                await host.clock.sleep(100)

            async def start(hook_ctx: HookContext) -> None:
                await hook_ctx.run_on_host("start agent")

            async def session(
                host: FakeHost = host, ctx: StandaloneContext = ctx, body: object = body, start: object = start
            ) -> None:
                done = await run_log_protocol_session(
                    host,
                    ctx,
                    body=body,  # type: ignore[arg-type]
                    before_execute=start,  # type: ignore[arg-type]
                    clock=host.clock,
                )
                assert done == Done(None)

            run(session)
            assert host.connections == (1 if cut is None else 2)
            told.append(list(ctx.progress))
    assert all(each == told[0] for each in told)


@pytest.mark.parametrize("fault", [Drop(), HalfOpen(), Reboot()])
def test_a_body_that_hangs_on_a_broken_link_is_no_success(run: Run, fault: Drop | HalfOpen | Reboot) -> None:
    host = FakeHost(faults=[Fault(fault, AtTime(30))])
    host.on(AGENT, Wait(60), Append("optio.log", "STATUS: 1% late\n"))

    async def body() -> None:
        with pytest.raises(LinkLost):
            await Session(host).run()

    run(body)
