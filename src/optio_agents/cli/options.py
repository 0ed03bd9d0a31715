"""Options that several commands take, and kinds of values."""

import re

import click

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


LONGEST = 1e9
"""Seconds; some thirty years."""

LARGEST = 10**18
"""Bytes."""


class Duration(click.ParamType[float]):
    """A length of time: a number with s, m, h or d, or a plain number of seconds.

    Parameters:
        least: seconds that it must at least be; less is refused with `because`.
        because: why.
    """

    name = "duration"

    def __init__(self, least: float = 0.0, because: str = "") -> None:
        self._least = least
        self._because = because

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if not found:
            self.fail(f"{value!r} is no length of time; write 90, 90s, 15m, 2h or 1d", param, ctx)
        seconds = float(found[1]) * _UNITS[found[2]]
        if seconds > LONGEST:
            self.fail(f"{str(value)[:40]} is too long: at most {LONGEST / 86400:.0f}d", param, ctx)
        if seconds < self._least:
            self.fail(f"{value} is too short: {self._because}", param, ctx)
        return seconds


class Size(click.ParamType[int]):
    """A number of bytes above 0: a plain number, or one with k, M, G or T (powers of 1000)."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGT]?)B?", str(value))
        number = min(float(found[1]), 2.0 * LARGEST) if found else 0.0
        count = round(number * 1000.0 ** " kMGT".index(found[2] or " ")) if found else 0
        if not 1 <= count <= LARGEST:
            self.fail(f"{str(value)[:40]!r} is no size; write 500M or 2G", param, ctx)
        return count


def _known_store(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    from ..errors import StoreError
    from ..journal.open import check_url

    if value is not None:
        try:
            check_url(value)
        except StoreError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return value


def host_url(ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Check one or several URLs of hosts, without dialling."""
    from optio_host.open import address_of

    for url in (value,) if isinstance(value, str) else value:
        try:
            address_of(url)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return value


host_option = click.option(
    "--host",
    "host",
    envvar="OPTIO_HOST",
    metavar="URL",
    default="local",
    callback=host_url,
    help="Where: ssh://[user@]host[:port][/directory], a name from ~/.ssh/config, or local. Default: $OPTIO_HOST, "
    "else this machine.",
)

executable_option = click.option(
    "--executable",
    metavar="PATH",
    help="The agent's program, where the PATH of the host's commands does not have it under its own name.",
)

store_option = click.option(
    "--store",
    "store_url",
    envvar="OPTIO_STORE",
    metavar="URL",
    callback=_known_store,
    help="Where the journal is: sqlite:///path, or mongodb://host/ for several machines. Default: $OPTIO_STORE, else a "
    "file of yours.",
)
unused_store_option = click.option(
    "--store",
    metavar="URL",
    expose_value=False,
    callback=_known_store,
    help="Taken as everywhere; the list of runs is kept without a journal.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one value a line.")


def _text(ctx: click.Context, param: click.Parameter, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise click.BadParameter("it is not UTF-8", ctx, param) from error
    return value


session_argument = click.argument("session", metavar="ID", callback=_text)
