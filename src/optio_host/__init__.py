"""Run commands, copy and follow files on a host: this machine, or any other through the same contract.

Importing this does nothing; names are loaded when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .download import create_download_task as create_download_task
    from .errors import DownloadFailed as DownloadFailed
    from .errors import HostCommandError as HostCommandError
    from .errors import HostError as HostError
    from .host import Host as Host
    from .host import ProcessHandle as ProcessHandle
    from .host import RunResult as RunResult
    from .host import make_host as make_host
    from .local.host import LocalHost as LocalHost
    from .types import SSHConfig as SSHConfig

_HOME_OF = {
    "DownloadFailed": "errors",
    "Host": "host",
    "HostCommandError": "errors",
    "HostError": "errors",
    "LocalHost": "local.host",
    "ProcessHandle": "host",
    "RunResult": "host",
    "SSHConfig": "types",
    "create_download_task": "download",
    "make_host": "host",
}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
