"""`optio jobs`: what runs on this machine, by the index that is kept there, with or without a journal."""

import dataclasses
from typing import assert_never

import click

from optio_host.job_index import JobEntry, jobs
from optio_host.job_state import Ended, Ending, JobState, Running, RunningUnsupervised, Unknown
from optio_host.open import connected
from optio_host.outcome import describe

from .brief import print_json
from .carry_out import carry_out_here
from .options import host_option, json_option, unused_store_option
from .visible import visible


@click.command()
@host_option
@json_option
@unused_store_option
def command(host: str, as_json: bool) -> None:
    """List the runs on a host, each with its state: running, ended, or unknown with what can be said of why.

    \b
    Examples:
      optio jobs
      optio jobs --host build-7
      optio jobs --json | jq 'select(.state == "unknown")'
    """

    async def look() -> list[JobEntry]:
        async with connected(host) as there:
            return await jobs(there)

    found = carry_out_here(look)
    for entry in found:
        state, detail = _state(entry.state)
        if as_json:
            print_json(
                {
                    "id": entry.id,
                    "rundir": entry.rundir,
                    "session": _session(entry),
                    "state": state,
                    "detail": detail or None,
                    "processes": [dataclasses.asdict(each) for each in entry.processes],
                }
            )
        else:
            shown = f"{state}: {detail}" if detail else state
            left = f"; {len(entry.processes)} processes still run, `optio reap` ends them" if entry.processes else ""
            click.echo(f"{entry.id[:10]}  {visible(_session(entry) or '-'):10}  {shown}{left}  {visible(entry.rundir)}")
    if not found and not as_json:
        click.echo("no runs")


def _session(entry: JobEntry) -> str | None:
    words = entry.owner.split(" ")
    return words[1] if len(words) == 3 else None


def _state(state: JobState) -> tuple[str, str]:
    match state:
        case Running():
            return "running", ""
        case RunningUnsupervised():
            return "running", "its supervisor is gone, so its exit status will not be known"
        case Ending():
            return "ending", ""
        case Ended(outcome, reason):
            return "ended", describe(outcome) + ("" if reason == "none" else f" ({reason})")
        case Unknown(reason):
            return "unknown", reason
        case _:
            assert_never(state)
