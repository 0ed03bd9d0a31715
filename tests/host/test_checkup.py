"""What `optio doctor` makes of the facts that a host tells."""

import pytest

from optio_host.checkup import Finding, Verdict, judge

FACTS = {
    "system": "Linux 6.1 x86_64",
    "clock": "1000",
    "user": "me 1000",
    "umask": "0022",
    "shell": "/usr/bin/dash",
    "python": "3.11.2",
    "proc": "yes",
    "inotify-instances": "128",
    "inotify-used": "3",
    "state": "yes 5000000 /home/me",
    "temporary": "yes 5000000 /tmp",
}
TOOLS = ("setsid", "flock", "tar", "sha256sum", "perl", "python3")


def judged(facts: dict[str, str], tools: tuple[str, ...] = TOOLS) -> dict[str, Finding]:
    answers = [(key, value) for key, value in (FACTS | facts).items() if value]
    answers += [("tool", f"{name} /usr/bin/{name}") for name in tools] + [("tool", "openssl ")]
    return {finding.what: finding for finding in judge(answers, 999.9, 1000.1)}


def test_a_usual_host_is_well() -> None:
    assert {finding.verdict for finding in judged({}).values()} == {"ok"}


BAD: dict[str, tuple[dict[str, str], tuple[str, ...], str, Verdict]] = {
    "no python3": ({"python": ""}, ("setsid", "flock", "tar", "sha256sum", "perl"), "python3", "slow"),
    "nothing for sessions": ({}, ("flock", "tar", "sha256sum"), "sessions", "fails"),
    "nothing for locks": ({}, ("setsid", "tar", "sha256sum"), "locks", "fails"),
    "no tar": ({}, ("setsid", "flock", "sha256sum", "python3"), "trees", "fails"),
    "no checksums": ({}, ("setsid", "flock", "tar"), "checksums", "fails"),
    "neither /proc nor ps": ({"proc": ""}, TOOLS, "processes", "fails"),
    "inotify used up": ({"inotify-used": "127"}, TOOLS, "watching", "slow"),
    "a read-only home": ({"state": "no 5000000 /home/me"}, TOOLS, "sessions in", "fails"),
    "a full disk": ({"temporary": "yes 12 /tmp"}, TOOLS, "temporary", "fails"),
    "a clock ahead": ({"clock": "1100"}, TOOLS, "clock", "slow"),
    "a clock behind": ({"clock": "900"}, TOOLS, "clock", "slow"),
    "an open umask": ({"umask": "0000"}, TOOLS, "umask", "slow"),
    "another system": ({"system": "Darwin 23 arm64"}, TOOLS, "system", "slow"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named_with_what_to_do(case: str) -> None:
    facts, tools, what, verdict = BAD[case]
    finding = judged(facts, tools)[what]
    assert finding.verdict == verdict
    assert finding.remedy


def test_a_host_that_says_nothing_is_not_well() -> None:
    assert {finding.what for finding in judge([], 0, 0) if finding.verdict == "fails"} >= {"sessions", "locks"}
