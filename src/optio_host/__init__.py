"""Run commands, copy and follow files on a host: this machine, or any other through the same contract.

Importing this does nothing; names are loaded when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .download import create_download_task as create_download_task
    from .errors import AuthenticationRefused as AuthenticationRefused
    from .errors import ConnectFailed as ConnectFailed
    from .errors import DownloadFailed as DownloadFailed
    from .errors import HostCommandError as HostCommandError
    from .errors import HostError as HostError
    from .errors import HostKeyRefused as HostKeyRefused
    from .errors import LinkLost as LinkLost
    from .host import Host as Host
    from .host import ProcessHandle as ProcessHandle
    from .host import RunResult as RunResult
    from .host import make_host as make_host
    from .local.host import LocalHost as LocalHost
    from .open import open_host as open_host
    from .ssh.host import RemoteHost as RemoteHost
    from .types import AcceptNew as AcceptNew
    from .types import CertificateAuthority as CertificateAuthority
    from .types import InsecureAcceptAnyKey as InsecureAcceptAnyKey
    from .types import KnownHosts as KnownHosts
    from .types import PinnedKey as PinnedKey
    from .types import SSHConfig as SSHConfig

_HOME_OF = {
    "AcceptNew": "types",
    "AuthenticationRefused": "errors",
    "CertificateAuthority": "types",
    "ConnectFailed": "errors",
    "DownloadFailed": "errors",
    "Host": "host",
    "HostCommandError": "errors",
    "HostError": "errors",
    "HostKeyRefused": "errors",
    "InsecureAcceptAnyKey": "types",
    "KnownHosts": "types",
    "LinkLost": "errors",
    "LocalHost": "local.host",
    "PinnedKey": "types",
    "ProcessHandle": "host",
    "RemoteHost": "ssh.host",
    "RunResult": "host",
    "SSHConfig": "types",
    "create_download_task": "download",
    "make_host": "host",
    "open_host": "open",
}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
