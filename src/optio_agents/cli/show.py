"""`optio show`: one session, and how it came to where it is."""

import json

import click

from ..events import (
    Attention,
    DriverChanged,
    DriverLeft,
    LogReset,
    Notice,
    Record,
    SessionEnded,
    SessionStarted,
    Stalled,
    Status,
    StopRequested,
    event_data,
    rfc3339,
)
from ..history import read_history
from ..journal import Snapshot, Store
from .stores import carry_out, json_option, record_in_brief, session_argument, store_option
from .view import line
from .visible import size, visible

TIMELINE = (
    SessionStarted, DriverChanged, DriverLeft, Stalled, StopRequested, Notice, LogReset, Attention, SessionEnded
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
    if as_json:
        document = {
            **record_in_brief(snapshot.record),
            "status": event_data(status.event) if status else None,
            "deliverables_landed": [each.model_dump() for each in snapshot.deliverables],
            "events": snapshot.last_seq,
            "timeline": [json.loads(each.to_json()) for each in timeline],
        }
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    _print(snapshot, timeline, status)


def _print(snapshot: Snapshot, timeline: list[Record], status: Record | None) -> None:
    brief = record_in_brief(snapshot.record)
    outcome = snapshot.record.outcome
    rows = {
        "session": snapshot.record.id,
        "state": brief["outcome"] or brief["state"],
        "reason": brief["reason"],
        "summary": outcome.summary if outcome else None,
        "status": line(status.event, verbose=True) if status else None,
        "command": " ".join(snapshot.record.command),
        "directory": snapshot.record.cwd,
        "driver": brief["driver"],
        "created": brief["created"],
        "updated": brief["updated"],
        "log and output": snapshot.record.taskdir,
        "deliverables": snapshot.record.deliverables_dir if snapshot.deliverables else None,
    }
    for name, value in rows.items():
        if value:
            click.echo(f"{name:15} {visible(str(value).strip())}")
    for each in snapshot.deliverables:
        click.echo(f"{'':15}   {size(each.size):>7}  {visible(each.name)}")
    click.echo("timeline")
    for record in timeline:
        click.echo(f"  {rfc3339(record.time)}  {_said(record)}")


def _said(record: Record) -> str:
    if isinstance(record.event, SessionEnded):
        event = record.event
        why = event.summary if event.outcome == "done" else event.reason
        return event.outcome + (f": {visible(why)}" if why else "")
    return line(record.event, verbose=True) or "started"
