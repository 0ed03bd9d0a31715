"""What one episode of a soak does: which sessions there are, and what happens to them when. From a seed. Pure."""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

Kind = Literal["program", "agent"]
Place = Literal["far", "here"]
End = Literal["done", "error", "silent", "never"]


@dataclass(frozen=True)
class Member:
    """One session.

    Attributes:
        name: a letter.
        kind: what it runs.
        place: where.
        end: how its program ends; "never" goes on until it is cancelled.
        lines: that a program writes.
        pause: seconds that it waits between some of them.
        hides: it starts children that hide.
        detached: its first driver is in the background; else it is `optio run`.
    """

    name: str
    kind: Kind
    place: Place
    end: End
    lines: int
    pause: float
    hides: bool
    detached: bool


@dataclass(frozen=True)
class Action:
    """Something that happens.

    Attributes:
        at: seconds after all sessions run.
        what: what it is; see `ACTIONS`.
        whom: name of the session that it happens to; "": the link, a disk, or everything.
        amount: seconds that it lasts, or what else it takes.
    """

    at: float
    what: str
    whom: str = ""
    amount: float = 0.0


@dataclass(frozen=True)
class Plan:
    """An episode."""

    seed: int
    members: tuple[Member, ...]
    actions: tuple[Action, ...]

    def without(self, actions: Sequence[Action] = (), member: str = "") -> "Plan":
        """The same with less in it."""
        return replace(
            self,
            members=tuple(each for each in self.members if each.name != member),
            actions=tuple(each for each in self.actions if each not in actions and (not member or each.whom != member)),
        )

    def __str__(self) -> str:
        lines = [f"seed {self.seed}"]
        for each in self.members:
            more = ", ".join(word for word in ("hides", "detached") if getattr(each, word))
            lines.append(
                f"  session {each.name}: {each.kind} {each.place}, {each.lines} lines, ends {each.end}"
                + (f", {more}" if more else "")
            )
        lines += [
            f"  {each.at:5.1f} s  {each.what}"
            + f" {each.whom}" * bool(each.whom)
            + f" {each.amount:g}" * bool(each.amount)
            for each in self.actions
        ]
        return "\n".join(lines)

    def to_json(self) -> str:
        """As one line, to be run again."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Plan":
        """What `to_json` has made."""
        read = json.loads(text)
        return Plan(
            read["seed"],
            tuple(Member(**each) for each in read["members"]),
            tuple(Action(**each) for each in read["actions"]),
        )


# What can happen, how often, and how long it lasts at least and at most.
LINK: dict[str, tuple[int, float, float]] = {
    "cut": (6, 0, 0),
    "end": (2, 0, 0),
    "stall": (3, 0.2, 4),
    "black hole": (1, 17, 22),
    "half open": (2, 0.5, 5),
    "reset after": (4, 0, 60_000),
    "refuse": (2, 0.5, 5),
    "slow": (2, 1, 5),
    "kill sshd": (2, 0, 0),
    "outage": (1, 32, 40),  # longer than a connection that broke is waited for
}
DISKS: dict[str, tuple[int, float, float]] = {"fill here": (1, 0.3, 4), "fill far": (1, 0.3, 4)}
OF_SESSIONS: dict[str, tuple[int, float, float]] = {
    "kill driver": (6, 0, 0),
    "pause driver": (2, 0.5, 18),
    "term driver": (1, 0, 0),
    "adopt": (3, 0, 0),
    "attach": (4, 0, 0),
    "attach slowly": (2, 0, 0),
    "attach and never read": (1, 0, 0),
    "kill watchers": (3, 0, 0),
    "interrupt watchers": (1, 0, 0),
    "hang up watchers": (1, 0, 0),
    "cancel": (1, 0, 0),
    "force": (1, 0, 0),
    "kill reader": (1, 0, 0),
    "kill supervisor": (1, 0, 0),
    "drive four times": (2, 0, 0),
    "look": (3, 0, 0),
}
OF_AGENTS: dict[str, tuple[int, float, float]] = {
    "send": (8, 0, 0),
    "send twice at once": (2, 0, 0),
    "approve": (8, 0, 0),
    "deny": (2, 0, 0),
    "answer at once": (2, 0, 0),
    "interrupt": (2, 0, 0),
}
ACTIONS = {**LINK, **DISKS, **OF_SESSIONS, **OF_AGENTS}


def plan_of(seed: int) -> Plan:
    """The episode of a seed: the same one gives the same plan."""
    dice = random.Random(seed)
    length, actions = dice.uniform(5, 15), dice.randrange(10, 40)
    members = []
    for name in "abcd"[: dice.randrange(1, 5)]:
        kind: Kind = dice.choice(("program", "agent"))
        end = dice.choices(("done", "error", "silent", "never"), (6, 2, 1, 1))[0]
        members.append(
            Member(
                name,
                kind,
                place="far" if dice.random() < 0.7 else "here",
                end=end,
                lines=dice.choice((50, 200, 1_000)),
                pause=dice.choice((0.0, 0.02, 0.1)),
                hides=end == "never" or dice.random() < 0.3,
                detached=dice.random() < 0.5,
            )
        )
    return Plan(seed, tuple(members), tuple(sorted(_actions(dice, members, length, actions), key=lambda each: each.at)))


def _actions(dice: random.Random, members: Sequence[Member], length: float, count: int) -> list[Action]:
    possible = {**LINK, **DISKS, **OF_SESSIONS}
    agents = [each.name for each in members if each.kind == "agent"]
    if agents:
        possible.update(OF_AGENTS)
    if not any(each.place == "far" for each in members):
        possible = {what: entry for what, entry in possible.items() if what not in LINK}
    chosen = []
    for what in dice.choices(list(possible), [weight for weight, _, _ in possible.values()], k=count):
        _, least, most = possible[what]
        whom = ""
        if what in OF_AGENTS:
            whom = dice.choice(agents)
        elif what in OF_SESSIONS:
            whom = dice.choice(members).name
        chosen.append(Action(round(dice.uniform(0, length), 1), what, whom, round(dice.uniform(least, most), 1)))
    return chosen
