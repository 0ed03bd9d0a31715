"""What must be true of a session when all is over, whatever was done to it: each invariant in a sentence. Pure.

What is compared comes from different sides: what the program noted down and what lies on its host; what the journal
holds; what users were told by their commands; what watchers have printed; and which processes are still there.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numbered

Event = Mapping[str, Any]

OF_A_DELIVERABLE = ("deliverable", "deliverable.refused", "notice")
NOT_STORED = " could not be stored"


@dataclass(frozen=True)
class Act:
    """A command that a user has given.

    Attributes:
        what: "send", "approve", "deny", "interrupt", "cancel".
        about: the text that was sent, or the id of the question.
        code: exit status of the command; None when it was killed.
    """

    what: str
    about: str
    code: int | None


@dataclass(frozen=True)
class Commit:
    """A driver says that it has committed, up to event `seq`."""

    generation: int
    pid: int
    seq: int


@dataclass(frozen=True)
class Watched:
    """What somebody who followed the history has printed, as it was printed, the last line whole or not.

    Attributes:
        who: a name for them.
        first: number of the event that they wanted to begin with.
        printed: the bytes.
        to_the_end: they ended by themselves, having seen the end.
    """

    who: str
    first: int
    printed: bytes
    to_the_end: bool


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of one session.

    Attributes:
        name: what to call it.
        seed: of its program.
        state: as the journal says.
        outcome: likewise; "" for none.
        events: the journal, in the JSON form, with `event_id`.
        log: the file, as it lies on the host.
        noted: lines that the program says it wrote.
        spools: by stream, what lies on the host of what was sent to the program.
        outbox: by stream, what the journal says was to be sent.
        told: what the program says it has read of its stdin; b"" for one that reads nothing.
        announced: content by name, of what was handed over.
        landed: content by name, of what lies where deliverables land.
        parts: names of unfinished copies that were left there.
        acts: what users did.
        commits: what drivers say they committed.
        watched: what watchers have printed.
        survivors: processes that are still there.
        wanted: how it ends when nobody ends it; "": only when somebody does.
        may_be_cancelled: somebody has asked for that.
        may_be_lost: something was done after which nobody can say how the program ended.
    """

    name: str
    seed: int
    state: str
    outcome: str
    events: Sequence[Event]
    log: bytes
    noted: Sequence[bytes] = ()
    spools: Mapping[str, bytes] = field(default_factory=dict)
    outbox: Mapping[str, bytes] = field(default_factory=dict)
    told: bytes = b""
    announced: Mapping[str, bytes] = field(default_factory=dict)
    landed: Mapping[str, bytes] = field(default_factory=dict)
    parts: Sequence[str] = ()
    acts: Sequence[Act] = ()
    commits: Sequence[Commit] = ()
    watched: Sequence[Watched] = ()
    survivors: Sequence[str] = ()
    wanted: str = ""
    may_be_cancelled: bool = False
    may_be_lost: bool = False

    def of_type(self, *types: str) -> list[Event]:
        """The events of these types."""
        return [each for each in self.events if each["type"] in types]


def broken(evidence: Evidence) -> list[str]:
    """Every invariant that does not hold, in a sentence; empty when all do."""
    checks = (
        _numbering,
        _end,
        _lines,
        _what_the_program_wrote,
        _outcome,
        _writers,
        _deliverables,
        _what_was_sent,
        _what_users_sent,
        _questions,
        _watchers,
        _survivors,
    )
    return [f"session {evidence.name}: {each}" for check in checks for each in check(evidence)]


def _numbering(evidence: Evidence) -> Iterator[str]:
    numbers = [each["seq"] for each in evidence.events]
    if numbers != list(range(1, len(numbers) + 1)):
        wrong = next(place for place, seq in enumerate(numbers, 1) if seq != place)
        yield f"event {wrong} of the journal has the number {numbers[wrong - 1]}"


