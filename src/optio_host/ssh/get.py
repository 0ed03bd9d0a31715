"""Reading a file of the far side that may be a trap: judged there, hashed on both sides."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import FileRefused, TransferFailed
from ..host import ProgressCallback
from ..job_shell import arguments
from ..progress import CopyProgress
from .dialogue import HELD_BACK, Dialogue, open_dialogue
from .link import Link

_WHAT = "cannot be read"


async def stream_file(
    link: Link,
    path: str,
    *,
    within: str | None = None,
    max_bytes: int | None = None,
    clock: Clock = SYSTEM_CLOCK,
    progress_cb: ProgressCallback | None = None,
) -> AsyncGenerator[bytes]:
    """A regular file of the far side in chunks, as `optio_host.local.stream.stream_file` says, which raises the same.

    It is opened there first, then judged by what the open file says (on Linux, by its /proc; elsewhere by its path
    before and after), and hashed while it is sent. That it changed is known behind the last chunk. A FIFO that is put
    in its place between look and open holds nobody up for longer than a deadline.

    Raises TransferFailed also when the bytes that came are not those that were read there, or none come any more;
    LinkLost, ConnectFailed.
    """
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{path!r}: an absolute path without NUL is needed")
    call = arguments("send", path, within or "", "" if max_bytes is None else max_bytes)
    async with open_dialogue(link, clock, _WHAT, ("get",), call, stdin=False) as dialogue:
        answer = await dialogue.answer()
        if answer[0] != "file":
            raise await _error_of(dialogue, path, answer, within, max_bytes)
        size = int(answer[1])
        progress = CopyProgress(progress_cb, size)
        digest = hashlib.sha256()
        count = 0
        async with aclosing(dialogue.stream()) as chunks:
            async for chunk in chunks:
                count += len(chunk)
                # Files of /proc and /sys hold more than their size says.
                if max_bytes is not None and count > max_bytes + HELD_BACK:
                    raise FileRefused(path, f"has more than {max_bytes} bytes, the limit")
                if size and count > size + HELD_BACK:
                    raise FileRefused(path, "changed while it was read")
                digest.update(chunk)  # in a thread it would cost more than it takes: some 0.2 ms for 256 KiB
                progress.advance(count)
                yield chunk
        if max_bytes is not None and count > max_bytes:
            raise FileRefused(path, f"has more than {max_bytes} bytes, the limit")
        match dialogue.verdict:
            case ["whole", sha256]:
                if sha256 != digest.hexdigest():
                    raise TransferFailed(
                        f"{path}: the bytes that came have SHA-256 {digest.hexdigest()}, those read there {sha256}; "
                        "check the disk there"
                    )
            case ["exchanged", *_]:
                raise FileRefused(path, "changed while it was read")
            case ["unread", *_]:
                raise TransferFailed(f"{path}: cannot be read{await dialogue.reason()}; check its disk")
            case verdict:
                raise await dialogue.error_of(path, verdict)
    progress.finish()


async def fetch_bytes(
    link: Link, path: str, *, progress_cb: ProgressCallback | None = None, clock: Clock = SYSTEM_CLOCK
) -> bytes:
    """The content of a regular file of the far side; raises what `stream_file` raises."""
    pieces = []
    async with aclosing(stream_file(link, path, clock=clock, progress_cb=progress_cb)) as chunks:
        async for chunk in chunks:
            pieces.append(chunk)
    return b"".join(pieces)


async def _error_of(
    dialogue: Dialogue, path: str, answer: list[str], within: str | None, max_bytes: int | None
) -> Exception:
    match answer:
        case ["outside"]:
            return FileRefused(path, f"lies outside {within}")
        case ["large", size]:
            return FileRefused(path, f"has {size} bytes, more than the limit of {max_bytes}")
        case _:
            return await dialogue.error_of(path, answer)
