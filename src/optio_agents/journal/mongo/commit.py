"""A batch of an owner, as rows that a head comes to count."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from ...errors import StoreError
from .. import rules
from ..batch import Batch, Committed
from ..documents import Question, Receipt
from ..lease import Lease
from . import rows
from .changing import Changing
from .head import Head, Stream
from .keys import Document
from .reading import part_with_key


async def write_batch(changing: Changing, lease: Lease, batch: Batch, data: Sequence[str]) -> Committed:
    """Write a batch. data: of each of its events, as JSON."""
    writing = _Writing(changing, lease, batch, data)
    return await changing.change(lease.session, writing.decide)


class _Writing:
    """One call. The head names it, so that it is known again when the answer was lost."""

    def __init__(self, changing: Changing, lease: Lease, batch: Batch, data: Sequence[str]) -> None:
        self._changing = changing
        self._tables = changing.tables
        self._lease = lease
        self._batch = batch
        self._data = data
        self._token = secrets.token_hex(8)
        self._written: tuple[list[Document], list[Document]] = ([], [])

    async def decide(self, head: Head) -> tuple[Head | None, Committed]:
        if head.commit_token == self._token:
            return None, Committed(head.last_seq)
        head.lease.check(self._lease)
        batch = self._batch
        if rules.is_repeat(batch, head.last_seq, head.last_event_id):
            return None, Committed(head.last_seq, repeated=True)
        new, parts = await self._with_parts(head)
        new = replace(
            new,
            commit_token=self._token,
            last_seq=head.last_seq + len(batch.events),
            last_event_id=batch.events[-1].event_id if batch.events else head.last_event_id,
            parts=head.parts + len(parts),
            cursors={**head.cursors, **batch.cursors},
        )
        await self._write(head, parts)
        return new, Committed(new.last_seq)

    async def _with_parts(self, head: Head) -> tuple[Head, list[Document]]:
        """The head as it will be, and what is to be stored besides events. Raises what is refused."""
        batch = self._batch
        streams, parts = await self._output(head)
        parts += await self._questions(head)
        parts += [rows.deliverable(head.life, each) for each in batch.deliverables]
        receipts = await self._receipts(head)
        record = head.record
        if batch.record is not None:
            rules.check_record(batch.record, self._lease.session)
            record = batch.record
            if record.state == "ended":
                refused = rules.refused_at_end(self._changing.clock.time())
                receipts |= dict.fromkeys(range(head.taken + len(receipts) + 1, head.commands + 1), refused)
        taken = [
            rows.receipt(head.life, number, command_id, receipts[number])
            for number, command_id in enumerate(head.inbox[: len(receipts)], head.taken + 1)
        ]
        new = replace(
            head,
            streams=streams,
            record=record,
            taken=head.taken + len(taken),
            inbox=head.inbox[len(taken) :],
        )
        return new, parts + taken

    async def _output(self, head: Head) -> tuple[dict[str, Stream], list[Document]]:
        streams = dict(head.streams)
        parts: list[Document] = []
        new: dict[tuple[str, int], bytes] = {}
        for piece in self._batch.outbox:
            stream = streams.get(piece.stream, Stream())
            stored = new.get((piece.stream, piece.offset)) if piece.offset < stream.end else None
            if stored is None and piece.offset < stream.end:
                found = await part_with_key(self._tables, head, rows.output_key(head.life, piece))
                stored = None if found is None else rows.bytes_of(found)
            if rules.is_new_output(piece, stream.end, stored):
                new[piece.stream, piece.offset] = piece.data
                streams[piece.stream] = replace(stream, end=stream.end + len(piece.data))
                parts.append(rows.output(head.life, piece))
        for name, mark in self._batch.acknowledged.items():
            stream = streams.get(name, Stream())
            rules.check_acknowledged(name, mark, stream.acknowledged, stream.end)
            streams[name] = replace(stream, acknowledged=mark)
        return streams, parts

    async def _questions(self, head: Head) -> list[Document]:
        asked: dict[str, Question] = {}
        for question in self._batch.questions:
            stored = asked.get(question.id)
            if stored is None:
                found = await part_with_key(self._tables, head, rows.question_key(head.life, question.id))
                stored = None if found is None else rows.parts_of([found]).questions[question.id]
            rules.check_question(question, stored)
            asked[question.id] = question
        return [rows.question(head.life, question) for question in asked.values()]

    async def _receipts(self, head: Head) -> dict[int, Receipt]:
        stored: dict[int, Receipt] = {}
        for number in self._batch.receipts:
            if 1 <= number <= head.taken and (
                found := await part_with_key(self._tables, head, rows.receipt_key(head.life, number))
            ):
                stored[number] = rows.parts_of([found]).receipts[number][1]
        new = rules.new_receipts(self._batch.receipts, head.taken, head.commands, stored)
        return {number: self._batch.receipts[number] for number in new}

    async def _write(self, head: Head, parts: Sequence[Document]) -> None:
        generation = self._lease.generation
        events = rows.event_rows(head.life, head.last_seq, generation, self._batch.events, self._data)
        others = rows.part_rows(head.life, head.parts, generation, parts)
        if (events, others) == self._written:
            return  # only the head has moved meanwhile
        if not (
            await self._tables.write(self._tables.events, events)
            and await self._tables.write(self._tables.parts, others)
        ):
            # Whoever has written in this place has a later lease, which this head did not show yet.
            (await self._changing.existing(self._lease.session)).lease.check(self._lease)
            raise StoreError(f"{self._tables.server.name}: session {self._lease.session} holds rows of a later owner")
        self._written = (events, others)
