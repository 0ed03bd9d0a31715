"""`optio attach`: come back to a session."""

import click

from ..journal import OutcomeDocument, Store
from .attend import Attendance
from .stores import carry_out, exit_status, here, json_option, leave_with, session_argument, store_option
from .summary import print_summary
from .view import choose


@click.command()
@session_argument
@click.option(
    "--from",
    "after",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Begin with event number N. Default: with the first.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also show the program's output and lines that are no entries.")
@json_option
@store_option
def command(session: str, after: int, verbose: bool, as_json: bool, store_url: str | None) -> None:
    """Watch a session, live, to its end; and drive it when its driver is gone.

    Ctrl-C only ends the watching: the session goes on, driven by whoever drove it, or by a driver in the background.
    `optio cancel` ends a session. The exit status is the one that `optio run` would have had.

    \b
    Examples:
      optio attach 3f
      optio attach 3f --json --from 1200
    """

    async def attach(store: Store) -> OutcomeDocument | None:
        found = await store.resolve(session)
        view = choose(json=as_json, verbose=verbose)
        watching = Attendance(
            store, here(), view, found, after=after - 1, verbose=verbose and not as_json, signals_cancel=False
        )
        try:
            outcome = await watching.run()
        finally:
            view.close()
        if outcome is not None and not as_json:
            print_summary(await store.snapshot(found))
        return outcome

    outcome = carry_out(attach, store_url)
    leave_with(0 if outcome is None else exit_status(outcome))
