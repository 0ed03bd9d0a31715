"""What a person is left with when a session has ended."""

import os
import time

import click

from ..journal import Snapshot
from ..session import OUTPUT_STREAMS
from .visible import size, visible

SHOWN_LINES = 15
"""How many of the last lines of output are shown after a failure."""

TAIL_BYTES = 16 * 1024


def print_summary(snapshot: Snapshot) -> None:
    """Say how it ended, what it delivered, and where everything is."""
    record = snapshot.record
    outcome = record.outcome
    if outcome is None:
        return
    if outcome.outcome == "failed":
        _print_last_output(record.rundir)
    seconds = record.updated - record.created
    took = time.strftime("%H:%M:%S", time.gmtime(seconds)) if seconds >= 60 else f"{seconds:.1f} s"
    why = outcome.summary if outcome.outcome == "done" else outcome.reason
    word = click.style(visible(outcome.outcome), fg="green" if outcome.outcome == "done" else "red", bold=True)
    click.echo(f"{word} after {took}" + (f": {visible(why)}" if why else ""))
    landed = {each.path: each.size for each in snapshot.deliverables}
    if landed:
        click.echo(f"deliverables in {visible(record.deliverables_dir)}:")
        for path, count in landed.items():
            click.echo(f"  {size(count):>7}  {visible(os.path.relpath(path, record.deliverables_dir))}")
    click.echo(f"session {record.id}: log and output in {visible(record.taskdir)}")


def _print_last_output(rundir: str) -> None:
    for stream in reversed(OUTPUT_STREAMS):
        path = os.path.join(rundir, stream)
        try:
            with open(path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()[-SHOWN_LINES:]
        except OSError:
            continue  # the directory was removed; the summary says where it was
        if lines:
            click.echo(f"the last of its {stream} ({visible(path)}):")
            for line in lines:
                click.echo(f"  {visible(line)}")
            return
