"""Who the host is, and who this user is: a real server with keys, certificates and an agent."""

import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from left_out import require
from optio_host.errors import AuthenticationRefused, ConnectFailed, HostKeyRefused
from optio_host.ssh.connect import connect
from optio_host.types import (
    AcceptNew,
    CertificateAuthority,
    HostKeyCheck,
    InsecureAcceptAnyKey,
    KnownHosts,
    PinnedKey,
    SSHConfig,
)
from sshd_rig import Sshd, sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]


def keygen(*arguments: str | Path) -> str:
    require("ssh-keygen")
    return subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, text=True).stdout


def new_key(path: Path, passphrase: str = "", kind: str = "ed25519") -> Path:
    keygen("-q", "-t", kind, "-N", passphrase, "-f", path)
    return path


def hold(*keys: Path) -> None:
    """Add keys to the agent."""
    subprocess.run(["ssh-add", "-q", *keys], check=True)


def public(key: Path) -> str:
    return Path(f"{key}.pub").read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server with a plain ed25519 key and an ecdsa key certified for 127.0.0.1; its authority signs for users too."""
    keys = tmp_path_factory.mktemp("keys")
    authority = new_key(keys / "authority")
    certified = new_key(keys / "certified", kind="ecdsa")
    keygen("-q", "-s", authority, "-I", "host", "-h", "-n", "127.0.0.1", f"{certified}.pub")
    settings = f"HostKey {certified}\nHostCertificate {certified}-cert.pub\nTrustedUserCAKeys {authority}.pub"
    with sshd(tmp_path_factory.mktemp("server") / "sshd", settings=settings) as running:
        (running.directory / "authority").write_bytes(authority.read_bytes())
        (running.directory / "authority").chmod(0o600)
        (running.directory / "authority.pub").write_text(public(authority))
        yield running


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The socket of an ssh-agent of our own, which holds nothing yet."""
    require("ssh-agent")
    socket = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it says where it listens once it does
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    yield socket
    process.terminate()
    process.communicate(timeout=10)


def config(server: Sshd, **changes: object) -> SSHConfig:
    known = KnownHosts((server.known_hosts,))
    made = SSHConfig("127.0.0.1", server.user, server.key, server.port, known, jump=(), agent=False, config_files=())
    return replace(made, **changes)  # type: ignore[arg-type]


async def reached(wanted: SSHConfig) -> None:
    connection = await connect(wanted)
    connection.close()
    await connection.wait_closed()


async def refused(wanted: SSHConfig, kind: type[ConnectFailed]) -> str:
    with pytest.raises(kind) as caught:
        await connect(wanted)
    assert type(caught.value) is kind
    assert caught.value.final
    return str(caught.value)


def host_key(server: Sshd) -> str:
    return public(server.directory / "hostkey")


def fingerprint(public_key: Path) -> str:
    return keygen("-l", "-f", public_key).split()[1]


def judged(server: Sshd, how: HostKeyCheck) -> SSHConfig:
    return config(server, host_key=how)


# The host


def test_an_unknown_host_key_is_refused_with_its_fingerprint_and_what_to_do(
    server: Sshd, tmp_path: Path, run: Run
) -> None:
    async def body() -> None:
        said = await refused(judged(server, KnownHosts((str(tmp_path / "none"),))), HostKeyRefused)
        assert said.startswith(f"{server.user}@127.0.0.1:{server.port}: host key: it is not known")
        assert fingerprint(server.directory / "hostkey.pub") in said
        assert str(tmp_path / "none") in said
        assert f"[127.0.0.1]:{server.port} {' '.join(host_key(server).split()[:2])}" in said

    run(body)


def test_a_changed_host_key_is_refused_with_file_and_line_even_by_accept_new(
    server: Sshd, tmp_path: Path, run: Run
) -> None:
    async def body() -> None:
        known = tmp_path / "known"
        other = new_key(tmp_path / "other")
        known.write_text(f"# a comment\n[127.0.0.1]:{server.port} {public(other)}")
        for how in (KnownHosts((str(known),)), AcceptNew((str(known),))):
            said = await refused(judged(server, how), HostKeyRefused)
            assert "it has changed" in said
            assert f"{known} line 2" in said
            assert fingerprint(other) in said
            assert fingerprint(server.directory / "hostkey.pub") in said
        assert len(known.read_text().splitlines()) == 2

    run(body)


