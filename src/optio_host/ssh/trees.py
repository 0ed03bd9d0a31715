"""Copying directories to and from the far side: one listing, then one tar stream of what differs."""

import os
import secrets
import tarfile
import tempfile
from collections.abc import Generator, Sequence
from contextlib import aclosing
from functools import partial
from shlex import quote
from typing import IO

import anyio

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import HostError, TransferFailed
from ..host import ProgressCallback
from ..job_shell import arguments
from ..local import trees as local
from ..local.files import ALREADY_UP_TO_DATE
from ..local.part import PART_SUFFIX
from ..progress import CopyProgress
from ..steps import ahead, in_threads
from ..tar_stream import END, Format, file_member, gathered, header
from ..trees import Entry, Listing, Plan, TreeCopy, compare, same_size
from .dialogue import open_dialogue
from .link import Link
from .listing import list_target, list_tree, same_content, with_nul

NAMES_IN_A_CALL = 300
"""Names given to one call over there: a command line holds at least 128 KiB."""

_READ = "cannot be read"
_WRITTEN = "cannot be copied to"


async def put_tree(
    link: Link,
    source: str,
    target: str,
    *,
    exclude: Sequence[str] = (),
    delete: bool = False,
    by_content: bool = False,
    progress_cb: ProgressCallback | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> TreeCopy:
    """Copy a directory of this machine to the far side, as `optio_host.host.CopiesTrees` says.

    What differs goes as one tar into a temporary directory in the target. Only when all of it is there is it moved to
    its places: before that, a copy that breaks changes nothing.
    """
    here = await anyio.to_thread.run_sync(local.scan, source, exclude)
    there = await list_target(link, target, exclude, clock)
    same = None
    if by_content:
        names = same_size(here, there)
        same = await same_content(link, source, target, names, clock)
    plan = compare(here, there, delete=delete, same_content=same)
    total = sum(here[name].size for name in plan.sent)
    progress = CopyProgress(progress_cb, total or None)
    if plan.empty:
        progress.finish(ALREADY_UP_TO_DATE)
    else:
        await send_tree(link, source, target, plan, here, _settling(plan, here), progress, clock)
        progress.finish()
    return plan.result(here)


async def get_tree(
    link: Link,
    source: str,
    target: str,
    *,
    exclude: Sequence[str] = (),
    delete: bool = False,
    by_content: bool = False,
    progress_cb: ProgressCallback | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> TreeCopy:
    """Copy a directory of the far side to this machine, as `optio_host.host.CopiesTrees` says.

    A file that changes while it is read keeps its old copy here and is reported as left out.
    """
    there = await list_tree(link, source, exclude, clock)
    here = await anyio.to_thread.run_sync(local.scan_target, target, exclude)
    same = None
    if by_content:
        same = await same_content(link, target, source, same_size(there, here), clock)
    plan = compare(there, here, delete=delete, same_content=same)
    files = [name for name in plan.sent if there[name].kind == "file"]
    progress = CopyProgress(progress_cb, sum(there[name].size for name in files) or None)
    if plan.empty:
        progress.finish(ALREADY_UP_TO_DATE)
        return plan.result(there)
    with tempfile.TemporaryFile() as spool:
        unsteady = await fetch_files(link, source, files, there, spool, progress, clock)
        for name, entry in unsteady.items():
            plan.left_out.append(
                (name, "changed while it was read; copy it again" if entry else "was removed meanwhile")
            )
        plan.sent = [name for name in plan.sent if name not in unsteady]
        async with aclosing(in_threads(_land(target, plan, there, spool))) as steps:
            async for _ in steps:
                pass
    progress.finish()
    return plan.result(there)


async def send_tree(
    link: Link,
    source: str,
    target: str,
    plan: Plan,
    here: Listing,
    settling: str,
    progress: CopyProgress,
    clock: Clock,
) -> None:
    """Send what a plan says as a tar into a staging directory of the far side, and let `settling` move it on."""
    commit = f".commit.{secrets.token_hex(8)}"
    size = sum(here[name].size for name in plan.sent)
    staging = f".{secrets.token_hex(8)}{PART_SUFFIX}"
    call = arguments("unpack", target, staging, commit, str(size)) + settling + "answer done\n"
    async with open_dialogue(link, clock, _WRITTEN, ("tree",), call) as dialogue:
        answer = await dialogue.answer()
        if answer != ["ready"]:
            raise await dialogue.error_of(target, answer)
        sent = 0
        try:
            async with (
                aclosing(in_threads(gathered(_tar(source, plan, here, commit)))) as made,
                aclosing(ahead(partial(anext, made, b""))) as pieces,
            ):
                async for piece in pieces:
                    await dialogue.write(piece)
                    sent += len(piece)
                    progress.advance(min(sent, size))
            dialogue.write_eof()
        except BrokenPipeError:
            pass  # the answer says why
        answer = await dialogue.answer(handled=size)
        if answer == ["stuck"]:
            raise TransferFailed(
                f"{target}: cannot be exchanged, nor can the old content be put back; what is missing is in its "
                f"directory named .*{PART_SUFFIX}{await dialogue.reason()}"
            )
        if answer != ["done"]:
            raise await dialogue.error_of(target, answer)


def _tar(source: str, plan: Plan, here: Listing, commit: str) -> Generator[bytes, None, None]:
    gnu: Format = tarfile.GNU_FORMAT
    for name in sorted([*plan.scaffold(), *plan.directories]):
        # Writable until all is in its place.
        mode = here[name].mode | 0o700
        yield header(name, tarfile.DIRTYPE, mode=mode, mtime=here[name].mtime, format=gnu)
    for name in plan.sent:
        path = os.path.join(source, name)
        if here[name].kind == "file":
            try:
                yield from file_member(path, name, format=gnu)
            except OSError as error:
                raise TransferFailed(f"{path}: cannot be read: {error.strerror}; exclude it") from error
    for name in plan.sent:
        if here[name].kind == "link":
            yield header(
                name, tarfile.SYMTYPE, mode=0o777, mtime=here[name].mtime, target=here[name].target, format=gnu
            )
    # Whoever finds this has all that stands before it.
    yield header(commit, tarfile.REGTYPE, mode=0o600, mtime=0, format=gnu)
    yield END


def _settling(plan: Plan, here: Listing) -> str:
    lines = [*_calls("rm -f --", plan.replaced_links)]
    for parent, names in plan.moves().items():
        for start in range(0, len(names), NAMES_IN_A_CALL):
            lines.append(arguments("move_in", parent or ".", *names[start : start + NAMES_IN_A_CALL]))
    # A directory that still holds something that is excluded stays.
    lines += _calls("remove_each", plan.deleted)
    for name in sorted([*plan.directories, *plan.modes], reverse=True):
        mode = here[name].mode
        if name in plan.modes or mode | 0o700 != mode:
            lines.append(f"chmod {mode:o} {quote('./' + name)} || refuse failed\n")
    return "".join(lines)


def _calls(command: str, names: Sequence[str]) -> list[str]:
    parts = [names[start : start + NAMES_IN_A_CALL] for start in range(0, len(names), NAMES_IN_A_CALL)]
    return [f"{command} {' '.join(quote('./' + name) for name in part)} || refuse failed\n" for part in parts]


async def fetch_files(
    link: Link,
    directory: str,
    names: Sequence[str],
    listing: Listing,
    spool: IO[bytes],
    progress: CopyProgress,
    clock: Clock,
) -> dict[str, Entry | None]:
    """Files of the far side as tar archives in a spool.

    Returns those that did not stay as they were listed, with what they are now; None: nothing any more. TransferFailed
    when one is there and cannot be read.
    """
    if not names:
        return {}
    async with open_dialogue(link, clock, _READ, ("tree",), arguments("pack", directory)) as dialogue:
        answer = await dialogue.answer()
        if answer != ["archive"]:
            raise await dialogue.error_of(directory, answer)
        async with dialogue.sending(with_nul(names)), aclosing(dialogue.stream()) as chunks:
            async for chunk in chunks:
                await anyio.to_thread.run_sync(spool.write, chunk)
                progress.advance(spool.tell())
        failed = dialogue.verdict != ["0"]
        reason = await dialogue.reason() if failed else ""
    if not failed:
        return {}
    # tar does not say which; a second look does.
    now = await list_tree(link, directory, (), clock)
    arrived = await anyio.to_thread.run_sync(lambda: {name for name, _ in members(spool)})
    unsteady: dict[str, Entry | None] = {}
    for name in names:
        if now.get(name) != listing[name]:
            unsteady[name] = now.get(name)
        elif name not in arrived:
            raise TransferFailed(f"{directory}/{name}: cannot be read{reason}; exclude it")
    if not unsteady or "padding" in reason or "Read error" in reason or "read error" in reason:
        # tar makes up with zeros for what it cannot read.
        raise TransferFailed(f"{directory}: not all of it could be read{reason}; exclude what cannot be")
    return unsteady


def members(spool: IO[bytes]) -> Generator[tuple[str, IO[bytes]], None, None]:
    """The files of archives one behind the other: name and content, which is to be read before the next. Blocking.

    Files with several names are there once, and come with each of them as tar has it: in one archive the second is a
    hard link, whose content is that of the first.
    """
    spool.seek(0)
    with tarfile.open(fileobj=spool, mode="r:", ignore_zeros=True, errors="surrogateescape") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() or member.islnk() else None
            if content is not None:
                yield member.name.removeprefix("./"), content


def _land(target: str, plan: Plan, there: Listing, spool: IO[bytes]) -> Generator[int, None, None]:
    wanted = {name for name in plan.sent if there[name].kind == "file"}
    try:
        with local.staging(target) as stage:
            local.make_directories(stage, plan)
            for name, content in members(spool) if wanted else ():
                if name in wanted:
                    wanted.discard(name)
                    with open(os.path.join(stage, name), "xb") as file:
                        while chunk := content.read(1024 * 1024):
                            file.write(chunk)
                            yield len(chunk)
                        file.flush()
                        local.seal(file.fileno(), there[name])
            if wanted:
                raise HostError(f"{target}: {sorted(wanted)[0]} was asked for and did not come")
            local.make_links(stage, plan, there)
            local.settle(target, stage, plan, there)
    except tarfile.TarError as error:
        raise TransferFailed(f"{target}: what came is no tar archive ({error})") from error
    except OSError as error:
        raise TransferFailed(f"{target}: cannot be copied to: {error.strerror} ({error.filename})") from error
