"""What a person adds to the environment of a program."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import click


def environment(assignments: Iterable[str], files: Iterable[Path]) -> dict[str, str]:
    """The additions to a program's environment.

    Parameters:
        assignments: "NAME=value", or "NAME" for the value it has here. They win over the files.
        files: files of such lines in the .env format; nothing in them is expanded.

    Raises click.UsageError for a name without a value, or a file that cannot be read.
    """
    additions: dict[str, str] = {}
    for file in files:
        additions.update(_read_file(file))
    for assignment in assignments:
        name, assigned, value = assignment.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise click.UsageError(f"--env {name}: {name!r} is no name of an environment variable")
        if not assigned and name not in os.environ:
            raise click.UsageError(f"--env {name}: {name} is not set here; write {name}=VALUE")
        additions[name] = value if assigned else os.environ[name]
    return additions


def _read_file(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        with file.open(encoding="utf-8") as stream:
            values = dotenv_values(stream=stream, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--env-file {file}: cannot be read: {error}") from error
    for name, value in values.items():
        if value is None:
            raise click.UsageError(f"--env-file {file}: {name} has no value; write {name}=VALUE")
    return {name: value for name, value in values.items() if value is not None}
