"""Copying a directory: what there is on both sides, and what has to be done about it. Pure."""

import posixpath
import stat
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .errors import FileRefused
from .restore import leads_out

Kind = Literal["file", "directory", "link", "other"]

_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


def kind_of(mode: int) -> Kind:
    """What has this st_mode."""
    return _KINDS.get(stat.S_IFMT(mode), "other")


@dataclass(frozen=True, slots=True)
class Entry:
    """One path below a directory.

    Attributes:
        kind: what it is; a link is a symbolic one.
        mode: permission bits.
        size: bytes.
        mtime: time of its last change, seconds since the epoch.
        target: what a link says.
    """

    kind: Kind
    mode: int
    size: int
    mtime: float
    target: str = ""


Listing = Mapping[str, Entry]
"""Entries by their relative path; bytes that are not UTF-8 are in it as surrogates."""


@dataclass(frozen=True, slots=True)
class TreeCopy:
    """What a copy of a directory did.

    Attributes:
        copied: files and symbolic links that were written.
        unchanged: files and links that were as they should be already.
        deleted: what was removed because it is not in the source.
        size: bytes of the files that were written.
        left_out: (relative path, why) of what was not copied.
    """

    copied: int
    unchanged: int
    deleted: int
    size: int
    left_out: tuple[tuple[str, str], ...]


@dataclass
class Plan:
    """What makes the target like the source.

    Attributes:
        directories: those that are not there yet, parents first.
        sent: files and links to be written, sorted.
        replaced_links: those of `sent` in whose place a symbolic link stands.
        modes: directories that are there with other permission bits.
        deleted: what is to be removed, deepest first.
        unchanged: how many files and links are as they should be.
        left_out: (relative path, why).
    """

    directories: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    replaced_links: list[str] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unchanged: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Nothing has to be done."""
        return not (self.directories or self.sent or self.modes or self.deleted)

    def scaffold(self) -> list[str]:
        """Directories that are there and in which something will be written, parents first; without the top."""
        found = set()
        for name in [*self.directories, *self.sent]:
            parent = posixpath.dirname(name)
            while parent and parent not in found:
                found.add(parent)
                parent = posixpath.dirname(parent)
        return sorted(found.difference(self.directories))

    def moves(self) -> dict[str, list[str]]:
        """For each directory that is there ("" is the top), what is moved into it, whole trees among it."""
        new = set(self.directories)
        found: dict[str, list[str]] = defaultdict(list)
        for name in [*self.directories, *self.sent]:
            parent, last = posixpath.split(name)
            if parent not in new:
                found[parent].append(last)
        return found

    def result(self, source: Listing) -> TreeCopy:
        """What was done, once it is done."""
        size = sum(source[name].size for name in self.sent if source[name].kind == "file")
        return TreeCopy(len(self.sent), self.unchanged, len(self.deleted), size, tuple(sorted(self.left_out)))


def same_size(source: Listing, target: Listing) -> list[str]:
    """The files whose content has to be looked at to know whether it is the same."""
    return sorted(
        name
        for name, entry in source.items()
        if entry.kind == "file"
        and (there := target.get(name)) is not None
        and there.kind == "file"
        and there.size == entry.size
    )


def compare(
    source: Listing, target: Listing, *, delete: bool = False, same_content: Collection[str] | None = None
) -> Plan:
    """What has to be done. Symbolic links that stay inside are kept as links; others, and devices, are left out.

    Parameters:
        source: what is to be copied.
        target: what is there.
        delete: what is not in the source goes.
        same_content: the files that are known to have the same content; None: size and time of the last change in
            whole seconds decide.

    Raises FileRefused where one side has a directory and the other something else.
    """
    plan = Plan()
    for name in sorted(source):
        entry, there = source[name], target.get(name)
        if entry.kind == "other":
            plan.left_out.append((name, "is no file, directory or symbolic link"))
        elif entry.kind == "link" and leads_out(name, entry.target):
            plan.left_out.append((name, f"is a symbolic link that leads out: {entry.target}"))
        elif there is None:
            (plan.directories if entry.kind == "directory" else plan.sent).append(name)
        elif (entry.kind == "directory") != (there.kind == "directory") or there.kind == "other":
            raise FileRefused(name, f"is a {entry.kind} in the source; in the target it is a {there.kind} and stays so")
        elif entry.kind == "directory":
            if entry.mode != there.mode:
                plan.modes.append(name)
        elif _is_same(name, entry, there, same_content):
            plan.unchanged += 1
        else:
            plan.sent.append(name)
            if there.kind == "link":
                plan.replaced_links.append(name)
    if delete:
        plan.deleted = sorted(set(target) - set(source), reverse=True)
    return plan


def _is_same(name: str, entry: Entry, there: Entry, same_content: Collection[str] | None) -> bool:
    if entry.kind != there.kind:
        return False
    if entry.kind == "link":
        return entry.target == there.target
    if same_content is not None:
        return name in same_content and entry.mode == there.mode
    return (entry.size, entry.mode, int(entry.mtime)) == (there.size, there.mode, int(there.mtime))
