"""A session record as people and programs see it, and the one way in which JSON is printed."""

import json
import platform

import click

from ..driver_identity import is_proved_dead
from ..events import rfc3339
from ..journal import Driver, SessionRecord


def print_json(value: object) -> None:
    """One value on a line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def record_in_brief(record: SessionRecord) -> dict[str, object]:
    """A record as `--json` prints it: times in UTC, without what only a driver needs.

    `driver.alive` is false when the driver is certainly gone; a driver on another machine counts as alive.
    """
    driver = record.driver
    return {
        "id": record.id,
        "host": record.host,
        "agent": record.agent,
        "state": record.state,
        "outcome": record.outcome.outcome if record.outcome and record.state == "ended" else None,
        "reason": record.outcome.reason or None if record.outcome else None,
        "summary": record.outcome.summary or None if record.outcome else None,
        "exit": record.outcome.exit if record.outcome else None,
        "driver": {"pid": driver.pid, "hostname": driver.hostname, "alive": not is_proved_dead(driver)}
        if driver
        else None,
        "created": rfc3339(record.created),
        "updated": rfc3339(record.updated),
        "cost_usd": record.conversation.cost_usd if record.conversation else None,
        "command": list(record.command),
        "cwd": record.cwd,
        "taskdir": record.taskdir,
        "deliverables": record.deliverables_dir,
    }


def cost_in_words(record: SessionRecord) -> str:
    """What its agent has cost so far, as it says: "$0.12"; "" when it has not said."""
    cost = record.conversation.cost_usd if record.conversation else None
    return "" if cost is None else f"${cost:.2f}" if cost >= 0.1 else f"${cost:.4f}"


def driver_in_words(record: SessionRecord) -> str:
    """Who drives a session: "pid 123", with the machine when it is another one; "none", "gone", or "" after its end."""
    driver = record.driver
    if driver is None:
        return "" if record.state == "ended" else "none"
    return f"gone (pid {driver.pid})" if is_proved_dead(driver) else process_in_words(driver)


def process_in_words(driver: Driver) -> str:
    """A driver's process, with the machine when it is another one."""
    return f"pid {driver.pid}" + ("" if driver.hostname == platform.node() else f" on {driver.hostname}")