def _end(evidence: Evidence) -> Iterator[str]:
    ends = [each["seq"] for each in evidence.of_type("session.ended")]
    if evidence.state != "ended":
        yield f"it has not ended: it is {evidence.state}"
    elif ends != [len(evidence.events)]:
        yield f"session.ended is not the last event and only there: it is number {ends} of {len(evidence.events)}"


def _lines(evidence: Evidence) -> Iterator[str]:
    *lines, cut_off = evidence.log.split(b"\n")
    wanted = [numbered.said(each) for each in lines]
    found = [(each["seq"], *_said_by(each)) for each in evidence.events if each["source"] == "log"]
    if cut_off and len(found) > len(wanted):
        # A program that is killed on a full disk leaves half a line, which is read as one at the end.
        wanted.append(numbered.said(cut_off))
    for number, (seq, kind, text) in enumerate(found):
        if number >= len(wanted):
            yield f"event {seq} says {text[:60]!r}, and the log has no line {number + 1}"
            return
        if not _same(wanted[number], (kind, text)):
            yield _how_lines_differ(wanted, found, number)
            return
    if len(found) < len(wanted) and evidence.outcome in ("done", "failed", "closed") and not evidence.of_type("stop"):
        yield f"line {len(found) + 1} of the log, {wanted[len(found)][1][:60]!r}, is lost, and so is what follows"
    ids = Counter(each["event_id"] for each in evidence.events if each["source"] == "log")
    for event_id, times in ids.items():
        if times > 1:
            yield f"{times} events have the id {event_id}: a line was taken more than once"


def _how_lines_differ(wanted: Sequence[tuple[str, str]], found: Sequence[tuple[int, str, str]], number: int) -> str:
    seq, kind, text = found[number]
    before = [each[0] for each in found[:number] if _same((kind, text), each[1:])]
    line = f"line {number + 1} of the log is {wanted[number][1][:60]!r}, and event {seq} says {text[:60]!r}"
    if before:
        return f"{line}, which event {before[-1]} has said before: it is doubled"
    if any(_same(each, (kind, text)) for each in wanted[number:]):
        return f"{line}, which comes later: a line is lost"
    return line


def _said_by(event: Event) -> tuple[str, str]:
    data = event["data"]
    match event["type"]:
        case "status" | "error" | "notice":
            return event["type"], data["message"]
        case "line":
            return "line", data["text"]
        case "attention":
            return "attention", data["reason"]
        case "deliverable" | "deliverable.refused":
            return event["type"], data["name"]
        case "done":
            return "done", data["summary"] or ""
        case kind:
            return kind, json.dumps(data)


def _same(wanted: tuple[str, str], found: tuple[str, str]) -> bool:
    if wanted[0] in OF_A_DELIVERABLE and found[0] in OF_A_DELIVERABLE:
        return found[1] == wanted[1] or f"deliverable {wanted[1]}{NOT_STORED}" in found[1]
    return wanted == found


def _what_the_program_wrote(evidence: Evidence) -> Iterator[str]:
    lines = evidence.log.split(b"\n")[:-1]
    noted = list(evidence.noted)
    # It notes a line down once it is written, and may be killed in between.
    if lines[: len(noted)] != noted or len(lines) > len(noted) + 1:
        yield f"the program wrote {len(noted)} lines, and the log on its host holds {len(lines)} or others"


