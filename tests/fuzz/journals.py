"""Exported sessions, recordings, and URLs of stores."""

import json
from copy import deepcopy
from functools import cache
from typing import Any

import anyio
from pydantic import JsonValue

from fuzz.answers import at_once
from fuzz.hosts import PASSWORD, scratch
from fuzz.target import Choices, target
from optio_agents.errors import JournalError, StoreError
from optio_agents.journal import Batch, Driver, NewEvent, Outgoing, Question, SessionRecord, export_lines, import_lines
from optio_agents.journal.documents import ConversationDocument, OutcomeDocument
from optio_agents.journal.memory import MemoryStore
from optio_agents.journal.mongo.url import place_of
from optio_agents.journal.open import check_url, without_password
from optio_agents.journal.sqlite.store import open_sqlite
from optio_agents.testing import NotReplayable, Recording
from optio_host.clock import SystemClock
from optio_host.cursor import Cursor

VALUES: tuple[JsonValue, ...] = (
    None, True, 0, 1, -1, 2**70, 1.5, -0.0, 1e308, "", "x", "\ud800", "running", "ended", "done", [], {}, [[]],
    {"": {}}, {"file": "8:1", "offset": -1, "check": 0}, "session.ended", [1], "../../etc", "a\nb", "\x00",
)  # fmt: skip


class _Fixed(SystemClock):
    def time(self) -> float:
        return 1_000.0


@cache
def exported() -> tuple[str, ...]:
    """A session with one of everything, as it is exported."""
    store = MemoryStore(_Fixed())
    record = SessionRecord(
        id="s1", host="local", agent="claude", created=1.0, cwd="/srv", command=("claude",), taskdir="/t",
        rundir="/t/run/1", deliverables_dir="/out", conversation=ConversationDocument(dialect="claude", prompt="go"),
    )  # fmt: skip
    lease = at_once(store.create(record, Driver(id="d", pid=1, start="1", boot="b", hostname="h")))
    started = {"command": ["claude"], "cwd": "/srv", "deliverables": "/out", "taskdir": "/t"}
    events = (
        NewEvent("session.started", started, 1.0),
        NewEvent("turn.started", {"send": "u1"}, 2.0, "agent"),
        NewEvent("agent.text", {"text": "hello", "parent": None, "turn": "u1"}, 2.0, "agent"),
        NewEvent("session.ended", {"outcome": "done", "reason": None, "summary": "ok", "exit": 0}, 3.0),
    )
    batch = Batch(
        after=0,
        events=events,
        cursors={"log": Cursor("8:1", 12, 7)},
        record=record.model_copy(update={"outcome": OutcomeDocument(outcome="done"), "state": "running"}),
        outbox=(Outgoing("stdin", 0, b"\xff\n"),),
        acknowledged={"stdin": 2},
        questions=(Question(id="r1", kind="permission", data={"tool_name": "Bash", "input": {}}, asked=1.0),),
    )
    at_once(store.put("s1", "send", {"text": "hi"}, sender="me", command_id="c1"))
    at_once(store.commit(lease, batch))
    return tuple(lines_of(store, "s1"))


def lines_of(store: MemoryStore, session: str) -> list[str]:
    async def collect() -> list[str]:
        return [line async for line in export_lines(store, session)]

    return at_once(collect())


def changed(choices: Choices) -> list[str]:
    """The exported session, with some of it replaced, removed, doubled or cut."""
    documents: list[Any] = [json.loads(line) for line in exported()]
    for _ in range(choices.below(4)):
        at: Any = documents
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = choices.pick(keys)
            if isinstance(at[key], dict | list) and at[key] and choices.below(4):
                at = at[key]
                continue
            match choices.below(4):
                case 0:
                    del at[key]
                case 1 if isinstance(at, list):
                    at.append(deepcopy(at[key]))
                case 2:
                    at[key] = choices.text(20)
                case _:
                    at[key] = deepcopy(choices.pick(VALUES))  # it may be changed in its turn
            break
    text = "\n".join(map(json.dumps, documents))
    if choices.flag():
        cut = choices.below(len(text) + 1)
        text = text[:cut] + choices.rest().decode("utf-8", "replace") + text[cut:]
    return text.split("\n")


@target
def exports(data: bytes) -> None:
    """An export is imported whole, so that it is exported again as it was; or refused, and nothing was imported."""
    choices = Choices(data)
    lines = choices.rest().decode("utf-8", "replace").split("\n") if choices.below(8) == 7 else changed(choices)
    store = MemoryStore(_Fixed())
    try:
        record = at_once(import_lines(store, lines))
    except JournalError:
        assert at_once(store.sessions()) == []
        return
    assert [each.id for each in at_once(store.sessions())] == [record.id]
    once = lines_of(store, record.id)
    other = MemoryStore(_Fixed())
    assert at_once(import_lines(other, once)).id == record.id
    assert lines_of(other, record.id) == once
    assert at_once(other.snapshot(record.id)).lease.driver is None
    assert anyio.run(through_sqlite, once) == once


async def through_sqlite(lines: list[str]) -> list[str]:
    """What is exported again after an import into a file."""
    file = scratch() / "journal.db"
    async with open_sqlite(file) as store:
        record = await import_lines(store, lines)
        assert [each.id for each in await store.sessions()] == [record.id]
        again = [line async for line in export_lines(store, record.id)]
    for each in file.parent.glob("journal.db*"):
        each.unlink()
    return again


@target
def recordings(data: bytes) -> None:
    """An export is a script for a fake agent, or is refused; nothing in it does anything by being read."""
    file = scratch() / "recording.jsonl"
    file.write_text("\n".join(changed(Choices(data))), "utf-8", "replace")
    try:
        anyio.run(Recording.load, file)
    except NotReplayable as error:
        assert str(error)


@target
def store_urls(data: bytes) -> None:
    """A URL of a store names a file by an absolute path, or is refused; a password in it is never shown."""
    choices = Choices(data)
    beginning = choices.pick(("", "sqlite:///", f"mongodb://u:{PASSWORD}@", f"sqlite://u:{PASSWORD}@", "sqlite:"))
    url = beginning + choices.rest().decode("utf-8", "surrogateescape")
    if PASSWORD in beginning:
        assert PASSWORD not in without_password(url)
    try:
        check_url(url)
    except StoreError as error:
        assert PASSWORD not in str(error)
        return
    if url.startswith("mongodb"):
        assert PASSWORD not in place_of(url).shown
        return
    assert PASSWORD not in url
    assert url == "memory:" or url.startswith("sqlite:///")
