"""How a host is named and known: URLs, ~/.ssh/config, known_hosts."""

import atexit
import base64
import getpass
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from fuzz.target import Choices, target
from optio_host.errors import ConnectFailed
from optio_host.ssh.config_file import Directives, read_directives
from optio_host.ssh.config_rules import GATHERED, SINGLE
from optio_host.ssh.known_hosts import look_up, remember
from optio_host.url import parse_host_url

HOST = "build-7"
PASSWORD = "hunter2-secret"


@target
def host_urls(data: bytes) -> None:
    """A URL means a host that no program takes for an option, or is refused without showing a password in it."""
    choices = Choices(data)
    url = choices.pick(("", "ssh://", "local:", f"ssh://u:{PASSWORD}@", f"ssh:/u:{PASSWORD}@")) + choices.rest().decode(
        "utf-8", "surrogateescape"
    )
    try:
        address = parse_host_url(url)
    except ValueError as error:
        assert PASSWORD not in str(error)
        return
    assert url.isprintable()
    if address.root is not None:
        assert address.root.startswith("/")
        assert "\0" not in address.root
    if address.ssh is None:
        assert url.startswith("local:")
        return
    assert f":{PASSWORD}@" not in url
    for word in (address.ssh.host, address.ssh.user):
        assert not word.startswith("-")
    assert address.ssh.host
    assert not set(address.ssh.host) & set(" \t\n'\"\\$`;|&<>()*?[]{}!#/@")
    assert ":" not in address.ssh.user
    assert 0 <= address.ssh.port <= 65535


@cache
def scratch() -> Path:
    """A directory for what must be in a file; in memory where that is possible."""
    shared = Path("/dev/shm")
    directory = tempfile.mkdtemp(prefix="optio-fuzz-", dir=shared if os.access(shared, os.W_OK) else None)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def directives(text: bytes) -> Directives | None:
    """What a configuration says of the host; None when it is refused."""
    file = scratch() / "config"
    file.write_bytes(text)
    file.chmod(0o600)
    try:
        return read_directives(HOST, "", "me", (str(file),))
    except ConnectFailed as error:
        assert error.final
        return None


def said(found: Directives | None) -> object:
    """The words, without the places."""
    if found is None:
        return None
    single = {name: value.words for name, value in found.single.items()}
    return single, {name: [value.words for value in values] for name, values in found.gathered.items()}


@target
def ssh_config(data: bytes) -> None:
    """A configuration is understood or refused. First words hold; what is only for another host changes nothing."""
    if b"include" in data.lower():
        return  # it names files of the machine that this runs on
    found = directives(data)
    if found is None:
        return
    assert set(found.single) <= SINGLE
    assert set(found.gathered) <= GATHERED
    assert all(value.words for value in found.single.values())
    other = b"\nHost other-host\n  HostName elsewhere\n  ProxyCommand run me\n  \x00\n"
    assert said(directives(data + other)) == said(found)
    assert said(directives(b"# a remark\n\n" + data)) == said(found)
    # Behind all of it, nothing that was said once can be said again.
    again = directives(data + b"\nHost *\n  HostName elsewhere\n  Port 99\n  User nobody\n")
    assert again is not None
    for name, value in found.single.items():
        assert again.single[name].words == value.words


KEYWORDS = ("HostName", "Port", "User", "Host", "Match", "IdentitiesOnly", "HostKeyAlias", "port", "USER")
VALUES = (
    "build-7", "*", "!build-7", "build-?", "far.example.org", "22", "2222", "alice", "bob", "yes", "no", "host",
    "originalhost", "all", "user", "localuser", "build-*,!build-8", "build-7,other", '"build-7"', "'alice'", "%h.lan",
    "x y", '"x y"', "# remark", "alice#1", '"al"ice', "host=build-7", "!host", "=", "\\",
)  # fmt: skip
BETWEEN = (" ", "  ", "\t", "=", " = ", "\r", "")


@target
def ssh_config_as_ssh(data: bytes) -> None:
    """What is understood of a configuration is what `ssh -G` makes of it. Nothing in these lines can be run by it."""
    choices = Choices(data)
    lines = []
    while choices.left and len(lines) < 12:
        words = [choices.pick(KEYWORDS), choices.pick(BETWEEN)]
        words += [f"{value}{choices.pick((' ', ''))}" for value in choices.pieces(VALUES, 3)]
        lines.append("".join(words))
    text = "\n".join(lines).encode() + b"\n"
    found = directives(text)
    ssh = shutil.which("ssh")
    if found is None or ssh is None or (found.word("hostname") or "").isdigit():
        return  # ssh reads a number as an IP address
    (scratch() / "config").write_bytes(text)
    run = subprocess.run(
        [ssh, "-G", "-F", scratch() / "config", HOST], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    if run.returncode != 0:
        return  # ssh is stricter in some places; what it takes is what counts
    theirs: dict[str, str] = {}
    for line in run.stdout.decode().splitlines():
        name, _, value = line.partition(" ")
        theirs.setdefault(name, value)
    ours = {
        "hostname": (found.word("hostname") or HOST).replace("%h", HOST),
        "port": found.word("port") or "22",
        "user": found.word("user") or getpass.getuser(),
    }
    assert ours == {name: theirs[name] for name in ours}, text


KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode()


@target
def known_hosts(data: bytes) -> None:
    """Each line speaks for itself; a host that is added is found, once, and the lines before it stay what they were."""
    choices = Choices(data)
    name = choices.pick(("far", "[far]:2222", "10.0.0.1", "[::1]:22", "far.example.org"))
    hashed = choices.flag()
    text = choices.rest().decode("utf-8", "replace").replace("far,", f"far ssh-ed25519 {KEY}\nfar,")
    found = look_up(text, "f", name)
    one_by_one = [
        (each.kind, each.algorithm, each.key, each.exact)
        for line in text.split("\n")
        for each in look_up(line, "f", name)
    ]
    assert [(each.kind, each.algorithm, each.key, each.exact) for each in found] == one_by_one
    file = scratch() / "known_hosts"
    file.write_bytes(text.encode())
    key = base64.b64decode(KEY)
    after = remember(str(file), name, "ssh-ed25519", key, hashed=hashed)
    written = file.read_bytes().decode()
    assert written.startswith(text)
    assert [each for each in look_up(written, str(file), name) if each.exact] == list(after)
    if any(each.exact and each.kind != "authority" for each in found):
        assert written == text
    else:
        assert after[-1].key == key
    with suppress(FileNotFoundError):
        file.unlink()
