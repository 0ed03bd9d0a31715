"""Having a person change a text in an editor of their choice."""

import os
import shlex
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio


async def edited(text: str) -> str:
    """The text as it is after VISUAL, EDITOR or vi has ended. The terminal is as before, also when this is cancelled.

    Raises OSError when the editor cannot be started or fails, or leaves no text.
    """
    try:
        command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    except ValueError as error:
        raise OSError(f"VISUAL or EDITOR is no command: {error}") from error
    with tempfile.TemporaryDirectory(prefix="optio-") as directory:
        path = Path(directory, "input.json")
        _write(path, text)
        with _terminal_as_it_was():
            ran = await anyio.run_process([*command, str(path)], stdin=None, stdout=None, stderr=None, check=False)
        if ran.returncode:
            raise OSError(f"{command[0]} ended with exit status {ran.returncode}")
        return _read(path)


@contextmanager
def _terminal_as_it_was() -> Iterator[None]:
    try:
        before = termios.tcgetattr(0)
    except termios.error as error:
        raise OSError(f"the terminal is gone: {error}") from error
    try:
        yield
    finally:
        with suppress(termios.error):  # it was closed
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise OSError(f"what the editor has left is no text: {error}") from error
