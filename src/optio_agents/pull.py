"""Bringing back what a program has changed in its directory.

What was copied there is noted down beside the directory, and the time of that note tells what has changed since. The
changed files are gathered in a directory of their own on the host, which is then copied as a whole.
"""

import filecmp
import hashlib
import os
import posixpath
import secrets
import stat
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from shlex import quote
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio

from optio_host.errors import HostError
from optio_host.host import ProgressCallback, RunsCommands
from optio_host.local.below import open_below

from .journal import SessionRecord

if TYPE_CHECKING:
    from optio_host.open import AnyHost

TIMEOUT = 300.0
"""Seconds in which the host must have gone through the directory."""

NOTE = "uploaded"
"""The note in the session's directory: what was copied, a path a line; its time is when."""

PULLED = "pulled.json"
"""A note on this machine, in a directory of the session's id: what was brought where."""

_FIND = r"""
cd -- {cwd} && [ -e {top} ] || {{ echo 'it is not there' >&2; exit 3; }}
note={note}
if [ {changed} = no ] || [ ! -e "$note" ]; then changed() {{ find {top} ! -type d "$@"; }}
elif find . -prune -cnewer "$note" >/dev/null 2>&1; then
    changed() {{ find {top} ! -type d '(' -newer "$note" -o -cnewer "$note" ')' "$@"; }}
else changed() {{ find {top} ! -type d -newer "$note" "$@"; }}
fi
"""
_GATHER = r"""
umask 077
mkdir {stage} && changed -exec sh -c '
    stage=$0
    for each do
        mkdir -p "$stage/${{each%/*}}" || exit
        {{ [ ! -h "$each" ] && ln "$each" "$stage/$each"; }} 2>/dev/null || cp -pP "$each" "$stage/$each" || exit
    done' {stage} {{}} +
"""
_REMOVED = r"""
[ -e "$note" ] || exit 0
while IFS= read -r each; do [ -e "$each" ] || [ -h "$each" ] || printf '%s\0' "$each"; done <"$note"
"""


@dataclass(frozen=True, slots=True)
class Pulled:
    """What came back.

    Attributes:
        new: relative paths of files that were not here.
        replaced: those that were here and are as they are on the host now.
        unchanged: how many were here already, with the same content.
        kept: those that were changed here, too, and were left alone.
        left_out: (relative path, why) of what is not copied.
        removed: what was copied to the host and is not there any more; it stays here.
        brought: SHA-256 of each file that is new or was replaced, by relative path.
    """

    new: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    unchanged: int = 0
    kept: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    brought: Mapping[str, str] = field(default_factory=dict)


def has_own_directory(record: SessionRecord) -> bool:
    """Whether the session runs in a directory of its own."""
    return record.cwd == posixpath.join(record.taskdir, "workdir")


async def mark_uploaded(host: RunsCommands, cwd: str) -> None:
    """Note down, beside a directory, what was copied into it, and when. Raises HostError."""
    note = quote(posixpath.join(posixpath.dirname(cwd), NOTE))
    await _run(host, f"cd -- {quote(cwd)} && umask 077 && find . ! -type d >{note}", cwd)


async def changed_files(host: RunsCommands, record: SessionRecord, path: str | None) -> tuple[str, ...]:
    """The relative paths of the files that `pull` would look at. Raises HostError."""
    return await _names(host, _find(record, path) + "changed -print0", record.cwd)


async def pull(
    host: "AnyHost",
    record: SessionRecord,
    path: str | None,
    into: str,
    *,
    may_replace: bool,
    brought: Mapping[str, str] = MappingProxyType({}),
    progress_cb: ProgressCallback | None = None,
) -> Pulled:
    """Bring back files of a session's directory.

    A file that is here is replaced only when it was not changed or put there since the session began, or is as an
    earlier pull has left it, or `may_replace`. No symbolic link here is followed below `into`.

    Parameters:
        host: where the session runs.
        record: the session.
        path: a file or directory, relative to its directory: all of it; None: everything that has changed since it was
            copied there, or everything when nothing was.
        into: absolute path of a directory here; made if need be.
        may_replace: replace also what was changed here.
        brought: what earlier pulls have put into this directory: SHA-256 by relative path.
        progress_cb: told the percents.

    Raises HostError, and TransferFailed when something cannot be read or written.
    """
    removed = () if path else await _names(host, _find(record, None) + _REMOVED, record.cwd)
    async with _gathered(host, record, path) as stage:
        os.makedirs(into, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".optio-pull-", dir=into) as landing:
            copy = await host.get_tree(stage, landing, progress_cb=progress_cb)
            # What was last changed here when the session began is what the host was given, or older.
            since = None if may_replace else record.created
            landed = await anyio.to_thread.run_sync(_land, landing, into, since, brought)
    return replace(landed, left_out=(*copy.left_out, *landed.left_out), removed=removed)


