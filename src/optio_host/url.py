"""From the name or URL of a host, as a person writes it, to what it means. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from .types import SSHConfig

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?")
_EXPECTED = "expected local:, ssh://[user@]host[:port][/directory], or a name from ~/.ssh/config"


@dataclass(frozen=True, slots=True)
class HostAddress:
    """Where a host is.

    Attributes:
        ssh: how to reach it; None is this machine.
        root: absolute path of the directory to use there; None if the URL names none.
    """

    ssh: SSHConfig | None
    root: str | None


def parse_host_url(url: str) -> HostAddress:
    """What a host URL means. ValueError if it means nothing; a password in it is refused and never shown.

    Parameters:
        url: `local:[/directory]`, `ssh://[user@]host[:port][/directory]`, or a name from ~/.ssh/config. In a URL,
            user and directory may be percent-encoded; an IPv6 address stands in brackets.
    """
    if not url.isprintable() or url != url.strip():
        raise ValueError(f"a host URL with control characters or blanks around it; {_EXPECTED}")
    scheme, colon, rest = url.partition(":")
    if not colon and _NAME.fullmatch(url):
        return HostAddress(SSHConfig(url, "", "", port=0), None)
    if colon and scheme == "local":
        if rest and not rest.startswith("/"):
            raise ValueError("the directory of a local: host must be absolute, as in local:/srv/app")
        return HostAddress(None, _directory(rest))
    if colon and scheme == "ssh" and rest.startswith("//"):
        return _ssh(rest[2:])
    # It may be a mistyped URL with a password in it: only what cannot hold one is repeated.
    shown = f"{scheme}:..." if colon else f"{url!r}" if "@" not in url else "this"
    raise ValueError(f"{shown} is no host; {_EXPECTED}")


def _ssh(rest: str) -> HostAddress:
    authority, slash, path = rest.partition("/")
    login, at, place = authority.rpartition("@")
    if ":" in login:
        raise ValueError("a password in a host URL: it would show in process lists and logs. Use a key or ssh-agent")
    if "?" in place + path or "#" in place + path:
        raise ValueError(f"a host URL has no ?query and no #fragment (write %3F or %23 in a directory); {_EXPECTED}")
    user = _decoded(login)
    if at and (not user or ":" in user or user.startswith("-")):
        raise ValueError("the part before @ in a host URL must be a login name, without a password")
    host, port = _place(place)
    return HostAddress(SSHConfig(host, user, "", port=port), _directory(slash + path))


def _place(place: str) -> tuple[str, int]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", place)
    if bracketed:
        host, digits = _decoded(bracketed[1]), bracketed[2]
        valid = _IPV6.fullmatch(host)
    else:
        host, colon, after = place.partition(":")
        digits = after if colon else None
        host = _decoded(host)
        valid = _NAME.fullmatch(host)
    if not valid:
        raise ValueError(f"{host!r} in a host URL names no host; an IPv6 address stands in brackets; {_EXPECTED}")
    if digits is None:
        return host, 0
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not 1 <= int(digits) <= 65535:
        raise ValueError("the port in a host URL is a number from 1 to 65535")
    return host, int(digits)


def _directory(path: str) -> str | None:
    if path in ("", "/"):
        return None
    directory = _decoded(path)
    if "\0" in directory:
        raise ValueError("the directory in a host URL holds a NUL")
    return directory


def _decoded(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("a % in a host URL begins a byte in two hexadecimal digits; a percent sign itself is %25")
    # Paths on a host are bytes: those that are no UTF-8 stay what they are.
    return unquote(text, errors="surrogateescape")