def test_a_revoked_host_key_is_refused_even_when_it_is_known_too(server: Sshd, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        known = tmp_path / "known"
        known.write_text(f"{Path(server.known_hosts).read_text()}@revoked * {host_key(server)}")
        for how in (KnownHosts((str(known),)), AcceptNew((str(known),))):
            said = await refused(judged(server, how), HostKeyRefused)
            assert "never to be believed" in said
            assert f"{known} line 2" in said

    run(body)


def test_the_kind_of_key_that_is_known_is_the_one_that_is_asked_for(server: Sshd, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        known = tmp_path / "known"
        certified = Path(next(line for line in _settings(server) if "certified" in line).split()[1])
        known.write_text(f"[127.0.0.1]:{server.port} {public(certified)}")
        await reached(judged(server, KnownHosts((str(known),))))

    run(body)


def _settings(server: Sshd) -> list[str]:
    return [line for line in (server.directory / "conf").read_text().splitlines() if line.startswith("HostKey ")]


def test_a_hashed_name_is_understood(server: Sshd, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        known = tmp_path / "known"
        known.write_text(Path(server.known_hosts).read_text())
        keygen("-H", "-f", known)
        assert "127.0.0.1" not in known.read_text()
        await reached(judged(server, KnownHosts((str(known),))))

    run(body)


def test_accept_new_remembers_once_and_ssh_keygen_finds_it(server: Sshd, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        known = tmp_path / "new" / "known_hosts"
        await reached(judged(server, AcceptNew((str(known),))))
        await reached(judged(server, AcceptNew((str(known),))))
        await reached(judged(server, KnownHosts((str(known),))))
        assert len(known.read_text().splitlines()) == 1
        assert known.stat().st_mode & 0o777 == 0o600
        assert known.parent.stat().st_mode & 0o777 == 0o700
        assert host_key(server).split()[1] in keygen("-F", f"[127.0.0.1]:{server.port}", "-f", known)

    run(body)


def test_accept_new_that_cannot_remember_is_refused(server: Sshd, run: Run) -> None:
    async def body() -> None:
        said = await refused(judged(server, AcceptNew(("/dev/null",))), HostKeyRefused)
        assert "cannot be remembered in /dev/null" in said

    run(body)


def test_a_pinned_key_needs_no_file_and_another_is_refused(server: Sshd, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        right = fingerprint(server.directory / "hostkey.pub")
        wrong = fingerprint(new_key(tmp_path / "other"))
        await reached(judged(server, PinnedKey(right)))
        said = await refused(judged(server, PinnedKey(wrong)), HostKeyRefused)
        assert right in said
        assert wrong in said

    run(body)


def test_a_certificate_of_the_authority_is_believed_and_one_of_another_is_not(
    server: Sshd, tmp_path: Path, run: Run
) -> None:
    async def body() -> None:
        authority = public(server.directory / "authority")
        other = public(new_key(tmp_path / "other"))
        await reached(judged(server, CertificateAuthority(authority)))
        said = await refused(judged(server, CertificateAuthority(other)), HostKeyRefused)
        assert fingerprint(server.directory / "authority.pub") in said
        known = tmp_path / "known"
        known.write_text(f"@cert-authority 127.0.0.* {authority}")
        await reached(judged(server, KnownHosts((str(known),))))
        known.write_text(f"@cert-authority 127.0.0.* {authority}@revoked * {authority}")
        assert f"{known} line 2" in await refused(judged(server, KnownHosts((str(known),))), HostKeyRefused)

    run(body)


def test_a_certificate_for_another_name_is_refused(server: Sshd, run: Run) -> None:
    async def body() -> None:
        authority = CertificateAuthority(public(server.directory / "authority"))
        said = await refused(config(server, host="localhost", host_key=authority), HostKeyRefused)
        assert "certificate does not hold" in said

    run(body)


def test_any_key_is_accepted_only_under_a_name_that_says_so(server: Sshd, run: Run) -> None:
    async def body() -> None:
        await reached(judged(server, InsecureAcceptAnyKey()))

    run(body)


# The user


def test_an_encrypted_key_is_opened_by_its_passphrase(server: Sshd, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        key = authorized(server, tmp_path / "locked", "open sesame")
        asked: list[str] = []

        def ask(path: str) -> str:
            asked.append(path)
            return "open sesame"

        await reached(config(server, key_path=str(key), passphrase="open sesame"))
        await reached(config(server, key_path=str(key), passphrase=ask))
        assert asked == [str(key)]

    run(body)


def test_a_wrong_or_missing_passphrase_is_refused_and_never_shown(server: Sshd, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        for kind in ("ed25519", "ecdsa"):
            key = str(new_key(tmp_path / kind, "open sesame", kind))
            said = await refused(config(server, key_path=key), AuthenticationRefused)
            assert f"{key}: it is encrypted: give its passphrase" in said
            wrong = config(server, key_path=key, passphrase="hunter2")
            said = await refused(wrong, AuthenticationRefused)
            assert "the passphrase does not open it" in said
            assert "hunter2" not in said + repr(wrong)

    run(body)


def authorized(server: Sshd, key: Path, passphrase: str = "") -> Path:
    new_key(key, passphrase)
    with (server.directory / "authorized_keys").open("a") as file:
        file.write(public(key))
    return key


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0o600, "no such key file"),
        (b"hello", 0o600, "this is no private key that can be read"),
        (b"", 0o600, "this is no private key that can be read"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n\xff\xfe\n", 0o600, "this is no private key that can be read"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", 0o644, "others can read it (mode 0644); chmod 600"),
        (b"x" * 300_000, 0o600, "too large"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_named_with_the_reason(
    server: Sshd, tmp_path: Path, run: Run, content: bytes | None, mode: int, reason: str
) -> None:
    async def body() -> None:
        key = tmp_path / "key"
        if content is not None:
            key.write_bytes(content)
            key.chmod(mode)
        said = await refused(config(server, key_path=str(key)), AuthenticationRefused)
        assert f"{key}: {reason}" in said

    run(body)


def test_a_key_path_that_is_a_fifo_or_a_directory_does_not_hang(server: Sshd, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        os.mkfifo(tmp_path / "fifo")
        for path in (tmp_path / "fifo", tmp_path):
            said = await refused(config(server, key_path=str(path)), AuthenticationRefused)
            assert f"{path}: not a regular file" in said

    run(body)


def test_a_key_of_the_agent_logs_in_without_a_file(server: Sshd, agent: str, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        key = authorized(server, tmp_path / "held")
        hold(key)
        key.unlink()
        await reached(config(server, key_path="", agent=True))
        said = await refused(config(server, key_path=str(key), agent=False), AuthenticationRefused)
        assert "no such key file" in said

    run(body)


def test_an_encrypted_key_that_the_agent_holds_needs_no_passphrase(
    server: Sshd, agent: str, tmp_path: Path, run: Run
) -> None:
    async def body() -> None:
        key = authorized(server, tmp_path / "held")
        hold(key)
        keygen("-q", "-p", "-N", "open sesame", "-f", key)
        Path(f"{key}.pub").unlink()
        await reached(config(server, key_path=str(key), agent=True))

    run(body)


def test_a_chosen_key_keeps_the_others_of_a_full_agent_from_using_up_the_tries(
    server: Sshd, agent: str, tmp_path: Path, run: Run
) -> None:
    async def body() -> None:
        keys = [new_key(tmp_path / f"key{number}") for number in range(7)]
        hold(*keys)
        await reached(config(server, agent=True))
        said = await refused(config(server, key_path="", agent=True), AuthenticationRefused)
        assert "Too many authentication failures" in said
        assert "IdentitiesOnly" in said

    run(body)


def test_an_agent_that_cannot_be_reached_is_named(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    async def body() -> None:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
        monkeypatch.setenv("HOME", str(tmp_path))
        said = await refused(config(server, key_path="", agent=True), AuthenticationRefused)
        assert "there was no key to offer" in said
        assert f"ssh-agent at {tmp_path / 'gone'} cannot be asked" in said

    run(body)


def test_a_certificate_next_to_the_key_is_offered(server: Sshd, tmp_path: Path, run: Run) -> None:
    async def body() -> None:
        key = new_key(tmp_path / "certified")
        await refused(config(server, key_path=str(key)), AuthenticationRefused)
        keygen("-q", "-s", server.directory / "authority", "-I", "user", "-n", server.user, f"{key}.pub")
        await reached(config(server, key_path=str(key)))

    run(body)


def test_the_keys_that_ssh_tries_by_itself_are_tried(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    async def body() -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".ssh").mkdir()
        new_key(tmp_path / ".ssh" / "id_rsa", "locked")
        authorized(server, tmp_path / ".ssh" / "id_ed25519")
        await reached(config(server, key_path=""))
        (tmp_path / ".ssh" / "id_ed25519").unlink()
        said = await refused(config(server, key_path=""), AuthenticationRefused)
        assert f"{tmp_path / '.ssh' / 'id_rsa'}: it is encrypted" in said

    run(body)
