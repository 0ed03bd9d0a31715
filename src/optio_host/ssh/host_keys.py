"""Whether the key that a host shows is that of the host one wanted: the only place where this is decided."""

import base64
from contextlib import suppress
from dataclasses import dataclass

import anyio.to_thread
import asyncssh

from ..errors import TEMPORARY, ConnectFailed, HostKeyRefused
from ..types import AcceptNew, CertificateAuthority, InsecureAcceptAnyKey, KnownHosts, PinnedKey
from .known_hosts import KnownKey, fingerprint, read_known_keys, remember
from .target import Target

_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
_OF_RSA_KEYS = ("rsa-sha2-512", "rsa-sha2-256")


@dataclass
class HostKeyJudge:
    """Judges what one host shows on one connection.

    Attributes:
        target: the host.
        known: what files say of it.
        refusal: why it was refused; set before the connection is given up.
        new: the key that is to be remembered once the connection stands, or None.
    """

    target: Target
    known: tuple[KnownKey, ...]
    refusal: HostKeyRefused | None = None
    new: asyncssh.SSHKey | None = None

    def algorithms(self) -> list[str]:
        """Which kinds of key to ask the host for, the ones that are known of it first."""
        certificates = [f"{name}-cert-v01@openssh.com" for name in _ALGORITHMS]
        if isinstance(self.target.host_key, CertificateAuthority):
            return certificates
        keys = {key.algorithm for key in self.known if key.kind == "host"}
        names = {name for key in keys for name in (_OF_RSA_KEYS if key == "ssh-rsa" else (key,))}
        ordered = sorted(_ALGORITHMS, key=lambda name: name not in names)
        return [*certificates, *ordered] if any(key.kind == "authority" for key in self.known) else ordered

    def revoked(self) -> list[asyncssh.SSHKey]:
        """Keys that the host must neither show nor have its certificate signed by."""
        keys: list[asyncssh.SSHKey] = []
        for known in self.known:
            if known.kind == "revoked":
                line = f"{known.algorithm} {base64.b64encode(known.key).decode()}"
                # The library can be shown no key that it cannot read either.
                with suppress(asyncssh.KeyImportError):
                    keys.append(asyncssh.import_public_key(line))
        return keys

    def judge_key(self, key: asyncssh.SSHKey) -> bool:
        """Whether a plain key is the host's."""
        shown = f"{key.get_algorithm()} {fingerprint(key.public_data)}"
        match self.target.host_key:
            case InsecureAcceptAnyKey():
                return True
            case PinnedKey(wanted):
                if fingerprint(key.public_data) == wanted:
                    return True
                return self._refuse(f"it showed {shown}, and {wanted} is pinned. Do not go on before you know why")
            case CertificateAuthority():
                return self._refuse(f"it showed {shown}, and no certificate of the authority that is asked for")
            case KnownHosts() | AcceptNew():
                return self._judge_by_files(key, shown)

    def judge_authority(self, key: asyncssh.SSHKey) -> bool:
        """Whether certificates that this authority signed are believed; their names and dates are checked elsewhere."""
        shown = f"{key.get_algorithm()} {fingerprint(key.public_data)}"
        match self.target.host_key:
            case InsecureAcceptAnyKey():
                return True
            case CertificateAuthority(line):
                trusted = base64.b64decode(line.split()[1]) == key.public_data
            case KnownHosts() | AcceptNew():
                trusted = any(known.kind == "authority" and known.key == key.public_data for known in self.known)
            case PinnedKey():
                trusted = False
        return trusted or self._refuse(f"its certificate is signed by {shown}, which is not trusted for it")

    def explain(self, error: asyncssh.HostKeyNotVerifiable) -> HostKeyRefused:
        """The error for what the library refused by itself: revoked keys and certificates that do not hold."""
        if self.refusal is not None:
            return self.refusal
        if "revoked" in error.reason:
            places = ", ".join(key.place for key in self.known if key.kind == "revoked")
            return self._refusal(f"its key is marked as never to be believed ({places})")
        return self._refusal(f"its certificate does not hold: {error.reason}")

    async def remember(self) -> None:
        """Write down the key that was accepted as new. Raises HostKeyRefused when that cannot be done.

        Called when the host has proved that the key is its own.
        """
        key, choice = self.new, self.target.host_key
        if key is None or not isinstance(choice, AcceptNew):
            return
        path, name = choice.files[0], self.target.known_as
        try:
            known = await anyio.to_thread.run_sync(
                lambda: remember(
                    path, name, _algorithm(key.public_data), key.public_data, hashed=self.target.hash_names
                )
            )
        except OSError as error:
            raise self._refusal(f"its key is new, and cannot be remembered in {path}: {error.strerror}") from error
        if not any(line.kind == "host" and line.key == key.public_data for line in known):
            # Another process met the host at the same time, and another key.
            raise self._refusal(self._changed(f"{key.get_algorithm()} {fingerprint(key.public_data)}", known))

    def _judge_by_files(self, key: asyncssh.SSHKey, shown: str) -> bool:
        of_the_host = [known for known in self.known if known.kind == "host"]
        if any(known.key == key.public_data for known in of_the_host):
            return True
        if any(known.exact for known in of_the_host):
            return self._refuse(self._changed(shown, tuple(known for known in of_the_host if known.exact)))
        authorities = [known.place for known in self.known if known.kind == "authority"]
        if authorities:
            return self._refuse(f"it showed {shown}, and no certificate of the authority in {', '.join(authorities)}")
        if isinstance(self.target.host_key, AcceptNew):
            self.new = key
            return True
        assert isinstance(self.target.host_key, KnownHosts)
        return self._refuse(
            f"it is not known: it showed {shown}, and {self.target.known_as} is in none of "
            f"{', '.join(self.target.host_key.files) or 'no files'}. Compare that with what the host's owner says, "
            f"then log in once with ssh, or add this line: {self.target.known_as} "
            f"{key.export_public_key().decode().strip()}; or choose AcceptNew (StrictHostKeyChecking accept-new)"
        )

    def _changed(self, shown: str, known: tuple[KnownKey, ...]) -> str:
        expected = ", ".join(
            f"{line.algorithm} {fingerprint(line.key)} ({line.place})" for line in known if line.kind != "authority"
        )
        return (
            f"it has changed: it showed {shown}, and known is {expected}. Someone may be in between. If the host's "
            f"owner says that it has a new key, remove that line: ssh-keygen -R {self.target.known_as!r}"
        )

    def _refuse(self, reason: str) -> bool:
        self.refusal = self._refusal(reason)
        return False

    def _refusal(self, reason: str) -> HostKeyRefused:
        return HostKeyRefused(self.target.label, reason)


async def judge(target: Target) -> HostKeyJudge:
    """Who judges a host's key, with what files say of it. Raises HostKeyRefused when one cannot be read."""
    match target.host_key:
        case KnownHosts(files) | AcceptNew(files):
            try:
                known = await anyio.to_thread.run_sync(read_known_keys, files, target.known_as)
            except (OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno in TEMPORARY:
                    raise ConnectFailed(target.label, "host key", f"known_hosts cannot be read now: {error}") from error
                raise HostKeyRefused(target.label, f"known_hosts cannot be read: {error}") from error
            return HostKeyJudge(target, known)
        case PinnedKey() | CertificateAuthority() | InsecureAcceptAnyKey():
            return HostKeyJudge(target, ())


def _algorithm(public_data: bytes) -> str:
    # The type stands first in the key, by its length (RFC 4253, 6.6); that of signatures may be another one.
    size = int.from_bytes(public_data[:4], "big")
    return public_data[4 : 4 + size].decode("ascii")
