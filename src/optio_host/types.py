"""How to reach a host."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SSHConfig:
    """A machine over SSH.

    Attributes:
        host: name or address.
        user: login name there.
        key_path: path of the private key on this machine.
        port: TCP port of its SSH server.
    """

    host: str
    user: str
    key_path: str
    port: int = 22
