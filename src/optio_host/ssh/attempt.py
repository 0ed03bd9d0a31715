"""One try to log in: how far it has come, and what a failure there means."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Literal

import anyio
import asyncssh

from ..errors import AuthenticationRefused, ConnectFailed
from .client_keys import ClientKeys
from .host_keys import HostKeyJudge
from .target import Target

Step = Literal["connect", "greeting", "key exchange", "authentication"]

_REMEDIES: dict[Step, str] = {
    "connect": "nothing answers at all; is the host up, and does a firewall drop what is sent to this port?",
    "greeting": "something accepts connections there and says nothing; is it an SSH server, and is it overloaded?",
    "key exchange": "the host greeted and then fell silent; a path that swallows large packets does this (MTU)",
    "authentication": "the host may be waiting for another server (LDAP, DNS), or your agent for you to confirm",
}


class Attempt(asyncssh.SSHClient):
    """What the library asks and tells while a connection is made, and while it lasts.

    Parameters:
        scope: what is being waited in; its deadline moves on with each step.
        is_jump_host: no command runs there; it only passes on what is for the next host.

    Attributes:
        target: the host.
        judge: judges its key.
        connection: once there is one.
        is_over: the connection was there and has ended.
        on_lost: called when it ends, if set by then.
    """

    def __init__(
        self, target: Target, judge: HostKeyJudge, keys: ClientKeys, scope: anyio.CancelScope, *, is_jump_host: bool
    ) -> None:
        self.target = target
        self.judge = judge
        self.connection: asyncssh.SSHClientConnection | None = None
        self.is_over = False
        self.on_lost: Callable[[Exception | None], None] | None = None
        self._keys = keys
        self._scope = scope
        self._is_jump_host = is_jump_host
        self._authenticating = False
        self._refusal: ConnectFailed | None = None
        self._banner = ""

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Begin to wait for the host's greeting and its key."""
        self.connection = conn
        self._scope.deadline = asyncio.get_running_loop().time() + self.target.config.connect_timeout

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Whether this is the host's key."""
        return self.judge.judge_key(key)

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Whether this key may sign for the host."""
        return self.judge.judge_authority(key)

    def begin_auth(self, username: str) -> None:
        """Begin to log in: the host has proved who it is."""
        self._authenticating = True
        if "Windows" in self.server_version and not self._is_jump_host:
            self._refusal = self._windows()
            assert self.connection is not None
            self.connection.abort()
        self._scope.deadline = asyncio.get_running_loop().time() + self.target.config.auth_timeout

    def auth_banner_received(self, msg: str, lang: str) -> None:
        """Keep what the host says, for the message of a failure."""
        self._banner = (self._banner + msg)[:500]

    def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        """The next key to try."""
        return self._keys.next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever holds the connection."""
        self.is_over = True
        if self.on_lost is not None:
            self.on_lost(exc)

    @property
    def step(self) -> Step:
        """What is being waited for."""
        if self.connection is None:
            return "connect"
        if self._authenticating:
            return "authentication"
        return "key exchange" if self.server_version else "greeting"

    @property
    def server_version(self) -> str:
        """How the server called itself, such as "SSH-2.0-OpenSSH_9.2"; "" before it did."""
        return "" if self.connection is None else str(self.connection.get_extra_info("server_version", ""))

    def too_late(self) -> ConnectFailed:
        """The error when the deadline of a step has passed."""
        config = self.target.config
        seconds = config.auth_timeout if self.step == "authentication" else config.connect_timeout
        return self._failed(f"no answer within {seconds:g} s: {_REMEDIES[self.step]}")

    def explain(self, error: OSError | asyncssh.Error | ValueError) -> ConnectFailed:
        """The error for what the network, the library or the server reported."""
        refusal = self._refusal or self.judge.refusal
        if refusal is not None:
            return refusal
        match error:
            case asyncssh.HostKeyNotVerifiable():
                return self.judge.explain(error)
            case asyncssh.PermissionDenied():
                return self._not_logged_in("")
            case asyncssh.KeyExchangeFailed():
                return self._failed(f"no way to encrypt that both ends know: {error.reason}", final=True)
            case asyncssh.ChannelOpenError():
                return self._failed(f"the jump host before it could not connect to it: {error.reason}")
            case asyncssh.Error() | OSError() | ValueError() if self.step == "greeting":
                what = error.reason if isinstance(error, asyncssh.Error) else error
                return self._failed(
                    "it closed the connection without the greeting of an SSH server: another program listens on this "
                    f"port, or the server turns connections away (MaxStartups) ({what})"
                )
            case asyncssh.DisconnectError() if self.step == "authentication" and "authentication" in error.reason:
                # OpenSSH: "Too many authentication failures"
                return self._not_logged_in(
                    f" ({error.reason.strip()!r}: it allows only so many tries; name the right key by key_path, or by "
                    "IdentityFile with IdentitiesOnly yes)"
                )
            case asyncssh.Error():
                return self._failed(f"the connection broke: {error.reason}")
            case UnicodeError() | socket.gaierror() if self.step == "connect":
                return ConnectFailed(
                    self.target.label,
                    "name lookup",
                    f"{self.target.host!r} has no address here ({error}); check the name, or give it a HostName in "
                    "~/.ssh/config",
                )
            case OSError():
                return self._unreachable(error)
            case ValueError():
                return self._failed(f"what it sent, or what it was to be sent, is not valid: {error}")

    def _windows(self) -> ConnectFailed:
        return ConnectFailed(
            self.target.label,
            "greeting",
            f"Windows hosts are not supported ({self.server_version!r}); a Linux in it (WSL) with its own sshd is",
            final=True,
        )

    def _unreachable(self, error: OSError) -> ConnectFailed:
        # Of several addresses the library keeps only the text.
        if error.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error):
            return self._failed(
                f"refused: nothing listens on port {self.target.port}; is the SSH server running there?"
            )
        return self._failed(str(error.strerror or error))

    def _not_logged_in(self, remark: str) -> AuthenticationRefused:
        said = f"; the host says {self._banner.strip()!r}" if self._banner.strip() else ""
        return AuthenticationRefused(
            self.target.label,
            f"{self._keys.refusal()}{remark}{said}. Is the public key in ~/.ssh/authorized_keys of "
            f"{self.target.user!r} there?",
        )

    def _failed(self, reason: str, *, final: bool = False) -> ConnectFailed:
        # Some of it is what the other end sent, and a terminal would obey its control characters.
        shown = "".join(character if character.isprintable() else "?" for character in reason)
        return ConnectFailed(self.target.label, self.step, shown, final=final)
