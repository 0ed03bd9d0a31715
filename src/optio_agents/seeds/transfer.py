"""Seeds between homes and the database: captured, planted, merged, refreshed, and one file of them exchanged.

A blob is a gzip-compressed tar, encrypted if the caller says how. When a seed gets new files, the new blob is stored
first, then the seed refers to it, and only then the old one is removed: whoever is killed in between leaves at most a
blob that nobody refers to. Two who do this at the same time do not lose each other's files.
"""

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

import anyio
import anyio.to_thread

from optio_host.clock import SYSTEM_CLOCK, Clock
from optio_host.host import Host

from ..errors import SeedBroken, SeedUnknown
from ..process_context import ProcessContext, tell
from ..protocol.callbacks import call
from .database import Cipher, Database, collection_of, database_of, moment, read_blob, remove_blob, store_blob, through
from .documents import insert_seed, load_seed, named, set_fields
from .home import read_home, write_home
from .manifest import SeedManifest, segments_of
from .members import Members, SeedFile, pack, unpack

ATTEMPTS = 16
"""How often a change to a seed's files is made anew because somebody else has changed them meanwhile."""


async def capture_seed(
    ctx: ProcessContext,
    host: Host,
    *,
    manifest: SeedManifest,
    suffix: str,
    encrypt: Cipher | None,
    clock: Clock = SYSTEM_CLOCK,
) -> str:
    """Make a seed of the files in a home; its id. Symbolic links and what is no file are left out, and reported.

    Parameters:
        ctx: the process, whose database the seed is kept in.
        host: where the home is, below the workdir.
        manifest: which files.
        suffix: names the collection, behind the prefix of the process.
        encrypt: applied to the archive before it is stored; None stores it as it is.

    Raises SeedBroken when there is no such home or too much in it, FileRefused, ContextLacks.
    """
    db, prefix = database_of(ctx, "capture_seed")
    blob = await store_blob(db, prefix, await _sealed(await _captured(ctx, host, manifest), encrypt))
    return await insert_seed(
        db, prefix=prefix, suffix=suffix, blob_id=blob, manifest_version=manifest.version, clock=clock
    )  # fmt: skip


async def plant_seed(
    db: Database,
    host: Host,
    *,
    prefix: str,
    seed_id: str,
    manifest: SeedManifest,
    suffix: str,
    decrypt: Cipher | None,
) -> None:
    """Write the files of a seed that a manifest includes into a home, then call its `consume_transform`.

    Files are written with mode 0600, or 0700 if they are programs, directories that were not there with 0700. Each
    appears in one step. Other files of the home stay.

    Raises SeedUnknown, which is a KeyError; SeedBroken; FileRefused for an archive that would leave the home, and for a
    home that has symbolic links or files in the place of directories.
    """
    _, members = await _stored(db, prefix, suffix, seed_id, decrypt)
    await write_home(host, manifest, members)
    if manifest.consume_transform is not None:
        await call(manifest.consume_transform, host)


async def merge_seed(
    ctx: ProcessContext, host: Host, *, seed_id: str, manifest: SeedManifest, suffix: str, decrypt: Cipher | None
) -> None:
    """`plant_seed` into a home that is in use, from the database of a process: what it does not include stays."""
    db, prefix = database_of(ctx, "merge_seed")
    await plant_seed(
        db, host, prefix=prefix, seed_id=seed_id, manifest=manifest, suffix=suffix, decrypt=decrypt
    )  # fmt: skip


