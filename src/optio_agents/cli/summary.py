"""What a person is left with when a session has ended."""

import os
import posixpath
import time
from dataclasses import dataclass
from shlex import quote

import click

from optio_host.errors import HostError
from optio_host.host import RunsCommands

from ..journal import SessionRecord, Snapshot
from ..session import OUTPUT_STREAMS
from .brief import cost_in_words
from .hosts import is_local
from .visible import size, visible

SHOWN_LINES = 15
"""How many of the last lines of output are shown after a failure."""

TAIL_BYTES = 16 * 1024

TIMEOUT = 10.0
"""Seconds in which a host must have said them."""


@dataclass(frozen=True, slots=True)
class LastOutput:
    """The last lines that a program wrote.

    Attributes:
        stream: to what.
        path: where they stand on its host.
        lines: the lines.
    """

    stream: str
    path: str
    lines: tuple[str, ...]


async def last_output(host: RunsCommands, record: SessionRecord) -> LastOutput | None:
    """What the program of a session wrote last, to stderr if it wrote there; None if nothing, or nobody can say."""
    for stream in reversed(OUTPUT_STREAMS):
        path = posixpath.join(record.rundir, stream)
        try:
            said = await host.run_command(f"tail -c {TAIL_BYTES} {quote(path)}", cwd="/", timeout=TIMEOUT)
        except HostError:
            return None  # the summary says where it is
        if lines := said.stdout.splitlines()[-SHOWN_LINES:]:
            return LastOutput(stream, path, tuple(lines))
    return None


def print_summary(snapshot: Snapshot, output: LastOutput | None) -> None:
    """Say how it ended, what it delivered, and where everything is.

    Parameters:
        snapshot: the session.
        output: what its program wrote last, to be shown after a failure.
    """
    record = snapshot.record
    outcome = record.outcome
    if outcome is None:
        return
    if output is not None:
        click.echo(f"the last of its {output.stream} ({visible(output.path)}):")
        for line in output.lines:
            click.echo(f"  {visible(line)}")
    seconds = record.updated - record.created
    took = time.strftime("%H:%M:%S", time.gmtime(seconds)) if seconds >= 60 else f"{seconds:.1f} s"
    why = outcome.summary if outcome.outcome == "done" else outcome.reason
    word = click.style(
        visible(outcome.outcome), fg="green" if outcome.outcome in ("done", "closed") else "red", bold=True
    )
    click.echo(f"{word} after {took}" + (f": {visible(why)}" if why else ""))
    landed = {each.path: each.size for each in snapshot.deliverables}
    if landed:
        click.echo(f"deliverables in {visible(record.deliverables_dir)}:")
        for path, count in landed.items():
            click.echo(f"  {size(count):>7}  {visible(os.path.relpath(path, record.deliverables_dir))}")
    if cost := cost_in_words(record):
        click.echo(f"cost so far, as the agent says: {cost}")
    place = visible(record.taskdir) + ("" if is_local(record) else f" on {visible(record.host)}")
    click.echo(f"session {record.id}: log and output in {place}")
