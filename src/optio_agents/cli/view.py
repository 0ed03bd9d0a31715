"""How a session is shown while it runs: JSON lines for programs, plain lines for a file, a live bar for a terminal.

Whoever reads our output may keep a call of these waiting, or have gone: then it raises OSError.
"""

import sys
import time

from ..events import Record, SessionEnded
from ..session import OutputStream
from .said import said
from .visible import visible


class View:
    """One way of showing."""

    def show(self, record: Record) -> None:
        """Show one event."""
        raise NotImplementedError

    def output(self, stream: OutputStream, text: str) -> None:
        """Show a line that the program wrote to stdout or stderr."""

    def note(self, text: str) -> None:
        """Say something that is no event, such as an answer to Ctrl-C."""
        print(text, file=sys.stderr, flush=True)

    def prompt(self, words: str, prompt: str) -> None:
        """Ask something: the words, if there are any, and below them the place to type at, until `end_of_prompt`."""

    def end_of_prompt(self) -> None:
        """Nothing is asked any more."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class JsonView(View):
    """One event a line."""

    def show(self, record: Record) -> None:
        """Print the event's JSON form."""
        print(record.to_json(), flush=True)


class PlainView(View):
    """Lines for a file or a pipe.

    Parameters:
        began: when the session began, in seconds since the epoch. Times are counted from there.
        verbose: lines that are no entries are shown too.
        summary_follows: the end is told elsewhere.
    """

    def __init__(self, began: float, *, verbose: bool, summary_follows: bool) -> None:
        self._began = began
        self._verbose = verbose
        self._summary_follows = summary_follows

    def show(self, record: Record) -> None:
        """Print the event as a line."""
        if not (self._summary_follows and isinstance(record.event, SessionEnded)):
            self._print(record.time, said(record, verbose=self._verbose))

    def output(self, stream: OutputStream, text: str) -> None:
        """Print the line behind the name of its stream."""
        self._print(time.time(), f"{stream}: {visible(text)}")

    def _print(self, when: float, text: str | None) -> None:
        if text is not None:
            print(f"{max(0.0, when - self._began):7.1f}s  {text}", flush=True)


def choose_view(began: float, *, json: bool, verbose: bool, asks: bool) -> View:
    """The view for where our output goes.

    Parameters:
        began: when the session began, in seconds since the epoch.
        json: a program reads it.
        verbose: lines that are no entries are shown too.
        asks: at a terminal, questions of an agent are put to the person there.
    """
    if json:
        return JsonView()
    if not sys.stdout.isatty():
        return PlainView(began, verbose=verbose, summary_follows=True)
    from .terminal import TerminalView

    return TerminalView(began, verbose=verbose, asks=asks)