async def refresh_seed(
    ctx: ProcessContext,
    host: Host,
    *,
    seed_id: str,
    manifest: SeedManifest,
    suffix: str,
    encrypt: Cipher | None,
    decrypt: Cipher | None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Bring the files of a home into a seed that it was planted from; nothing is stored when they are the same
    but the time.

    Files of the seed that the home does not have stay in the seed. Raises what `capture_seed` and `plant_seed` raise.
    """
    db, prefix = database_of(ctx, "refresh_seed")
    fresh = await _captured(ctx, host, manifest)
    await _change(db, prefix, suffix, seed_id, lambda members: _refreshed(members, fresh), encrypt, decrypt, clock)


async def overwrite_seed_member(
    db: Database,
    *,
    prefix: str,
    suffix: str,
    seed_id: str,
    member_path: str,
    content: bytes,
    encrypt: Cipher | None,
    decrypt: Cipher | None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Exchange one file of a seed, or add it.

    Parameters:
        member_path: path below the home; ValueError for one that would leave it.
        content: its new bytes.

    Raises SeedUnknown, which is a KeyError; SeedBroken.
    """
    path = "/".join(segments_of(member_path))
    if not path:
        raise ValueError(f"{member_path!r}: names no file")

    def exchanged(members: Members) -> Members:
        before = members.get(path)
        return {**members, path: SeedFile(content, before is not None and before.executable)}

    await _change(db, prefix, suffix, seed_id, exchanged, encrypt, decrypt, clock)


def _refreshed(members: Members, fresh: Members) -> Members:
    """What is there now, and of what was there what does not stand in its way: a directory may be a file now."""
    files = {path for path, file in fresh.items() if file is not None}
    kept = {
        path: file
        for path, file in members.items()
        if not any(str(each) in files for each in PurePosixPath(path).parents)
    }
    return {**kept, **fresh}


async def _sealed(members: Members, encrypt: Cipher | None) -> bytes:
    return await through(encrypt, await anyio.to_thread.run_sync(pack, members))


async def _captured(ctx: ProcessContext, host: Host, manifest: SeedManifest) -> Mapping[str, SeedFile | None]:
    members, left_out = await read_home(host, manifest)
    for path in left_out:
        tell(ctx, None, f"left out of the seed, as it is no file and no directory: {path}")
    return members


async def _stored(
    db: Database, prefix: str, suffix: str, seed_id: str, decrypt: Cipher | None
) -> tuple[object, Mapping[str, SeedFile | None]]:
    """The blob of a seed, and what is in it."""
    for _ in range(ATTEMPTS):
        seed = await load_seed(db, prefix=prefix, suffix=suffix, seed_id=seed_id)
        if seed is None:
            raise SeedUnknown(seed_id)
        try:
            content = await read_blob(db, seed["blobId"])
        except SeedBroken:
            # A blob is removed as soon as its seed has a newer one.
            again = await load_seed(db, prefix=prefix, suffix=suffix, seed_id=seed_id)
            if again is not None and again["blobId"] == seed["blobId"]:
                raise
            continue
        archive = await through(decrypt, content)
        return seed["blobId"], await anyio.to_thread.run_sync(unpack, archive)
    raise _too_busy(seed_id)


async def _change(
    db: Database,
    prefix: str,
    suffix: str,
    seed_id: str,
    changed: Callable[[Members], Members],
    encrypt: Cipher | None,
    decrypt: Cipher | None,
    clock: Clock,
) -> None:
    for _ in range(ATTEMPTS):
        old, members = await _stored(db, prefix, suffix, seed_id, decrypt)
        wanted = changed(members)
        if wanted == members:
            await set_fields(db, prefix, suffix, seed_id, {}, clock)
            return
        new = await store_blob(db, prefix, await _sealed(wanted, encrypt))
        # Some wire-compatible servers compare an id outside of _id only by $in.
        referred = await collection_of(db, prefix, suffix).update_one(
            {**named(seed_id), "blobId": {"$in": [old]}}, {"$set": {"blobId": new, "updatedAt": moment(clock)}}
        )
        await remove_blob(db, old if referred.matched_count else new)
        if referred.matched_count:
            return
    raise _too_busy(seed_id)


def _too_busy(seed_id: str) -> SeedBroken:
    return SeedBroken(f"seed {seed_id}: others changed it {ATTEMPTS} times in a row; try again")
