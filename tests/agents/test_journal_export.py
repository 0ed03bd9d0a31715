"""A session as lines: secrets do not get out, and what is damaged does not get in."""

import json
from collections.abc import Awaitable, Callable

import pytest

from optio_agents.errors import JournalError
from optio_agents.journal import Batch, Driver, NewEvent, Outgoing, Question, SessionRecord, export_lines, import_lines
from optio_agents.journal.documents import Deliverable
from optio_agents.journal.memory import MemoryStore
from optio_agents.redaction import Redactor

Run = Callable[[Callable[[], Awaitable[object]]], None]
SECRET = "sk-12345"


async def a_store(secret: str) -> MemoryStore:
    store = MemoryStore()
    record = SessionRecord(
        id="s", host="h", agent="a", created=1.0, command=("run", f"--key={secret}"), labels={"x": secret}
    )
    strange = SessionRecord.model_validate({**record.model_dump(), "unknown": {"deep": [secret], secret: 1}})
    lease = await store.create(strange, Driver(id="d", hostname="h", pid=1))
    await store.put("s", "send", {"text": secret}, sender=secret)
    batch = Batch(
        after=0,
        events=(NewEvent("line", {"text": f"key {secret}", secret: [secret]}, 1.0, "log"),),
        outbox=(Outgoing("stdin", 0, b"\xff" + secret.encode() + b"\xfe"),),
        questions=(Question(id="q", kind="k", asked=1.0, data={"a": {"b": secret}}),),
        deliverables=(Deliverable(event_id="e", name=secret, path="/p", size=1, sha256="", time=1.0),),
    )
    await store.commit(lease, batch)
    return store


def test_a_known_secret_is_nowhere_in_a_redacted_export(run: Run) -> None:
    async def body() -> None:
        store = await a_store(SECRET)
        whole = [line async for line in export_lines(store, "s")]
        assert sum(line.count(SECRET) for line in whole) == 12
        redacted = [line async for line in export_lines(store, "s", redact=lambda text: text.replace(SECRET, "[key]"))]
        assert SECRET not in "\n".join(redacted)
        assert json.loads(redacted[0])["redacted"] is True
        other = MemoryStore()
        await import_lines(other, redacted)
        found = await other.snapshot("s")
        assert found.record.command == ("run", "--key=[key]")
        assert found.outbox["stdin"].entries[0].data == b"\xff[key]\xfe"

    run(body)


def test_variables_that_hold_words_of_the_format_do_not_make_an_export_unreadable(run: Run) -> None:
    words = ["record", "session", "source", "running", "outbox", "deliverables", "starting"]
    redact = Redactor.of_environment({f"AUTH_{number}": word for number, word in enumerate(words)})

    async def body() -> None:
        other = MemoryStore()
        await import_lines(other, [line async for line in export_lines(await a_store(SECRET), "s", redact=redact)])
        assert (await other.snapshot("s")).record.state == "starting"

    run(body)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: [], "damaged or cut short"),
        (lambda lines: lines[:1], "damaged or cut short"),
        (lambda lines: lines[:-1], "was the export cut short"),
        (lambda lines: [*lines[:-1], lines[-1][:-5]], "damaged or cut short"),
        (lambda lines: [*lines, lines[-1]], "was the export cut short"),
        (lambda lines: lines[1:], "no exported session"),
        (lambda lines: ["[]", *lines[1:]], "no exported session"),
        (lambda lines: ['{"optio":"session","format":2}', *lines[1:]], "newer version"),
        (lambda lines: [lines[0], "{}", *lines[2:]], "damaged or cut short"),
        (lambda lines: [lines[0], "[" * 100_000], "damaged or cut short"),
        (lambda lines: [lines[0], lines[1].replace('"id":"s"', '"id":"/../s"'), *lines[2:]], "letters, digits"),
        (lambda lines: [lines[0], lines[1].replace('"id":"s"', '"id":"\\u001b[2Js"'), *lines[2:]], "letters, digits"),
        (lambda lines: [lines[0], lines[1].replace('"created":1.0', '"created":1e300'), *lines[2:]], "a time belongs"),
    ],
)
def test_a_damaged_export_is_refused_as_a_whole(
    damage: Callable[[list[str]], list[str]], message: str, run: Run
) -> None:
    async def body() -> None:
        store = await a_store(SECRET)
        lines = [line async for line in export_lines(store, "s")]
        other = MemoryStore()
        with pytest.raises(JournalError, match=message):
            await import_lines(other, damage(lines))
        assert await other.sessions() == []

    run(body)