def _outcome(evidence: Evidence) -> Iterator[str]:
    decided = next(iter(evidence.of_type("done", "error", "stop")), None)
    wrote_done = any(numbered.said(each)[0] == "done" for each in evidence.log.split(b"\n")[:-1])
    kind = decided["type"] if decided else "nothing"
    seq = decided["seq"] if decided else 0
    if evidence.outcome == "done" and (kind != "done" or not wrote_done):
        yield f"it is done, and {f'event {seq} is a {kind}' if decided else 'no DONE was read'}"
    if evidence.outcome in ("failed", "lost") and kind == "done":
        yield f"event {seq} is its DONE, and it is {evidence.outcome}"
    if evidence.outcome in ("done", "closed") and kind == "error":
        yield f"event {seq} is its ERROR, and it is {evidence.outcome}"
    if evidence.outcome == "cancelled" and not evidence.may_be_cancelled:
        yield "it was cancelled, and nobody has asked for that"
    if evidence.outcome == "lost" and not evidence.may_be_lost:
        yield f"it is lost, and nothing was done to it that hides its end: {evidence.events[-1]['data']['reason']}"
    ended = evidence.of_type("session.ended")
    if ended and not evidence.may_be_cancelled and evidence.outcome not in (evidence.wanted, "lost"):
        yield f"it was to be {evidence.wanted or 'cancelled'}, and is {evidence.outcome}: {ended[-1]['data']['reason']}"
    if ended and ended[-1]["data"]["outcome"] != evidence.outcome:
        yield f"event {ended[-1]['seq']} says {ended[-1]['data']['outcome']}, and its record {evidence.outcome}"
    if any(each.what == "cancel" and each.code == 0 for each in evidence.acts) and evidence.state != "ended":
        yield "a user was told that it is cancelled, and it goes on"


def _writers(evidence: Evidence) -> Iterator[str]:
    generations = [each["data"]["generation"] for each in evidence.of_type("driver.changed")]
    if generations != sorted(set(generations)):
        yield f"its drivers had the generations {generations}"
    drivers: dict[int, set[int]] = {}
    highest: dict[int, int] = {}
    for commit in evidence.commits:
        drivers.setdefault(commit.generation, set()).add(commit.pid)
        highest[commit.generation] = max(commit.seq, highest.get(commit.generation, 0))
    for generation, pids in drivers.items():
        if len(pids) > 1:
            yield f"generation {generation} has {len(pids)} writers: processes {sorted(pids)}"
    for commit in evidence.commits:
        later = [each for each, _ in highest.items() if each < commit.generation and highest[each] > commit.seq]
        if later:
            yield (
                f"generation {later[0]} wrote up to event {highest[later[0]]} after generation {commit.generation} had "
                f"written event {commit.seq}"
            )
            return


def _deliverables(evidence: Evidence) -> Iterator[str]:
    events = evidence.of_type("deliverable")
    for event in events:
        name, content = event["data"]["name"], evidence.announced.get(event["data"]["name"])
        there = evidence.landed.get(name)
        if there is None:
            yield f"event {event['seq']} says that {name} has landed, and it is not there"
        elif content is not None and there != content:
            yield f"{name} (event {event['seq']}) is {len(there)} bytes that differ from the {len(content)} handed over"
        elif hashlib.sha256(there).hexdigest() != event["data"]["sha256"]:
            yield f"{name} has not the digest that event {event['seq']} says"
    for name in sorted(set(evidence.landed) - {each["data"]["name"] for each in events}):
        # A driver may have been killed between the landing and its note, and the session cancelled before the next.
        if name not in evidence.announced or evidence.outcome not in ("cancelled", "failed", "lost"):
            yield f"{name} lies where deliverables land, and no event says so"
    if evidence.parts:
        yield f"unfinished copies were left where deliverables land: {', '.join(evidence.parts)}"


def _what_was_sent(evidence: Evidence) -> Iterator[str]:
    for stream, there in evidence.spools.items():
        wanted = evidence.outbox.get(stream, b"")
        if not wanted.startswith(there):
            place = next((n for n, (a, b) in enumerate(zip(wanted, there, strict=False)) if a != b), len(wanted))
            yield f"{stream} on the host differs from what the journal says was sent, from byte {place} on"
        elif there != wanted and evidence.outcome == "done" and not evidence.of_type("stop"):
            yield f"{stream} on the host holds {len(there)} of the {len(wanted)} bytes that were to be sent"
    if not evidence.spools.get("stdin", b"").startswith(evidence.told):
        yield "the program was told something else than what lies in its stdin"
    taken = [each for each in evidence.events if each["source"] == "log" and each["type"] in OF_A_DELIVERABLE]
    answers = evidence.outbox.get("replies", b"").count(b"\n") + sum(
        each["type"] == "user" and each["message"]["content"].startswith("System: deliverable ")
        for each in _messages(evidence.outbox.get("stdin", b""))
    )
    if answers != len(taken):
        yield f"{len(taken)} announcements were dealt with, and {answers} were answered"


