"""Copies to and from a fake host: the rules of the real ones, on a tree in memory."""

import hashlib
import os
import posixpath
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from ...errors import FileRefused, HostError, TransferFailed
from ...host import ProgressCallback, Source
from ...progress import CopyProgress
from .link import Operation
from .tree import FileTree, Node

ALREADY_UP_TO_DATE = "already up to date"
"""The message of a copy that was skipped. Published."""

CHUNK = 64 * 1024
"""Bytes of a chunk that is streamed."""

_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO (named pipe)", stat.S_IFLNK: "a symbolic link"}


async def put(
    operation: Operation,
    files: FileTree,
    source: Source,
    target: str,
    *,
    expected_sha256: str | None,
    skip_if_unchanged: bool,
    progress_cb: ProgressCallback | None,
) -> None:
    """See `optio_host.Host.put_file_to_host`."""
    mode = _mode_of_target(files, target)
    content: bytes | None = None
    executable = 0
    match source:
        case bytes():
            content = source
        case str() | Path():
            content, executable = _local(source)
        case _:
            pass
    progress = CopyProgress(progress_cb, None if content is None else len(content))
    wanted = expected_sha256 or (None if content is None else hashlib.sha256(content).hexdigest())
    if skip_if_unchanged and wanted is not None and _sha256(files, target) == wanted.lower():
        await operation.reach()
        progress.finish(ALREADY_UP_TO_DATE)
        return
    arrived = bytearray()

    def arrive(piece: bytes) -> None:
        arrived.extend(piece)
        progress.advance(len(arrived))

    if content is not None:
        await operation.carry(content, arrive)
    elif not isinstance(source, str | Path | bytes):
        async for chunk in source:
            await operation.carry(chunk, arrive)
    await operation.reach()
    digest = hashlib.sha256(arrived).hexdigest()
    if expected_sha256 is not None and digest != expected_sha256.lower():
        raise TransferFailed(
            f"{target}: the bytes that came have SHA-256 {digest}, expected was {expected_sha256}; "
            "what was there before is untouched"
        )
    try:
        files.replace(target, bytes(arrived), mode=0o644 | executable if mode is None else mode)
    except OSError as error:
        raise TransferFailed(f"{target}: cannot be written: {error.strerror}; nothing was changed") from error
    await operation.answer()
    progress.finish()


async def stream(
    operation: Operation, files: FileTree, path: str, *, within: str | None, max_bytes: int | None
) -> AsyncGenerator[bytes]:
    """See `optio_host.host.StreamsFiles.stream_file`."""
    await operation.reach()
    node = _opened(files, path, within, max_bytes)
    version = node.version
    for start in range(0, len(node.data), CHUNK):
        pieces: list[bytes] = []
        await operation.carry(bytes(node.data[start : start + CHUNK]), pieces.append)
        yield b"".join(pieces)
        if node.version != version:
            raise FileRefused(path, "changed while it was read")
    try:
        now = files.node(path)
    except OSError:
        raise FileRefused(path, "changed while it was read: it is no longer there") from None
    if now is not node:
        raise FileRefused(path, "changed while it was read: another file has its name now")


async def fetch(operation: Operation, files: FileTree, path: str, progress_cb: ProgressCallback | None) -> bytes:
    """See `optio_host.Host.fetch_bytes_from_host`."""
    await operation.reach()
    progress = CopyProgress(progress_cb, len(_opened(files, path, None, None).data))
    content = bytearray()
    async with aclosing(stream(operation, files, path, within=None, max_bytes=None)) as chunks:
        async for chunk in chunks:
            content += chunk
            progress.advance(len(content))
    await operation.answer()
    progress.finish()
    return bytes(content)


def target_below(files: FileTree, workdir: str, relpath: str) -> str:
    """The path of a file below a directory, symbolic links resolved; ValueError when it would leave it."""
    if relpath.startswith("/"):
        raise ValueError(f"{relpath!r}: a path relative to {workdir} is needed")
    root = files.realpath(workdir, strict=False)
    target = files.realpath(posixpath.join(root, relpath), strict=False)
    if not target.startswith(root.rstrip("/") + "/"):
        raise ValueError(f"{relpath!r}: leads out of {workdir}")
    return target


def remove(files: FileTree, path: str) -> None:
    """See `optio_host.Host.remove_file`. FileRefused for a directory."""
    try:
        if files.node(path, follow=False).is_dir:
            raise FileRefused(path, "is a directory; only files are removed this way")
        files.remove(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise HostError(f"{path}: cannot be removed: {error.strerror}") from error


def _opened(files: FileTree, path: str, within: str | None, max_bytes: int | None) -> Node:
    try:
        resolved = files.realpath(path)
        node = files.node(resolved)
    except PermissionError as error:
        raise FileRefused(path, "this user may not read it") from error
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(2, os.strerror(2), path) from None
    except OSError as error:
        raise FileRefused(path, "its symbolic links lead in a circle") from error
    if not node.is_file:
        raise FileRefused(path, f"is {_KINDS[node.kind]}, not a regular file")
    if not node.mode & 0o400:
        raise FileRefused(path, "this user may not read it")
    if within is not None and not resolved.startswith(files.realpath(within).rstrip("/") + "/"):
        raise FileRefused(path, f"lies outside {within}")
    if max_bytes is not None and len(node.data) > max_bytes:
        raise FileRefused(path, f"has {len(node.data)} bytes, more than the limit of {max_bytes}")
    return node


def _mode_of_target(files: FileTree, target: str) -> int | None:
    if not target.startswith("/") or "\0" in target:
        raise ValueError(f"{target!r}: the target must be an absolute path without NUL")
    if posixpath.basename(target) in ("", ".", ".."):
        raise FileRefused(target, "is a directory; name the file in it")
    try:
        if files.exists(target) and files.node(target).is_dir:
            raise FileRefused(target, "is a directory; name the file in it")
        node = files.node(target, follow=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise TransferFailed(f"{target}: cannot be written: {error.strerror}") from error
    if node.kind == stat.S_IFLNK:
        return None
    if not node.is_file:
        raise FileRefused(target, "is no regular file and is not replaced; remove it first if that is meant")
    return node.mode & 0o777


def _local(source: str | Path) -> tuple[bytes, int]:
    """The content of a file of this machine, and who may run it.

    Read on the event loop: a hop to a thread would make what a test sees depend on how fast the thread is.
    """
    path = Path(source)
    if not path.is_file():
        if not path.exists():
            raise FileNotFoundError(2, os.strerror(2), str(path))
        raise FileRefused(str(path), "is no regular file")
    return path.read_bytes(), path.stat().st_mode & 0o111


def _sha256(files: FileTree, path: str) -> str | None:
    try:
        node = files.node(path, follow=False)
    except OSError:
        return None
    return hashlib.sha256(node.data).hexdigest() if node.is_file else None
