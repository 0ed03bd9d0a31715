"""`optio jobs`: what runs on this machine, by the index that is kept there, with or without a journal."""

import dataclasses
import json

import click

from optio_host.job_index import JobEntry, jobs
from optio_host.job_state import Ended, JobState, Unknown
from optio_host.outcome import describe

from .stores import carry_out_here, here, json_option
from .visible import visible


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the runs on this machine, each with its state: alive, ended, or unknown with what can be said of why.

    \b
    Examples:
      optio jobs
      optio jobs --json | jq 'select(.state == "unknown")'
    """
    for entry in carry_out_here(lambda: jobs(here())):
        if as_json:
            click.echo(json.dumps(_brief(entry), ensure_ascii=False))
        else:
            state, detail = _state(entry.state)
            click.echo(f"{entry.id[:10]}  {state:12} {visible(entry.rundir)}  {visible(detail)}".rstrip())


def _brief(entry: JobEntry) -> dict[str, object]:
    state, detail = _state(entry.state)
    words = entry.owner.split(" ")
    return {
        "id": entry.id,
        "rundir": entry.rundir,
        "session": words[1] if len(words) == 3 else None,
        "state": state,
        "detail": detail or None,
        "processes": [dataclasses.asdict(each) for each in entry.processes],
    }


def _state(state: JobState) -> tuple[str, str]:
    match state:
        case Ended(outcome, reason):
            return "ended", describe(outcome) + ("" if reason == "none" else f" ({reason})")
        case Unknown(reason):
            return "unknown", reason
        case _:
            return {"Running": "running", "RunningUnsupervised": "unsupervised", "Ending": "ending"}[
                type(state).__name__
            ], ""
