"""The part of the soak that always runs: cuts, cancels, inputs, one episode. `make soak` and its kin do the rest."""

import random
from itertools import combinations, pairwise
from pathlib import Path

import anyio
import pytest
from cancels import KINDS, cancel_again_and_again, place
from cancels import Result as CancelResult
from cuts import Result, cut_again_and_again
from plan import Action, Member, Plan

from optio_agents.protocol.channel import event_of_line
from optio_host.lines import LineFramer
from soak import run_plan
from sshd_rig import Sshd


def test_200_cuts_of_the_link_lose_no_line_and_double_none(tmp_path: Path, sshd_here: Sshd) -> None:
    async def body() -> Result:
        with anyio.fail_after(300):
            return await cut_again_and_again(sshd_here, tmp_path, cuts=200, links=6, seed=1)

    result = anyio.run(body)
    assert result.problems == []
    assert result.cuts.total() == 200
    assert result.connections >= 200


@pytest.mark.parametrize("kind", KINDS)
def test_20_cancels_leave_nothing_of_programs_that_hide_their_children(kind: str) -> None:
    with place(kind) as (base, server):

        async def body() -> CancelResult:
            with anyio.fail_after(300):
                return await cancel_again_and_again(base, server, cancels=20, at_once=20)

        result = anyio.run(body)
    assert (result.survivors, result.problems) == ([], [])
    assert result.cancels == 20
    assert result.processes > 40


ATOMS = (
    b"\n",
    b"\r",
    b"D",
    b"DONE",
    b"STATUS: 5% ",
    b":",
    b" ",
    b"\xff",
    b"\xc3",
    b"\xa9",
    b"\0",
    b"{",
    b"\xef\xbb\xbf",
)


def test_10_000_inputs_mean_the_same_in_every_chunking() -> None:
    """Every way to cut each of them into pieces, between any two of up to seven atoms."""
    dice = random.Random(1)
    for _ in range(10_000):
        atoms = dice.choices(ATOMS, k=dice.randrange(1, 8))
        whole = events([b"".join(atoms)])
        for count in range(1, len(atoms)):
            for cuts in combinations(range(1, len(atoms)), count):
                pieces = [b"".join(atoms[a:b]) for a, b in pairwise((0, *cuts, len(atoms)))]
                assert framed(pieces) == whole[0], pieces
        assert events([bytes([byte]) for byte in b"".join(atoms)]) == whole


def framed(pieces: list[bytes]) -> list[object]:
    framer = LineFramer(limit=12)
    return [*(line for piece in pieces for line in framer.feed(piece)), framer.finish(), framer.fed]


def events(pieces: list[bytes]) -> tuple[list[object], list[object]]:
    lines = framed(pieces)
    return lines, [event_of_line(each, first=number == 0) for number, each in enumerate(lines[:-1]) if each]  # type: ignore[arg-type]


EPISODE = Plan(
    1,
    (
        Member("a", "program", "far", "done", 100, 0.02, hides=True, detached=True),
        Member("b", "agent", "far", "done", 0, 0.02, hides=False, detached=False),
        Member("c", "program", "here", "never", 100, 0.02, hides=True, detached=True),
    ),
    (
        Action(0.2, "attach", "a"),
        Action(0.3, "kill driver", "a"),
        Action(0.5, "send", "b"),
        Action(0.6, "answer at once", "b"),
        Action(0.8, "cut"),
        Action(1.0, "kill driver", "b"),
        Action(1.2, "approve", "b"),
        Action(1.4, "stall", "", 0.5),
        Action(1.5, "fill here", "", 0.5),
        Action(2.0, "adopt", "a"),
        Action(2.2, "cancel", "c"),
        Action(2.4, "reset after", "", 5_000),
    ),
)


def test_an_episode_of_the_soak_breaks_no_promise() -> None:
    findings, happened, _ = anyio.run(run_plan, EPISODE)
    assert findings == []
    assert happened.total() == len(EPISODE.actions)
