"""From the URL of a host to a host that is connected.

async with open_host("ssh://build-7") as host:
    print((await host.run_command("uname -a", cwd="/")).stdout)
"""

import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from .clock import SYSTEM_CLOCK, Clock
from .errors import FileRefused, HostError
from .job_shell import arguments, ask, farside
from .job_state import path_from_hex
from .paths import ensure_private_dir, state_dir
from .types import HostKeyCheck
from .url import HostAddress, parse_host_url

if TYPE_CHECKING:
    from .local.host import LocalHost
    from .ssh.host import RemoteHost

    AnyHost = LocalHost | RemoteHost

LOCAL = "local"
"""What this machine is called where a host has a name."""


def address_of(url: str) -> HostAddress:
    """What the URL or name of a host means; `local` is this machine. ValueError if it means nothing."""
    return parse_host_url("local:" if url == LOCAL else url)


@asynccontextmanager
async def open_host(
    url: str, *, host_key: HostKeyCheck | None = None, clock: Clock = SYSTEM_CLOCK
) -> "AsyncIterator[AnyHost]":
    """A connected host, for the time of the block.

    It stands on the directory of the URL; without one, on that where sessions are kept: `$XDG_STATE_HOME/optio` of the
    login there, else `~/.local/state/optio`. What is missing of it is made, for this user alone.

    Parameters:
        url: `local:[/directory]`, `ssh://[user@]host[:port][/directory]`, or a name from ~/.ssh/config.
        host_key: how the host's key is judged; None as in `SSHConfig`.
        clock: time, for tests.

    Raises ValueError for what is no URL of a host, ConnectFailed when there is no way to it, FileRefused when someone
    else could exchange that directory, HostError when it cannot be made.
    """
    async with connected(url, host_key=host_key, clock=clock) as host:
        yield host.at(await private_root(host, url))


@asynccontextmanager
async def connected(
    url: str, *, host_key: HostKeyCheck | None = None, clock: Clock = SYSTEM_CLOCK
) -> "AsyncIterator[AnyHost]":
    """The same before anything is made there: the host stands on `/`."""
    host = unconnected(url, "/", host_key=host_key, clock=clock)
    try:
        await host.connect()
        yield host
    finally:
        with anyio.CancelScope(shield=True):
            await host.disconnect()


def unconnected(
    url: str, taskdir: str, *, host_key: HostKeyCheck | None = None, clock: Clock = SYSTEM_CLOCK
) -> "AnyHost":
    """A host that connects when it is first used. The caller disconnects it.

    Parameters:
        url: as for `open_host`; its directory does not count.
        taskdir: absolute path there of the directory that it stands on.
        host_key: as for `open_host`.
        clock: time, for tests.
    """
    ssh = address_of(url).ssh
    if ssh is None:
        from .local.host import LocalHost

        return LocalHost(taskdir, clock=clock)
    from .ssh.host import RemoteHost

    return RemoteHost(ssh if host_key is None else replace(ssh, host_key=host_key), taskdir, clock=clock)


async def private_root(host: "AnyHost", url: str) -> str:
    """The directory that a URL says to stand on, on its host: there, and nobody else's.

    One that is made gets the mode 0700, and so does the one that is used when the URL names none.

    Raises FileRefused when someone else could exchange it, with what to do; HostError when it cannot be made.
    """
    address = address_of(url)
    if address.ssh is None and address.root is None:
        await anyio.to_thread.run_sync(ensure_private_dir, state_dir())
        return state_dir()
    root = posixpath.normpath(address.root) if address.root else ""
    script = farside("act", "root") + arguments("private_root", root)
    for key, value in await ask(host, script, what=f"making a private directory on {url}", rundir=root):
        path, _, reason = value.partition(" ")
        path = path_from_hex(path)
        match key:
            case "root":
                return path
            case "refused":
                raise FileRefused(path, f"(on {url}) {reason}")
            case "broken":
                raise HostError(f"{path}: cannot be made a private directory on {url}: {reason}")
    raise HostError(f"{url}: nothing sensible was said of the directory {root or 'for sessions'}")
