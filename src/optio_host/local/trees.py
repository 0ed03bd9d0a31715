"""Directories of this machine as sources and targets of tree copies."""

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager

import anyio

from ..archive import is_excluded
from ..errors import FileRefused, TransferFailed
from ..host import ProgressCallback
from ..progress import CopyProgress
from ..steps import in_threads
from ..trees import Entry, Listing, Plan, TreeCopy, compare, kind_of, same_size
from .files import ALREADY_UP_TO_DATE, remove_tree
from .part import PART_SUFFIX


async def copy_tree(
    source: str,
    target: str,
    *,
    exclude: Sequence[str] = (),
    delete: bool = False,
    by_content: bool = False,
    progress_cb: ProgressCallback | None = None,
) -> TreeCopy:
    """Copy a directory of this machine to another, as `optio_host.host.CopiesTrees` says."""
    for path in (source, target):
        if not os.path.isabs(path):
            raise ValueError(f"{path!r}: an absolute path is needed")
    here = await anyio.to_thread.run_sync(scan, source, exclude)
    there = await anyio.to_thread.run_sync(scan_target, target, exclude)
    same = None
    if by_content:
        names = same_size(here, there)
        same = await anyio.to_thread.run_sync(_same_content, source, target, names)
    plan = compare(here, there, delete=delete, same_content=same)
    progress = CopyProgress(progress_cb, sum(here[name].size for name in plan.sent) or None)
    if plan.empty:
        progress.finish(ALREADY_UP_TO_DATE)
        return plan.result(here)
    async with aclosing(in_threads(_copy(source, target, plan, here))) as steps:
        async for done in steps:
            progress.advance(done)
    progress.finish()
    return plan.result(here)


def scan(directory: str, exclude: Sequence[str] = ()) -> dict[str, Entry]:
    """Everything below a directory. Blocking. FileNotFoundError without it; TransferFailed for what cannot be read."""
    found: dict[str, Entry] = {}
    pending = [""]
    while pending:
        above = pending.pop()
        path = os.path.join(directory, above)
        try:
            with os.scandir(path) as entries:
                for each in entries:
                    relative = f"{above}/{each.name}" if above else each.name
                    if is_excluded(relative, each.name, exclude):
                        continue
                    entry = _entry(each)
                    if entry is None:
                        continue
                    found[relative] = entry
                    if entry.kind == "directory":
                        pending.append(relative)
        except (FileNotFoundError, NotADirectoryError):
            if not above:
                raise FileNotFoundError(2, "No such directory", directory) from None
        except OSError as error:
            raise TransferFailed(f"{path}: cannot be read: {error.strerror}; exclude it") from error
    return found


def scan_target(directory: str, exclude: Sequence[str] = ()) -> dict[str, Entry]:
    """Likewise; nothing when it is not there yet. FileRefused when it is something else."""
    if os.path.lexists(directory) and not os.path.isdir(directory):
        raise FileRefused(directory, "is no directory")
    return scan(directory, exclude) if os.path.lexists(directory) else {}


@contextmanager
def staging(target: str) -> Iterator[str]:
    """A new directory in the target, made if need be, in which a copy is prepared; removed at the end. Blocking."""
    os.makedirs(target, exist_ok=True)
    path = os.path.join(target, f".{secrets.token_hex(8)}{PART_SUFFIX}")
    os.mkdir(path, 0o700)
    try:
        yield path
    finally:
        remove_tree(path)


def make_directories(stage: str, plan: Plan) -> None:
    """The directories in which a copy is prepared. Blocking."""
    for name in sorted([*plan.scaffold(), *plan.directories]):
        os.mkdir(os.path.join(stage, name), 0o700)


def make_links(stage: str, plan: Plan, source: Listing) -> None:
    """The symbolic links of a copy, last: nothing is written through them. Blocking."""
    for name in plan.sent:
        if source[name].kind == "link":
            os.symlink(source[name].target, os.path.join(stage, name))


def seal(descriptor: int, entry: Entry) -> None:
    """Give a file that was written its mode and time. Blocking."""
    os.fchmod(descriptor, entry.mode & 0o777)
    os.utime(descriptor, (entry.mtime, entry.mtime))


def settle(target: str, stage: str, plan: Plan, source: Listing) -> None:
    """Move what was prepared to its place, each file in one step. Blocking. Raises FileRefused, OSError."""
    for parent, names in plan.moves().items():
        into = os.path.join(target, parent)
        if not stat.S_ISDIR(os.stat(into, follow_symlinks=not parent).st_mode):
            raise FileRefused(into, "changed meanwhile: it is no directory any more")
        for name in names:
            os.replace(os.path.join(stage, parent, name), os.path.join(into, name))
    for name in plan.deleted:
        path = os.path.join(target, name)
        if stat.S_ISDIR(os.lstat(path).st_mode):
            if not os.listdir(path):
                os.rmdir(path)
        else:
            os.unlink(path)
    # Deepest first: a mode may forbid entering.
    for name in sorted([*plan.directories, *plan.modes], reverse=True):
        os.chmod(os.path.join(target, name), source[name].mode & 0o777)


def _copy(source: str, target: str, plan: Plan, here: Listing) -> Generator[int, None, None]:
    done = 0
    try:
        with staging(target) as stage:
            make_directories(stage, plan)
            for name in plan.sent:
                if here[name].kind == "file":
                    _copy_file(os.path.join(source, name), os.path.join(stage, name), here[name])
                    done += here[name].size
                    yield done
            make_links(stage, plan, here)
            settle(target, stage, plan, here)
    except OSError as error:
        raise TransferFailed(f"{target}: cannot be copied to: {error.strerror} ({error.filename})") from error
    yield done


def _copy_file(path: str, copy: str, entry: Entry) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as reading, open(copy, "xb") as writing:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileRefused(path, "changed meanwhile: it is no regular file any more")
        shutil.copyfileobj(reading, writing, 1024 * 1024)
        writing.flush()
        seal(writing.fileno(), entry)


def _same_content(source: str, target: str, names: Iterable[str]) -> Collection[str]:
    return {name for name in names if sha256_of(os.path.join(source, name)) == sha256_of(os.path.join(target, name))}


def sha256_of(path: str) -> str:
    """Of a regular file; "" if it cannot be read, which equals no hash. Blocking."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _entry(each: "os.DirEntry[str]") -> Entry | None:
    try:
        seen = each.stat(follow_symlinks=False)
        kind = kind_of(seen.st_mode)
        target = os.readlink(each.path) if kind == "link" else ""
    except FileNotFoundError:
        return None  # removed since its directory was listed
    return Entry(kind, stat.S_IMODE(seen.st_mode) & 0o777, seen.st_size, seen.st_mtime, target)
