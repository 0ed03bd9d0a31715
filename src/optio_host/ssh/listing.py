"""What there is below a directory of the far side, and which of it has the same content as here."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace

import anyio

from ..archive import is_excluded
from ..clock import Clock
from ..errors import TransferFailed
from ..job_shell import arguments
from ..local.trees import sha256_of
from ..trees import Entry, Kind, kind_of
from .dialogue import open_dialogue
from .link import Link

_KINDS: dict[str, Kind] = {"f": "file", "d": "directory", "l": "link"}
_WHAT = "cannot be read"


async def list_target(link: Link, directory: str, exclude: Sequence[str], clock: Clock) -> dict[str, Entry]:
    """Everything below a directory of the far side; nothing when it is not there yet."""
    try:
        return await list_tree(link, directory, exclude, clock)
    except FileNotFoundError:
        return {}


async def list_tree(link: Link, directory: str, exclude: Sequence[str], clock: Clock) -> dict[str, Entry]:
    """Everything below a directory of the far side. FileNotFoundError; TransferFailed when a part cannot be read."""
    if not directory.startswith("/") or "\0" in directory:
        raise ValueError(f"{directory!r}: an absolute path without NUL is needed")
    said = bytearray()
    async with open_dialogue(link, clock, _WHAT, ("tree",), arguments("list", directory), stdin=False) as dialogue:
        answer = await dialogue.answer()
        if answer != ["listing"]:
            raise await dialogue.error_of(directory, answer)
        async with aclosing(dialogue.stream()) as chunks:
            async for chunk in chunks:
                said += chunk
        if dialogue.verdict != ["0"]:
            raise TransferFailed(f"{directory}: cannot be listed{await dialogue.reason()}")
        nonce = dialogue.nonce
    return await anyio.to_thread.run_sync(_parse, bytes(said), nonce, tuple(exclude))


def _parse(said: bytes, nonce: str, exclude: Sequence[str]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for record in said.split(nonce.encode() + b" ")[1:]:
        how, _, rest = record.partition(b" ")
        if how == b"link":
            path, _, target = rest.partition(b"\0")
            name = _name(path)
            if name in entries:
                entries[name] = replace(entries[name], target=os.fsdecode(target.removesuffix(b"\n")))
            continue
        what, size, mtime, rest = rest.split(b" ", 3)
        if how == b"find":
            path, target = rest.split(b"\0")[:2]
            kind, mode = _KINDS.get(chr(what[0]), "other"), int(what[1:], 8)
        else:
            path, target = rest.removesuffix(b"\n"), b""
            mode = int(what, 16)
            kind = kind_of(mode)
        entries[_name(path)] = Entry(kind, mode & 0o777, int(size), float(mtime), os.fsdecode(target))
    left_out: set[str] = set()
    for name in sorted(entries):
        above, _, last = name.rpartition("/")
        if above in left_out or is_excluded(name, last, exclude):
            left_out.add(name)
    return {name: entry for name, entry in entries.items() if name not in left_out}


def _name(path: bytes) -> str:
    return os.fsdecode(path.removeprefix(b"./"))


def with_nul(names: Sequence[str]) -> bytes:
    """Names as `xargs -0` takes them."""
    return b"".join(b"./" + os.fsencode(name) + b"\0" for name in names)


async def same_content(link: Link, here: str, there: str, names: Sequence[str], clock: Clock) -> Collection[str]:
    """Those of the files that have the same content on both sides."""
    if not names:
        return ()
    said = bytearray()
    async with open_dialogue(link, clock, _WHAT, ("tree",), arguments("sums", there)) as dialogue:
        answer = await dialogue.answer()
        if answer != ["sums"]:
            raise await dialogue.error_of(there, answer)
        async with dialogue.sending(with_nul(names)), aclosing(dialogue.stream()) as chunks:
            async for chunk in chunks:
                said += chunk
    sums = _sums(bytes(said), names)
    return await anyio.to_thread.run_sync(
        lambda: {name for name in names if name in sums and sums[name] == sha256_of(os.path.join(here, name))}
    )


_SUM = re.compile(rb"^\\?([0-9a-f]{64}) [ *]", re.MULTILINE)


def _sums(said: bytes, names: Iterable[str]) -> dict[str, str]:
    # A name may hold line ends, which some tools escape; the order is ours.
    found: dict[str, str] = {}
    position = 0
    for name in names:
        raw = b"./" + os.fsencode(name)
        escaped = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
        for match in _SUM.finditer(said, position):
            rest = said[match.end() : match.end() + len(escaped) + 1]
            if rest.startswith((raw + b"\n", escaped + b"\n")):
                found[name] = match[1].decode()
                position = match.end()
                break
    return found
