"""`optio adopt`: see to it that sessions without a driver get one."""

import json

import click

from ..driver_identity import is_proved_dead
from ..journal import SessionRecord, Store
from .background import start_driver
from .stores import carry_out, json_option, record_in_brief, store_option


@click.command()
@click.argument("sessions", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Every session that nobody drives.")
@json_option
@store_option
def command(sessions: tuple[str, ...], everything: bool, as_json: bool, store_url: str | None) -> None:
    """Start a driver in the background for sessions whose driver is gone. After a reboot or a crash, `--all` does.

    \b
    Examples:
      optio adopt 3f
      @reboot optio adopt --all        (in a crontab)
    """
    if bool(sessions) == everything:
        raise click.UsageError("name sessions, or say --all")

    async def adopt(store: Store) -> list[SessionRecord]:
        wanted = [await store.resolve(each) for each in sessions]
        adopted = []
        for record in await store.sessions(states=("starting", "running", "idle")):
            named = record.id in wanted
            if not named and not everything:
                continue
            driver = record.driver
            if driver is not None and not is_proved_dead(driver):
                if named:
                    click.echo(f"{record.id} is driven by pid {driver.pid} on {driver.hostname}", err=True)
                continue
            start_driver(record, store.url)
            adopted.append(record)
        return adopted

    for record in carry_out(adopt, store_url):
        click.echo(json.dumps(record_in_brief(record)) if as_json else record.id)
