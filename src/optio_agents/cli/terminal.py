"""A person at a terminal: a progress bar at the bottom, and above it what is worth keeping."""

import time
from threading import RLock

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.control import Control
from rich.progress import BarColumn, ProgressColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.segment import ControlType
from rich.table import Column

from ..conversation.events import QuestionAsked
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
        asks: a question is shown when its answer is asked for, and not twice.
    """

    def __init__(self, began: float, *, verbose: bool, asks: bool) -> None:
        self._verbose = verbose
        self._asks = asks
        self._prompt = ""
        self._lock = RLock()  # events, notes and prompts come from threads of their own
        self._bar = _Bar(
            TimeElapsedColumn(Column(no_wrap=True, min_width=7)),
            BarColumn(20, table_column=Column(no_wrap=True, min_width=20)),
            TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
            TextColumn("{task.description}", markup=False, table_column=_REST_OF_THE_LINE),
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.tasks[0].start_time = self._bar.get_time() - max(0.0, time.time() - began)
        self._closed = False
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
        elif not (self._asks and isinstance(event, QuestionAsked)):
            self._print(said(record, verbose=self._verbose), _STYLES.get(type(event)))

    def output(self, stream: OutputStream, text: str) -> None:
        """Print it above the bar."""
        self._print(visible(text), "dim")

    def note(self, text: str) -> None:
        """Print it above the bar."""
        self._print(text, "yellow")

    def prompt(self, words: str, prompt: str) -> None:
        """Show it instead of the bar, whose movement would write over what is typed."""
        with self._lock:
            if self._closed:
                return
            self._bar.stop()
            self._erase_prompt()
            self._prompt = prompt
            if words:
                self._show(words, "bold yellow")
            self._show_prompt()

    def end_of_prompt(self) -> None:
        """Take it away, with what was typed, and show the bar again."""
        with self._lock:
            self._erase_prompt()
            self._prompt = ""
            if not self._closed:
                self._bar.start()

    def close(self) -> None:
        """Take the bar away."""
        with self._lock:
            self._closed = True
            self._erase_prompt()
            self._prompt = ""
            self._bar.stop()

    def _print(self, text: str | None, style: str | None) -> None:
        if text is not None:
            with self._lock:
                self._erase_prompt()
                self._show(text, style)
                self._show_prompt()

    def _show(self, text: str, style: str | None) -> None:
        self._bar.console.print(text, style=style, markup=False, soft_wrap=True)

    def _erase_prompt(self) -> None:
        if self._prompt:
            self._bar.console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))

    def _show_prompt(self) -> None:
        if self._prompt:
            self._bar.console.print(self._prompt, style="bold", markup=False, soft_wrap=True, end="")


_REST_OF_THE_LINE = Column(ratio=1, no_wrap=True, overflow="ellipsis")
