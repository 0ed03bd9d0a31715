"""Host URLs: what is written is what is meant, and a password in one is never shown."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optio_host.types import SSHConfig
from optio_host.url import HostAddress, parse_host_url


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        ("local:", HostAddress(None, None)),
        ("local:/srv/app", HostAddress(None, "/srv/app")),
        ("build-7", HostAddress(SSHConfig("build-7", "", "", 0), None)),
        ("ssh://build-7", HostAddress(SSHConfig("build-7", "", "", 0), None)),
        ("ssh://build-7/", HostAddress(SSHConfig("build-7", "", "", 0), None)),
        ("ssh://build-7:22", HostAddress(SSHConfig("build-7", "", "", 22), None)),
        ("ssh://me@10.0.0.7:2222/srv/my%20app", HostAddress(SSHConfig("10.0.0.7", "me", "", 2222), "/srv/my app")),
        ("ssh://me%40corp@h", HostAddress(SSHConfig("h", "me@corp", "", 0), None)),
        ("ssh://[::1]:2222/a", HostAddress(SSHConfig("::1", "", "", 2222), "/a")),
        ("ssh://[fe80::1%25eth0]", HostAddress(SSHConfig("fe80::1%eth0", "", "", 0), None)),
        ("ssh://h/%FF", HostAddress(SSHConfig("h", "", "", 0), "/\udcff")),
    ],
)
def test_a_url_means_what_it_says(url: str, meaning: HostAddress) -> None:
    assert parse_host_url(url) == meaning


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "ssh://", "ssh:host", "ssh:/host", "http://host", "local:dir", "a b", "host:22", "me@host", "-oX=y",
        "ssh://-oProxyCommand=x", "ssh://-x@host", "ssh://@host", "ssh://host:", "ssh://host:0", "ssh://host:65536",
        "ssh://host:22x", "ssh://host:-1", "ssh://host:٢٢", "ssh://::1", "ssh://[::1", "ssh://[host]", "ssh://[::1]22",
        "ssh://host?x", "ssh://host/#x", "ssh://host/%", "ssh://host/%zz", "ssh://ho%00st", "ssh://host/%00", "ssh://host\n",
        "ssh://h/a\x1b[0m", "ssh://ho%2Fst", "ssh://ho st",
    ],
)  # fmt: skip
def test_a_url_that_means_nothing_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="host"):
        parse_host_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "ssh://me:hunter2@host", "ssh://me:hunter2@host:22/x", "ssh://me:hunter2@", "ssh://:hunter2@host", "ssh://me%3Ahunter2@host",
        "me:hunter2@host", "https://me:hunter2@host", "ssh:me:hunter2@host", "ssh://me:hunter2", "ssh://[me:hunter2@host",
        "ssh://me:hunter2@ho st", "ssh://me:hunter2@host\n", "local:hunter2@host", "me@hunter2@host",
    ],
)  # fmt: skip
def test_a_password_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="host") as caught:
        parse_host_url(url)
    assert "hunter2" not in str(caught.value)


_USERS = st.text(max_size=8).map(lambda text: text.replace(":", "").lstrip("-"))


@given(
    user=_USERS,
    host=st.text("az09_.-", max_size=8).map(lambda text: f"h{text}")
    | st.sampled_from(["10.0.0.7", "::1", "fe80::1%eth0"]),
    port=st.integers(0, 65535),
    root=st.none() | st.text(max_size=8).map(lambda text: f"/x{text.replace(chr(0), '')}"),
)
def test_every_part_comes_back_as_it_was_written(user: str, host: str, port: int, root: str | None) -> None:
    place = f"[{host.replace('%', '%25')}]" if ":" in host else host
    written = f"ssh://{quote(user, safe='')}{'@' if user else ''}{place}"
    written += f"{f':{port}' if port else ''}{quote(root) if root else ''}"
    assert parse_host_url(written) == HostAddress(SSHConfig(host, user, "", port), root)


@given(st.text() | st.text().map(lambda text: f"ssh://{text}"))
def test_any_text_is_a_host_or_a_value_error(text: str) -> None:
    try:
        address = parse_host_url(text)
    except ValueError:
        return
    assert address.ssh is None or (address.ssh.host and not address.ssh.host.startswith("-"))


@given(st.text(alphabet="abc@:/[]%.#? ", max_size=12), st.text(alphabet="abc@:/[]%.#? ", max_size=12))
def test_no_text_around_a_password_makes_it_show(before: str, after: str) -> None:
    for url in (f"ssh://{before}:hunter2@{after}", f"{before}:hunter2@{after}"):
        assert "hunter2" not in _said_of(url)


def _said_of(url: str) -> str:
    try:
        return repr(parse_host_url(url).ssh)
    except ValueError as error:
        return str(error)
