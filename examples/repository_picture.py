"""One picture of a repository: how it grew, what it is made of, who works on it and where."""

import io
import textwrap
import warnings
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from repository_facts import Commit, History, Snapshot, Tree

INK, FAINT, GRID, PAPER = "#22303a", "#7b8791", "#e4e6e3", "#fbfaf6"
COLOURS = ("#2b6c8f", "#e08e3c", "#5d9b6b", "#b4534f", "#7d6ba8", "#c8ad4a", "#a9b1b6")
ADDED, REMOVED = COLOURS[2], COLOURS[3]
FEW = 10  # up to so many commits are drawn one by one
ROWS = 6

_SPANS = (("minute", 60), ("hour", 3600), ("day", 86400), ("week", 604800), ("30 days", 2592000), ("90 days", 7776000))


def draw(name: str, summary: str, history: History, tree: Tree, growth: list[Snapshot]) -> bytes:
    """The picture as PNG, 1800 by 1260 pixels. Raises ImportError where matplotlib is not installed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style: dict[Any, Any] = {
        "figure.facecolor": PAPER,
        "axes.facecolor": PAPER,
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.color": INK,
        "text.parse_math": False,  # a "$" in a file name is a "$"
        "axes.edgecolor": GRID,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
    }
    with pyplot.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font does not have
        figure = pyplot.figure(figsize=(12, 8.4))
        grid = figure.add_gridspec(
            3,
            6,
            left=0.055,
            right=0.965,
            top=0.835,
            bottom=0.045,
            hspace=0.42,
            wspace=0.65,
            height_ratios=(1.25, 0.85, 1),
        )
        figure.text(0.055, 0.948, _short(name, 50), fontsize=24, fontweight="bold", va="center")
        figure.text(0.055, 0.905, summary, fontsize=10.5, color=FAINT, va="center")
        languages = _top(tree.lines_by_language())
        colours = dict(zip([language for language, _ in languages], COLOURS, strict=False))
        times = [commit.time for commit in history.commits]
        few = len(times) <= FEW or min(times) == max(times)
        _draw_growth(figure.add_subplot(grid[0, :4]), growth, colours, few)
        _ranked(figure.add_subplot(grid[0, 4:]), "Lines by language", languages, list(colours.values()), share=True)
        _draw_activity(figure.add_subplot(grid[1, :4]), history.commits, few)
        authors = _top(Counter(commit.author for commit in history.commits))[:5]
        _ranked(figure.add_subplot(grid[1, 4:]), "Commits by author", authors, [COLOURS[4]], room=5)
        changed = sorted(history.files.items(), key=lambda item: (-item[1].commits, item[0]))[:ROWS]
        rows = [(path, change.commits) for path, change in changed]
        _ranked(figure.add_subplot(grid[2, :3]), "Files in most commits", rows, [COLOURS[1]])
        largest = sorted(tree.files, key=lambda file: (-(file.lines or 0), file.path))[:ROWS]
        rows = [(file.path, file.lines or 0) for file in largest if file.lines]
        _ranked(figure.add_subplot(grid[2, 3:]), "Longest files, in lines", rows, [COLOURS[0]])
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=150)
        pyplot.close(figure)
    return picture.getvalue()


def visible(text: str) -> str:
    """The text with everything that does not print (control characters, bytes that are no UTF-8) written out."""
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def _short(text: str, room: int) -> str:
    text = visible(text)
    return text if len(text) <= room else f"{text[: room // 3]}…{text[-(room - room // 3 - 1) :]}"


def _top(counts: Counter[str]) -> list[tuple[str, int]]:
    """The largest counts, and the sum of all others as the last."""
    ordered = sorted(((name, count) for name, count in counts.items() if count), key=lambda item: (-item[1], item[0]))
    if len(ordered) <= ROWS:
        return ordered
    return [*ordered[: ROWS - 1], ("all others", sum(count for _, count in ordered[ROWS - 1 :]))]


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=9)


def _ranked(
    axes: Any, title: str, rows: list[tuple[str, int]], colours: Sequence[str], *, share: bool = False, room: int = ROWS
) -> None:
    """Bars with their names above them, so that a long name has the whole width."""
    _title(axes, title)
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(room - 0.35, -0.65))
    total = sum(value for _, value in rows)
    if not total:
        axes.text(0, 0, "nothing to show", color=FAINT)
        return
    largest = max(value for _, value in rows)
    letters = int(axes.get_position().width * 185)
    for place, (name, value) in enumerate(rows):
        label = f"{value:,}  ({100 * value / total:.0f} %)" if share else f"{value:,}"
        axes.text(0, place - 0.1, _short(name, letters - len(label)), va="bottom", fontsize=8.5)
        axes.text(1, place - 0.1, label, va="bottom", ha="right", fontsize=8.5, color=FAINT)
        axes.barh(place + 0.08, 1, 0.17, color=GRID)
        axes.barh(place + 0.08, value / largest, 0.17, color=colours[place % len(colours)])


def _draw_growth(axes: Any, growth: list[Snapshot], colours: dict[str, str], few: bool) -> None:
    _title(axes, "Lines of text in the repository")
    named = [language for language in colours if language != "all others"]
    heights = [[snapshot.lines[language] for snapshot in growth] for language in named]
    others = [snapshot.lines.total() - sum(snapshot.lines[name] for name in named) for snapshot in growth]
    shades = [colours[language] for language in named]
    if any(others):
        heights, shades = [*heights, others], [*shades, colours.get("all others", COLOURS[-1])]
    if few:
        below = [0] * len(growth)
        for height, shade in zip(heights, shades, strict=True):
            axes.bar(range(len(growth)), height, 0.62, bottom=below, color=shade)
            below = [low + high for low, high in zip(below, height, strict=True)]
        if len(growth) <= FEW:
            for place, top in enumerate(below):
                axes.annotate(
                    f"{top:,}",
                    (place, top),
                    xytext=(0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=FAINT,
                )
        moments = [_moment(snapshot.time) for snapshot in growth]
        second = "%H:%M" if moments[0].year == moments[-1].year else "%Y"
        _one_by_one(axes, [moment.strftime(f"%d %b\n{second}") for moment in moments])
    elif heights:
        axes.stackplot([_moment(snapshot.time) for snapshot in growth], heights, colors=shades, linewidth=0)
        axes.set_xlim(_moment(growth[0].time), _moment(max(growth[-1].time, growth[0].time + 1)))
        _dates(axes)
    _plain(axes)
    axes.set_ylim(0, 1.1 * max(1, *(snapshot.lines.total() for snapshot in growth)))


def _draw_activity(axes: Any, commits: list[Commit], few: bool) -> None:
    if few:
        _title(axes, "Lines added and removed, commit by commit")
        axes.bar(range(len(commits)), [commit.added for commit in commits], 0.62, color=ADDED)
        axes.bar(range(len(commits)), [-commit.removed for commit in commits], 0.62, color=REMOVED)
        axes.axhline(0, color=FAINT, linewidth=0.8)
        room = 105 // max(5, len(commits))
        subjects = [visible(commit.subject) or "(no message)" for commit in commits]
        _one_by_one(axes, [textwrap.fill(subject, room, max_lines=2, placeholder="…") for subject in subjects])
        _plain(axes)
        return
    first, last = min(commit.time for commit in commits), max(commit.time for commit in commits)
    unit, seconds = next((span for span in _SPANS if (last - first) / span[1] <= 60), ("year", 31557600))
    buckets = Counter((commit.time - first) // seconds for commit in commits)
    _title(axes, f"Commits per {unit}")
    axes.bar(
        [_moment(first + bucket * seconds) for bucket in buckets],
        list(buckets.values()),
        0.85 * seconds / 86400,
        align="edge",
        color=COLOURS[0],
    )
    axes.set_xlim(_moment(first), _moment(last + seconds))
    axes.yaxis.get_major_locator().set_params(integer=True)
    _dates(axes)
    _plain(axes)


def _one_by_one(axes: Any, labels: list[str]) -> None:
    """A place for each commit; few of them stand in the middle with bars of ordinary width."""
    aside = max(0.0, (5 - len(labels)) / 2)
    axes.set_xlim(-0.5 - aside, len(labels) - 0.5 + aside)
    axes.set_xticks(range(len(labels)) if len(labels) <= FEW else [], labels if len(labels) <= FEW else [])


def _dates(axes: Any) -> None:
    from matplotlib import dates

    locator = dates.AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]


def _plain(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):,.0f}"))
    axes.grid(visible=True, axis="y")
    axes.tick_params(length=0, labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _moment(seconds: int) -> datetime:
    """A time of a commit as a date; one that no calendar has becomes the nearest that it does have."""
    return datetime.fromtimestamp(min(max(seconds, 0), 253_370_764_800), UTC)
