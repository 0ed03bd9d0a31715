"""Everything that is decided about a connection before it is made: SSHConfig and ~/.ssh/config taken together."""

import getpass
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import ConnectFailed
from ..types import (
    AcceptNew,
    CertificateAuthority,
    HostKeyCheck,
    InsecureAcceptAnyKey,
    KnownHosts,
    PinnedKey,
    SSHConfig,
)
from ..url import parse_host_url
from .config_file import Directives, Value, read_directives

_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_DEFAULT_KEYS = [f"~/.ssh/id_{kind}" for kind in ("ed25519", "ecdsa", "rsa", "ed25519_sk", "ecdsa_sk")]
_MOST_HOPS = 8


@dataclass(frozen=True, slots=True)
class Target:
    """One host to log in to, with every choice made.

    Attributes:
        label: "user@host:port", for messages; of a jump host also what it is on the way to.
        host: name or address to connect to.
        port: TCP port.
        user: login name there.
        known_as: its name in known_hosts.
        host_key: how its key is judged; where that is by files, `files` names them all.
        hash_names: whether its name is hashed when it is remembered.
        key_files: paths of private keys to try, in this order.
        key_required: whether each of these must be usable; those that `ssh` tries by itself need not be there.
        certificate_files: certificates that may belong to the keys.
        agent: path of the agent's socket, or None.
        agent_only_files: of the agent's keys only those that are also in `key_files`.
        family: address family, of `socket`.
        bind_address: local address to connect from, or None.
        hops: hosts on the way, the first one first; none of them has hops of its own.
        config: the remaining choices.
    """

    label: str
    host: str
    port: int
    user: str
    known_as: str
    host_key: HostKeyCheck
    hash_names: bool
    key_files: tuple[str, ...]
    key_required: bool
    certificate_files: tuple[str, ...]
    agent: str | None
    agent_only_files: bool
    family: int
    bind_address: str | None
    hops: "tuple[Target, ...]"
    config: SSHConfig

    @property
    def certified_as(self) -> str:
        """The name that a certificate of the host must hold."""
        return self.known_as[1:].partition("]")[0] if self.known_as.startswith("[") else self.known_as


def resolve(config: SSHConfig) -> Target:
    """Make every choice about a connection. Reads configuration files, nothing else.

    Raises ConnectFailed, final, with file and line, for a configuration that is not supported or not understood.
    """
    return _resolve(config, 0)


def _resolve(config: SSHConfig, depth: int) -> Target:
    local_user = _local_user()
    said = read_directives(config.host, config.user, local_user, config.config_files, _decided(config))
    host = (said.word("hostname") or config.host).replace("%h", config.host).replace("%%", "%")
    port = config.port or _number(said, "port", config.host) or 22
    user = config.user or said.word("user") or local_user
    expand = _Expansion(config.host, host, port, user, local_user)
    label = f"{user}@{f'[{host}]' if ':' in host else host}:{port}"
    alias, name = (said.word("hostkeyalias") or "").lower(), host.lower()
    files = [config.key_path] if config.key_path else expand.all(said.gathered.get("identityfile", ()))
    hops = _hops(config, said, label, depth)
    family = said.word("addressfamily") or "any"
    if family not in _FAMILIES:
        raise _unclear(config.host, said.single["addressfamily"], "AddressFamily is any, inet or inet6")
    return Target(
        label=label,
        host=host,
        port=port,
        user=user,
        known_as=alias or (name if port == 22 else f"[{name}]:{port}"),
        host_key=_host_key(config, said, expand),
        hash_names=_yes(said, "hashknownhosts", config.host),
        key_files=tuple(dict.fromkeys(map(os.path.expanduser, files or _DEFAULT_KEYS))),
        key_required=bool(config.key_path),
        certificate_files=tuple(expand.all(said.gathered.get("certificatefile", ()))),
        agent=_agent(config, said, expand),
        agent_only_files=bool(config.key_path) or _yes(said, "identitiesonly", config.host),
        family=_FAMILIES[family],
        bind_address=said.word("bindaddress"),
        hops=hops,
        config=config,
    )


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container there may be none of that number.
        return str(os.getuid())


def _decided(config: SSHConfig) -> set[str]:
    decided: set[str] = set()
    if config.user:
        decided.add("user")
    if config.port:
        decided.add("port")
    if config.key_path:
        decided |= {"identityfile", "identitiesonly", "pkcs11provider"}
    if not config.agent:
        decided.add("identityagent")
    if config.jump is not None:
        decided |= {"proxyjump", "proxycommand", "proxyusefdpass"}
    if config.host_key is not None:
        decided |= {"stricthostkeychecking", "knownhostscommand", "verifyhostkeydns"}
    if isinstance(config.host_key, PinnedKey | CertificateAuthority | InsecureAcceptAnyKey):
        decided.add("revokedhostkeys")
    return decided


