"""`optio show`: one session, and how it came to where it is."""

import json
import time

import click

from ..events import (
    Attention,
    DriverChanged,
    DriverLeft,
    ErrorReported,
    Finished,
    LogReset,
    Missing,
    Notice,
    Record,
    SessionEnded,
    SessionStarted,
    Stalled,
    Status,
    StopRequested,
    event_data,
)
from ..history import read_history
from ..journal import Snapshot, Store
from .brief import driver_in_words, print_json, record_in_brief
from .carry_out import carry_out
from .options import json_option, session_argument, store_option
from .said import said
from .visible import size, visible

TIMELINE = (
    SessionStarted, DriverChanged, DriverLeft, Stalled, StopRequested, Notice, LogReset, Attention, Finished,
    ErrorReported, SessionEnded, Missing,
)  # fmt: skip
"""The events that answer "why did it stop?"."""


@click.command()
@session_argument
@json_option
@store_option
def command(session: str, as_json: bool, store_url: str | None) -> None:
    """Show one session: what it is, what it delivered, and its timeline (starts, drivers, stalls, stops with reasons).

    \b
    Examples:
      optio show 3f
      optio show 3f --json | jq .timeline
    """

    async def show(store: Store) -> tuple[Snapshot, list[Record], Record | None]:
        found = await store.resolve(session)
        snapshot = await store.snapshot(found)
        timeline: list[Record] = []
        status: Record | None = None
        async for record in read_history(store, found):
            if isinstance(record.event, TIMELINE):
                timeline.append(record)
            if isinstance(record.event, Status):
                status = record
        return snapshot, timeline, status

    snapshot, timeline, status = carry_out(show, store_url)
    if not as_json:
        _print(snapshot, timeline, status)
        return
    print_json(
        {
            **record_in_brief(snapshot.record),
            "status": event_data(status.event) if status else None,
            "deliverables_landed": [each.model_dump() for each in snapshot.deliverables],
            "events": snapshot.last_seq,
            "timeline": [json.loads(each.to_json()) for each in timeline],
        }
    )


def _print(snapshot: Snapshot, timeline: list[Record], status: Record | None) -> None:
    record = snapshot.record
    outcome = record.outcome if record.state == "ended" else None
    rows = {
        "session": record.id,
        "state": outcome.outcome if outcome else record.state,
        "reason": outcome.reason if outcome else None,
        "summary": outcome.summary if outcome else None,
        "status": said(status, verbose=True) if status else None,
        "command": " ".join(record.command),
        "directory": record.cwd,
        "driver": driver_in_words(record),
        "created": _local_time(record.created),
        "updated": _local_time(record.updated),
        "log and output": record.taskdir,
        "deliverables": record.deliverables_dir if snapshot.deliverables else None,
    }
    for name, value in rows.items():
        if value:
            click.echo(f"{name:15} {visible(value.strip())}")
    for each in snapshot.deliverables:
        click.echo(f"{'':15}   {size(each.size):>7}  {visible(each.name)}")
    click.echo("timeline")
    for event in timeline:
        click.echo(f"  {_local_time(event.time):19}  {said(event, verbose=True)}")


def _local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else ""
