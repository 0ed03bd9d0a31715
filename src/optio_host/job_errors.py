"""What can go wrong with a run on a host. Each error says what happened, where, and what to do."""

from .errors import HostError


class StartFailed(HostError):
    """A program could not be started. Nothing of it runs."""


class NotOwner(HostError):
    """Someone else owns the run: this driver must not act on it any more.

    Attributes:
        rundir: the run directory.
        owner: the owner file's line there, "store session generation"; empty when it is missing.
    """

    def __init__(self, rundir: str, owner: str) -> None:
        self.rundir = rundir
        self.owner = owner
        super().__init__(f"{rundir}: this run belongs to {owner or 'nobody'} now; adopt it again to act on it")


class InputConflict(HostError):
    """The stdin spool does not hold what this driver wrote: another driver did, or the program itself.

    Attributes:
        rundir: the run directory.
        offset: where the bytes should have gone.
        size: bytes in the spool.
    """

    def __init__(self, rundir: str, offset: int, size: int) -> None:
        self.rundir = rundir
        self.offset = offset
        self.size = size
        detail = "it ends before that" if size < offset else "other bytes stand there"
        super().__init__(
            f"{rundir}/stdin: nothing was appended at offset {offset}, {detail} (size {size}); "
            "compare the spool with the journal before sending anything else"
        )


class InputClosed(HostError):
    """The run's input was closed before these bytes were appended."""


class JobGone(HostError):
    """The run directory is not there, or is not the one of this run any more."""
