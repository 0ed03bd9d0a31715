"""`make soak`: episode after episode, each from the seed behind the one before, until the time is over.

An episode that breaks an invariant is said at once, with its seed and with a plan as short as could be found.
"""

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import anyio
from episode import Episode
from plan import Plan, plan_of
from world import world

EPISODE_LIMIT = 400.0
"""Seconds after which an episode is taken for hung."""


async def run_plan(plan: Plan, store: str = "", keep: bool = False) -> tuple[list[str], Counter[str], str]:
    """Findings, what has happened, and where it was."""
    async with world(store, keep=keep) as here:
        episode = Episode(here, plan)
        findings = [f"the episode was not over after {EPISODE_LIMIT:g} s"]
        with anyio.move_on_after(EPISODE_LIMIT):
            findings = await episode.run()
        return findings, Counter(episode.happened), str(here.base)


def shorter(plan: Plan, store: str, seconds: float) -> Plan:
    """A plan with less in it that still breaks something, as far as the time goes; races may hide for once."""
    deadline = time.monotonic() + seconds

    def breaks(candidate: Plan) -> bool:
        return time.monotonic() < deadline and bool(anyio.run(run_plan, candidate, store)[0])

    for member in plan.members:
        if len(plan.members) > 1 and breaks(smaller := plan.without(member=member.name)):
            plan = smaller
    size = len(plan.actions) // 2
    while size and time.monotonic() < deadline:
        for start in range(0, len(plan.actions), size):
            smaller = plan.without(plan.actions[start : start + size])
            if len(smaller.actions) < len(plan.actions) and breaks(smaller):
                plan = smaller
                break
        else:
            size //= 2
    return plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="of the first episode; else by the clock")
    parser.add_argument("--episodes", type=int, help="how many, whatever the time")
    parser.add_argument("--store", default="", help="URL of the store; else a SQLite file for each episode")
    parser.add_argument("--plan", help="run this plan, as a failed run has printed it")
    parser.add_argument("--shrink", type=float, default=5.0, help="minutes to look for a shorter plan")
    parser.add_argument("--keep", action="store_true", help="leave the directory of an episode that breaks something")
    given = parser.parse_args()
    first = given.seed if given.seed is not None else int(time.time()) % 10**6
    began, happened, failed, number = time.monotonic(), Counter[str](), 0, 0
    while number < given.episodes if given.episodes else time.monotonic() < began + 60 * given.minutes:
        plan = Plan.from_json(given.plan) if given.plan else plan_of(first + number)
        number += 1
        started = time.monotonic()
        findings, done, where = anyio.run(run_plan, plan, given.store, given.keep)
        happened += done
        verdict = "broken" if findings else "holds"
        print(f"seed {plan.seed}: {verdict}, {time.monotonic() - started:.0f} s", flush=True)
        if findings:
            failed += 1
            report(plan, findings, where if given.keep else "", given.store, 60 * given.shrink)
    if not happened:
        print("nothing was done")
    print(f"{number} episodes from seed {first} in {(time.monotonic() - began) / 60:.1f} min: {failed} broken")
    print("  " + ", ".join(f"{count} {what}" for what, count in sorted(happened.items())))
    if os.getuid() != 0:
        print("  left out: disks that are full (only root can mount a small one)")
    sys.exit(1 if failed else 0)


def report(plan: Plan, findings: list[str], where: str, store: str, seconds: float) -> None:
    for each in findings:
        print(f"  {each}")
    if where:
        print(f"  kept: {where}")
    if seconds:
        plan = shorter(plan, store, seconds)
    print(f"{plan}\nagain: make soak PLAN='{plan.to_json()}'", flush=True)


if __name__ == "__main__":
    main()
