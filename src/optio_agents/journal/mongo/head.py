"""The head of a session: what is known of it in one document, and what else of it counts. Pure.

No transaction is needed, which not every deployment of MongoDB has. Whatever happens to a session happens in one update
of its head, which names the version that it was made from. What grows without bound lies in rows of their own: events,
parts (what else a batch holds) and commands. Rows are written first, and count only once the head says so.

Events and parts are numbered without holes, and the head holds the last number of each that counts. A row holds the
generation of whoever wrote it, and is never replaced by one of a lower generation: what an owner left behind that died
before it changed the head is overwritten by the next one, and one that wakes up late spoils nothing.

The number of a command comes from the head, too, which holds the ids of those that nobody has taken. The receipt of one
that was taken holds its id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optio_host.cursor import Cursor

from ...errors import StoreTooNew
from ..documents import Driver, SessionRecord, from_text, to_text
from ..lease import LeaseState
from .keys import Document

FORMAT = 1
"""Version of heads and of the rows that belong to them."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Where the outbox of one stream ends, and how much of it is known to have arrived."""

    end: int = 0
    acknowledged: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """Everything but the renewal of the lease makes the version grow.

    Attributes:
        key: where it is.
        session: id of the session.
        life: what the keys of its rows begin with.
        version: how often it was changed.
        change: number of the latest change; see `Store.news`.
        updated: when that was.
        record: the record; None: the session was removed, which those who wait for it are to see.
        lease: who owns it, in the time of the store.
        lease_token: names the call that acquired it.
        commit_token: names the call that committed last.
        first_seq: seq of the oldest event that is kept.
        last_seq: seq of the last event that counts.
        last_event_id: its id.
        parts: number of the last part that counts.
        cursors: by stream, where its reader stands.
        streams: by stream, how far its outbox goes.
        taken: number of the last command that has a receipt.
        inbox: ids of the commands behind it.
    """

    key: str
    session: str
    life: str
    record: SessionRecord | None
    lease: LeaseState
    version: int = 0
    change: int = 0
    updated: float = 0.0
    lease_token: str = ""
    commit_token: str = ""
    first_seq: int = 1
    last_seq: int = 0
    last_event_id: str = ""
    parts: int = 0
    cursors: Mapping[str, Cursor] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    taken: int = 0
    inbox: tuple[str, ...] = ()

    @property
    def commands(self) -> int:
        """Number of the last command."""
        return self.taken + len(self.inbox)


def head_of(found: Document) -> Head:
    """The head behind a document. StoreTooNew if a newer version of this program made it."""
    if found["format"] > FORMAT:
        raise StoreTooNew(
            f"session {found['session']}: stored by a newer version of this program (format {found['format']}, "
            f"this one knows {FORMAT}); update optio-agents"
        )
    record, lease = found["record"], found["lease"]
    driver = lease["driver"]
    return Head(
        key=found["_id"],
        session=found["session"],
        life=found["life"],
        record=None if record is None else from_text(SessionRecord, record),
        lease=LeaseState(
            lease["generation"], None if driver is None else from_text(Driver, driver), lease["renewed"], lease["ttl"]
        ),
        version=found["version"],
        change=found["change"],
        updated=found["updated"],
        lease_token=lease["token"],
        commit_token=found["commit_token"],
        first_seq=found["first_seq"],
        last_seq=found["last_seq"],
        last_event_id=found["last_event_id"],
        parts=found["parts"],
        cursors={stream: Cursor(file, offset, check) for stream, file, offset, check in found["cursors"]},
        streams={name: Stream(end, acknowledged) for name, end, acknowledged in found["streams"]},
        taken=found["taken"],
        inbox=tuple(found["inbox"]),
    )


def fields_of(head: Head) -> Document:
    """The document of a head, but its key and its lease."""
    return {
        "format": FORMAT,
        "session": head.session,
        "life": head.life,
        # Beside the record, where other programs can ask for it.
        "state": None if head.record is None else head.record.state,
        "record": None if head.record is None else to_text(head.record),
        "version": head.version,
        "change": head.change,
        "updated": head.updated,
        "commit_token": head.commit_token,
        "first_seq": head.first_seq,
        "last_seq": head.last_seq,
        "last_event_id": head.last_event_id,
        "parts": head.parts,
        "cursors": [[stream, at.file, at.offset, at.check] for stream, at in sorted(head.cursors.items())],
        "streams": [[name, each.end, each.acknowledged] for name, each in sorted(head.streams.items())],
        "taken": head.taken,
        "inbox": list(head.inbox),
    }


def lease_fields(head: Head) -> dict[str, Any]:
    """The part of the document that says who owns the session."""
    lease = head.lease
    return {
        "generation": lease.generation,
        "driver": None if lease.driver is None else to_text(lease.driver),
        "renewed": lease.renewed,
        "ttl": lease.ttl,
        "token": head.lease_token,
    }
