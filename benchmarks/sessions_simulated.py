"""Ten thousand sessions on one fake host, in one process, with a clock that jumps: what the driver itself costs.

    python benchmarks/sessions_simulated.py [--sessions 10000] [--quick]

Each is a session of the published driver (`run_log_protocol_session`): its agent writes STATUS, works for ten seconds
of the host's clock, writes STATUS again and DONE. No process is started and no time passes but that of this program.
"""

import argparse
import resource
import sys
import time

import anyio
from own_memory import peak_megabytes, resident_megabytes

from optio_agents.context import HookContext, StandaloneContext
from optio_agents.outcome import Done
from optio_agents.protocol.session import run_log_protocol_session
from optio_host.host import Host, proc_wait
from optio_host.testing.clock import ManualClock
from optio_host.testing.fake import Append, FakeHost, Wait

WORK = 10.0
"""Seconds on the host's clock. The driver asks its context twice a second whether it should go on."""


class AllAtOnce(ManualClock):
    """A clock that jumps to the next moment for all who wait for it, not for one after the other."""

    def jump(self) -> None:
        super().jump()
        for due in [each for each in self._due if each.when <= self.monotonic()]:
            self._reach(due)


async def session(host: FakeHost, number: int, ended: list[bool]) -> None:
    async def body(host: Host, hook_ctx: HookContext) -> None:
        await proc_wait(await host.launch_subprocess("agent"))

    here = host.at(f"/srv/{number}")
    ctx = StandaloneContext()
    outcome = await run_log_protocol_session(here, ctx, body=body, clock=host.clock)
    ended.append(outcome == Done("all of it") and (50, "half way") in ctx.progress)


async def main(count: int) -> None:
    with FakeHost(clock=AllAtOnce(jump_after=0)) as host:
        steps = (Append("optio.log", "STATUS: begun\n"), Wait(WORK), Append("optio.log", "STATUS: 50% half way\n"))
        host.on("agent", *steps, Append("optio.log", "DONE: all of it\n"), repeat=True)
        before, begun = resident_megabytes(), time.monotonic()
        ended: list[bool] = []
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(session, host, number, ended)
        took = time.monotonic() - begun
        used = resource.getrusage(resource.RUSAGE_SELF)
        assert ended == [True] * count, "not every session ended with DONE and what it had said"
        assert host.clock.monotonic() >= WORK
        print(f"sessions               {count:,}, all DONE")
        print(f"time of the host       {host.clock.monotonic():,.0f} s")
        print(f"time taken             {took:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of a processor")
        print(f"memory                 {before:.0f} MB before, {peak_megabytes():.0f} MB at most")
        print(
            f"each                   {1000 * took / count:.2f} ms, {1000 * (peak_megabytes() - before) / count:.0f} kB"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="50 sessions: shows that it works")
    chosen = parser.parse_args()
    anyio.run(main, 50 if chosen.quick else chosen.sessions)
    sys.exit(0)
