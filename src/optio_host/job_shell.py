"""One way to act on a run: a command of `farside/*.sh` on its host, and its answer. The same on every kind of host."""

import re
import signal
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from shlex import quote

from .errors import HostError, LinkLost
from .host import RunsCommands
from .job_errors import InputConflict, JobGone, NotOwner, StartFailed
from .outcome import Exited, Lost, Signalled, describe, from_returncode

COMMAND_TIMEOUT = 30.0
"""Seconds after which a command on a run is given up: it takes milliseconds, and waits at most for another one."""

MARK = "optio-job "
"""What every line of an answer begins with. Other lines are noise of the host's login scripts."""

Answers = list[tuple[str, str]]
"""The lines of an answer: (key, value)."""


@cache
def farside(*names: str) -> str:
    """The text of scripts in `farside/`, one behind the other, without comments and blank lines."""
    text = "".join((files("optio_host") / "farside" / f"{name}.sh").read_text() for name in names)
    # A shell reads its script from a pipe byte by byte: what it need not read is left out.
    return "".join(
        line for line in text.splitlines(keepends=True) if line.strip() and not line.lstrip().startswith("#")
    )


async def act(
    host: RunsCommands, call: str, *words: object, rundir: str, run: str = "", input: bytes | None = None
) -> Answers:
    """Call a function of `farside/act.sh` for a run.

    Parameters:
        call: the function.
        words: its arguments.
        rundir: the run directory.
        run: id of the run that is meant; "" is whatever run has that directory.
        input: what it reads from stdin.

    Raises NotOwner, JobGone, StartFailed; HostError (LinkLost where the link broke) when the command did not come to
    its end: then nobody knows whether it acted, and the same call may be repeated.
    """
    script = farside("processes", "act") + assignments(dir=rundir, run=run) + arguments(call, *words)
    return await ask(host, script, what=f"{call} on the run in {rundir}", rundir=rundir, input=input)


async def ask(host: RunsCommands, script: str, *, what: str, rundir: str, input: bytes | None = None) -> Answers:
    """Run a script on the host and read its answer; see `act`."""
    result = await host.run_command(script, cwd="/", input=input, timeout=COMMAND_TIMEOUT)
    outcome = result.outcome or from_returncode(result.exit_code)
    answers = [
        (key, value)
        for line in result.stdout.split("\n")
        if line.startswith(MARK)
        for key, _, value in [line.removeprefix(MARK).partition(" ")]
    ]
    if isinstance(outcome, Lost):
        raise LinkLost(f"{what}: {outcome.reason}; it may be repeated")
    if outcome == Signalled(signal.SIGINT):
        # A Ctrl-C that came before it had left our process group, on this machine.
        raise LinkLost(f"{what}: it was interrupted; it may be repeated")
    if outcome != Exited(0) or not answers:
        said = result.stderr.strip()[-500:] or "it said nothing"
        raise HostError(f"{what}: the command on the host {describe(outcome)} ({said}); it may be repeated")
    for key, value in answers:
        match key:
            case "lost":
                raise NotOwner(rundir, value)
            case "gone" if len(answers) == 1:
                raise JobGone(f"{rundir}: the run directory is gone; `jobs` still lists what it left running")
            case "failed":
                raise StartFailed(f"{rundir}: nothing was started: {value}")
            case "conflict" if found := _CONFLICT.match(value):
                raise InputConflict(rundir, offset=int(found[2]), size=int(found[1]))
            case "conflict":
                raise HostError(
                    f"{what}: the host spoke of a conflict without two sizes ({value!r}); it may be repeated"
                )
    return answers


def assignments(**values: str) -> str:
    """Shell assignments, a line each; the names get the "_" that all names of the scripts begin with."""
    return "".join(f"_{name}={quote(value)}\n" for name, value in values.items())


_CONFLICT = re.compile(r"([0-9]{1,18}) ([0-9]{1,18})\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def exports(env: Mapping[str, str]) -> str:
    """Shell lines that put variables into the environment. ValueError for a name that a shell cannot export."""
    for name in env:
        if not _NAME.match(name):
            raise ValueError(f"{name!r}: not a name that a shell can export")
    return "".join(f"export {name}={quote(value)}\n" for name, value in env.items())


def arguments(call: str, *words: object) -> str:
    """A command line of one function call."""
    return " ".join([call, *(quote(str(word)) for word in words)]) + "\n"
