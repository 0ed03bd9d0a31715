"""Events and parts as documents, and back. Pure.

A part is a piece of a batch that is no event: output, a question, a deliverable, a receipt. One that says something new
of the same thing (a question that is answered) is another part, and the later one counts.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..batch import Event, NewEvent, Outbox, Outgoing
from ..documents import Deliverable, Question, Receipt, from_text, to_json, to_text
from .head import Head
from .keys import Document, number_of, row_key


def event_rows(
    life: str, after: int, generation: int, events: Sequence[Event | NewEvent], data: Sequence[str]
) -> list[Document]:
    """Events behind number `after`. data: of each, as JSON."""
    return [
        {
            "_id": row_key(life, seq),
            "generation": generation,
            "type": event.type,
            "data": text,
            "time": event.time,
            "source": event.source,
            "event_id": event.event_id,
        }
        for seq, (event, text) in enumerate(zip(events, data, strict=True), after + 1)
    ]


def event_of(row: Document) -> Event:
    """The event behind a document."""
    return Event(number_of(row), row["type"], json.loads(row["data"]), row["time"], row["source"], row["event_id"])


def part_rows(life: str, after: int, generation: int, parts: Sequence[Document]) -> list[Document]:
    """Parts behind number `after`."""
    return [
        {"_id": row_key(life, number), "generation": generation, **part} for number, part in enumerate(parts, after + 1)
    ]


def output(life: str, piece: Outgoing) -> Document:
    """A piece of output, as a part."""
    return {
        "key": output_key(life, piece),
        "stream": piece.stream,
        "offset": piece.offset,
        # As an export has it: what is not UTF-8 becomes lone surrogates, which survive as escapes of JSON.
        "data": to_json(piece.data.decode("utf-8", "surrogateescape")),
    }


def bytes_of(part: Document) -> bytes:
    """What a piece of output says."""
    text: str = json.loads(part["data"])
    return text.encode("utf-8", "surrogateescape")


def output_key(life: str, piece: Outgoing) -> str:
    """What finds the piece of output at this place of this stream."""
    return f"{life}/output/{piece.offset}/{piece.stream}"


def question(life: str, asked: Question) -> Document:
    """A question, as a part."""
    return {"key": question_key(life, asked.id), "question": to_text(asked)}


def question_key(life: str, question_id: str) -> str:
    """What finds a question."""
    return f"{life}/question/{question_id}"


def deliverable(life: str, landed: Deliverable) -> Document:
    """A deliverable, as a part."""
    return {"key": f"{life}/deliverable/{landed.event_id}", "deliverable": to_text(landed)}


def receipt(life: str, number: int, command_id: str, given: Receipt) -> Document:
    """The receipt of a command, as a part."""
    return {"key": receipt_key(life, number), "number": number, "command": command_id, "receipt": to_text(given)}


def receipt_key(life: str, number: int) -> str:
    """What finds the receipt of a command."""
    return f"{life}/receipt/{number}"


@dataclass(slots=True)
class Parts:
    """What all parts of a session together say.

    Attributes:
        pieces: by stream, what was to be sent.
        questions: by id.
        deliverables: by id of the event.
        receipts: by number of the command, its id and what became of it.
    """

    pieces: dict[str, list[Outgoing]] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    deliverables: dict[str, Deliverable] = field(default_factory=dict)
    receipts: dict[int, tuple[str, Receipt]] = field(default_factory=dict)


def parts_of(rows: Iterable[Document]) -> Parts:
    """What parts say, in the order of their numbers."""
    parts = Parts()
    for row in rows:
        match row:
            case {"stream": stream, "offset": offset}:
                parts.pieces.setdefault(stream, []).append(Outgoing(stream, offset, bytes_of(row)))
            case {"question": text}:
                asked = from_text(Question, text)
                parts.questions[asked.id] = asked
            case {"deliverable": text}:
                landed = from_text(Deliverable, text)
                parts.deliverables[landed.event_id] = landed
            case {"receipt": text}:
                parts.receipts[row["number"]] = (row["command"], from_text(Receipt, text))
    return parts


def outboxes(head: Head, parts: Parts) -> dict[str, Outbox]:
    """By stream, what was to be sent."""
    return {
        name: Outbox(tuple(parts.pieces.get(name, ())), stream.acknowledged) for name, stream in head.streams.items()
    }
