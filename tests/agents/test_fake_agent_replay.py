"""What a replay promises: an agent that did something once does it again, and whatever it cannot do again is named."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from played import DENIED, INTERRUPTED, STOPPED, Played

from optio_agents.events import DeliverableLanded
from optio_agents.testing import (
    Appends,
    Asks,
    AsksAbout,
    AtOnce,
    AwaitsDecision,
    AwaitsInterrupt,
    BeginsTurn,
    CallsTool,
    Delivers,
    EndsTurn,
    Exits,
    Fails,
    FakeAgent,
    ReturnsFrom,
    Says,
    Step,
    TakesUp,
    Thinks,
    UsesTool,
    Waits,
)
from optio_agents.testing.retelling import Retelling

WORDS = st.sampled_from(["", "Hello.", "  two\nlines ", "ein Gruß \u2028", "STATUS: 3", "x" * 100])
SOME_WORDS = WORDS.filter(bool)
NAMES = st.sampled_from(["a.txt", "b/c d.md"])
LINES = st.sampled_from(
    [
        "STATUS: 10% reading",
        "STATUS:",
        "STATUS: 10%",
        "DONE",
        "DONE: it",
        "ERROR: no",
        "ATTENTION: help",
        "words",
        " DONE",
    ]
)
PRICES = st.sampled_from([0.0, 0.1, 0.3, 7.25])
TOOLS = st.sampled_from(["Bash", "AskUserQuestion", "ExitPlanMode", DENIED])


def retold(played: Played) -> Retelling:
    contents = iter(played.contents)

    def content(landed: DeliverableLanded) -> tuple[bytes, str]:
        return next(contents), ""

    return Retelling(played.events, played.questions, content)


@st.composite
def several_tools(draw: st.DrawFn) -> list[Step]:
    """Some uses of tools, each step of one somewhere among those of the others."""
    uses: list[list[Step]] = []
    for _ in range(draw(st.integers(1, 3))):
        use = f"use-{draw(st.uuids(version=4))}"
        name, parent = draw(TOOLS), draw(st.sampled_from(["", "somebody"]))
        steps: list[Step] = [CallsTool(use, name, {"a": [1]}, parent)]
        if draw(st.booleans()):
            steps.append(AsksAbout(use, name, draw(st.sampled_from([{}, {"a": [1]}])), parent and "subagent"))
        if draw(st.booleans()):
            if name == DENIED or draw(st.booleans()):
                steps.append(AwaitsDecision(use))
            steps.append(ReturnsFrom(use, draw(WORDS), draw(st.booleans())))
        uses.append(steps)
    order = draw(st.permutations([number for number, steps in enumerate(uses) for _ in steps]))
    return [uses[number].pop(0) for number in order]


SIMPLE: st.SearchStrategy[list[Step]] = st.one_of(
    st.builds(Says, WORDS),
    st.builds(Says, WORDS, st.just("somebody")),
    st.builds(Thinks, SOME_WORDS),
    st.builds(Appends, LINES),
    st.builds(UsesTool, TOOLS, st.just({"command": "make"}), WORDS, st.booleans()),
    st.builds(Asks, SOME_WORDS, st.just(("Red", "Blue")), WORDS, st.booleans()),
    st.builds(Delivers, NAMES, WORDS, st.booleans()),
    st.builds(TakesUp),
).map(lambda step: [step])
BODY = st.lists(SIMPLE | several_tools(), max_size=4).map(lambda parts: [step for part in parts for step in part])
ENDS: st.SearchStrategy[Step] = st.one_of(
    st.builds(EndsTurn, PRICES, st.integers(0, 9), st.integers(0, 9), st.none() | WORDS, SOME_WORDS),
    st.builds(Fails, WORDS, st.just("api_error"), PRICES, st.integers(0, 9), st.integers(0, 9)),
)


@st.composite
def turn(draw: st.DrawFn) -> list[Step]:
    begin: list[Step] = draw(st.sampled_from([[], [], [BeginsTurn()], [TakesUp()], [AtOnce(Appends("STATUS: 5% on"))]]))
    body = draw(BODY)
    match draw(st.sampled_from(["plain", "plain", "waits", "hangs", "interrupted", "stopped"])):
        case "waits":
            return [*begin, *body, Waits(), Says("never"), EndsTurn()]
        case "hangs":
            return [*begin, *body, UsesTool(INTERRUPTED), Appends("never"), EndsTurn()]
        case "interrupted":
            use = [
                CallsTool("i", INTERRUPTED),
                AsksAbout("i", INTERRUPTED),
                AwaitsInterrupt(),
                ReturnsFrom("i", "cut off", True),
            ]
            return [*begin, *body, *use, Fails("", "aborted_streaming", draw(PRICES))]
        case "stopped":
            use = [
                CallsTool("s", STOPPED),
                AsksAbout("s", STOPPED),
                AwaitsInterrupt(),
                ReturnsFrom("s", "rejected", True),
            ]
            return [*begin, *body, *use, Fails("", "aborted_tools")]
        case _:
            return [*begin, *body, draw(ENDS)]


@st.composite
def scripts(draw: st.DrawFn) -> Sequence[Step]:
    turns = [step for steps in draw(st.lists(turn(), max_size=4)) for step in steps]
    between: list[Step] = draw(
        st.sampled_from(
            [[], [AtOnce(Appends("DONE: all"))], [AtOnce(Delivers("late.txt", "x", waits=False)), EndsTurn()]]
        )
    )
    end: list[Step] = draw(st.sampled_from([[], [], [Says("oh"), Exits(7)], [AtOnce(Exits(3))], [Says("hm"), Waits()]]))
    return [*turns, *between, *end]


@settings(max_examples=settings().max_examples // 3)  # each is two sessions
@given(scripts())
def test_whatever_an_agent_does_a_replay_does_the_same_and_so_does_a_replay_of_the_replay(
    script: Sequence[Step],
) -> None:
    first = Played(script, "first")
    told = retold(first)
    again = Played(told.steps, "again")
    assert again.shown == first.shown
    assert again.problems == []
    FakeAgent(*told.steps)
    assert retold(again).steps == told.steps
