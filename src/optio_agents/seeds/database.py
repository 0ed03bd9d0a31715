"""The database of seeds: motor's, as published, or PyMongo's asynchronous one; both are called the same way."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from optio_host.clock import Clock

from ..errors import ContextLacks, SeedBroken
from ..protocol.callbacks import call

if TYPE_CHECKING:
    from bson import ObjectId

BLOB_LIMIT = 128 * 1024 * 1024
"""Bytes of a stored blob that are read: a seed's, with what encryption may add."""

Document = dict[str, object]
Cipher = Callable[[bytes], Awaitable[bytes] | bytes]
"""What encrypts or decrypts a blob: bytes to bytes, plain or async. A plain one runs on the event loop."""


class Updated(Protocol):
    """What an update did."""

    @property
    def matched_count(self) -> int:
        """How many documents it was about."""
        ...

    @property
    def modified_count(self) -> int:
        """How many of them it changed."""
        ...


class Found(Protocol):
    """The documents of a query."""

    def __aiter__(self) -> AsyncIterator[Document]: ...


class Collection(Protocol):
    """The methods of a collection that are used."""

    def insert_one(self, document: Document) -> Awaitable[object]:
        """Insert a document; its _id is set."""
        ...

    def find(self, filter: Mapping[str, object]) -> Found:
        """The documents that match."""
        ...

    def find_one(self, filter: Mapping[str, object]) -> Awaitable[Document | None]:
        """One of them."""
        ...

    def find_one_and_update(
        self, filter: Mapping[str, object], update: Mapping[str, object], *, sort: Sequence[tuple[str, int]] = ...
    ) -> Awaitable[Document | None]:
        """Change the first of them in one step; as it was before."""
        ...

    def find_one_and_delete(self, filter: Mapping[str, object]) -> Awaitable[Document | None]:
        """Remove one of them."""
        ...

    def update_one(self, filter: Mapping[str, object], update: Mapping[str, object]) -> Awaitable[Updated]:
        """Change one of them."""
        ...

    def update_many(self, filter: Mapping[str, object], update: Mapping[str, object]) -> Awaitable[Updated]:
        """Change all of them."""
        ...


class Database(Protocol):
    """A database: its collections by name."""

    def __getitem__(self, name: str) -> Collection: ...


@runtime_checkable
class _StoredFile(Protocol):
    @property
    def length(self) -> int: ...

    def read(self) -> Awaitable[bytes]: ...


class _Bucket(Protocol):
    def upload_from_stream(
        self, filename: str, source: bytes, *, metadata: Mapping[str, object]
    ) -> Awaitable["ObjectId"]: ...

    def open_download_stream(self, file_id: object) -> Awaitable[_StoredFile]: ...

    def delete(self, file_id: object) -> Awaitable[None]: ...


def collection_of(db: Database, prefix: str, suffix: str) -> Collection:
    """Where the seeds of a task type are: `<prefix><suffix>`, as published."""
    return db[prefix + suffix]


def database_of(ctx: object, needed_for: str) -> tuple[Database, str]:
    """The database of a process context and the prefix of its collections, as optio-core 0.3 keeps them.

    Raises ContextLacks for a context that has none.
    """
    db, prefix = getattr(ctx, "_db", None), getattr(ctx, "_prefix", None)
    if db is None or not isinstance(prefix, str):
        raise ContextLacks(ctx, "_db", needed_for)
    return db, prefix


def moment(clock: Clock, seconds: float = 0) -> datetime:
    """So many seconds from now, as it is stored."""
    return datetime.fromtimestamp(clock.time() + seconds, UTC)


async def store_blob(db: Database, prefix: str, content: bytes) -> "ObjectId":
    """Store bytes; the id of the blob."""
    return await _bucket(db).upload_from_stream("seed", content, metadata={"prefix": prefix, "name": "seed"})


async def read_blob(db: Database, blob_id: object) -> bytes:
    """The bytes of a blob; SeedBroken when it is not there or larger than a seed's can be."""
    from gridfs.errors import CorruptGridFile, NoFile

    try:
        stored = await _bucket(db).open_download_stream(blob_id)
        if stored.length > BLOB_LIMIT:
            raise SeedBroken(f"the blob {blob_id} has {stored.length} bytes, more than a seed can have")
        return await stored.read()
    except (NoFile, CorruptGridFile) as error:
        raise SeedBroken(
            f"the blob {blob_id} of a seed is not there, or not all of it; capture the seed anew"
        ) from error


async def remove_blob(db: Database, blob_id: object) -> None:
    """Remove a blob; one that is not there is fine."""
    from gridfs.errors import NoFile

    try:
        await _bucket(db).delete(blob_id)
    except NoFile:
        return


async def through(cipher: Cipher | None, content: bytes) -> bytes:
    """Bytes as a cipher makes them; without one as they are. TypeError when it returns something else."""
    if cipher is None:
        return content
    made = await call(cipher, content)
    if not isinstance(made, bytes):
        raise TypeError(f"encrypt and decrypt return bytes, not {type(made).__name__}")
    return made


def _bucket(db: Database) -> _Bucket:
    if type(db).__module__.partition(".")[0] == "motor":
        from motor.motor_asyncio import AsyncIOMotorGridFSBucket

        motor: _Bucket = AsyncIOMotorGridFSBucket(db)  # type: ignore[arg-type]
        return motor
    from gridfs.asynchronous import AsyncGridFSBucket

    pymongo: _Bucket = AsyncGridFSBucket(db)  # type: ignore[arg-type]
    return pymongo
