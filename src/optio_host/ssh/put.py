"""Putting a file on the far side: whole and verified, or not at all. A link that breaks is waited for and continued."""

import hashlib
import posixpath
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import FileRefused, HostError, LinkLost, TransferFailed
from ..host import ProgressCallback, Source
from ..job_shell import arguments, assignments
from ..local.files import ALREADY_UP_TO_DATE, sha256_of_source
from ..local.part import PART_SUFFIX
from ..local.stream import open_regular
from ..progress import CopyProgress
from ..steps import ahead
from .channel import Channel
from .dialogue import Dialogue, ask, open_dialogue
from .link import Link

CHUNK = 1024 * 1024

RESUMED = 32 * 1024 * 1024
"""Bytes from which on a copy that a broken link cut off is kept and continued; a smaller one is made anew."""

RECONNECTS = 5
"""How often one copy goes on by itself after the link broke."""

_WHAT = "cannot be written"


async def put_file(
    link: Link,
    source: Source,
    target: str,
    *,
    expected_sha256: str | None = None,
    skip_if_unchanged: bool = False,
    progress_cb: ProgressCallback | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Copy to a file of the far side; everything is as `optio_host.local.files.put_file` says, and raises the same.

    The bytes go to a temporary name beside the target, are read again and hashed there, flushed and renamed. The end of
    input does not make a file: only the hash of all the bytes, sent behind them, does.

    When the link breaks in the middle of a path or bytes of RESUMED bytes or more, the copy goes on behind what is
    there, as soon as there is a link again; if there is none, the next copy of that source does. What another one left
    is believed if its SHA-256 is that of as many bytes of the source. Raises LinkLost when it broke in the middle of a
    smaller copy or too often, ConnectFailed when there is no link again.
    """
    if not target.startswith("/") or "\0" in target:
        raise ValueError(f"{target!r}: the target must be an absolute path without NUL")
    name = posixpath.basename(target)
    if name in ("", ".", ".."):
        raise FileRefused(target, "is a directory; name the file in it")
    copy = _Copy(target, f".{name[:50]}.{secrets.token_hex(8)}{PART_SUFFIX}", expected_sha256)
    if skip_if_unchanged:
        copy.wanted = expected_sha256 or await sha256_of_source(source)
    for left in reversed(range(RECONNECTS + 1)):
        lost: Channel | None = None

        def note(channel: Channel) -> None:
            nonlocal lost
            lost = channel

        try:
            await _attempt(link, clock, source, copy, progress_cb, note)
            return
        except LinkLost:
            if not copy.keep or not left:
                raise
            assert lost is not None
            # Nobody may write to the part any more when it is continued. A host that went down has nobody who could.
            with suppress(HostError):
                await link.end_tree(lost, grace=0)


async def write_text(link: Link, workdir: str, relpath: str, content: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Write a text file below a directory of the far side, as UTF-8, in one step; parents are created.

    ValueError when the path, symbolic links resolved there, leaves the directory; else raises what `put_file` raises.
    """
    if relpath.startswith("/") or "\0" in relpath:
        raise ValueError(f"{relpath!r}: a path relative to {workdir} is needed")
    try:
        [_, place] = await ask(link, clock, relpath, _WHAT, ("tree",), "place", workdir, relpath)
    except FileRefused as error:
        raise ValueError(f"{relpath!r}: leads out of {workdir}, or {error.reason}") from None
    await put_file(link, content.encode(), bytes.fromhex(place).decode("utf-8", "surrogateescape"), clock=clock)


@dataclass
class _Copy:
    target: str
    part: str
    expected_sha256: str | None
    wanted: str | None = None  # a target with this SHA-256 is as it shall be
    keep: str = ""  # under this name a broken copy waits; empty: it does not


async def _attempt(
    link: Link,
    clock: Clock,
    source: Source,
    copy: _Copy,
    progress_cb: ProgressCallback | None,
    on_open: Callable[[Channel], None],
) -> None:
    async with AsyncExitStack() as opened:
        reader = await _open_source(source, opened)
        if reader.size is not None and reader.size >= RESUMED:
            stands_for = hashlib.sha256(
                f"{copy.target}\0{reader.identity}".encode(errors="surrogateescape")
            ).hexdigest()
            copy.keep = f".{stands_for[:32]}{PART_SUFFIX}"
        parent, name = posixpath.split(copy.target)
        script = assignments(target=copy.target, parent=parent, name=name, part=copy.part, keep=copy.keep)
        size = "" if reader.size is None else str(reader.size)
        script += arguments("receive", size, f"{reader.executable:o}", (copy.wanted or "").lower())
        progress = CopyProgress(progress_cb, reader.size)
        async with open_dialogue(link, clock, _WHAT, ("put",), script, on_open=on_open) as dialogue:
            answer = await dialogue.answer(handled=reader.size or 0)
            if answer == ["same"]:
                progress.finish(ALREADY_UP_TO_DATE)
                return
            if answer[0] != "ready":
                raise await _error_of(dialogue, copy.target, answer, reader.size)
            try:
                have = int(answer[1])
                if have and answer[2] != await reader.skip(have):
                    # What lies there is of something else.
                    have = 0
                    reader = await _open_source(source, opened)
                if int(answer[1]):
                    await dialogue.write(b"%d\n" % have)
                await _send(dialogue, reader, progress, have)
                if copy.expected_sha256 is not None and reader.digest.hexdigest() != copy.expected_sha256.lower():
                    raise TransferFailed(
                        f"{copy.target}: the bytes that came have SHA-256 {reader.digest.hexdigest()}, expected was "
                        f"{copy.expected_sha256}; what was there before is untouched"
                    )
                if have == 0 and copy.wanted is None:
                    # A link that breaks from here on may hide that it is done.
                    copy.wanted = reader.digest.hexdigest()
                await dialogue.write(reader.digest.hexdigest().encode())
                dialogue.write_eof()
            except BrokenPipeError:
                pass  # the answer says why
            except LinkLost:
                raise
            except BaseException:
                # So that it clears up by itself; otherwise it is ended.
                await dialogue.abandon(2 * dialogue.nonce.encode())
                raise
            answer = await dialogue.answer(handled=reader.count)
            if answer[0] != "done":
                raise await _error_of(dialogue, copy.target, answer, reader.size)
    progress.finish()


async def _send(dialogue: Dialogue, reader: "_Reader", progress: CopyProgress, have: int) -> None:
    # The next chunk is read and hashed in a thread while this one goes out.
    async with aclosing(ahead(reader.next)) as chunks:
        async for chunk in chunks:
            await dialogue.write(chunk)
            have += len(chunk)
            progress.advance(have)


async def _error_of(dialogue: Dialogue, target: str, answer: list[str], size: int | None) -> Exception:
    await dialogue.finish()
    match answer:
        case ["directory"]:
            return FileRefused(target, "is a directory; name the file in it")
        case ["full", free]:
            return TransferFailed(f"{target}: needs {size} bytes, free are {free}; make room or use another disk")
        case ["differs", sha256]:
            return TransferFailed(
                f"{target}: what was stored has SHA-256 {sha256}, not that of what was sent; check the disk; what was "
                "there before is untouched"
            )
        case _:
            return await dialogue.error_of(target, answer)


class _Reader:
    """The bytes of a source one after the other, hashed as they are read."""

    def __init__(
        self, read: Callable[[int], Awaitable[bytes | memoryview]], size: int | None, identity: str, executable: int
    ) -> None:
        self.size = size
        self.identity = identity
        self.executable = executable
        self.digest = hashlib.sha256()
        self.count = 0
        self._read = read

    async def next(self, most: int = CHUNK) -> bytes | memoryview:
        """The next bytes, b"" at the end."""
        chunk = await self._read(most)
        if len(chunk) > 4096:
            await anyio.to_thread.run_sync(self.digest.update, chunk)
        else:
            self.digest.update(chunk)
        self.count += len(chunk)
        return chunk

    async def skip(self, count: int) -> str:
        """Read so many bytes; SHA-256 of them."""
        while self.count < count and await self.next(min(CHUNK, count - self.count)):
            pass
        return self.digest.hexdigest()


async def _open_source(source: Source, opened: AsyncExitStack) -> _Reader:
    if isinstance(source, bytes):
        return _reader_of_bytes(source)
    if isinstance(source, str | Path):
        file = await opened.enter_async_context(open_regular(str(Path.cwd() / source)))

        async def read(most: int) -> bytes:
            return await anyio.to_thread.run_sync(file.read, most)

        return _Reader(read, file.size, file.identity, file.mode & 0o111)
    return _reader_of_stream(source)


def _reader_of_bytes(source: bytes) -> _Reader:
    view = memoryview(source)
    position = 0

    async def read(most: int) -> memoryview:
        nonlocal position
        chunk = view[position : position + most]
        position += len(chunk)
        return chunk

    # Enough to find what was begun; what is found there is compared before it is believed.
    edges = hashlib.sha256(source[:65536] + source[-65536:]).hexdigest()
    return _Reader(read, len(source), f"{len(source)} {edges}", 0)


def _reader_of_stream(source: AsyncIterator[bytes]) -> _Reader:
    async def read(most: int) -> bytes:
        async for chunk in source:
            if chunk:
                return chunk
        return b""

    return _Reader(read, None, "", 0)
