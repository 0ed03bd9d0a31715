"""What a conversation costs and how fast it is, beside the published claude-agent-sdk, in one table.

    python benchmarks/conversation.py [ROW ...] [--quick] [--json FILE]

Both sides talk with the same scripted agent, which says the same lines, by turns, each time in a process of its own.
Ours is a session on this machine with its journal in a SQLite file. See README.md beside this file.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import join
from statistics import median
from typing import Any

import published
from command_line import main
from own_process import in_its_own_process
from said_lines import MIX, write_lines
from table import AtMost, Row, TimesAsMuch, percentile

HERE = Path(__file__).parent
SUBSCRIBERS = 10
NEVER = 10.0
"""Seconds after which an answer that has not come counts as never."""


async def stream(quick: bool) -> list[Row]:
    """A long run of the agent: messages per second, and the memory of the process that hears them."""
    lines, rounds = (2_000, 1) if quick else (100_000, 5)
    task = {"mode": "stream", "subscribers": SUBSCRIBERS}
    ours, peer = [], []
    with _agent(lines) as agent:
        for _ in range(rounds):
            ours.append(_ours(agent, task))
            if not quick:
                peer.append(_peer(agent, task))
    assert all(each["messages"] == lines + 1 for each in ours)
    what = f"claude stream, {lines:,} lines, journal on, {SUBSCRIBERS} subscribers"
    peer_is = f"{published.CLAUDE}, no journal, 1 subscriber"
    rates = [[each["messages"] / each["seconds"] for each in side] for side in (ours, peer)]
    speed = _beside("{:,.0f}", [f"{min(side):,.0f} to {max(side):,.0f}" for side in rates if side])
    cpu = _beside(
        "{:.1f}", [1e6 * median(each["cpu"] / each["messages"] for each in side) for side in (ours, peer) if side]
    )
    idle = _beside("{:.1f}", [median(each["idle"] for each in side) for side in (ours, peer) if side])
    return [
        Row(
            f"{what}: speed", "messages/s", median(rates[0]), median(rates[1]) if peer else None, peer_is,
            TimesAsMuch(3), f"{speed}; processor {cpu} us each; {MIX}",
        ),
        Row(
            f"{what}: memory", "MiB", median(each["peak"] for each in ours),
            median(each["peak"] for each in peer) if peer else None, peer_is,
            AtMost(45), f"peak RSS of the driving process, agent not counted; {idle} before the first message",
        ),
    ]  # fmt: skip


def _beside(form: str, figures: Sequence[float | str]) -> str:
    return " against ".join(each if isinstance(each, str) else form.format(each) for each in figures)


async def stuck(quick: bool) -> list[Row]:
    """Questions of the agent and interrupts, while one subscriber has not read what came before."""
    lines, questions, rounds = (2_000, 20, 1) if quick else (100_000, 200, 3)
    with _agent(lines) as agent:
        ours = [_ours(agent, {"mode": "stuck", "questions": questions}) for _ in range(rounds)]
        peer = [] if quick else [_peer(agent, {"mode": "stuck", "patience": NEVER})]
    said = [f"an interrupt in {each['interrupt']:.1f} ms" if each["interrupt"] else "no answer" for each in peer]
    peer_is = f"{published.CLAUDE}: {said[0]} within {NEVER:g} s" if said else f"{published.CLAUDE}, not measured"
    rows = []
    for name in ("answers", "interrupts"):
        took = [each for run in ours for each in run[name]]
        what = {"answers": "permission answer", "interrupts": "interrupt"}[name]
        note = f"p50 {percentile(took, 50):.1f}, of {len(took)}"
        if name == "answers":
            note += f"; the first one, asked right behind the {lines:,} lines, {median(r['first'] for r in ours):,.0f}"
        rows.append(
            Row(
                f"{what}, one subscriber stuck, {lines:,} events unread, p99",
                "ms", percentile(took, 99), None, peer_is, AtMost(10), note,
            )
        )  # fmt: skip
    return rows


@contextmanager
def _agent(lines: int) -> Iterator[str]:
    """Path of an agent that has so many lines to say, in a directory for whatever belongs to a measurement."""
    with tempfile.TemporaryDirectory(prefix="optio-bench-") as directory:
        said, agent = Path(directory, "lines"), Path(directory, "claude")
        write_lines(said, lines)
        program = join([sys.executable, "-I", "-S", str(HERE / "scripted_claude.py"), str(said)])
        agent.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        agent.chmod(0o755)
        yield str(agent)


def _ours(agent: str, task: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=Path(agent).parent) as directory:
        task = {**task, "program": agent, "directory": str(Path(directory, "run"))}
        return in_its_own_process(sys.executable, "conversation_ours.py", task)


def _peer(agent: str, task: dict[str, Any]) -> dict[str, Any]:
    return in_its_own_process(published.python(published.CLAUDE), "conversation_peer.py", {**task, "program": agent})


ROWS = {"stream": stream, "stuck": stuck}


if __name__ == "__main__":
    main("Speed and cost of a conversation beside claude-agent-sdk.", ROWS)
