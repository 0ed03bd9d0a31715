"""What a `Channel` needs of whatever carries its bytes."""

from typing import Protocol


class Pipe(Protocol):
    """What carries a command's bytes: a channel of asyncssh, or a part of a `Shell`. The names are asyncssh's."""

    def write(self, data: bytes) -> None:
        """Queue bytes for its stdin."""
        ...

    def write_eof(self) -> None:
        """End of its stdin."""
        ...

    def pause_reading(self) -> None:
        """Let it wait with its output."""
        ...

    def resume_reading(self) -> None:
        """Let it go on."""
        ...

    def is_closing(self) -> bool:
        """Nothing can be written any more."""
        ...

    def abort(self) -> None:
        """Let go of it."""
        ...