@asynccontextmanager
async def _gathered(host: RunsCommands, record: SessionRecord, path: str | None) -> AsyncIterator[str]:
    stage = posixpath.join(record.taskdir, f"pull-{secrets.token_hex(6)}")
    try:
        await _run(host, _find(record, path) + _GATHER.format(stage=quote(stage)), record.cwd)
        yield stage
    finally:
        with anyio.CancelScope(shield=True):
            await _run(host, f"rm -rf -- {quote(stage)}", stage)


def _find(record: SessionRecord, path: str | None) -> str:
    return _FIND.format(
        cwd=quote(record.cwd),
        top=quote(posixpath.join(".", posixpath.normpath(path)) if path else "."),
        changed="no" if path else "yes",
        note=quote(posixpath.join(record.taskdir, NOTE)),
    )


async def _names(host: RunsCommands, script: str, cwd: str) -> tuple[str, ...]:
    said = await _run(host, script, cwd)
    return tuple(sorted(name.removeprefix("./") for name in said.split("\0") if name))


async def _run(host: RunsCommands, script: str, where: str) -> str:
    done = await host.run_command(script, cwd="/", timeout=TIMEOUT)
    if done.exit_code != 0:
        raise HostError(f"{where}: {done.stderr.strip()[-500:] or 'the host did not finish'}")
    return done.stdout


def _land(landing: str, into: str, since: float | None, before: Mapping[str, str]) -> Pulled:
    """Move what came to its places. Blocking."""
    brought = dict[str, str]()
    new, replaced, kept = list[str](), list[str](), list[str]()
    left_out, unchanged = list[tuple[str, str]](), 0
    root = os.open(into, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for directory, _, files in sorted(os.walk(landing)):
            links = [each for each in os.listdir(directory) if os.path.islink(os.path.join(directory, each))]
            for name in sorted({*files, *links}):
                came = os.path.join(directory, name)
                shown = os.path.relpath(came, landing)
                try:
                    parent = open_below(root, shown.split("/")[:-1])
                except OSError as error:
                    left_out.append((shown, f"{error.filename} on its way here is a symbolic link or a file"))
                    continue
                try:
                    here = _stat(name, parent)
                    if here is not None and stat.S_ISDIR(here.st_mode):
                        left_out.append((shown, "is a directory here"))
                    elif here is not None and _is_same(came, os.path.join(into, shown), here):
                        unchanged += 1
                    elif (
                        here is not None
                        and since is not None
                        # A file that was moved or unpacked here since then may have an old time of its own.
                        and max(here.st_mtime, here.st_ctime) >= since
                        and (shown not in before or _sha256(os.path.join(into, shown)) != before[shown])
                    ):
                        kept.append(shown)
                    else:
                        brought[shown] = _sha256(came)
                        os.rename(came, name, dst_dir_fd=parent)
                        (new if here is None else replaced).append(shown)
                finally:
                    os.close(parent)
    finally:
        os.close(root)
    return Pulled(tuple(new), tuple(replaced), unchanged, tuple(kept), tuple(left_out), brought=brought)


def _sha256(path: str) -> str:
    """Of a file, or of where a symbolic link leads."""
    if os.path.islink(path):
        return hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stat(name: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_same(came: str, path: str, here: os.stat_result) -> bool:
    seen = os.lstat(came)
    if stat.S_ISLNK(seen.st_mode) or stat.S_ISLNK(here.st_mode):
        both = stat.S_ISLNK(seen.st_mode) and stat.S_ISLNK(here.st_mode)
        return both and os.readlink(came) == os.readlink(path)
    if stat.S_IMODE(seen.st_mode) != stat.S_IMODE(here.st_mode):
        return False
    return stat.S_ISREG(here.st_mode) and filecmp.cmp(came, path, shallow=False)
