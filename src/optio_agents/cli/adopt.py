"""`optio adopt`: see to it that sessions without a driver get one."""

import click

from ..journal import SessionRecord, Snapshot, Store
from .brief import driver_in_words, print_json, record_in_brief
from .carry_out import carry_out
from .driving import can_be_adopted, start_driver
from .hosts import is_on_one_of
from .options import host_url, json_option, store_option
from .visible import visible


@click.command()
@click.argument("sessions", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Every session that nobody drives.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="URL",
    callback=host_url,
    help="With --all: also those on this host. May be repeated.",
)
@json_option
@store_option
def command(
    sessions: tuple[str, ...], everything: bool, hosts: tuple[str, ...], as_json: bool, store_url: str | None
) -> None:
    """Start a driver in the background for sessions whose driver is gone, and print their IDs.

    After a reboot or a crash, `--all` brings every session to its end or on its way: those on this machine, and those
    on hosts named by --host. No other host is dialled unless its session is named; which were left alone is said.

    \b
    Examples:
      optio adopt 3f
      optio adopt --all --host build-7
      @reboot optio adopt --all        (in a crontab)
    """
    if bool(sessions) == everything:
        raise click.UsageError("name sessions, or say --all")
    if hosts and not everything:
        raise click.UsageError("--host goes with --all; a session that is named is adopted wherever it runs")

    async def adopt(store: Store) -> list[SessionRecord]:
        if everything:
            wanted = [each.id for each in await store.sessions(states=("starting", "running", "idle"))]
        else:
            wanted = [await store.resolve(each) for each in sessions]
        adopted = []
        for session in wanted:
            snapshot = await store.snapshot(session)
            if everything and not is_on_one_of(snapshot.record, hosts):
                where = visible(snapshot.record.host)
                click.echo(f"{session} is left alone: it runs on {where}; name it, or add --host {where}", err=True)
            elif can_be_adopted(snapshot):
                start_driver(snapshot.record, store.secret_url)
                adopted.append(snapshot.record)
            elif not everything or snapshot.record.callbacks:
                click.echo(f"{session} is left alone: {_why_not(snapshot)}", err=True)
        return adopted

    for record in carry_out(adopt, store_url):
        if as_json:
            print_json(record_in_brief(record))
        else:
            click.echo(record.id)


def _why_not(snapshot: Snapshot) -> str:
    record = snapshot.record
    if record.state == "ended":
        return "it has ended"
    if record.callbacks:
        return f"it was started by a program that handles {', '.join(record.callbacks)}; only that can adopt it"
    return f"it is driven by {driver_in_words(record)}"
