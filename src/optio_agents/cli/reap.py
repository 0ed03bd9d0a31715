"""`optio reap`: clear away what is left of runs whose directory is gone."""

import click

from optio_host.job_index import jobs, reap, stop_orphan
from optio_host.job_state import Unknown

from .stores import carry_out_here, here


@click.command()
def command() -> None:
    """End what still runs of runs whose directory was removed, and forget them. Every other run is left alone.

    \b
    Example:
      optio reap
    """

    async def clear() -> tuple[str, ...]:
        host = here()
        for entry in await jobs(host):
            if entry.state == Unknown("directory gone") and entry.processes:
                await stop_orphan(host, entry)
        return await reap(host)

    reaped = carry_out_here(clear)
    click.echo(f"{len(reaped)} runs forgotten" + "".join(f"\n  {each}" for each in reaped))
