"""Rows of a measurement: ours beside a peer that was measured in the same run, and whether that is what we want."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import assert_never


class LeftOut(Exception):
    """A row cannot be measured here; the text says what is missing."""


@dataclass(frozen=True)
class TimesAsMuch:
    """At least so many times the peer's figure."""

    times: float

    def __str__(self) -> str:
        return f"{self.times:g}x"


@dataclass(frozen=True)
class TimesAtMost:
    """At most so many times the peer's figure."""

    times: float

    def __str__(self) -> str:
        return f"at most {self.times:.2g}x"


@dataclass(frozen=True)
class AtMost:
    """At most so much; the peer is there to compare."""

    value: float

    def __str__(self) -> str:
        return f"at most {self.value:g}"


@dataclass(frozen=True)
class Told:
    """No target: it is good to know."""

    def __str__(self) -> str:
        return "-"


Target = TimesAsMuch | TimesAtMost | AtMost | Told


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: what was measured.
        unit: of both figures.
        ours: our figure.
        peer: that of the peer; None where it was not measured.
        peer_is: what the peer is.
        target: what ours should be.
        note: what a reader must know to judge it, such as the idle baseline.
    """

    what: str
    unit: str
    ours: float
    peer: float | None
    peer_is: str
    target: Target
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours as so many times the peer's."""
        return self.ours / self.peer if self.peer else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a peer to compare with."""
        match self.target:
            case AtMost(value):
                return self.ours <= value
            case TimesAsMuch(times):
                return None if self.ratio is None else self.ratio >= times
            case TimesAtMost(times):
                return None if self.ratio is None else self.ratio <= times
            case Told():
                return None
            case _:
                assert_never(self.target)


async def by_turns(rounds: int, sides: Sequence[Callable[[], Awaitable[float]]]) -> list[float]:
    """The median of each side, measured one after the other so many times, as machines are noisy."""
    figures: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, taken in zip(sides, figures, strict=True):
            taken.append(await side())
    return [statistics.median(taken) for taken in figures]


def percentile(figures: Sequence[float], percent: float) -> float:
    """The smallest figure that so many percent of them do not exceed."""
    ranked = sorted(figures)
    return ranked[max(0, -(-len(ranked) * percent // 100).__trunc__() - 1)]


def circumstances() -> dict[str, str]:
    """Where and with what this was measured."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} x {_processor()}, {platform.system()} {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "versions": ", ".join(
            [
                f"Python {platform.python_version()}",
                *(f"{name} {version(name)}" for name in ("optio-agents", "asyncssh", "cryptography", "watchfiles")),
                *filter(None, (_first_line("ssh", "-V"), _first_line("rsync", "--version"))),
            ]
        ),
    }


def in_short(row: Row) -> str:
    """A figure in a few words."""
    _, ours, peer, ratio, target, met, _ = _cells(row)
    return f"{ours} {row.unit} (peer {peer}, ratio {ratio}, target {target}: {met})"


def text_of(rows: Sequence[Row]) -> str:
    """The rows as one table."""
    cells = [HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


HEAD = ("what", "ours", "peer", "ratio", "target", "met", "unit; peer; remarks")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        _figure(row.ours),
        "-" if row.peer is None else _figure(row.peer),
        "-" if row.ratio is None else f"{row.ratio:.2f}",
        str(row.target),
        {True: "yes", False: "NO", None: "-"}[row.met],
        "; ".join(filter(None, (row.unit, row.peer_is, row.note))),
    )


def _figure(value: float) -> str:
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def save(path: str, about: dict[str, str], rows: Sequence[Row], left_out: dict[str, str]) -> None:
    """Write everything as JSON."""
    figures = [{**asdict(row), "target": str(row.target), "ratio": row.ratio, "met": row.met} for row in rows]
    Path(path).write_text(json.dumps({**about, "rows": figures, "left_out": left_out}, indent=2) + "\n")


def save_document(path: str, about: dict[str, str], rows: Sequence[Row], left_out: dict[str, str]) -> None:
    """Write everything as a document for people."""
    lines = [
        "# Speed and cost",
        "",
        "Written by `make bench`, which anyone can repeat; what each row measures, and how, is said in",
        "[benchmarks/README.md](../benchmarks/README.md). Machines are noisy: only what was measured in the same run",
        "may be compared, and the ratio says more than the figures.",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
        *(f"| {' | '.join(each.replace('|', ' ') for each in line)} |" for line in (HEAD, ("---",) * len(HEAD))),
        *(f"| {' | '.join(each.replace('|', ' ') for each in _cells(row))} |" for row in rows),
    ]
    if left_out:
        lines += ["", "Not measured here:", "", *(f"- {name}: {reason}" for name, reason in left_out.items())]
    missed_rows = [row.what for row in rows if row.met is False]
    missed = [why for start, why in FALLS_SHORT.items() if any(what.startswith(start) for what in missed_rows)]
    missed = list(dict.fromkeys(missed))  # one reason may be that of several rows
    if missed:
        lines += ["", "Why a target is missed:", "", *(f"- {why}" for why in missed)]
    Path(path).write_text("\n".join(lines) + "\n")


_COPIES = (
    "Copies of a file: with client, server and peer on the same processors, what counts is the processor time of both "
    "sides. A stream through asyncssh and SHA-256 on both sides take more of it than scp takes in all, which verifies "
    "nothing; benchmarks/README.md has the figures."
)

FALLS_SHORT = {
    "durable journal appends": (
        "Appends: of the 2.2 ms that one transaction with an append of each of 64 sessions took on a machine at rest, "
        "0.8 went to the event loop (12 us for each append: to make it, to wait, to be told), 0.6 to the rows and 0.7 "
        "to the commit, which writes as many pages of the file as there are sessions. 30 times the peer would leave "
        "0.9 ms for all of it. 64 producers of one session, whose events lie side by side, take 1.3 ms."
    ),
    "put a file": _COPIES,
    "get a file": _COPIES,
    "put a tree": (
        "A new tree: a plain `tar | ssh tar` is about 1.6 times as fast as rsync here: three times as fast is out of "
        "reach for anything that sends a tar."
    ),
    "claude stream": (
        "A conversation: three times the peer's rate would leave some 4 us of one processor for a message. Its JSON "
        "alone takes 1.9 of them (0.6 with msgspec, a dependency that was not taken on for a twentieth of the whole). "
        "The rest is what the peer does not do: a checked position for each line, ten listeners of whom none holds up "
        "another, and the journal."
    ),
    "optio.log": (
        "The log: the published driver writes nothing down. Five times its rate would leave 1 to 2 us for a line: to "
        "parse it, take secrets out, encode the event, and have it on the disk with its position."
    ),
}
"""By the beginning of a row's name, why its target is not met where it is not."""


def _commit() -> str:
    where = Path(__file__).parent
    commit = _first_line("git", "-C", str(where), "rev-parse", "--short=12", "HEAD")
    changed = _first_line("git", "-C", str(where), "status", "--porcelain", "--untracked-files=no")
    return (commit or "unknown") + (" and changes" if changed else "")


def _first_line(*command: str) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        return ""
    return (said.stdout + said.stderr).partition("\n")[0].strip() if said.returncode == 0 else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
