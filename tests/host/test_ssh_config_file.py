"""~/.ssh/config: what counts is what `ssh` would do, nothing in it is ever run, and what cannot count is an error."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from left_out import require
from optio_host.errors import ConnectFailed
from optio_host.ssh.config_rules import GATHERED, PASSED_OVER, REFUSED, SINGLE
from optio_host.ssh.target import Target, resolve
from optio_host.types import AcceptNew, InsecureAcceptAnyKey, KnownHosts, SSHConfig


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "person")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def written(home: Path, text: str, name: str = "config") -> str:
    path = home / ".ssh" / name
    path.write_text(text)
    return str(path)


def resolved(home: Path, text: str, host: str = "h", **choices: object) -> Target:
    config = SSHConfig(host, "", "", port=0, config_files=(written(home, text),))
    return resolve(SSHConfig(**{**config.__dict__, **choices}))  # type: ignore[arg-type]


def refused(home: Path, text: str, **choices: object) -> str:
    with pytest.raises(ConnectFailed) as caught:
        resolved(home, text, **choices)
    assert caught.value.final
    assert caught.value.step == "ssh configuration"
    return str(caught.value)


def test_without_a_file_the_defaults_are_those_of_ssh(home: Path) -> None:
    target = resolve(SSHConfig("H.example", "", "", port=0, config_files=()))
    assert (target.host, target.port, target.user, target.label) == ("H.example", 22, "person", "person@H.example:22")
    assert target.known_as == "h.example"
    assert f"{home}/.ssh/id_ed25519" in target.key_files
    assert isinstance(target.host_key, KnownHosts)
    assert target.host_key.files[0] == f"{home}/.ssh/known_hosts"
    assert (target.agent, target.hops) == (None, ())


def test_the_first_value_holds_and_keys_are_gathered(home: Path) -> None:
    target = resolved(
        home,
        'Host h\n HostName=real.example\n Port 2222\n User "me" # comment\n IdentityFile ~/one\n'
        "Host other\n User wrong\n IdentityFile ~/wrong\n"
        "Host *\n\tUser late\n Port 1\n IdentityFile %d/two\n IdentitiesOnly yes\n HashKnownHosts yes\n",
    )
    assert target.label == "me@real.example:2222"
    assert target.known_as == "[real.example]:2222"
    assert target.key_files == (f"{home}/one", f"{home}/two")
    assert target.agent_only_files
    assert target.hash_names


def test_what_the_caller_says_goes_before_the_file(home: Path) -> None:
    text = "User other\nPort 2222\nIdentityFile ~/other\nProxyCommand nc %h %p\nStrictHostKeyChecking no\n"
    target = resolved(home, text, user="me", port=22, key_path="~/mine", jump=(), host_key=InsecureAcceptAnyKey())
    assert target.label == "me@h:22"
    assert (target.key_files, target.key_required) == ((f"{home}/mine",), True)


@pytest.mark.parametrize(
    "line",
    [
        "ProxyCommand touch {home}/ran",
        'ProxyCommand sh -c "unbalanced',
        "KnownHostsCommand touch {home}/ran",
        "VerifyHostKeyDNS ask",
        "CanonicalizeHostname always",
        "ProxyUseFdpass yes",
        "PKCS11Provider /lib/x.so",
        "RevokedHostKeys /etc/revoked",
        "PubkeyAuthentication no",
        "BindInterface eth0",
        "RefuseConnection down",
        "StrictHostKeyChecking no",
        "StrictHostKeyChecking off",
        "IdentityFil ~/typo",
        "Port many",
        "Port 0",
        "AddressFamily both",
        "IdentitiesOnly perhaps",
        "ProxyJump a:b:c",
        "ProxyJump me:secret@a",
        "IdentityFile %x",
        "IdentityFile ${{NOT_SET_HERE}}",
        "User",
        'User "open',
        "Match host",
    ],
)
def test_a_directive_that_cannot_be_followed_is_an_error_with_its_place(home: Path, line: str) -> None:
    said = refused(home, "Host h\n\n  " + line.format(home=home) + "\n")
    assert f"{home}/.ssh/config line 3: " in said
    assert "secret" not in said
    assert not (home / "ran").exists()
    # One that is for another host does not matter.
    if not line.startswith("Match"):
        resolved(home, "Host other\n  " + line.format(home=home) + "\n")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_directive_that_changes_nothing_is_none(home: Path, name: str) -> None:
    if name != "refuseconnection":
        resolved(home, f"{name} {'yes' if name == 'pubkeyauthentication' else 'no'}\n")


def test_no_directive_is_both_followed_and_passed_over() -> None:
    assert len(SINGLE | GATHERED | set(REFUSED) | PASSED_OVER) == sum(
        map(len, (SINGLE, GATHERED, REFUSED, PASSED_OVER))
    )


def test_match_exec_is_never_run_and_only_matters_when_it_would_decide_something(home: Path) -> None:
    condition = f'Match host h exec "touch {home}/ran"\n'
    said = refused(home, condition + "  IdentityFile ~/maybe\n")
    assert f"{home}/.ssh/config line 2" in said
    assert "Match exec" in said
    resolved(home, condition.replace("host h", "host other") + "  IdentityFile ~/maybe\n")
    resolved(home, condition + "  ForwardAgent yes\n  Ciphers aes128-ctr\n")
    assert resolved(home, "User me\n" + condition + "  User maybe\n").user == "me"
    assert "line 2" in refused(home, condition + "  ProxyCommand nc %h\n")
    written(home, "Host h\n  IdentityFile ~/maybe\n", "one.conf")
    assert "one.conf line 2" in refused(home, condition + "  Include one.conf\n")
    assert not (home / "ran").exists()


@pytest.mark.parametrize(
    ("condition", "counts"),
    [
        ("all", True),
        ("host real", True),
        ("host h", False),
        ("originalhost h", True),
        ("originalhost h,x host re*", True),
        ("originalhost h host other", False),
        ("!host other", True),
        ("localuser person", True),
        ("user person", True),
        ("user someone", False),
        ("canonical", False),
        ("!originalhost h", False),
    ],
)
def test_match_conditions_about_names_are_judged(home: Path, condition: str, counts: bool) -> None:
    assert (resolved(home, f"HostName real\nMatch {condition}\n  User matched\n").user == "matched") is counts


def test_included_files_count_where_they_are_included(home: Path) -> None:
    written(home, "User included\nHost other\n  Port 1\n", "one.conf")
    written(home, "Host h\n  Port 2222\n", "two.conf")
    target = resolved(
        home, "Host x\n  Include one.conf\nHost h\n  Include *.conf\n  HostName real\nHost *\n  User late\n"
    )
    assert target.label == "included@real:2222"
    assert resolved(home, "Host x\n  Include *.conf\n").label == "person@h:22"
    assert "line 1: files that include files" in refused(home, "Include config\n")
    assert resolved(home, "Include no-such-file\n").user == "person"


def test_a_file_that_others_can_write_to_is_refused(home: Path) -> None:
    path = written(home, "User me\n")
    os.chmod(path, 0o666)
    with pytest.raises(ConnectFailed, match="others can write to it"):
        resolve(SSHConfig("h", "", "", config_files=(path,)))


def test_a_named_file_that_is_not_there_is_an_error_and_the_usual_ones_may_be_missing(home: Path) -> None:
    with pytest.raises(ConnectFailed, match="cannot be read"):
        resolve(SSHConfig("h", "", "", config_files=(str(home / "none"),)))
    resolve(SSHConfig("h", "me", ""))


def test_strictness_and_files_of_known_hosts(home: Path) -> None:
    files = "UserKnownHostsFile ~/a %d/b\nGlobalKnownHostsFile none\n"
    assert resolved(home, files).host_key == KnownHosts((f"{home}/a", f"{home}/b"))
    assert resolved(home, files + "StrictHostKeyChecking accept-new\n").host_key == AcceptNew(
        (f"{home}/a", f"{home}/b")
    )
    assert resolved(home, files + "StrictHostKeyChecking accept-new\n", host_key=KnownHosts()).host_key == KnownHosts(
        (f"{home}/a", f"{home}/b")
    )
    assert resolved(home, files, host_key=AcceptNew(("~/c",))).host_key == AcceptNew((f"{home}/c",))
    assert "no file to remember" in refused(home, "UserKnownHostsFile none\nStrictHostKeyChecking accept-new\n")


def test_a_host_key_alias_is_the_name_in_known_hosts(home: Path) -> None:
    assert resolved(home, "Port 2222\nHostKeyAlias Alias\n").known_as == "alias"


def test_the_agent_is_the_one_that_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/usual")
    monkeypatch.setenv("MINE", "/mine")
    assert resolved(home, "").agent == "/usual"
    assert resolved(home, "IdentityAgent SSH_AUTH_SOCK\n").agent == "/usual"
    assert resolved(home, "IdentityAgent ~/own\n").agent == f"{home}/own"
    assert resolved(home, "IdentityAgent $MINE\n").agent == "/mine"
    assert resolved(home, "IdentityAgent ${MINE}\n").agent == "/mine"
    assert resolved(home, "IdentityAgent none\n").agent is None
    assert resolved(home, "", agent=False).agent is None


def test_jump_hosts_take_their_own_part_of_the_file_and_none_of_the_targets_keys(home: Path) -> None:
    text = (
        "Host h\n  ProxyJump first,root@second:23\n"
        "Host first\n  HostName first.real\n  User one\n  ProxyJump zero\n"
        "Host second\n  ProxyJump never\n"
        "Host *\n  IdentityFile ~/shared\n"
    )
    target = resolved(home, text, key_path="/mine", passphrase="open sesame")
    names = [hop.label.split()[0] for hop in target.hops]
    assert names == ["person@zero:22", "one@first.real:22", "root@second:23"]
    assert all(hop.hops == () and hop.key_files == (f"{home}/shared",) for hop in target.hops)
    assert target.hops[0].label == "person@zero:22 (jump host to person@h:22)"
    assert "sesame" not in repr(target)
    assert resolved(home, text, jump=()).hops == ()
    assert resolved(home, "ProxyJump none\nProxyJump a\n").hops == ()


def test_a_ring_of_jump_hosts_is_refused(home: Path) -> None:
    assert "a ring" in refused(home, "ProxyJump other\n")


def test_whichever_of_proxyjump_and_proxycommand_comes_first_counts(home: Path) -> None:
    assert len(resolved(home, "Host h\n  ProxyJump a\nHost h\n  ProxyCommand nc %h %p\n").hops) == 1
    assert resolved(home, "Host h\n  ProxyCommand none\nHost h\n  ProxyJump a\n").hops == ()
    refused(home, "Host h\n  ProxyCommand nc %h %p\n  ProxyJump a\n")


_NAMES = st.sampled_from(["h", "x", "h?", "*", "!h", "!x", "?", "h.example", "*.example"])
_DIRECTIVES = st.sampled_from(
    [
        "HostName one", "HostName %h.example", "User me", "User you", "Port 23", "Port 24", "IdentityFile ~/a",
        "IdentityFile b%r", "HostKeyAlias alias", "UserKnownHostsFile ~/k", "StrictHostKeyChecking accept-new",
        "IdentitiesOnly yes", "ProxyJump j", "ProxyJump none", "HashKnownHosts yes", "BindAddress 127.0.0.2",
        "AddressFamily inet", "ForwardAgent yes",
    ]
)  # fmt: skip
_BLOCKS = st.tuples(
    st.one_of(
        st.lists(_NAMES, min_size=1, max_size=3).map(lambda names: f"Host {' '.join(names)}"),
        st.lists(_NAMES, min_size=1, max_size=2).map(lambda names: f"Match host {','.join(names)}"),
        st.lists(_NAMES, min_size=1, max_size=2).map(lambda names: f"Match originalhost {','.join(names)}"),
        st.sampled_from(["Match user me", "Match all", "Match !user me", "Host=h", 'Host "h" # x']),
    ),
    st.lists(_DIRECTIVES, max_size=4),
)


@given(blocks=st.lists(_BLOCKS, max_size=5), host=st.sampled_from(["h", "h.example", "x"]))
@settings(max_examples=30)
def test_what_is_understood_is_what_ssh_itself_understands(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[tuple[str, list[str]]], host: str
) -> None:
    require("ssh")
    directory = tmp_path_factory.mktemp("compared")
    path = directory / "config"
    # A jump host of its own would make every host of these files lead to a further one.
    path.write_text("Host j\n  ProxyJump none\n" + "".join("\n".join((head, *lines, "")) for head, lines in blocks))
    printed = subprocess.run(["ssh", "-G", "-F", path, host], capture_output=True, text=True, check=True).stdout
    theirs: dict[str, list[str]] = {}
    for line in printed.splitlines():
        name, _, value = line.partition(" ")
        theirs.setdefault(name, []).append(value)
    ours = resolve(SSHConfig(host, "", "", port=0, config_files=(str(path),)))
    assert ours.host == theirs["hostname"][0]
    assert str(ours.port) == theirs["port"][0]
    assert ours.agent_only_files == (theirs["identitiesonly"][0] == "yes")
    assert ours.hash_names == (theirs["hashknownhosts"][0] == "yes")
    assert isinstance(ours.host_key, AcceptNew) == (theirs["stricthostkeychecking"][0] == "accept-new")
    assert bool(ours.hops) == (theirs.get("proxyjump", ["none"])[0] != "none")
    assert ours.bind_address == theirs.get("bindaddress", [None])[0]
    assert ("alias" in ours.known_as) == ("hostkeyalias" in theirs)
    if any(line.startswith("User ") for _, lines in blocks for line in lines) and theirs["user"][0] in ("me", "you"):
        assert ours.user == theirs["user"][0]
    if any(value.startswith(("~/a", "b")) for value in theirs["identityfile"]):
        own = [value.replace("~", os.path.expanduser("~")).replace("%r", ours.user) for value in theirs["identityfile"]]
        assert list(ours.key_files) == own


def test_the_manual_lists_what_is_followed_and_what_is_refused() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "ssh.md").read_text()

    def listed(start: str, end: str) -> set[str]:
        part = manual[manual.index(start) : manual.index(end)]
        return {name.split()[0].lower() for name in re.findall(r"`([A-Z][A-Za-z0-9]+(?: no)?)`", part)}

    assert listed("*Followed:*", "; in paths") == SINGLE | GATHERED
    assert listed("*Refused,*", "The error names file") == set(REFUSED)
