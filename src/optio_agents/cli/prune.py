"""`optio prune`: forget old sessions."""

import os
import time

import anyio
import click

from optio_host.job_index import forget, jobs
from optio_host.local.files import remove_tree
from optio_host.paths import state_dir

from ..journal import State, Store
from .options import Duration
from .stores import carry_out, here, store_option

ENDED: tuple[State, ...] = ("ended",)


@click.command()
@click.option(
    "--older-than",
    type=Duration(),
    default="30d",
    show_default=True,
    metavar="T",
    help="Only sessions that ended longer ago than this.",
)
@click.option("--dry-run", is_flag=True, help="Only say which.")
@store_option
def command(older_than: float, dry_run: bool, store_url: str | None) -> None:
    """Forget sessions that have ended: their journal, their log and their output. Deliverables stay.

    \b
    Examples:
      optio prune --dry-run
      optio prune --older-than 7d
    """

    async def prune(store: Store) -> list[str]:
        before = time.time() - older_than
        ended = await store.sessions(states=ENDED)
        old = {each.id: each for each in ended if each.updated < before}
        if dry_run:
            return list(old)
        host = here()
        runs = {entry.rundir: entry.id for entry in await jobs(host)}
        removed = await store.remove_ended(before=before)
        for session in removed:
            record = old.get(session)
            # Only what is plainly ours: an imported session names a directory of another machine.
            if record is None or os.path.dirname(record.taskdir) != state_dir():
                continue
            if record.rundir in runs:
                await forget(host, runs[record.rundir], directory=True)
            await anyio.to_thread.run_sync(remove_tree, record.taskdir)
        return list(removed)

    for session in carry_out(prune, store_url):
        click.echo(f"would forget {session}" if dry_run else f"forgot {session}")
