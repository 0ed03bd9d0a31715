"""The known_hosts file: which keys a host is known to have, and adding one. The format is that of sshd(8)."""

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .config_file import matches

LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of a known_hosts file that are read; a larger one is an error."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A line that speaks of the host that was looked up.

    Attributes:
        kind: the host's own key, that of an authority that signs its certificates, or one never to be believed.
        algorithm: type of the key, such as "ssh-ed25519".
        key: the public key as it goes over the wire.
        place: file and line.
        exact: it was written for this very port; else only for the host's name.
    """

    kind: Literal["host", "authority", "revoked"]
    algorithm: str
    key: bytes
    place: str
    exact: bool


def fingerprint(key: bytes) -> str:
    """How people compare keys: SHA256:..., as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).rstrip(b"=").decode()


def look_up(text: str, path: str, name: str) -> tuple[KnownKey, ...]:
    """What one file says of a host. Pure; a line that cannot be understood says nothing, as with `ssh`.

    Parameters:
        text: the content of the file.
        path: where it came from, for messages.
        name: the host in lower case, or "[host]:port".
    """
    plain = name[1:].partition("]")[0] if name.startswith("[") else name
    found: list[KnownKey] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        kind = _KINDS.get(marker)
        if kind is None or len(words) < 3 or words[0].startswith("#"):
            continue
        exact = _speaks_of(words[0], name)
        if exact or (plain != name and _speaks_of(words[0], plain)):
            try:
                key = base64.b64decode(words[2], validate=True)
            except (ValueError, binascii.Error):
                continue
            found.append(KnownKey(kind, words[1], key, f"{path} line {number}", exact))
    return tuple(found)


_KINDS: dict[str, Literal["host", "authority", "revoked"]] = {
    "": "host",
    "@cert-authority": "authority",
    "@revoked": "revoked",
}


def read_known_keys(paths: Iterable[str], name: str) -> tuple[KnownKey, ...]:
    """What several files say of a host, each if it is there. OSError, ValueError when one cannot be read."""
    found: list[KnownKey] = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                content = file.read(LARGEST_FILE + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if len(content) > LARGEST_FILE:
            raise ValueError(f"{path} is larger than {LARGEST_FILE} bytes")
        found += look_up(content.decode(errors="replace"), path, name)
    return tuple(found)


def remember(path: str, name: str, algorithm: str, key: bytes, *, hashed: bool) -> tuple[KnownKey, ...]:
    """Add a host's key, unless the file knows the host by now; what it then says of the host.

    Other processes may do the same at once: a lock orders those, and a line goes in by one append.

    Parameters:
        path: of the file; made with mode 0600, its directory with 0700.
        name: the host, or "[host]:port".
        hashed: write the name so that it cannot be read back.
    """
    directory = os.path.dirname(path) or "."
    os.makedirs(directory, mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        # The lock goes with the descriptor, whatever happens.
        fcntl.flock(file, fcntl.LOCK_EX)
        content = _all_of(file.fileno())
        known = tuple(line for line in look_up(content.decode(errors="replace"), path, name) if line.exact)
        if any(line.kind != "authority" for line in known):
            return known
        shown = _hashed(name, os.urandom(20)) if hashed else name
        line = f"{shown} {algorithm} {base64.b64encode(key).decode()}\n".encode()
        if content and not content.endswith(b"\n"):
            line = b"\n" + line
        if os.write(file.fileno(), line) != len(line):
            raise OSError(f"{path}: no room for a whole line")
        os.fsync(file.fileno())
    number = content.count(b"\n") + (1 if line[:1] != b"\n" else 2)
    return (*known, KnownKey("host", algorithm, key, f"{path} line {number}", True))


def _all_of(descriptor: int) -> bytes:
    chunks: list[bytes] = []
    while chunk := os.pread(descriptor, 1024 * 1024, sum(map(len, chunks))):
        chunks.append(chunk)
    return b"".join(chunks)


def _speaks_of(field: str, name: str) -> bool:
    if not field.startswith("|"):
        return matches(field.lower().split(","), name)
    try:
        _, version, salt, _ = field.split("|")
        return version == "1" and hmac.compare_digest(field, _hashed(name, base64.b64decode(salt, validate=True)))
    except (ValueError, TypeError, binascii.Error):
        return False


def _hashed(name: str, salt: bytes) -> str:
    digest = hmac.new(salt, name.encode(), "sha1").digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
