"""The collections of a database that journals are in, and the two kinds of writing to them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from pymongo import ReadPreference, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from .head import Head, fields_of, head_of, lease_fields
from .keys import Document, head_key
from .server import Server


class Database(Protocol):
    """A handle on a database: motor's `AsyncIOMotorDatabase`, or PyMongo's `AsyncDatabase`."""

    @property
    def name(self) -> str:
        """Name of the database."""
        ...

    def __getitem__(self, name: str, /) -> object:
        """A collection."""
        ...


class Tables:
    """Heads, events, parts and commands of one tenant.

    Whatever options the handle has: writes are acknowledged by a majority, and what was read can not be undone.
    """

    def __init__(self, database: Database, tenant: str, server: Server) -> None:
        self.tenant = tenant
        self.server = server
        self._database = cast("Any", database)
        self.heads = self._collection("optio_sessions")
        self.events = self._collection("optio_events")
        self.parts = self._collection("optio_parts")
        self.commands = self._collection("optio_commands")

    async def make_indexes(self) -> None:
        """Make the indexes, where they are not there. Everything else is found by its `_id`."""
        await self.server.ask(lambda: self.parts.create_index("key"))
        await self.server.ask(lambda: self.commands.create_index("command"))

    async def server_time(self) -> float:
        """What the server takes the time to be, in seconds since the epoch."""
        answer = await self.server.ask(lambda: self._database.command("hello"))
        local: datetime = answer["localTime"]
        return (local if local.tzinfo else local.replace(tzinfo=UTC)).timestamp()

    async def head(self, session: str) -> Head | None:
        """The head of a session; that of one that was removed, too, for as long as it is kept."""
        key = head_key(self.tenant, session)
        found = await self.server.ask(lambda: self.heads.find_one({"_id": key}))
        return None if found is None else head_of(found)

    async def find(self, collection: Any, wanted: Document, *, fields: Sequence[str] = ()) -> list[Document]:
        """Documents, in the order of their keys; with `fields`, these of them only."""
        shown = dict.fromkeys(fields, 1) or None
        return await self.server.ask(lambda: collection.find(wanted, shown).sort("_id", 1).to_list(length=None))

    async def delete(self, collection: Any, wanted: Document) -> None:
        """Remove documents that do not count, or no longer."""
        await self.server.ask(lambda: collection.delete_many(wanted))

    async def insert_head(self, head: Head) -> bool:
        """Store the head of a new session; False when there is one."""
        document = {"_id": head.key, **fields_of(head), "lease": lease_fields(head)}
        try:
            await self.server.ask(lambda: self.heads.insert_one(document))
        except DuplicateKeyError:
            return False
        return True

    async def swap(self, old: Head, new: Head) -> bool:
        """Replace a head by a later one; False when it is not the same any more.

        After a broken connection it may also be False although it was replaced.
        """
        wanted: Document = {"_id": old.key, "version": old.version}
        fields = fields_of(new)
        if (new.lease, new.lease_token) != (old.lease, old.lease_token):
            # A renewal leaves the version as it is, and must not be overlooked.
            wanted |= {"lease.renewed": old.lease.renewed, "lease.ttl": old.lease.ttl}
            fields["lease"] = lease_fields(new)
        result = await self.server.ask(lambda: self.heads.update_one(wanted, {"$set": fields}))
        return bool(result.matched_count)

    async def write(self, collection: Any, rows: Sequence[Document]) -> bool:
        """Write rows that do not count yet; False when one of a later generation is in the place of one of them."""
        if not rows:
            return True
        try:
            await self.server.ask(lambda: collection.insert_many(rows, ordered=False))
        except BulkWriteError as error:
            there = [rows[each["index"]] for each in error.details["writeErrors"]]
        else:
            return True
        for row in there:
            if not await self._replace(collection, row):
                return False
        return True

    async def _replace(self, collection: Any, row: Document) -> bool:
        # Found there: what an owner before this one left behind, or what this one wrote before the connection broke.
        wanted = {"_id": row["_id"], "generation": {"$lte": row["generation"]}}
        result = await self.server.ask(lambda: collection.replace_one(wanted, row))
        return bool(result.matched_count)

    def _collection(self, name: str) -> Any:
        return cast("Any", self._database[name]).with_options(
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern(w="majority", j=True),
        )
