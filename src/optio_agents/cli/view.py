"""How a session is shown while it runs: JSON lines for programs, plain lines for a file, a live bar for a terminal."""

import os
import sys
import time

import anyio

from optio_host.lines import Line

from ..events import (
    Attention,
    DeliverableLanded,
    DeliverableRefused,
    ErrorReported,
    Finished,
    LogReset,
    Notice,
    Progress,
    Record,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    Status,
    UnknownText,
)
from ..session import OUTPUT_STREAMS, OutputStream, Session
from .visible import size, visible


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


async def watch(view: View, session: Session, *, output: bool) -> None:
    """Show a session to its end. When nobody reads what we print any more, nothing more is shown, and it goes on.

    Parameters:
        output: what the program writes to stdout and stderr is shown too.
    """
    try:
        async with anyio.create_task_group() as tasks:
            for stream in OUTPUT_STREAMS if output else ():
                tasks.start_soon(_watch_output, view, session, stream)
            async for record in session.events.follow():
                await anyio.to_thread.run_sync(view.show, record, abandon_on_cancel=True)
    except* BrokenPipeError:
        # Python writes what is buffered once more when it exits; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _watch_output(view: View, session: Session, stream: OutputStream) -> None:
    async for line in session.output(stream):
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
    """

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._started = time.monotonic()

    def show(self, record: Record) -> None:
        """Print the event as a line."""
        text = line(record.event, verbose=self._verbose)
        if text is not None:
            print(f"{time.monotonic() - self._started:7.1f}s  {text}", flush=True)

    def output(self, stream: OutputStream, text: str) -> None:
        """Print the line behind the name of its stream."""
        print(f"{time.monotonic() - self._started:7.1f}s  {stream}: {visible(text)}", flush=True)


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
        case UnknownText(text, count):
            shown = visible(text) if count is None else f"{visible(text)} [... a line of {size(count)}]"
            return shown if verbose else None
        case SessionStarted() | Finished() | SessionEnded():
            return None


def _short(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else os.path.join(".", relative)


def choose(*, json: bool, verbose: bool) -> View:
    """The view for where our output goes."""
    if json:
        return JsonView()
    return TerminalView(verbose=verbose) if sys.stdout.isatty() else PlainView(verbose=verbose)
