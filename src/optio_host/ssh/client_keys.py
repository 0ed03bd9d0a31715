"""The keys that are offered to a host, in order, and why others are not."""

import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import asyncssh

from ..errors import AuthenticationRefused
from ..types import Passphrase
from .known_hosts import fingerprint
from .target import Target

AGENT_DEADLINE = 5.0
"""Seconds in which an agent must say which keys it has."""

_LARGEST_KEY = 256 * 1024


class _Unusable(Exception):
    """A key file that cannot be used, with the reason and the remedy in words."""


@dataclass
class ClientKeys:
    """Keys to be offered one after the other.

    Attributes:
        waiting: those not offered yet, each with how a person knows it.
        offered: how a person knows those that were.
        unusable: reasons why further ones were not.
    """

    waiting: list[tuple[str, asyncssh.SSHKeyPair]]
    unusable: list[str]
    offered: list[str] = field(default_factory=list)

    def next(self) -> asyncssh.SSHKeyPair | None:
        """The next key to offer, or None."""
        if not self.waiting:
            return None
        name, pair = self.waiting.pop(0)
        self.offered.append(name)
        return pair

    def refusal(self) -> str:
        """What was tried, for the message when none was accepted."""
        tried = f"it accepted none of: {', '.join(self.offered)}" if self.offered else "there was no key to offer"
        return "; ".join((tried, *self.unusable))


@asynccontextmanager
async def client_keys(target: Target) -> AsyncGenerator[ClientKeys]:
    """The keys for a host: those of the agent that are also in files, its others, then files. The agent is held open.

    Raises AuthenticationRefused when the one key that was asked for cannot be used, with the remedy.
    """
    wanted = await anyio.to_thread.run_sync(_public_keys, target.key_files)
    unusable: list[str] = []
    agent = asyncssh.SSHAgentClient(target.agent) if target.agent else None
    try:
        held = await _held_by(agent, target, unusable) if agent else []
        held.sort(key=lambda pair: pair.public_data not in wanted)
        if target.agent_only_files:
            held = [pair for pair in held if pair.public_data in wanted]
        waiting = [(_name("agent", pair), pair) for pair in held]
        for path in target.key_files:
            try:
                pairs = await anyio.to_thread.run_sync(_load, path, target.certificate_files, target.config.passphrase)
            except FileNotFoundError:
                if target.key_required and not held:
                    raise AuthenticationRefused(target.label, f"{path}: no such key file") from None
            except _Unusable as reason:
                if target.key_required and not held:
                    raise AuthenticationRefused(target.label, f"{path}: {reason}") from None
                unusable.append(f"{path}: {reason}")
            else:
                known = {pair.public_data for _, pair in waiting}
                waiting += [(_name(path, pair), pair) for pair in pairs if pair.public_data not in known]
        yield ClientKeys(waiting, unusable)
    finally:
        if agent is not None:
            agent.close()
            with anyio.CancelScope(shield=True), anyio.move_on_after(AGENT_DEADLINE):
                await agent.wait_closed()


async def _held_by(agent: asyncssh.SSHAgentClient, target: Target, unusable: list[str]) -> list[asyncssh.SSHKeyPair]:
    try:
        with anyio.fail_after(AGENT_DEADLINE):
            return list(await agent.get_keys())
    except TimeoutError:
        unusable.append(f"ssh-agent at {target.agent} did not answer within {AGENT_DEADLINE:g} s")
    except (OSError, ValueError) as error:
        unusable.append(f"ssh-agent at {target.agent} cannot be asked: {error}")
    return []


def _public_keys(paths: tuple[str, ...]) -> frozenset[bytes]:
    """The public parts of key files, as far as they can be read without a passphrase."""
    found: set[bytes] = set()
    for path in paths:
        # The private file in OpenSSH's format holds it too.
        for candidate in (f"{path}.pub", path):
            try:
                found.add(asyncssh.import_public_key(_content(candidate)).public_data)
            except (OSError, ValueError, _Unusable, asyncssh.KeyImportError):
                continue
            break
    return frozenset(found)


def _load(path: str, certificates: tuple[str, ...], passphrase: Passphrase | None) -> list[asyncssh.SSHKeyPair]:
    content = _content(path)
    key = _opened(path, content, passphrase)
    paths = [place for place in (*certificates, f"{path}-cert.pub") if os.path.exists(place)]
    try:
        return list(asyncssh.load_keypairs([key], certlist=paths))
    except (OSError, ValueError) as error:
        raise _Unusable(f"its certificate cannot be used ({', '.join(paths)}): {error}") from error


def _opened(path: str, content: bytes, passphrase: Passphrase | None) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(content)
    except asyncssh.KeyImportError as error:
        if "assphrase" not in str(error):
            raise _Unusable("this is no private key that can be read; ssh-keygen -y -f shows what it is") from error
    if passphrase is None:
        raise _Unusable("it is encrypted: give its passphrase, or add it to the agent (ssh-add)")
    try:
        return asyncssh.import_private_key(content, passphrase if isinstance(passphrase, str) else passphrase(path))
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        # Not chained: what it was tried with could be in the frames of that error.
        raise _Unusable("it is encrypted, and the passphrase does not open it") from None


def _content(path: str) -> bytes:
    try:
        # A FIFO would be waited for, for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _Unusable(f"cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _Unusable("not a regular file")
        content = os.read(descriptor, _LARGEST_KEY + 1)
    finally:
        os.close(descriptor)
    if len(content) > _LARGEST_KEY:
        raise _Unusable("too large for a key")
    # The same judgement as that of ssh: a key that others can read is theirs too.
    if b"PRIVATE KEY" in content and status.st_uid == os.getuid() and stat.S_IMODE(status.st_mode) & 0o077:
        raise _Unusable(f"others can read it (mode {stat.S_IMODE(status.st_mode):04o}); chmod 600")
    return content


def _name(source: str, pair: asyncssh.SSHKeyPair) -> str:
    kind = " certificate" if pair.has_cert else ""
    return f"{source}{kind} {fingerprint(pair.public_data)}"
