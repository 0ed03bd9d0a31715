"""`optio reap`: clear away what is left of runs whose directory is gone."""

from typing import assert_never

import click

from optio_host.host import RunsCommands
from optio_host.job_index import JobEntry, forget, jobs, stop_orphan
from optio_host.job_state import Unknown
from optio_host.job_stop import Gone, Survivors, Unproven
from optio_host.open import connected

from .brief import print_json
from .carry_out import carry_out_here
from .options import host_option, json_option, unused_store_option
from .visible import visible


@click.command()
@host_option
@json_option
@unused_store_option
def command(host: str, as_json: bool) -> None:
    """End what still runs of runs whose directory was removed, and forget them. Every other run is left alone.

    Exit status: 1 when something could not be ended.

    \b
    Examples:
      optio reap
      optio reap --host build-7
    """

    async def clear() -> list[tuple[JobEntry, str]]:
        async with connected(host) as there:
            gone = [entry for entry in await jobs(there) if entry.state == Unknown("directory gone")]
            return [(entry, await _clear(there, entry)) for entry in gone]

    cleared = carry_out_here(clear)
    for entry, problem in cleared:
        if as_json:
            print_json(
                {"id": entry.id, "rundir": entry.rundir, "stopped": len(entry.processes), "problem": problem or None}
            )
        else:
            stopped = f", {len(entry.processes)} processes ended" if entry.processes else ""
            click.echo(f"{entry.id[:10]}  {visible(entry.rundir)}: " + (visible(problem) or f"forgotten{stopped}"))
    if not cleared and not as_json:
        click.echo("nothing to clear away")
    if any(problem for _, problem in cleared):
        raise SystemExit(1)


async def _clear(host: RunsCommands, entry: JobEntry) -> str:
    """End and forget a run; what prevented it, or ""."""
    proof = await stop_orphan(host, entry) if entry.processes else Gone()
    match proof:
        case Gone():
            await forget(host, entry.id)
            return ""
        case Survivors(processes):
            return "still running after KILL: " + ", ".join(f"{each.name} (pid {each.pid})" for each in processes)
        case Unproven(reason):
            return f"it could not be proved that nothing of it is left: {reason}"
        case _:
            assert_never(proof)
