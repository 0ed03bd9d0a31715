"""What a person is left with when a session has ended."""

import os
import time

import click

from ..outcome import Cancelled, Closed, Done, Failed, Lost, SessionOutcome
from ..session import OUTPUT_STREAMS, Session
from .visible import size, visible

SHOWN_LINES = 15
"""How many of the last lines of output are shown after a failure."""

TAIL_BYTES = 16 * 1024


def print_summary(session: Session, outcome: SessionOutcome, seconds: float) -> None:
    """Say how it ended, what it delivered, and where everything is.

    Parameters:
        seconds: how long it took.
    """
    if isinstance(outcome, Failed):
        _print_last_output(session)
    word, reason = _in_words(outcome)
    colour = "green" if isinstance(outcome, Done) else "red"
    took = time.strftime("%H:%M:%S", time.gmtime(seconds)) if seconds >= 60 else f"{seconds:.1f} s"
    click.echo(click.style(word, fg=colour, bold=True) + f" after {took}" + (f": {visible(reason)}" if reason else ""))
    if session.delivered:
        click.echo(f"deliverables in {session.landing.directory}:")
        for landed in session.delivered.values():
            click.echo(f"  {size(landed.size):>7}  {visible(os.path.relpath(landed.path, session.landing.directory))}")
    click.echo(f"log and output: {session.taskdir}")


def _in_words(outcome: SessionOutcome) -> tuple[str, str | None]:
    match outcome:
        case Done(summary):
            return "done", summary
        case Failed(reason):
            return "failed", reason
        case Cancelled(reason):
            return "cancelled", reason
        case Lost(reason):
            return "lost", reason
        case Closed(reason):
            return "closed", reason


def _print_last_output(session: Session) -> None:
    for stream in reversed(OUTPUT_STREAMS):
        path = session.output_path(stream)
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()[-SHOWN_LINES:]
        if lines:
            click.echo(f"the last of its {stream} ({path}):")
            for line in lines:
                click.echo(f"  {visible(line)}")
            return
