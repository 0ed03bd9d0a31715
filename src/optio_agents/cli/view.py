"""How a session is shown while it runs: JSON lines for programs, plain lines for a file, a live bar for a terminal."""

import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import assert_never

import anyio

from optio_host.lines import Line, LongLine

from ..events import (
    Attention,
    DeliverableLanded,
    DeliverableRefused,
    DriverChanged,
    DriverLeft,
    ErrorReported,
    Finished,
    LogReset,
    Missing,
    Notice,
    Other,
    Progress,
    Record,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    Stalled,
    Status,
    StopRequested,
    UnknownText,
)
from ..session import OutputStream
from .visible import size, visible

Lines = AsyncIterator[Line | LongLine]
"""What a program writes."""


class View:
    """One way of showing. `show` is called in a thread: whoever reads our output may keep us waiting."""

    def show(self, record: Record) -> None:
        """Show one event."""
        raise NotImplementedError

    def output(self, stream: OutputStream, text: str) -> None:
        """Show a line that the program wrote to stdout or stderr."""

    def note(self, text: str) -> None:
        """Say something that is no event, such as an answer to Ctrl-C."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""


async def watch(view: View, records: AsyncIterator[Record], output: Mapping[OutputStream, Lines]) -> None:
    """Show a session to its end. When nobody reads what we print any more, nothing more is shown, and it goes on.

    Parameters:
        records: what happens.
        output: what the program writes, by stream, where it is to be shown too.
    """
    try:
        async with anyio.create_task_group() as tasks:
            for stream, lines in output.items():
                tasks.start_soon(_watch_output, view, stream, lines)
            async for record in records:
                await anyio.to_thread.run_sync(view.show, record, abandon_on_cancel=True)
    except* BrokenPipeError:
        # Python writes what is buffered once more when it exits; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _watch_output(view: View, stream: OutputStream, lines: Lines) -> None:
    async for line in lines:
        text = (line.data if isinstance(line, Line) else line.head).decode("utf-8", "replace")
        await anyio.to_thread.run_sync(view.output, stream, text, abandon_on_cancel=True)


class JsonView(View):
    """One event a line."""

    def show(self, record: Record) -> None:
        """Print the event's JSON form."""
        print(record.to_json(), flush=True)


class PlainView(View):
    """Lines for a file or a pipe.

    Parameters:
        verbose: lines that are no entries are shown too.
        began: when the session began, in seconds since the epoch; None: now. Times are counted from there.
    """

    def __init__(self, *, verbose: bool, began: float | None = None) -> None:
        self._verbose = verbose
        self._began = time.time() if began is None else began

    def show(self, record: Record) -> None:
        """Print the event as a line."""
        text = line(record.event, verbose=self._verbose)
        if text is not None:
            print(f"{max(0.0, record.time - self._began):7.1f}s  {text}", flush=True)

    def output(self, stream: OutputStream, text: str) -> None:
        """Print the line behind the name of its stream."""
        print(f"{time.time() - self._began:7.1f}s  {stream}: {visible(text)}", flush=True)


class TerminalView(View):
    """A progress bar at the bottom, and above it what is worth keeping."""

    def __init__(self, *, verbose: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._verbose = verbose
        self._console = Console(highlight=False)
        self._bar = Bar(
            TimeElapsedColumn(),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None)
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
            self.close()
        else:
            text = line(event, verbose=self._verbose)
            if text is not None:
                self._bar.console.print(text, style=_STYLES.get(type(event)), markup=False, soft_wrap=True)

    def output(self, stream: OutputStream, text: str) -> None:
        """Print it above the bar."""
        self._bar.console.print(visible(text), style="dim", markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print it above the bar."""
        self._bar.console.print(text, style="yellow", markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


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


def line(event: SessionEvent, *, verbose: bool) -> str | None:
    """An event as one line for a person; None when it is not worth one."""
    match event:
        case Status(percent, message) | Progress(percent, message):
            return f"{'    ' if percent is None else f'{percent:3.0f}%'} {visible(message or '')}"
        case DeliverableLanded(name, path, count, _):
            return f"deliverable {visible(name)} ({size(count)}) -> {visible(_short(path))}"
        case DeliverableRefused(name, reason):
            return f"deliverable {visible(name)} refused: {visible(reason)}"
        case Attention(reason):
            return f"ATTENTION: {visible(reason)}"
        case ErrorReported(message):
            return f"the program reports an error: {visible(message)}" if message else "the program reports an error"
        case LogReset(reason, dropped):
            lost = f"; {dropped} bytes of an unfinished line are lost" if dropped else ""
            return f"the log was {reason}; reading what is there now from its beginning{lost}"
        case Notice(message):
            return visible(message)
        case UnknownText(text, length):
            shown = visible(text) if length is None else f"{visible(text)} [... a line of {size(length)}]"
            return shown if verbose else None
        case StopRequested(reason):
            return f"stopping: {visible(reason)}"
        case Stalled(seconds, signs):
            return f"nothing has moved for {seconds:.0f} s: neither {', '.join(signs)}"
        case DriverChanged(driver, _, reason):
            return f"now driven by {visible(driver)}; the driver before has {reason}" if verbose else None
        case DriverLeft(reason):
            return f"the driver leaves: {visible(reason)}" if verbose else None
        case Missing(first, last):
            return f"[events {first} to {last} are no longer kept]"
        case Other(kind, data):
            return f"{visible(kind)}: {visible(str(data))}" if verbose else None
        case SessionStarted() | Finished() | SessionEnded():
            return None
        case _:
            assert_never(event)


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else os.path.join(".", relative)


def choose(*, json: bool, verbose: bool) -> View:
    """The view for where our output goes."""
    if json:
        return JsonView()
    return TerminalView(verbose=verbose) if sys.stdout.isatty() else PlainView(verbose=verbose)
