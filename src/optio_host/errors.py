"""Everything this package raises on purpose. Each error says what happened, where, and what to do.

Built-in exceptions are used where they are exact: `FileNotFoundError` for a file that is not there, `ValueError` for an
argument that can never be right.
"""

import errno


class HostError(Exception):
    """Something on a host, or on the way to it, did not work. The base of every error of this package."""


class HostCommandError(HostError):
    """A command ended with a non-zero exit code, and the caller had asked for success.

    Attributes:
        command: the command as it was given.
        exit_code: its exit code; negative for a signal (-9: killed).
        stdout: what it wrote to stdout, decoded.
        stderr: what it wrote to stderr, decoded.
    """

    def __init__(self, command: str, exit_code: int, stdout: str, stderr: str) -> None:
        self.command = command
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr
        detail = (stderr.strip() or stdout.strip())[-2000:]
        super().__init__(f"command failed with exit code {exit_code}: {command}" + (f"\n{detail}" if detail else ""))


class FileRefused(HostError):
    """A file was not read or written because of what it is: no regular file, outside its directory, too large.

    Attributes:
        path: the path as it was asked for.
        reason: why, in words that can be shown to whoever named the file.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class TransferFailed(HostError):
    """A copy did not arrive as it left. What stood at the target before still stands there."""


class DownloadFailed(HostError):
    """A download on a host failed; the partial file is removed unless the caller asked to keep it.

    Attributes:
        url: what was to be downloaded, without a password or a query.
        target: path on the host.
        exit_code: of curl or of the shell around it; -1 when it did not end by itself.
        stderr_tail: what it said last.
    """

    def __init__(
        self, message: str = "", *, url: str = "", target: str = "", exit_code: int = -1, stderr_tail: str = ""
    ) -> None:
        self.url = url
        self.target = target
        self.exit_code = exit_code
        self.stderr_tail = stderr_tail
        super().__init__(message or f"{url}: not downloaded to {target} (exit code {exit_code}): {stderr_tail}")


class ProcessesSurvived(HostError):
    """Processes were still there after they had been killed.

    Attributes:
        pids: the process ids that were seen last.
    """

    def __init__(self, what: str, pids: tuple[int, ...]) -> None:
        self.pids = pids
        super().__init__(f"{what}: still running after KILL: pid {', '.join(map(str, pids))}")


TEMPORARY = frozenset({errno.EAGAIN, errno.EINTR, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE})
"""Numbers of errors of this machine that may be gone when the same is tried again."""


class ConnectFailed(HostError):
    """A host could not be reached, or not in a way that can be trusted. Says the host, the step and the remedy.

    Attributes:
        host: whom it was about, "user@host:port"; of several hops the one that failed.
        step: which part of connecting did not work.
        reason: how, and what to do.
        final: trying again cannot help: something has to be changed first.
    """

    def __init__(self, host: str, step: str, reason: str, *, final: bool = False) -> None:
        self.host = host
        self.step = step
        self.reason = reason
        self.final = final
        super().__init__(f"{host}: {step}: {reason}")


class HostKeyRefused(ConnectFailed):
    """The key a host showed is not one to be trusted: unknown, changed, revoked, or not the pinned one."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, "host key", reason, final=True)


class AuthenticationRefused(ConnectFailed):
    """The host took none of the keys, or a key could not be read. Trying again would only lock the account."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, "authentication", reason, final=True)


class LinkLost(HostError):
    """The connection to a host broke in the middle of something. Nobody knows whether it was done."""
