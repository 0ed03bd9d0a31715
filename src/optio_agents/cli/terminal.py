"""A person at a terminal: a progress bar at the bottom, and above it what is worth keeping."""

import time

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.progress import BarColumn, ProgressColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Column

from ..events import (
    Attention,
    DeliverableLanded,
    DeliverableRefused,
    ErrorReported,
    LogReset,
    Notice,
    Progress,
    Record,
    SessionEnded,
    SessionEvent,
    Stalled,
    Status,
    StopRequested,
    UnknownText,
)
from ..session import OutputStream
from .said import said
from .view import View
from .visible import visible

_STYLES: dict[type[SessionEvent], str] = {
    Attention: "bold yellow",
    DeliverableLanded: "green",
    DeliverableRefused: "red",
    ErrorReported: "red",
    LogReset: "yellow",
    Notice: "yellow",
    Stalled: "yellow",
    StopRequested: "yellow",
    UnknownText: "dim",
}


class _Bar(Bar):
    def __init__(self, *columns: ProgressColumn) -> None:
        self._screen = Console(highlight=False)
        super().__init__(*columns, console=self._screen, transient=True, expand=True)

    def get_renderable(self) -> RenderableType:
        # Room for the "^C" that a terminal echoes: it would wrap, and the bar would then be erased one line too low.
        return Constrain(super().get_renderable(), max(1, self._screen.width - 3))


class TerminalView(View):
    """The bar moves with what the program reports.

    Parameters:
        began: when the session began, in seconds since the epoch.
        verbose: lines that are no entries are shown too.
    """

    def __init__(self, began: float, *, verbose: bool) -> None:
        self._verbose = verbose
        self._bar = _Bar(
            TimeElapsedColumn(Column(no_wrap=True, min_width=7)),
            BarColumn(20, table_column=Column(no_wrap=True, min_width=20)),
            TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
            TextColumn("{task.description}", markup=False, table_column=_REST_OF_THE_LINE),
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.tasks[0].start_time = self._bar.get_time() - max(0.0, time.time() - began)
        self._bar.start()

    def show(self, record: Record) -> None:
        """Move the bar, or print a line above it."""
        event = record.event
        if isinstance(event, Status | Progress):
            self._bar.update(
                self._task,
                total=None if event.percent is None and self._bar.tasks[0].total is None else 100,
                completed=event.percent if event.percent is not None else None,
                description=visible(event.message or ""),
            )
        elif isinstance(event, SessionEnded):
            self.close()  # a summary follows
        else:
            self._print(said(record, verbose=self._verbose), _STYLES.get(type(event)))

    def output(self, stream: OutputStream, text: str) -> None:
        """Print it above the bar."""
        self._print(visible(text), "dim")

    def note(self, text: str) -> None:
        """Print it above the bar."""
        self._print(text, "yellow")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def _print(self, text: str | None, style: str | None) -> None:
        if text is not None:
            self._bar.console.print(text, style=style, markup=False, soft_wrap=True)


_REST_OF_THE_LINE = Column(ratio=1, no_wrap=True, overflow="ellipsis")
