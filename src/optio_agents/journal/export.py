"""A session as JSON lines, to be kept or taken elsewhere: a head line, the snapshot, then a line for each event.

Bytes that were sent are written as text. What of them is not UTF-8 becomes lone surrogates, which JSON carries as
escapes, so they come back as they were, and a secret among them can be found.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Container, Iterable
from typing import Any

from pydantic import JsonValue

from optio_host.cursor import Cursor

from ..errors import JournalError
from ..events import field_names
from ..redaction import object_of
from .batch import Event, Outbox, Outgoing, Snapshot
from .contract import Store
from .documents import Command, Deliverable, Document, JsonObject, Question, SessionRecord, to_json, to_text
from .lease import LeaseState

FORMAT = 1
_OWN_WORDS = frozenset(
    "record generation first_seq last_seq cursors outbox questions deliverables commands file offset check "  # noqa: SIM905
    "acknowledged entries data stdin stdout log replies".split()
)
Redact = Callable[[str], str]

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
"""It becomes a part of paths, and is shown at terminals."""

_YEAR_9999 = 253_370_764_800.0
"""Seconds since the epoch; what is later is no time that can be shown."""


async def export_lines(store: Store, session: str, *, redact: Redact | None = None) -> AsyncIterator[str]:
    """Everything the journal holds of a session, line by line, without line ends.

    Parameters:
        store: where it is.
        session: its id.
        redact: applied to every string but the words of the format itself, and to the keys of what is no document of
            it; offsets into what was sent then no longer fit its length.

    Raises:
        JournalError: events were pruned while this went on; export it again.
    """
    snapshot = await store.snapshot(session)
    yield to_json({"optio": "session", "format": FORMAT, "redacted": redact is not None})
    words, fields = _words_of_the_format(), field_names()
    yield to_json(_redacted(_snapshot_to_json(snapshot), redact, words))
    seq = snapshot.first_seq - 1
    while seq < snapshot.last_seq:
        page = await store.events(session, after=seq)
        if page.gap is not None:
            raise JournalError(f"session {session}: events were pruned while it was exported; export it again")
        for event in page.events:
            if event.seq > snapshot.last_seq:
                break
            line = _event_to_json(event)
            yield to_json({**line, "data": _redacted_data(event.data, redact, fields)})
        seq = page.events[-1].seq


async def import_lines(store: Store, lines: Iterable[str]) -> SessionRecord:
    """Add an exported session to a store: all of it, or nothing. It is held in memory as a whole on the way.

    Parameters:
        store: where it goes.
        lines: what `export_lines` gave.

    Raises:
        JournalError: it is no export, damaged, cut short, or from a newer version.
        SessionRefused: the store has a session of this id.
    """
    try:
        head, *rest = [json.loads(line) for line in lines if line.strip()]
        if not isinstance(head, dict) or head.get("optio") != "session":
            raise JournalError("this is no exported session")
        if _number(head["format"]) > FORMAT:
            raise JournalError(f"exported by a newer version (format {head['format']}, this one knows {FORMAT})")
        snapshot = _snapshot_from_json(rest[0])
        events = [_event_from_json(each) for each in rest[1:]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise JournalError(f"the exported session is damaged or cut short: {error!r}") from error
    try:
        await store.load(snapshot, events)
    except ValueError as error:
        raise JournalError(f"the exported session is damaged: {error}") from error
    return snapshot.record


def _redacted(value: JsonValue, redact: Redact | None, words: Container[str] = ()) -> JsonValue:
    """With every string redacted that is not one of these words: a variable such as AUTH_TYPE may hold one of them."""
    if redact is None:
        return value
    match value:
        case str():
            return value if value in words else redact(value)
        case list():
            return [_redacted(each, redact, words) for each in value]
        case dict():
            return object_of(
                (key if key in words else redact(key), _redacted(each, redact, words)) for key, each in value.items()
            )
        case _:
            return value


def _redacted_data(data: JsonObject, redact: Redact | None, fields: Container[str]) -> JsonObject:
    if redact is None:
        return data
    return object_of((key if key in fields else redact(key), _redacted(each, redact)) for key, each in data.items())


def _words_of_the_format() -> Container[str]:
    """What its fields are called, and what may stand in those that take a few words only."""
    found = set(_OWN_WORDS)
    schemas: list[object] = [kind.model_json_schema() for kind in (SessionRecord, Question, Deliverable, Command)]
    while schemas:
        match schemas.pop():
            case dict() as schema:
                found.update(schema.get("properties", ()))
                found.update(each for each in (*schema.get("enum", ()), schema.get("const")) if isinstance(each, str))
                schemas += schema.values()
            case list() as several:
                schemas += several
            case _:
                pass
    return found


def _event_to_json(event: Event) -> JsonObject:
    return {
        "seq": event.seq,
        "time": event.time,
        "source": event.source,
        "type": event.type,
        "event_id": event.event_id,
        "data": event.data,
    }


def _event_from_json(found: dict[str, Any]) -> Event:
    kind, source, event_id = _text(found["type"]), _text(found["source"]), _text(found["event_id"])
    return Event(_number(found["seq"]), kind, dict(found["data"]), _moment(found["time"]), source, event_id)


def _snapshot_to_json(snapshot: Snapshot) -> JsonObject:
    return {
        "record": _document(snapshot.record),
        "generation": snapshot.lease.generation,
        "first_seq": snapshot.first_seq,
        "last_seq": snapshot.last_seq,
        "cursors": {
            stream: {"file": at.file, "offset": at.offset, "check": at.check} for stream, at in snapshot.cursors.items()
        },
        "outbox": {stream: _outbox_to_json(outbox) for stream, outbox in snapshot.outbox.items()},
        "questions": [_document(each) for each in snapshot.questions],
        "deliverables": [_document(each) for each in snapshot.deliverables],
        "commands": [_document(each) for each in snapshot.commands],
    }


def _document(document: Document) -> JsonValue:
    found: JsonValue = json.loads(to_text(document))
    return found


def _outbox_to_json(outbox: Outbox) -> JsonObject:
    entries: list[JsonValue] = [
        {"offset": piece.offset, "data": piece.data.decode("utf-8", "surrogateescape")} for piece in outbox.entries
    ]
    return {"acknowledged": outbox.acknowledged, "entries": entries}


def _snapshot_from_json(found: dict[str, Any]) -> Snapshot:
    record = SessionRecord.model_validate(found["record"])
    questions = tuple(Question.model_validate(each) for each in found["questions"])
    deliverables = tuple(Deliverable.model_validate(each) for each in found["deliverables"])
    commands = tuple(Command.model_validate(each) for each in found["commands"])
    if not _ID.fullmatch(record.id):
        raise ValueError(f"{record.id!r}: an id of a session has letters, digits, '.', '_' and '-' only")
    for each in (record.created, *(each.asked for each in questions), *(each.time for each in deliverables)):
        _moment(each)
    ids = [record.id, *(each.id for each in questions), *(each.id for each in commands)]
    for id in (*ids, *(each.event_id for each in deliverables)):
        _text(id)
    return Snapshot(
        record=record,
        lease=LeaseState(_number(found["generation"])),
        first_seq=_number(found["first_seq"]),
        last_seq=_number(found["last_seq"]),
        change=0,
        cursors={
            _text(stream): Cursor(_text(at["file"]), _number(at["offset"]), _number(at["check"]))
            for stream, at in found["cursors"].items()
        },
        outbox={
            _text(stream): Outbox(
                tuple(
                    Outgoing(stream, _number(piece["offset"]), piece["data"].encode("utf-8", "surrogateescape"))
                    for piece in outbox["entries"]
                ),
                _number(outbox["acknowledged"]),
            )
            for stream, outbox in found["outbox"].items()
        },
        questions=questions,
        deliverables=deliverables,
        commands=commands,
    )


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} where a number belongs")
    return value


def _moment(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value < _YEAR_9999:
        raise ValueError(f"{value!r} where a time belongs")
    return float(value) + 0.0  # -0.0 is 0.0 to some stores


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} where a text belongs")
    value.encode()  # a journal holds no half of a character
    return value
