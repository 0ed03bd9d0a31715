"""The documents of seeds: what is known of each, and which blob holds its files.

All functions take the database, the prefix of its collections, and the suffix that a task type has for its seeds. Ids
are texts; one that names nothing changes nothing, as published.
"""

from typing import TYPE_CHECKING

from optio_host.clock import SYSTEM_CLOCK, Clock

from ..errors import SeedUnknown
from .database import Database, Document, collection_of, moment, remove_blob

if TYPE_CHECKING:
    from bson import ObjectId


async def insert_seed(
    db: Database, *, prefix: str, suffix: str, blob_id: "ObjectId", manifest_version: int, clock: Clock = SYSTEM_CLOCK
) -> str:
    """Note a new seed whose files are in a blob; its id."""
    from bson import ObjectId

    seed = ObjectId()
    document: Document = {
        "_id": seed, "createdAt": moment(clock), "blobId": blob_id, "manifestVersion": manifest_version,
    }  # fmt: skip
    await collection_of(db, prefix, suffix).insert_one(document)
    return str(seed)


async def load_seed(db: Database, *, prefix: str, suffix: str, seed_id: str) -> Document | None:
    """The document of a seed as it is stored, or None."""
    return await collection_of(db, prefix, suffix).find_one(named(seed_id))


async def list_seeds(db: Database, *, prefix: str, suffix: str) -> list[Document]:
    """All seeds, each as {"seedId", "createdAt"}."""
    found = collection_of(db, prefix, suffix).find({})
    return [{"seedId": str(seed["_id"]), "createdAt": seed.get("createdAt")} async for seed in found]


async def delete_seed(db: Database, *, prefix: str, suffix: str, seed_id: str) -> "ObjectId | None":
    """Forget a seed and leave its blob, whose id is returned; None when there is no such seed."""
    from bson import ObjectId

    removed = await collection_of(db, prefix, suffix).find_one_and_delete(named(seed_id))
    blob = removed and removed.get("blobId")
    return blob if isinstance(blob, ObjectId) else None


async def purge_seed(db: Database, *, prefix: str, suffix: str, seed_id: str) -> None:
    """Forget a seed, then remove its blob. Raises SeedUnknown, which is a KeyError."""
    removed = await collection_of(db, prefix, suffix).find_one_and_delete(named(seed_id))
    if removed is None:
        raise SeedUnknown(seed_id)
    await remove_blob(db, removed.get("blobId"))


async def update_seed_blob(
    db: Database, *, prefix: str, suffix: str, seed_id: str, new_blob_id: "ObjectId", clock: Clock = SYSTEM_CLOCK
) -> None:
    """Let a seed have its files in another blob; the one before is the caller's to remove."""
    await set_fields(db, prefix, suffix, seed_id, {"blobId": new_blob_id}, clock)


async def declare_metadata(
    db: Database, *, prefix: str, suffix: str, seed_id: str, metadata: dict[str, object], clock: Clock = SYSTEM_CLOCK
) -> None:
    """Merge these into the metadata of a seed: each key is set, the other keys stay."""
    await set_fields(db, prefix, suffix, seed_id, {f"metadata.{key}": value for key, value in metadata.items()}, clock)


async def set_fields(db: Database, prefix: str, suffix: str, seed_id: str, fields: Document, clock: Clock) -> None:
    """Set fields of a seed's document, and when that was."""
    change = {"$set": {**fields, "updatedAt": moment(clock)}}
    await collection_of(db, prefix, suffix).update_one(named(seed_id), change)


def named(seed_id: str) -> Document:
    """The filter for a seed by its id; for a text that is no id one that matches nothing."""
    from bson import ObjectId

    return {"_id": ObjectId(seed_id) if ObjectId.is_valid(seed_id) else f"no id: {seed_id}"}
