"""How a deliverable lands on the person's disk.

The name comes from an agent, the directory from a person, and what the person has there stays: a deliverable lands
strictly below the directory, through no symbolic link, readable by its owner alone, and never in the place of a file
that did not land there itself.
"""

import hashlib
import os
import stat
import tempfile
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio

from optio_host.errors import FileRefused, TransferFailed
from optio_host.local.below import open_below
from optio_host.local.part import PartFile, open_part

NAME_MAX = 255
"""Bytes in one segment of a name, on every usual file system."""

_DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Landed:
    """A deliverable that is on the disk.

    Attributes:
        name: what the agent calls it, relative to its deliverables directory.
        path: absolute path of the file here.
        size: bytes.
        sha256: of its content, in lower-case hexadecimal.
    """

    name: str
    path: str
    size: int
    sha256: str


class Landing:
    """The directory where the deliverables of one session land.

    Parameters:
        directory: may be a symbolic link, and need not exist; it is created (0700) when the first deliverable comes.
        ours: what landed here before, by name. What lies elsewhere than where the name would land is forgotten.
        session: id of the session, of which one driver lands files at a time: what a driver that was killed had not
            finished is removed when the next one lands something there. "": nothing is.
    """

    def __init__(self, directory: str | Path, *, ours: Mapping[str, Landed] | None = None, session: str = "") -> None:
        self.directory = os.path.abspath(directory)
        # Of one length, whatever the id is, so that it fits into every name.
        self._writer = hashlib.sha256(session.encode()).hexdigest()[:12] if session else ""
        self._ours = {
            name: landed
            for name, landed in (ours or {}).items()
            if os.path.dirname(landed.path) == os.path.dirname(os.path.join(self.directory, name))
        }

    @property
    def ours(self) -> dict[str, Landed]:
        """The files that a new delivery of the same name replaces, as long as they are as they landed."""
        return dict(self._ours)

    async def prepare(self) -> None:
        """See, before anything else is done, that files can land. Creates nothing. Raises TransferFailed otherwise."""
        await anyio.to_thread.run_sync(self._check_writable)

    async def receive(self, name: str, chunks: AsyncIterator[bytes]) -> Landed:
        """Store a deliverable.

        If it landed before, its file is replaced. A file that did not land here, or was changed since, is not: the new
        one gets a number (`report-2.md`), unless the very same bytes are there already.

        Parameters:
            name: relative path with "/", as the agent gave it.
            chunks: its bytes; read to the end, and closed in any case.

        Raises FileRefused for a name that cannot be accepted, with a reason for the agent; TransferFailed when it
        cannot be written, the disk being full among the reasons; and what `chunks` raises. Nothing is left of it then.
        """
        try:
            segments = check_name(name)
            shown = os.path.join(self.directory, name)
            async with open_part(
                shown, segments[-1], lambda: self._open_parent(segments), mode=0o600, writer=self._writer
            ) as part:
                async for chunk in chunks:
                    await anyio.to_thread.run_sync(part.write, chunk)
                path = await anyio.to_thread.run_sync(self._give_name, name, segments, part)
                return Landed(name, path, part.size, part.sha256)
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    def _check_writable(self) -> None:
        existing = self.directory
        while not os.path.lexists(existing):
            existing = os.path.dirname(existing)
        try:
            # Tried, not asked: permissions alone do not tell of file systems that take no files at all.
            os.rmdir(tempfile.mkdtemp(prefix=".optio-", dir=existing))
        except OSError as error:
            problem = f"nothing can be made in {existing} ({error.strerror}); choose another directory"
            raise TransferFailed(f"{self.directory}: deliverables cannot land here: {problem}") from error

    def _open_parent(self, segments: list[str]) -> int:
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        root = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_below(root, segments[:-1])
        except NotADirectoryError as error:
            reason = f"{error.filename!r} on its way is a symbolic link or a file in {self.directory}"
            raise FileRefused("/".join(segments), reason) from None
        finally:
            os.close(root)

    def _give_name(self, name: str, segments: list[str], part: PartFile) -> str:
        """The path under which the finished part stands now."""
        directory = os.path.dirname(os.path.join(self.directory, name))
        before = self._ours.get(name)
        if before is not None and self._holds(segments[:-1], os.path.basename(before.path), before.size, before.sha256):
            part.replace(os.path.basename(before.path))
            self._ours[name] = Landed(name, before.path, part.size, part.sha256)
            return before.path
        for candidate in _numbered(segments[-1]):
            path = os.path.join(directory, candidate)
            if part.take_free_name(candidate):
                self._ours[name] = Landed(name, path, part.size, part.sha256)
                return path
            # A driver that died between landing and noting it down delivers the same once more.
            if self._holds(segments[:-1], candidate, part.size, part.sha256):
                return path
        raise AssertionError("the numbers do not end")

    def _holds(self, parents: list[str], name: str, size: int, sha256: str) -> bool:
        """Whether a regular file with these bytes stands there, reached through no symbolic link."""
        parent = self._open_parent([*parents, name])
        try:
            seen = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISREG(seen.st_mode) or seen.st_size != size:
                return False
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
            with open(descriptor, "rb", buffering=0) as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except OSError:
            return False
        finally:
            os.close(parent)


def check_name(name: str) -> list[str]:
    """The segments of a deliverable's name; FileRefused, with a reason for the agent, if it cannot be accepted."""
    segments = name.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        raise FileRefused(name, "is no plain relative path: no leading or doubled '/', no '.' and no '..' in it")
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") or char in _DIRECTION_MARKS for char in name):
        raise FileRefused(name, "has characters that are invisible or not UTF-8 in its name")
    if any(len(segment.encode()) > NAME_MAX for segment in segments):
        raise FileRefused(name, f"has a part of more than {NAME_MAX} bytes in its name")
    return segments


def _numbered(name: str) -> Iterator[str]:
    """report.md, report-2.md, report-3.md and so on, each short enough for a file name."""
    yield name
    stem, extension = os.path.splitext(name)
    number = 2
    while True:
        end = f"-{number}{extension}"
        room = NAME_MAX - len(end.encode())
        if room > 0:
            yield stem.encode()[:room].decode(errors="ignore") + end
        else:
            yield f"{number}-" + name.encode()[: NAME_MAX - 12].decode(errors="ignore")
        number += 1
