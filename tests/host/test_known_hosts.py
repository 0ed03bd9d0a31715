"""known_hosts: what a file says of a host, and adding a line while others do the same."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from left_out import require
from optio_host.ssh.known_hosts import fingerprint, look_up, read_known_keys, remember

KEY, OTHER = b"\x00\x00\x00\x0bssh-ed25519" + b"k" * 36, b"\x00\x00\x00\x0bssh-ed25519" + b"o" * 36


def line(names: str, key: bytes = KEY, marker: str = "") -> str:
    return f"{marker} {names} ssh-ed25519 {base64.b64encode(key).decode()} comment\n".lstrip()


@pytest.mark.parametrize(
    ("names", "name", "fits"),
    [
        ("h", "h", True),
        ("H.Example.ORG", "h.example.org", True),
        ("a,h", "h", True),
        ("*.example.org", "h.example.org", True),
        ("*.example.org,!h.example.org", "h.example.org", False),
        ("h?", "h", False),
        ("[h]:2222", "[h]:2222", True),
        ("[h]:2222", "[h]:22", False),
        ("[h]:2222", "h", False),
        ("[*]:2222", "[h]:2222", True),
        ("hh", "h", False),
    ],
)
def test_a_line_speaks_of_the_hosts_it_names(names: str, name: str, fits: bool) -> None:
    assert bool(look_up(line(names), "f", name)) == fits


def test_a_line_for_the_name_alone_also_counts_for_another_port_but_is_not_exact() -> None:
    assert [key.exact for key in look_up(line("h") + line("[h]:2222"), "f", "[h]:2222")] == [False, True]


def test_markers_comments_blank_lines_and_line_numbers() -> None:
    text = (
        f"# {line('h')}\n{line('h', marker='@revoked')}{line('h', marker='@cert-authority')}{line('h', marker='@new')}"
    )
    assert [(key.kind, key.place) for key in look_up(text, "f", "h")] == [
        ("revoked", "f line 3"),
        ("authority", "f line 4"),
    ]


@given(st.text(), st.text(min_size=1))
def test_any_text_is_a_file_that_says_something_or_nothing(text: str, name: str) -> None:
    look_up(text, "f", name)
    assert look_up(f"{text}\n{line('the-host')}", "f", "the-host")[-1].key == KEY


@pytest.mark.parametrize("damaged", ["|1|", "|1|a|b", "|2|AAAA|AAAA", "|1|AAAA|é", "|1|AAAA|AAAA|AAAA", "|"])
def test_a_damaged_hashed_name_is_passed_over(damaged: str) -> None:
    assert look_up(line(damaged), "f", "h") == ()


@pytest.mark.parametrize("before", ["", "x ssh-rsa AAAA", "x ssh-rsa AAAA\n", "\n\n"])
@pytest.mark.parametrize("hashed", [False, True])
def test_a_remembered_key_is_found_at_the_line_that_is_named(tmp_path: Path, before: str, hashed: bool) -> None:
    path = str(tmp_path / "known_hosts")
    if before:
        Path(path).write_text(before)
    (added,) = remember(path, "[h]:2222", "ssh-ed25519", KEY, hashed=hashed)
    assert read_known_keys((path,), "[h]:2222") == (added,)
    assert Path(path).read_text().startswith(before)
    assert ("[h]:2222" in Path(path).read_text()) is not hashed


def test_a_key_that_came_in_meanwhile_is_not_overruled(tmp_path: Path) -> None:
    path = str(tmp_path / "known_hosts")
    remember(path, "h", "ssh-ed25519", OTHER, hashed=False)
    assert [known.key for known in remember(path, "h", "ssh-ed25519", KEY, hashed=False)] == [OTHER]
    assert len(Path(path).read_text().splitlines()) == 1


_MANY = """
import sys
from optio_host.ssh.known_hosts import remember
path, me = sys.argv[1:]
for number in range(100):
    remember(path, f"host-{number}", "ssh-ed25519", bytes.fromhex(me) * 40, hashed=False)
"""


def test_processes_that_remember_at_once_leave_one_whole_line_for_each_host(tmp_path: Path) -> None:
    path = tmp_path / "new" / "known_hosts"
    together = [subprocess.Popen([sys.executable, "-c", _MANY, path, f"0{number}"]) for number in range(3)]
    assert [process.wait(60) for process in together] == [0, 0, 0]
    assert sorted(found.split()[0] for found in path.read_text().splitlines()) == sorted(
        f"host-{number}" for number in range(100)
    )
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_name_hashed_by_us_is_found_by_ssh_keygen_and_the_fingerprint_is_the_same(tmp_path: Path) -> None:
    require("ssh-keygen")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    key = base64.b64decode((tmp_path / "key.pub").read_text().split()[1])
    path = tmp_path / "known_hosts"
    remember(str(path), "[h]:2222", "ssh-ed25519", key, hashed=True)
    found = subprocess.run(
        ["ssh-keygen", "-l", "-F", "[h]:2222", "-f", path], check=True, capture_output=True, text=True
    ).stdout
    assert fingerprint(key) in found


def test_a_file_that_is_not_there_says_nothing_and_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    assert read_known_keys((str(tmp_path / "none"),), "h") == ()
    with pytest.raises(IsADirectoryError):
        read_known_keys((str(tmp_path),), "h")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 17 * 1024 * 1024)
    with pytest.raises(ValueError, match="larger than"):
        read_known_keys((str(tmp_path / "huge"),), "h")
