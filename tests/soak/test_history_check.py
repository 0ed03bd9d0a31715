"""The checker of a soak finds what it is there to find: a good history passes, and each way to break it is named."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numbered
import pytest
from history_check import Act, Commit, Evidence, Watched, broken
from plan import Plan, plan_of

SEED = 7
LINES = [numbered.line(SEED, number) for number in range(30)] + [b"DONE: all of it"]
SENT, ANSWERED = "hello", "question-1"
STDIN = b"".join(
    json.dumps(each).encode() + b"\n"
    for each in (
        {"type": "user", "uuid": "u", "message": {"content": SENT}},
        {
            "type": "control_response",
            "response": {"request_id": ANSWERED, "subtype": "success", "response": {"behavior": "allow"}},
        },
    )
)
FILES = {numbered.name_of(number): numbered.content(SEED, number) for number in (11, 23)}


def event(kind: str, source: str = "session", **data: object) -> dict[str, Any]:
    return {"type": kind, "source": source, "data": data}


def event_of(line: bytes) -> dict[str, Any]:
    kind, text = numbered.said(line)
    match kind:
        case "status" | "error":
            return event(kind, "log", message=text)
        case "line":
            return event(kind, "log", text=text)
        case "attention":
            return event(kind, "log", reason=text)
        case "done":
            return event(kind, "log", summary=text)
        case _:
            return event(kind, "log", name=text, sha256=hashlib.sha256(FILES[text]).hexdigest())


def numbered_events(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"event_id": f"{each['source']}-{seq}", **each, "seq": seq} for seq, each in enumerate(events, 1)]


def good() -> Evidence:
    """A session that two drivers have brought to its end."""
    logged = [event_of(each) for each in LINES]
    events = numbered_events(
        [
            event("session.started"),
            event("turn.queued", "agent", id="u", text=SENT),
            event("question.asked", "agent", id=ANSWERED),
            *logged[:10],
            event("driver.changed", generation=2, driver="pid 2", reason="died"),
            event("question.answered", "agent", id=ANSWERED, behavior="allow"),
            *logged[10:],
            event("session.ended", outcome="done", reason=None),
        ]
    )
    answers = b"".join(b"System: deliverable %s: accepted.\n" % name.encode() for name in FILES)
    shown = [{name: value for name, value in each.items() if name != "event_id"} for each in events]
    return Evidence(
        name="a",
        seed=SEED,
        state="ended",
        outcome="done",
        events=events,
        log=b"".join(each + b"\n" for each in LINES),
        noted=LINES,
        spools={"stdin": STDIN, "replies": answers},
        outbox={"stdin": STDIN, "replies": answers},
        told=STDIN,
        announced=FILES,
        landed=FILES,
        acts=[Act("send", SENT, 0), Act("approve", ANSWERED, 0), Act("deny", ANSWERED, 1)],
        commits=[Commit(1, 1, 13), Commit(2, 2, 14), Commit(2, 2, len(events))],
        watched=[Watched("a watcher", 5, b"".join(json.dumps(each).encode() + b"\n" for each in shown[4:]), True)],
        wanted="done",
    )


def with_events(evidence: Evidence, change: Callable[[list[dict[str, Any]]], None]) -> Evidence:
    """The same history with other events, numbered again; nobody has watched it."""
    events = [dict(each) for each in evidence.events]
    change(events)
    for seq, each in enumerate(events, 1):
        each["seq"] = seq
    return replace(evidence, events=events, watched=())


def place(evidence: Evidence, kind: str) -> int:
    return next(n for n, each in enumerate(evidence.events) if each["type"] == kind)


def doubled(events: list[dict[str, Any]]) -> None:
    events.insert(8, dict(events[7], event_id="another"))


def without_done(evidence: Evidence) -> Evidence:
    def change(events: list[dict[str, Any]]) -> None:
        del events[-2]

    return with_events(replace(evidence, log=b"".join(each + b"\n" for each in LINES[:-1])), change)


ANSWERED_TWICE = STDIN + STDIN.split(b"\n")[1].replace(b"allow", b"deny") + b"\n"

BROKEN: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "a line is lost": (lambda at: with_events(at, lambda events: events.pop(7)), "comes later: a line is lost"),
    "the last lines are lost": (
        lambda at: with_events(at, lambda events: events.__delitem__(slice(-3, -1))),
        "is lost, and so is what follows",
    ),
    "a line is doubled": (lambda at: with_events(at, doubled), "it is doubled"),
    "a line is taken twice": (
        lambda at: with_events(at, lambda events: events[9].update(event_id=events[8]["event_id"])),
        "taken more than once",
    ),
    "a line that nobody wrote": (
        lambda at: with_events(at, lambda events: events[5].update(data={"text": "x", "message": "x", "reason": "x"})),
        "line 3 of the log is",
    ),
    "the log lost what was written": (lambda at: replace(at, noted=[*LINES, b"more"]), "the log on its host holds"),
    "a number is left out": (
        lambda at: replace(at, events=[*at.events[:4], *at.events[5:]], watched=()), "event 5 of the journal has"
    ),
    "it goes on behind its end": (
        lambda at: with_events(at, lambda events: events.append(event("notice", message="late"))),
        "session.ended is not the last event",
    ),
    "it never ends": (lambda at: replace(at, state="running"), "it has not ended: it is running"),
    "a success without DONE": (without_done, "it is done, and no DONE was read"),
    "a DONE that fails": (lambda at: replace(at, outcome="failed"), "is its DONE, and it is failed"),
    "lost for no reason": (lambda at: replace(at, outcome="lost"), "nothing was done to it that hides its end"),
    "cancelled by nobody": (lambda at: replace(at, outcome="cancelled"), "nobody has asked for that"),
    "two writers in a generation": (
        lambda at: replace(at, commits=[*at.commits, Commit(2, 3, 20)]), "generation 2 has 2 writers"
    ),
    "a writer of an old generation": (
        lambda at: replace(at, commits=[*at.commits, Commit(1, 1, 20)]), "generation 1 wrote up to event 20 after"
    ),
    "a generation that comes again": (
        lambda at: with_events(at, lambda events: events.insert(15, event("driver.changed", generation=2))),
        "generations [2, 2]",
    ),
    "a deliverable that differs": (
        lambda at: replace(at, landed={**FILES, "file-11": b"something else"}), "bytes that differ from"
    ),
    "a deliverable that is not there": (lambda at: replace(at, landed={}), "says that file-11 has landed"),
    "a file that no event tells of": (
        lambda at: replace(at, landed={**FILES, "file-11-2": FILES["file-11"]}), "no event says so"
    ),
    "an unfinished copy": (lambda at: replace(at, parts=[".a.optio-part"]), "unfinished copies were left"),
    "an announcement without an answer": (
        lambda at: replace(at, outbox={**at.outbox, "replies": b""}, spools={**at.spools, "replies": b""}),
        "2 announcements were dealt with, and 0 were answered",
    ),
    "an answer that did not arrive": (
        lambda at: replace(at, spools={**at.spools, "replies": b"Sys"}), "that were to be sent"
    ),
    "bytes that are glued": (
        lambda at: replace(at, spools={**at.spools, "stdin": STDIN[:20] + STDIN}), "from byte 20 on"
    ),
    "told something else": (lambda at: replace(at, told=b"x"), "was told something else than"),
    "a message that is lost": (
        lambda at: replace(at, acts=[Act("send", "never seen", 0)]), "and 0 events say so"
    ),
    "a message that is sent twice": (
        lambda at: with_events(at, lambda events: events.insert(2, dict(events[1]))), "'hello' was sent 2 times"
    ),
    "a question answered twice on the wire": (
        lambda at: replace(
            at, outbox={**at.outbox, "stdin": ANSWERED_TWICE}, spools={**at.spools, "stdin": ANSWERED_TWICE}
        ),
        "was answered 2 times on the wire",
    ),
    "a question closed twice": (
        lambda at: with_events(at, lambda events: events.insert(15, event("question.withdrawn", id=ANSWERED))),
        "was closed 2 times",
    ),
    "a question that stays open": (
        lambda at: with_events(at, lambda events: events.pop(place(at, "question.answered"))), "was closed 0 times"
    ),
    "two users who both won": (
        lambda at: replace(at, acts=[Act("approve", ANSWERED, 0), Act("deny", ANSWERED, 0)]), "2 users were told"
    ),
    "a user who did not win and was told so": (
        lambda at: replace(at, acts=[Act("deny", ANSWERED, 0)]), "and it is allow"
    ),
    "a watcher who missed something": (
        lambda at: replace(at, watched=[replace(at.watched[0], first=4)]), "was shown [5, 6, 7] where event 4 comes"
    ),
    "a watcher who did not see the end": (
        lambda at: replace(
            at, watched=[replace(at.watched[0], printed=at.watched[0].printed.rpartition(b'{"type"')[0])]
        ),
        "ended after event",
    ),
    "a process that survives": (lambda at: replace(at, survivors=["pid 1: sleep 300"]), "and still there are: pid 1"),
}  # fmt: skip


def test_a_history_in_which_all_went_well_breaks_nothing() -> None:
    assert broken(good()) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_history_is_found(name: str) -> None:
    change, wanted = BROKEN[name]
    found = broken(change(good()))
    assert any(wanted in each for each in found), found
    assert all(each.startswith("session a: ") for each in found)


def test_what_was_not_read_before_a_cancel_is_not_lost() -> None:
    events = numbered_events(
        [*map(event_of, LINES[:5]), event("stop", reason="enough"), event("session.ended", outcome="cancelled")]
    )
    cancelled = Evidence(
        "a", SEED, "ended", "cancelled", events, good().log, LINES, may_be_cancelled=True, acts=[Act("cancel", "", 0)]
    )
    assert broken(cancelled) == []


def test_half_a_line_of_a_program_that_was_killed_is_read_as_one_and_not_as_another() -> None:
    whole = [*LINES[:5], LINES[5][:-3]]
    for said, holds in ((whole[5], True), (LINES[5], False)):
        logged = [event_of(each) for each in (*LINES[:5], said)]
        events = numbered_events([*logged, event("session.ended", outcome="cancelled")])
        killed = Evidence("a", SEED, "ended", "cancelled", events, b"\n".join(whole), LINES[:5], may_be_cancelled=True)
        assert (broken(killed) == []) is holds


def test_a_plan_is_the_same_for_the_same_seed_and_can_be_written_down_and_shortened() -> None:
    plan = next(plan for plan in map(plan_of, range(1000)) if len(plan.members) == 3)
    assert plan == plan_of(plan.seed) == Plan.from_json(plan.to_json())
    assert plan != plan_of(plan.seed + 1)
    less = plan.without(plan.actions[:5], member="a")
    assert [each.name for each in less.members] == ["b", "c"]
    assert not {"a"} & {each.whom for each in less.actions}
    assert set(less.actions) < set(plan.actions)
    assert str(plan).startswith(f"seed {plan.seed}\n  session a: ")