def _messages(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(each) for each in data.split(b"\n")[:-1]]


def _what_users_sent(evidence: Evidence) -> Iterator[str]:
    queued = Counter(each["data"]["text"] for each in evidence.of_type("turn.queued"))
    told = Counter(
        each["message"]["content"] for each in _messages(evidence.outbox.get("stdin", b"")) if each["type"] == "user"
    )
    for act in evidence.acts:
        if act.what != "send":
            continue
        if act.code == 0 and queued[act.about] != 1:
            yield f"a user was told that {act.about!r} is on its way, and {queued[act.about]} events say so"
        if queued[act.about] > 1 or told[act.about] > 1:
            yield f"{act.about!r} was sent {queued[act.about]} times and told {told[act.about]} times"
    for text, times in queued.items():
        if told[text] != times:
            yield f"{text[:60]!r} was queued {times} times and goes to the agent {told[text]} times"


def _questions(evidence: Evidence) -> Iterator[str]:
    asked = {each["data"]["id"]: each["seq"] for each in evidence.of_type("question.asked")}
    closed = Counter(each["data"]["id"] for each in evidence.of_type("question.answered", "question.withdrawn"))
    behaviors = {each["data"]["id"]: each["data"]["behavior"] for each in evidence.of_type("question.answered")}
    answers: dict[str, list[str]] = {}
    for message in _messages(evidence.outbox.get("stdin", b"")):
        if message["type"] == "control_response":
            said = message["response"].get("response", {}).get("behavior", "error")
            answers.setdefault(message["response"]["request_id"], []).append(said)
    for question, seq in asked.items():
        if closed[question] != 1:
            yield f"question {question} (event {seq}) was closed {closed[question]} times"
        given = answers.get(question, [])
        if len(given) > 1:
            yield f"question {question} (event {seq}) was answered {len(given)} times on the wire: {given}"
        elif given and behaviors.get(question, given[0]) != given[0]:
            yield f"question {question} (event {seq}): the journal says {behaviors[question]}, the agent hears {given}"
        elif question in behaviors and not given:
            yield f"question {question} (event {seq}) is answered in the journal and not on the wire"
    for question in {each.about for each in evidence.acts if each.what in ("approve", "deny")}:
        won = [each.what for each in evidence.acts if each.about == question and each.code == 0]
        if len(won) > 1:
            yield f"{len(won)} users were told that they have answered question {question}: {won}"
        elif won and behaviors.get(question) != {"approve": "allow", "deny": "deny"}[won[0]]:
            yield f"a user was told that {won[0]} of question {question} counts, and it is {behaviors.get(question)}"


def _watchers(evidence: Evidence) -> Iterator[str]:
    known = [{name: each[name] for name in ("seq", "type", "source", "data")} for each in evidence.events]
    for watcher in evidence.watched:
        lines = watcher.printed.split(b"\n")
        if watcher.to_the_end and lines[-1]:
            yield f"{watcher.who} ended in the middle of a line"
        printed = [json.loads(each) for each in lines[:-1]]
        seen = [{name: each[name] for name in ("seq", "type", "source", "data")} for each in printed]
        start = watcher.first - 1
        if seen != known[start : start + len(seen)]:
            wrong = next((n for n, (a, b) in enumerate(zip(seen, known[start:], strict=False)) if a != b), len(known))
            got = [each["seq"] for each in seen[wrong : wrong + 3]]
            yield f"{watcher.who} was shown {got} where event {start + wrong + 1} comes in the journal"
        elif watcher.to_the_end and evidence.state == "ended" and start + len(seen) < len(known):
            yield f"{watcher.who} ended after event {start + len(seen)} of {len(known)}"


def _survivors(evidence: Evidence) -> Iterator[str]:
    if evidence.survivors and evidence.state == "ended":
        yield f"it has ended, and still there are: {'; '.join(evidence.survivors)}"
