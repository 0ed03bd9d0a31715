"""Kinds of values that options take."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import click

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """A length of time: a number with s, m, h or d, or a plain number of seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if not found:
            self.fail(f"{value!r} is no length of time; write 90, 90s, 15m, 2h or 1d", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


class Size(click.ParamType[int]):
    """A number of bytes: a plain number, or one with k, M, G or T (powers of 1000)."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGT]?)B?", str(value))
        if not found:
            self.fail(f"{value!r} is no size; write 500M or 2G", param, ctx)
        return round(float(found[1]) * 1000.0 ** " kMGT".index(found[2] or " "))


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
            raise click.UsageError(f"--env {assignment}: {name!r} is no name of an environment variable")
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
