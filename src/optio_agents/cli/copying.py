"""How far a copy is, for a person at a terminal: one line that goes away when it is done."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from optio_host.host import ProgressCallback


@contextmanager
def shown_progress(what: str) -> Iterator[ProgressCallback | None]:
    """Show how far something is while the block lasts; None where nobody would see it.

    Parameters:
        what: what is done, made safe to show.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def show(percent: float | None, message: str | None) -> None:
            progress.update(task, total=None if percent is None else 100.0, completed=percent or 0.0)

        yield show
