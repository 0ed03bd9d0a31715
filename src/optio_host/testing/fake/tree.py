"""A file tree in memory, with the errors of a real one. No I/O, no clock of its own.

Paths are absolute. What fails raises what the system call would: FileNotFoundError, PermissionError, OSError(ENOSPC).
"""

import errno
import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import anyio

LINKS = 40
"""Symbolic links followed on one path before it counts as a circle, as on Linux."""


@dataclass(eq=False)
class Node:
    """A file, directory, symbolic link or FIFO.

    Attributes:
        inode: its number; a file that replaces another has another one.
        kind: one of stat's S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO.
        mode: permission bits. The user of the host owns everything, so the owner's bits count.
        mtime: seconds since the epoch.
        data: content of a file; what a symbolic link says.
        entries: of a directory.
        version: counts its changes.
    """

    inode: int
    kind: int
    mode: int
    mtime: float = 0.0
    data: bytearray = field(default_factory=bytearray)
    entries: "dict[str, Node]" = field(default_factory=dict)
    version: int = 0

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.kind == stat.S_IFDIR

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == stat.S_IFREG

    @property
    def target(self) -> str:
        """What a symbolic link says."""
        return os.fsdecode(bytes(self.data))


class FileTree:
    """Files and directories below "/".

    Parameters:
        now: seconds since the epoch, for the times of files.

    Attributes:
        free: bytes that can still be written; None: any number.
        denied: paths at and below which nothing may be read or changed, whatever the modes say.
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self._now = now
        self._inodes = 1
        self._root = self._new(stat.S_IFDIR, 0o755)
        self._waited_for: list[anyio.Event] = []
        self.free: int | None = None
        self.denied: set[str] = set()

    def next_change(self) -> anyio.Event:
        """What is set once, at the next change of anything: many changes at a time wake up whoever waits only once."""
        change = anyio.Event()
        self._waited_for.append(change)
        return change

    # Looking.

    def node(self, path: str, *, follow: bool = True) -> Node:
        """What has a path. FileNotFoundError, NotADirectoryError, PermissionError, OSError(ELOOP)."""
        return self._walk(path, follow)[1]

    def exists(self, path: str) -> bool:
        """Whether something is there, symbolic links followed."""
        try:
            self.node(path)
        except OSError:
            return False
        return True

    def realpath(self, path: str, *, strict: bool = True) -> str:
        """The path without symbolic links; raises what `node` does. Not strict: what is not there may be on it."""
        return self._walk(path, True, strict=strict)[0]

    def listing(self, path: str) -> list[str]:
        """The names in a directory, sorted."""
        node = self.node(path)
        if not node.is_dir:
            raise _error(errno.ENOTDIR, path)
        _require(node, 0o400, path)
        return sorted(node.entries)

    def read(self, path: str) -> bytes:
        """The content of a file."""
        node = self.node(path)
        if node.is_dir:
            raise _error(errno.EISDIR, path)
        _require(node, 0o400, path)
        return bytes(node.data)

    def text(self, path: str) -> str:
        """The content of a file as UTF-8."""
        return self.read(path).decode()

    def files(self, path: str = "/") -> dict[str, bytes]:
        """Every regular file at or below a path, with its content; no symbolic link is followed."""
        return {found: bytes(node.data) for found, node in self._below(path, self.node(path)) if node.is_file}

    # Changing.

    def write(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file, as `>` does: one that is there keeps its inode and mode. Parents are made."""
        node = self._file(path, mode)
        content = _bytes(data)
        self._take(len(content) - len(node.data), path)
        node.data[:] = content
        self._touch(node)

    def append(self, path: str, data: str | bytes) -> None:
        """Write at the end of a file, as `>>` does."""
        node = self._file(path, 0o644)
        content = _bytes(data)
        self._take(len(content), path)
        node.data += content
        self._touch(node)

    def truncate(self, path: str, size: int = 0) -> None:
        """Cut a file off."""
        node = self.node(path)
        _require(node, 0o200, path)
        self._take(min(0, size - len(node.data)), path)
        del node.data[size:]
        self._touch(node)

    def replace(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Put another file in the place of what has the path, as a rename does: not in a symbolic link's target."""
        content = _bytes(data)
        parent, name = self._parent(path, make=True)
        there = parent.entries.get(name)
        if there is not None and there.is_dir:
            raise _error(errno.EISDIR, path)
        self._take(len(content) - (len(there.data) if there is not None else 0), path)
        node = self._new(stat.S_IFREG, mode)
        node.data[:] = content
        parent.entries[name] = node
        self._touch(parent)

    def mkdir(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory and its parents; one that is there stays as it is. NotADirectoryError, PermissionError."""
        node = self._root
        below = "/"
        for segment in _segments(path):
            below = posixpath.join(below, segment)
            try:
                node = self.node(below)
            except FileNotFoundError:
                node = self._entry(below, stat.S_IFDIR, mode)
            if not node.is_dir:
                raise _error(errno.ENOTDIR, below)

    def symlink(self, path: str, target: str) -> None:
        """Make a symbolic link; FileExistsError."""
        self.mkdir(posixpath.dirname(path))
        self._entry(path, stat.S_IFLNK, 0o777).data[:] = os.fsencode(target)

    def fifo(self, path: str) -> None:
        """Make a FIFO; FileExistsError."""
        self.mkdir(posixpath.dirname(path))
        self._entry(path, stat.S_IFIFO, 0o644)

    def chmod(self, path: str, mode: int) -> None:
        """Set permission bits."""
        node = self.node(path)
        node.mode = mode & 0o7777
        self._touch(node)

    def rename(self, path: str, target: str) -> None:
        """Give something another path, in place of what file or empty directory has that."""
        parent, name = self._parent(path)
        node = parent.entries.get(name)
        if node is None:
            raise _error(errno.ENOENT, path)
        other, new = self._parent(target)
        if any(each is other for _, each in self._below(path, node)):
            raise _error(errno.EINVAL, target)
        there = other.entries.get(new, node)
        if there is not node:
            if there.entries:
                raise _error(errno.ENOTEMPTY, target)
            if there.is_dir != node.is_dir:
                raise _error(errno.EISDIR if there.is_dir else errno.ENOTDIR, target)
            self._take(-len(there.data), target)
        del parent.entries[name]
        other.entries[new] = node
        self._touch(parent, other)

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it."""
        parent, name = self._parent(path)
        if name not in parent.entries:
            raise _error(errno.ENOENT, path)
        node = parent.entries.pop(name)
        self._take(-sum(len(each.data) for _, each in self._below(path, node)), path)
        self._touch(parent)

    # Within.

    def _below(self, path: str, node: Node) -> Iterator[tuple[str, Node]]:
        yield path, node
        for name, each in sorted(node.entries.items()):
            yield from self._below(posixpath.join(path, name), each)

    def _new(self, kind: int, mode: int) -> Node:
        self._inodes += 1
        return Node(self._inodes, kind, mode, self._now())

    def _entry(self, path: str, kind: int, mode: int) -> Node:
        parent, name = self._parent(path)
        if name in parent.entries:
            raise _error(errno.EEXIST, path)
        node = parent.entries[name] = self._new(kind, mode)
        self._touch(parent)
        return node

    def _file(self, path: str, mode: int) -> Node:
        try:
            node = self.node(path)
        except FileNotFoundError:
            self.mkdir(posixpath.dirname(path))
            # A symbolic link that leads nowhere has what it names made.
            return self._entry(self.realpath(path, strict=False), stat.S_IFREG, mode)
        if not node.is_file:
            raise _error(errno.EISDIR if node.is_dir else errno.ENXIO, path)
        _require(node, 0o200, path)
        return node

    def _parent(self, path: str, *, make: bool = False) -> tuple[Node, str]:
        """The directory that a path is in, which may be changed; and the last name of the path."""
        directory, name = posixpath.split(path.rstrip("/"))
        if not name or name in (".", ".."):
            raise _error(errno.EBUSY, path)
        if make:
            self.mkdir(directory)
        resolved, parent = self._walk(directory, True)
        if not parent.is_dir:
            raise _error(errno.ENOTDIR, directory)
        _require(parent, 0o300, path)
        self._check_denied(posixpath.join(resolved, name))
        return parent, name

    def _walk(self, path: str, follow: bool, *, strict: bool = True) -> tuple[str, Node]:
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"{path!r}: an absolute path without NUL is needed")
        pending = _segments(path)[::-1]
        done: list[tuple[str, Node]] = []
        links = 0
        while pending:
            segment = pending.pop()
            directory = done[-1][1] if done else self._root
            if not directory.is_dir:
                raise _error(errno.ENOTDIR, path)
            _require(directory, 0o100, path)
            if segment == "..":
                done = done[:-1]
                continue
            node = directory.entries.get(segment)
            if node is None:
                if strict:
                    raise _error(errno.ENOENT, path)
                node = Node(0, stat.S_IFDIR, 0o700)
            if node.kind == stat.S_IFLNK and (pending or follow):
                links += 1
                if links > LINKS:
                    raise _error(errno.ELOOP, path)
                if node.target.startswith("/"):
                    done = []
                pending += _segments(node.target)[::-1]
                continue
            done.append((segment, node))
        resolved = "/" + "/".join(name for name, _ in done)
        self._check_denied(resolved)
        return resolved, done[-1][1] if done else self._root

    def _check_denied(self, resolved: str) -> None:
        for path in self.denied:
            if resolved == path or resolved.startswith(path.rstrip("/") + "/"):
                raise _error(errno.EACCES, resolved)

    def _take(self, size: int, path: str) -> None:
        if self.free is None:
            return
        if size > self.free:
            raise _error(errno.ENOSPC, path)
        self.free -= size

    def _touch(self, *nodes: Node) -> None:
        for node in nodes:
            node.mtime = self._now()
            node.version += 1
        reached, self._waited_for = self._waited_for, []
        for change in reached:
            change.set()


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment not in ("", ".")]


def _require(node: Node, bits: int, path: str) -> None:
    if node.mode & bits != bits:
        raise _error(errno.EACCES, path)


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _error(number: int, path: str) -> OSError:
    # OSError makes the fitting subclass of itself.
    return OSError(number, os.strerror(number), path)
