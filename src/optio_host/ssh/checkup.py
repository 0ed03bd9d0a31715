"""What the way to a host is like: who it proved to be, what a login costs, and how many commands it takes at once."""

import anyio
import anyio.to_thread
import asyncssh

from ..checkup import Finding
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import ConnectFailed
from ..types import AcceptNew, CertificateAuthority, InsecureAcceptAnyKey, KnownHosts, PinnedKey, SSHConfig
from .connect import connect
from .known_hosts import fingerprint, read_known_keys
from .pool import SESSIONS
from .shell import SLOW_LOGIN
from .target import Target, resolve

TRIED_SESSIONS = 10
"""Sessions that are opened at once to see how many may be: what OpenSSH allows."""

LOGINS = 3
"""How often the cost of a login is measured; the quickest counts."""

LOGIN_SECONDS = 30.0
"""How long a command that does nothing may take."""

NOISE_LIMIT = 64 * 1024
"""Bytes of what rc files print that are counted."""

_MARK = b"optio-checkup"


async def look_at_link(config: SSHConfig, *, clock: Clock = SYSTEM_CLOCK) -> list[Finding]:
    """What can be told without trusting the login shell. What prevents a connection is a finding, too."""
    began = clock.monotonic()
    try:
        target = await anyio.to_thread.run_sync(resolve, config)
        connection = await connect(config)
    except ConnectFailed as error:
        return [Finding(error.step, "fails", f"{error}; nothing else was looked at")]
    took = clock.monotonic() - began
    try:
        way = f", over {', '.join(hop.label.partition(' ')[0] for hop in target.hops)}" if target.hops else ""
        return [
            Finding("reachable", "ok", f"{connection.label} in {1000 * took:.0f} ms{way}"),
            await _identity(target, connection.ssh),
            *await _login(connection.ssh, clock),
            await _sessions(connection.ssh),
        ]
    except (asyncssh.Error, OSError, TimeoutError) as error:
        why = str(error) or f"no answer for {LOGIN_SECONDS:g} s"
        return [Finding("commands", "fails", f"no command can be run: {why}", "is the account allowed to log in?")]
    finally:
        connection.close()
        with anyio.CancelScope(shield=True):
            await connection.wait_closed()


async def _identity(target: Target, ssh: asyncssh.SSHClientConnection) -> Finding:
    key = ssh.get_server_host_key()
    shown = f"{key.get_algorithm()} {fingerprint(key.public_data)}" if key else "its key"
    match target.host_key:
        case InsecureAcceptAnyKey():
            return Finding("host key", "fails", f"{shown}, and any key is taken", "choose a way to verify it")
        case PinnedKey():
            return Finding("host key", "ok", f"{shown}, as pinned")
        case CertificateAuthority():
            return Finding("host key", "ok", "a certificate of the authority that is asked for")
        case KnownHosts(files) | AcceptNew(files):
            known = await anyio.to_thread.run_sync(read_known_keys, files, target.known_as)
            places = [line.place for line in known if key is not None and line.key == key.public_data]
            places = places or [f"certified by {line.place}" for line in known if line.kind == "authority"]
            return Finding("host key", "ok", f"{shown}, {places[0] if places else 'verified'}")


async def _login(ssh: asyncssh.SSHClientConnection, clock: Clock) -> list[Finding]:
    quickest = LOGIN_SECONDS
    for _ in range(LOGINS):
        began = clock.monotonic()
        out, err = await _said(ssh)
        quickest = min(quickest, clock.monotonic() - began)
    before, mark, _ = out.partition(_MARK)
    if not mark:
        reason = f"the login shell does not run commands; it says {(out + err)[:200].decode(errors='replace')!r}"
        return [Finding("login shell", "fails", reason, "look at what its rc files (~/.bashrc, ~/.profile) do there")]
    found = f"{1000 * quickest:.0f} ms a command"
    cost = Finding("login shell", "ok", found)
    if quickest >= SLOW_LOGIN:
        remedy = "short commands share one shell, if python3 is there; make ~/.bashrc return early when not interactive"
        cost = Finding("login shell", "slow", found, remedy)
    if before or err:
        printed = (before + err)[:60].decode(errors="replace")
        return [
            cost,
            Finding("rc files", "ok", f"they print {len(before + err)} bytes, which are cut off: {printed!r}"),
        ]
    return [cost]


async def _said(ssh: asyncssh.SSHClientConnection) -> tuple[bytes, bytes]:
    with anyio.fail_after(LOGIN_SECONDS):
        command = f"echo {_MARK.decode()}"
        async with ssh.create_process(command, encoding=None, stdin=asyncssh.DEVNULL) as process:
            return await _all_of(process.stdout), await _all_of(process.stderr)


async def _all_of(stream: asyncssh.SSHReader[bytes]) -> bytes:
    said = b""
    while len(said) < NOISE_LIMIT and (chunk := await stream.read(NOISE_LIMIT)):
        said += chunk
    return said


async def _sessions(ssh: asyncssh.SSHClientConnection) -> Finding:
    opened = 0
    with anyio.move_on_after(LOGIN_SECONDS):
        for _ in range(TRIED_SESSIONS):
            try:
                await ssh.create_process("exec cat", encoding=None)  # it ends with the connection
            except asyncssh.ChannelOpenError:
                break
            opened += 1
    if opened >= SESSIONS:
        return Finding("MaxSessions", "ok", f"{opened} or more" if opened == TRIED_SESSIONS else str(opened))
    remedy = f"more connections are made for it; MaxSessions {TRIED_SESSIONS} in sshd_config there is better"
    return Finding("MaxSessions", "slow", str(opened), remedy)
