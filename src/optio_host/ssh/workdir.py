"""The directories of a task on the far side: made, removed, archived, restored."""

import os
import tarfile
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import aclosing
from shlex import quote
from typing import IO

import anyio

from ..archive import DEFAULT_WORKDIR_EXCLUDES, Skipped, consume_workdir_archive
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import TransferFailed
from ..local.files import remove_tree as remove_local_tree
from ..local.trees import scan
from ..progress import CopyProgress
from ..steps import in_threads
from ..tar_stream import END, gzipped, header, padding
from ..trees import Listing, Plan, compare
from .dialogue import ask
from .link import Link
from .listing import list_tree
from .trees import fetch_files, members, send_tree


async def make_directories(link: Link, *paths: str, clock: Clock = SYSTEM_CLOCK) -> None:
    """Create directories with their parents, each with mode 0700."""
    await ask(link, clock, paths[-1], "cannot be made", ("tree",), "make_directories", *paths)


async def remove_file(link: Link, path: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Remove a file, or a symbolic link itself; one that is not there is fine. FileRefused for a directory."""
    await ask(link, clock, path, "cannot be removed", ("tree",), "remove_file", path)


async def remove_tree(link: Link, path: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Remove a directory with all it holds, directories that forbid it included; one that is not there is fine.

    Raises TransferFailed when something cannot be removed.
    """
    await ask(link, clock, path, "cannot be removed", ("tree",), "remove_tree", path)


async def archive_workdir(
    link: Link,
    workdir: str,
    exclude: Sequence[str] | None = None,
    *,
    on_skip: Skipped | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> AsyncGenerator[bytes]:
    """A directory of the far side as a gzip-compressed tar; see `optio_host.archive.yield_workdir_archive`.

    The files come here first, into a temporary file, and are judged and compressed here. A file that changed meanwhile
    is archived as it was read, if it did not become shorter.
    """
    patterns = DEFAULT_WORKDIR_EXCLUDES if exclude is None else exclude
    listing = await list_tree(link, workdir, patterns, clock)
    plan = compare(listing, {})
    for name, reason in plan.left_out:
        if on_skip is not None:
            on_skip(name, reason)
    files = [name for name in plan.sent if listing[name].kind == "file"]
    with tempfile.TemporaryFile() as spool:
        unsteady = await fetch_files(link, workdir, files, listing, spool, CopyProgress(None, None), clock)
        for name, now in unsteady.items():
            if now is not None and now.size < listing[name].size:
                raise TransferFailed(f"{workdir}/{name}: became shorter while it was archived; try again")
        async with aclosing(in_threads(gzipped(_archive(listing, plan, spool)))) as pieces:
            async for piece in pieces:
                yield piece


def _archive(listing: Listing, plan: Plan, spool: IO[bytes]) -> Generator[bytes, None, None]:
    for name in plan.directories:
        yield header(name, tarfile.DIRTYPE, mode=listing[name].mode, mtime=listing[name].mtime)
    wanted = {name for name in plan.sent if listing[name].kind == "file"}
    for name, content in members(spool) if wanted else ():
        if name not in wanted:
            continue
        entry = listing[name]
        size = content.seek(0, os.SEEK_END)
        content.seek(0)
        yield header(name, tarfile.REGTYPE, mode=entry.mode, mtime=entry.mtime, size=size)
        while chunk := content.read(1024 * 1024):
            yield chunk
        yield padding(size)
    for name in plan.sent:
        if listing[name].kind == "link":
            entry = listing[name]
            yield header(name, tarfile.SYMTYPE, mode=entry.mode, mtime=entry.mtime, target=entry.target)
    yield END


async def restore_workdir(
    link: Link, stream: AsyncIterator[bytes], workdir: str, *, clock: Clock = SYSTEM_CLOCK
) -> None:
    """Replace the content of a directory of the far side by that of such an archive.

    The archive is judged by extracting it here, into a temporary directory, as
    `optio_host.archive.consume_workdir_archive` does, which raises the same; only what came out of that is sent. Over
    there it is staged inside the directory and then exchanged for the old content. A broken archive or a link that
    breaks before all is there leaves the directory as it was.
    """
    directory = await anyio.to_thread.run_sync(tempfile.mkdtemp, "", "optio-restore-")
    try:
        tree = os.path.join(directory, "tree")
        await consume_workdir_archive(stream, tree)
        here = await anyio.to_thread.run_sync(scan, tree)
        # Locked only when everything is in it.
        modes = [
            f'chmod {here[name].mode:o} "$_staging/new"/{quote(name)} || refuse failed\n'
            for name in sorted(here, reverse=True)
            if here[name].kind == "directory" and here[name].mode | 0o700 != here[name].mode
        ]
        settling = "".join(modes) + "exchange\n"
        await ask(link, clock, workdir, "cannot be restored", ("tree",), "make_workdir", workdir)
        await send_tree(link, tree, workdir, compare(here, {}), here, settling, CopyProgress(None, None), clock)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(remove_local_tree, directory)