def _host_key(config: SSHConfig, said: Directives, expand: "_Expansion") -> HostKeyCheck:
    match config.host_key:
        case PinnedKey() | CertificateAuthority() | InsecureAcceptAnyKey():
            return config.host_key
        case KnownHosts(files) | AcceptNew(files) if files:
            return replace(config.host_key, files=tuple(os.path.expanduser(path) for path in files))
        case KnownHosts() | AcceptNew() | None:
            own = expand.list(said, "userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")
            shared = expand.list(said, "globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2")
            new = isinstance(config.host_key, AcceptNew)
    strict = said.single.get("stricthostkeychecking")
    match strict.words[0].lower() if strict else "yes":
        case "yes" | "true" | "ask":
            pass
        case "accept-new":
            new = True
        case word:
            assert strict is not None
            raise _unclear(
                config.host,
                strict,
                f"StrictHostKeyChecking {word} is not supported: it would take whatever answers for the host. Write "
                "accept-new there, or say host_key=InsecureAcceptAnyKey()",
            )
    if new and not own:
        raise ConnectFailed(
            config.host, "ssh configuration", "accept-new has no file to remember keys in (UserKnownHostsFile none)",
            final=True,
        )  # fmt: skip
    return AcceptNew((*own, *shared)) if new else KnownHosts((*own, *shared))


def _agent(config: SSHConfig, said: Directives, expand: "_Expansion") -> str | None:
    path = said.single.get("identityagent")
    if not config.agent:
        return None
    word = path.words[0] if path else "SSH_AUTH_SOCK"
    if path is None or word == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    if word.startswith("$") and not word.startswith("${"):
        return os.environ.get(word[1:]) or None
    return None if word.lower() == "none" else expand.one(word, path.place)


def _hops(config: SSHConfig, said: Directives, label: str, depth: int) -> tuple[Target, ...]:
    jump = said.single.get("proxyjump")
    if config.jump is not None:
        wanted = config.jump
    elif jump is None or jump.words[0].lower() == "none":
        return ()
    else:
        wanted = tuple(_hop(config, part, jump) for part in ",".join(jump.words).split(",") if part)
    hops: list[Target] = []
    for hop in wanted:
        # As with `ssh -J a,b`: only the first is reached in its own way, each further one through the one before.
        chosen = replace(hop, jump=()) if hops else hop
        if depth + len(hops) >= _MOST_HOPS:
            raise ConnectFailed(label, "ssh configuration", f"more than {_MOST_HOPS} jump hosts, or a ring", final=True)
        target = _resolve(chosen, depth + 1)
        hops += [*target.hops, replace(target, hops=())]
    return tuple(replace(hop, label=_on_the_way(hop.label, label)) for hop in hops)


def _on_the_way(hop: str, label: str) -> str:
    return f"{hop.partition(' ')[0]} (jump host to {label})"


def _hop(config: SSHConfig, written: str, directive: Value) -> SSHConfig:
    try:
        hop = parse_host_url(written if written.startswith("ssh://") else f"ssh://{written}").ssh
    except ValueError as error:
        raise _unclear(config.host, directive, f"ProxyJump: {error}") from None
    assert hop is not None
    return replace(
        config, host=hop.host, user=hop.user, port=hop.port, key_path="", host_key=None, jump=None
    )  # the keys of the host itself were not meant for the hosts on the way


@dataclass(frozen=True, slots=True)
class _Expansion:
    """What ssh_config(5) lets a path say: ~, ${NAME}, and tokens such as %h."""

    original: str
    host: str
    port: int
    user: str
    local_user: str

    def one(self, text: str, place: str) -> str:
        here = socket.gethostname()
        tokens = {
            "%": "%", "d": os.path.expanduser("~"), "h": self.host, "i": str(os.getuid()), "L": here.split(".")[0],
            "l": here, "n": self.original, "p": str(self.port), "r": self.user, "u": self.local_user,
        }  # fmt: skip

        def look_up(table: Callable[[str], str | None], found: "re.Match[str]") -> str:
            value = table(found[1])
            if value is None:
                raise ConnectFailed(
                    self.original, "ssh configuration", f"{place}: {found[0]} stands for nothing here", final=True
                )
            return value

        text = re.sub(r"%(.?)", lambda found: look_up(tokens.get, found), text)
        return os.path.expanduser(re.sub(r"\$\{(.*?)\}", lambda found: look_up(os.environ.get, found), text))

    def all(self, values: tuple[Value, ...]) -> list[str]:
        return [self.one(value.words[0], value.place) for value in values if value.words[0].lower() != "none"]

    def list(self, said: Directives, name: str, default: str) -> tuple[str, ...]:
        value = said.single.get(name) or Value(tuple(default.split()), "default")
        if value.words[0].lower() == "none":
            return ()
        return tuple(self.one(word, value.place) for word in value.words)


def _number(said: Directives, name: str, host: str) -> int:
    value = said.single.get(name)
    if value is None:
        return 0
    if not re.fullmatch("[0-9]{1,5}", value.words[0]) or not 1 <= int(value.words[0]) <= 65535:
        raise _unclear(host, value, f"{value.words[0]!r} is no port")
    return int(value.words[0])


def _yes(said: Directives, name: str, host: str) -> bool:
    value = said.single.get(name)
    if value is None or value.words[0].lower() in ("no", "false"):
        return False
    if value.words[0].lower() in ("yes", "true"):
        return True
    raise _unclear(host, value, f"{name} is yes or no, not {value.words[0]!r}")


def _unclear(host: str, value: Value, reason: str) -> ConnectFailed:
    return ConnectFailed(host, "ssh configuration", f"{value.place}: {reason}", final=True)
