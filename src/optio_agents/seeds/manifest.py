"""Which files of a home make a seed. Pure."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from optio_host.host import Host

Transform = Callable[[Host], Awaitable[object] | object]
"""Called with a host once a seed has been planted there."""


@dataclass(frozen=True)
class SeedManifest:
    """Which files of an agent's home make a seed, and what has to be done to them in a new home.

    Attributes:
        home_subdir: the home, relative to the workdir of the host.
        include: paths relative to the home; a directory stands for everything below it. No patterns. What is not there
            is left out.
        version: of this choice; it is kept with each seed that is captured.
        consume_transform: called with the host after a seed was planted or merged there, to adapt what holds paths of
            the home that it came from. Plain or async.

    Raises ValueError for a path that is absolute or has `..` in it.
    """

    home_subdir: str
    include: Collection[str]
    version: int = 1
    consume_transform: Transform | None = None

    def __post_init__(self) -> None:
        for path in (self.home_subdir, *self.include):
            segments_of(path)

    def covers(self, path: str) -> bool:
        """Whether a path relative to the home, without dots, belongs to the seed."""
        return any(not each or path == each or path.startswith(f"{each}/") for each in self.paths)

    @property
    def home(self) -> str:
        """`home_subdir` without dots and doubled slashes; empty for the workdir itself."""
        return "/".join(segments_of(self.home_subdir))

    @property
    def paths(self) -> tuple[str, ...]:
        """`include` likewise; an empty one is the whole home."""
        return tuple("/".join(segments_of(path)) for path in self.include)


def segments_of(path: str) -> tuple[str, ...]:
    """A relative path as its segments; ValueError for one that could lead out."""
    segments = tuple(segment for segment in path.split("/") if segment not in ("", "."))
    if path.startswith("/") or ".." in segments or "\0" in path:
        raise ValueError(f"{path!r}: a path in a seed is relative, and has no '..' and no NUL")
    return segments


def parents_of(path: str) -> tuple[str, ...]:
    """The directories above a relative path, the highest first."""
    segments = path.split("/")
    return tuple("/".join(segments[:depth]) for depth in range(1, len(segments)))
