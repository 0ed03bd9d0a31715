"""docs/protocol-vectors.jsonl holds: bytes in, events out, in whatever pieces the bytes arrive."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from optio_agents.protocol.events import LogEvent, OverlongLine
from optio_agents.protocol.features import ProtocolFeatures
from optio_agents.protocol.parser import event_of_line
from optio_host.lines import DEFAULT_LINE_LIMIT, LineFramer

FILE = Path(__file__).parents[2] / "docs" / "protocol-vectors.jsonl"
VECTORS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]

TYPE = {
    "StatusEvent": "status",
    "DeliverableEvent": "deliverable",
    "DoneEvent": "done",
    "ErrorEvent": "error",
    "BrowserEvent": "browser",
    "AttentionEvent": "attention",
    "ClientMessageEvent": "client_message",
    "CallerMessageEvent": "caller_message",
    "UnknownLine": "unknown",
    "OverlongLine": "overlong",
}


def events(chunks: Iterable[bytes], limit: int, features: ProtocolFeatures) -> Iterator[LogEvent | OverlongLine]:
    framer = LineFramer(limit=limit)
    first = True
    for chunk in chunks:
        for line in framer.feed(chunk):
            yield event_of_line(line, features=features, first=first)
            first = False
    last = framer.finish()
    if last is not None:
        yield event_of_line(last, features=features, first=first)


def as_json(found: Iterable[LogEvent | OverlongLine]) -> str:
    return json.dumps([{"type": TYPE[type(each).__name__], **asdict(each)} for each in found], sort_keys=True)


def chunks_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_vector(vector: dict[str, object]) -> None:
    data = str(vector["bytes"]).encode("latin-1")
    features = ProtocolFeatures(**vector["features"])  # type: ignore[arg-type]
    limit = int(str(vector.get("limit", DEFAULT_LINE_LIMIT)))
    expected = json.dumps(vector["events"], sort_keys=True)
    for size in (max(len(data), 1), 1, 3):
        assert as_json(events(chunks_of(data, size), limit, features)) == expected, f"in chunks of {size}"


def test_there_are_enough_vectors_and_each_has_a_name_of_its_own() -> None:
    assert len(VECTORS) >= 120
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)


def test_every_event_type_occurs_in_the_vectors() -> None:
    seen = {event["type"] for vector in VECTORS for event in vector["events"]}
    assert seen == set(TYPE.values())
