"""What a host has and lacks, each thing judged: it works, it is slow, or it will fail; and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Literal

import anyio

from .clock import SYSTEM_CLOCK, Clock
from .errors import HostError
from .job_shell import Answers, ask, farside

if TYPE_CHECKING:
    from .open import AnyHost

Verdict = Literal["ok", "slow", "fails"]

LEAST_FREE = 100_000
"""Kilobytes below which a disk is as good as full."""

CLOCK_TOLERANCE = 5.0
"""Seconds that a clock may be wrong before file times mislead; a lease lasts 15."""

ENDED_WITHIN = 10.0
"""Seconds in which a process that was told to end must be gone."""

FEW_INSTANCES = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: its name, in a word or two.
        verdict: "slow" is whatever works, but not as well as it could.
        found: what was seen.
        remedy: what to do; empty for what is well.
    """

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


async def look_at(host: "AnyHost", *, clock: Clock = SYSTEM_CLOCK) -> list[Finding]:
    """Everything about a connected host that can be told by commands. Changes nothing there. Raises HostError."""
    script = f"_login_umask=$(umask)\n{farside('act', 'checkup')}checkup\n"
    began = clock.time()
    answers = await ask(host, script, what="looking at what the host has", rundir="")
    ended = clock.time()
    findings = judge(answers, began, ended)
    findings.insert(-2, await see_it_end(host))
    return findings


async def see_it_end(host: "AnyHost") -> Finding:
    """Start a process in a session of its own, end it, and look whether it is gone."""
    try:
        with anyio.fail_after(ENDED_WITHIN):
            handle = await host.launch_subprocess("trap '' HUP; echo $$; sleep 600 & wait", cwd="/")
            pid = (await anext(handle.stdout)).strip().decode("ascii", "replace")
            await host.terminate_subprocess(handle, aggressive=False)
            seen = await host.run_command(f"kill -0 {quote(pid)}", cwd="/")
    except (HostError, OSError, TimeoutError, StopAsyncIteration) as error:
        return Finding("ending", "fails", f"a process could not be ended: {error}", "programs may survive a cancel")
    if seen.exit_code == 0:
        return Finding("ending", "fails", f"pid {pid} is still there after TERM and KILL", "programs survive a cancel")
    return Finding("ending", "ok", "a process with a child was ended, and is gone")


def judge(answers: Answers, began: float, ended: float) -> list[Finding]:
    """What the facts of `farside/checkup.sh` mean. Pure.

    Parameters:
        answers: the facts.
        began: when they were asked for, in seconds since the epoch by our clock.
        ended: when they had come.
    """
    facts = dict(answers)
    tools = dict(value.partition(" ")[::2] for key, value in answers if key == "tool")
    return [
        _system(facts),
        Finding("shell", "ok", facts.get("shell", "/bin/sh")),
        *_tools(tools, facts),
        _inotify(facts, tools),
        *_rooms(facts),
        _clock(facts, began, ended),
        _umask(facts),
    ]


def _system(facts: Mapping[str, str]) -> Finding:
    found = f"{facts.get('system', 'unknown')}, as {facts.get('user', '?').partition(' ')[0]}"
    if not facts.get("system", "").startswith("Linux"):
        return Finding("system", "slow", found, "only Linux hosts are tested; others may work")
    return Finding("system", "ok", found)


def _tools(tools: Mapping[str, str], facts: Mapping[str, str]) -> list[Finding]:
    python = f"python3 {facts.get('python', '')}".strip()
    fast = (
        Finding("python3", "ok", python)
        if tools.get("python3")
        else Finding("python3", "slow", "none", "install python3: following files and short commands get faster by it")
    )
    return [
        fast,
        _any_of("sessions", tools, ("setsid", "perl", "python3"), "no program can be held there; install util-linux"),
        _any_of(
            "locks", tools, ("flock", "perl", "python3"), "no driver can act on a program there; install util-linux"
        ),
        _any_of("checksums", tools, ("openssl", "sha256sum", "shasum", "python3"), "copies cannot be verified there"),
        _any_of("trees", tools, ("tar",), "directories cannot be copied (--upload, pull); install tar"),
        Finding("processes", "ok", "/proc")
        if facts.get("proc")
        else _any_of("processes", tools, ("ps",), "nobody can tell whether a program runs; install procps"),
    ]


def _any_of(what: str, tools: Mapping[str, str], wanted: tuple[str, ...], without: str) -> Finding:
    found = [name for name in wanted if tools.get(name)]
    if not found:
        return Finding(what, "fails", f"none of {', '.join(wanted)}" if len(wanted) > 1 else f"no {wanted[0]}", without)
    return Finding(what, "ok", found[0])


def _inotify(facts: Mapping[str, str], tools: Mapping[str, str]) -> Finding:
    limit, used = _number(facts.get("inotify-instances")), _number(facts.get("inotify-used")) or 0
    if limit is None or not tools.get("python3"):
        why = "no inotify" if limit is None else "without python3 files are looked at again and again"
        return Finding("watching", "slow", why, "lines of a log are seen a little later")
    found = f"inotify: {used} of {limit} instances in use"
    if limit - used < FEW_INSTANCES:
        return Finding("watching", "slow", found, "raise fs.inotify.max_user_instances there (sysctl)")
    return Finding("watching", "ok", found)


def _rooms(facts: Mapping[str, str]) -> list[Finding]:
    return [_room("sessions in", facts.get("state", "")), _room("temporary", facts.get("temporary", ""))]


def _room(what: str, fact: str) -> Finding:
    writable, _, rest = fact.partition(" ")
    free, _, path = rest.partition(" ")
    if writable != "yes":
        remedy = "name another directory: --host ssh://host/directory"
        return Finding(what, "fails", f"nothing can be made in {path or 'its directory'}", remedy)
    kilobytes = _number(free)
    if kilobytes is None:
        return Finding(what, "ok", path)
    found = f"{path}, {kilobytes / 1e6:.1f} GB free"
    if kilobytes < LEAST_FREE:
        return Finding(what, "fails", found, "make room there")
    return Finding(what, "ok", found)


def _clock(facts: Mapping[str, str], began: float, ended: float) -> Finding:
    there = _number(facts.get("clock"))
    if there is None:
        return Finding("clock", "slow", "it says no time", "times of files may mislead")
    # It tells whole seconds, and some time between the question and the answer.
    skew = max(0.0, there - ended, began - (there + 1))
    if skew > CLOCK_TOLERANCE:
        way = "ahead" if there > ended else "behind"
        return Finding("clock", "slow", f"{skew:.0f} s {way}", "set it (NTP): times of files mislead until then")
    return Finding("clock", "ok", "as here" if skew < 1 else f"{skew:.0f} s off")


def _umask(facts: Mapping[str, str]) -> Finding:
    umask = facts.get("umask", "")
    try:
        open_to_others = not int(umask, 8) & 0o002
    except ValueError:
        return Finding("umask", "slow", f"{umask!r}", "files of programs get modes that nobody knows")
    if open_to_others:
        return Finding("umask", "slow", umask, "others can write what programs make there; say umask 022 in ~/.profile")
    return Finding("umask", "ok", umask)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else None
