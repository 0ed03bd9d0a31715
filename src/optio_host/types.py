"""How to reach a host, and how to know that it is the right one."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KnownHosts:
    """The host's key must be in a known_hosts file. An unknown one is refused, and so is a changed one.

    Attributes:
        files: paths of these files; if empty, those of ~/.ssh/config, else those that `ssh` reads.
    """

    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AcceptNew:
    """Like `KnownHosts`, but a host that no file knows is believed once and remembered in the first file.

    Attributes:
        files: as for `KnownHosts`.
    """

    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """The host must show exactly this key, whatever known_hosts says. ValueError if it is no fingerprint.

    Attributes:
        fingerprint: "SHA256:" and 43 characters, as `ssh-keygen -l` prints it.
    """

    fingerprint: str

    def __post_init__(self) -> None:
        kind, _, digest = self.fingerprint.partition(":")
        try:
            size = len(base64.b64decode(digest + "=", validate=True))
        except (ValueError, binascii.Error):
            size = 0
        if kind != "SHA256" or size != 32:
            raise ValueError(
                f"{self.fingerprint!r} is no fingerprint of a host key: it is SHA256: and 43 characters, "
                "as `ssh-keygen -l -f KEY.pub` prints it"
            )


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """The host must show a certificate for its name, signed by this key, whatever known_hosts says.

    Attributes:
        public_key: the authority's public key, one line as in a .pub file. ValueError if it is none.
    """

    public_key: str

    def __post_init__(self) -> None:
        words = self.public_key.split(None, 2)
        try:
            base64.b64decode(words[1], validate=True)
        except (IndexError, ValueError):
            raise ValueError(
                "public_key is one line of a .pub file: a type such as ssh-ed25519, then the key"
            ) from None


@dataclass(frozen=True, slots=True)
class InsecureAcceptAnyKey:
    """Whatever answers is taken for the host. Anyone on the way can read and change everything."""


HostKeyCheck = KnownHosts | AcceptNew | PinnedKey | CertificateAuthority | InsecureAcceptAnyKey

Passphrase = str | Callable[[str], str]
"""What opens an encrypted key, or who is asked for it: called with the key's path, in a thread, for each connection."""


@dataclass(frozen=True)
class SSHConfig:
    """A machine over SSH.

    What is said here goes before what ~/.ssh/config says of `host`. docs/ssh.md lists what of that file counts.

    Attributes:
        host: name, address, or a name from ~/.ssh/config.
        user: login name there; if empty, that of ~/.ssh/config, else the name of this user.
        key_path: path of the private key on this machine, and then no other key is tried; if empty, the keys of the
            agent, of ~/.ssh/config, and those that `ssh` tries by itself.
        port: TCP port of its SSH server; 0 is that of ~/.ssh/config, else 22.
        host_key: how its key is judged; None is `KnownHosts()`, or `AcceptNew()` where ~/.ssh/config says so.
        jump: hosts on the way, the first one first, each judged by its own `host_key`; None is what ~/.ssh/config
            says, () is none.
        passphrase: opens encrypted keys; never shown.
        agent: whether the ssh-agent of this user is asked.
        config_files: read in this order in place of ~/.ssh/config and /etc/ssh/ssh_config; () reads none.
        connect_timeout: seconds for the TCP connection, and again for the server's greeting and key exchange.
        auth_timeout: seconds for the authentication; an agent may ask a person meanwhile.
        keepalive_interval: seconds of silence after which the server is asked whether it is still there.
        keepalive_count: how many such questions in a row may stay unanswered. A dead link is noticed after
            interval * (count + 1) seconds: 16 by default.
    """

    host: str
    user: str
    key_path: str
    port: int = 22
    host_key: HostKeyCheck | None = None
    jump: "tuple[SSHConfig, ...] | None" = None
    passphrase: Passphrase | None = field(default=None, repr=False)
    agent: bool = True
    config_files: tuple[str, ...] | None = None
    connect_timeout: float = 15.0
    auth_timeout: float = 30.0
    keepalive_interval: float = 4.0
    keepalive_count: int = 3
