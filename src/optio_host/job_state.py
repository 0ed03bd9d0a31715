"""What the files and processes of a run say about it. Pure: one look in, one state out.

A look is made by `farside/act.sh` in one command. It reads the processes first and the exit file last, so that a
program which is found dead without an exit file was not just about to get one.

| exit file | program | supervisor | state |
|---|---|---|---|
| yes | not running | any | `Ended` |
| no | running | running | `Running` |
| no | running | not running | `RunningUnsupervised`: nobody will write down how it ends |
| no | not running | running | `Ending`: the supervisor is about to write the exit file, or waits for room on the disk |
| no | not running | not running | `Unknown`, with what can be said of why |
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, assert_never

from .errors import HostError
from .outcome import Exited, Lost, Outcome, Signalled


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may append to a run, close its input and signal it.

    Attributes:
        store: name of the store that holds the session's lease; a name, not an address: it lies on the host.
        session: the session's id.
        generation: of the lease; whoever takes the run over has a higher one.
    """

    store: str
    session: str
    generation: int

    def __post_init__(self) -> None:
        for word in (self.store, self.session):
            if not word or not word.isascii() or not word.isprintable() or " " in word:
                raise ValueError(f"{word!r}: the names of an owner are words of printable ASCII without blanks")
        if self.generation < 1:
            raise ValueError(f"generation {self.generation}: generations are counted from 1")

    def __str__(self) -> str:
        """As it stands in the owner file."""
        return f"{self.store} {self.session} {self.generation}"


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a run.

    Attributes:
        pid: its process id on the host.
        started: when, as the host counts it; tells it from a later process with the same number.
        group: its process group.
        name: what it calls itself; anything but printable ASCII shows as "?".
    """

    pid: int
    started: str
    group: int
    name: str


@dataclass(frozen=True, slots=True)
class Running:
    """The program runs and its supervisor holds it."""

    pid: int


@dataclass(frozen=True, slots=True)
class RunningUnsupervised:
    """The program runs, but its supervisor is gone: input still arrives, the exit status will be lost."""

    pid: int


@dataclass(frozen=True, slots=True)
class Ending:
    """The program has ended and the supervisor has not written how; look again after about a second."""


StopReason = Literal["none", "no-driver", "spool-limit", "free-space"]
"""Why the supervisor itself stopped a program: no driver was seen for too long (the dead-man's rule), its output grew
past the limit, or too little room was left on the disk. "none": it did not."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end is written down.

    Attributes:
        outcome: how the program's main process ended; a run ends with it. `Lost` when it was never started. A shell
            cannot tell exit status 130 or 141 from a death by SIGINT or SIGPIPE: those come as `Exited`.
        reason: whether the supervisor had stopped it.
        left: processes the program left behind; the supervisor ends them, `Job.stop` proves it.
    """

    outcome: Outcome
    reason: StopReason = "none"
    left: tuple[Process, ...] = ()


UnknownReason = Literal["starting", "never started", "reboot", "pid reused", "supervisor killed", "directory gone"]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say how the program ended, or whether it ever ran.

    Attributes:
        reason: "starting": a supervisor is there and the program's pid is not yet. "never started": the start broke
            off before the program could run; `Job.stop` makes sure that it never will. "reboot": the machine was
            restarted since. "pid reused": the number belongs to another process now. "supervisor killed": program and
            supervisor are both gone. "directory gone": the run directory was removed.
    """

    reason: UnknownReason


JobState = Running | RunningUnsupervised | Ending | Ended | Unknown


@dataclass(frozen=True, slots=True)
class Identity:
    """A process as it was written down: pid, start time, boot of the machine."""

    pid: int
    start: str
    boot: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one look saw. None: not there.

    Attributes:
        gone: the run directory is not there, or is not one of a run.
        run: id of the run.
        owner: the line of the owner file.
        boot: the machine's current boot.
        begun: the right to run the program was taken, by the supervisor or by a stop.
        main: the program as written down before it ran.
        main_start: start time of the living process that has its pid now.
        supervisor: the supervisor as written down.
        supervisor_start: start time of the living process that has its pid now.
        end: the exit file, if it is there and from the supervisor.
        input_size: bytes in the stdin spool.
        input_closed: no more input will come.
        directory: the run directory, symbolic links resolved.
        watched: the supervisor stops the program when it sees no driver for too long.
    """

    gone: bool = False
    run: str = ""
    owner: str = ""
    boot: str = ""
    begun: bool = False
    main: Identity | None = None
    main_start: str | None = None
    supervisor: Identity | None = None
    supervisor_start: str | None = None
    end: Ended | None = None
    input_size: int = 0
    input_closed: bool = False
    directory: str = ""
    watched: bool = False

    @property
    def running(self) -> bool:
        """The program itself is alive, not another process with its number."""
        return _is(self.main, self.main_start, self.boot)

    @property
    def supervised(self) -> bool:
        """Its supervisor is alive."""
        return _is(self.supervisor, self.supervisor_start, self.boot)


def judge(seen: Snapshot) -> JobState:
    """The state of a run, from one look."""
    if seen.gone:
        return Unknown("directory gone")
    # An exit file is only written once the program is gone: beside a living program it is a forgery.
    if seen.end is not None and not seen.running:
        return seen.end
    if seen.main is None:
        return Unknown("starting" if seen.supervised else "never started")
    if seen.running:
        return Running(seen.main.pid) if seen.supervised else RunningUnsupervised(seen.main.pid)
    if seen.supervised:
        return Ending()
    if seen.main.boot != seen.boot:
        return Unknown("reboot")
    return Unknown("supervisor killed" if seen.main_start is None else "pid reused")


def outcome_of(state: Ended | Unknown) -> Outcome:
    """How a run ended that does not run any more."""
    match state:
        case Ended(outcome):
            return outcome
        case Unknown(reason):
            return Lost(_IN_WORDS[reason])
        case _:
            assert_never(state)


_IN_WORDS: dict[UnknownReason, str] = {
    "starting": "the program is being started",
    "never started": "the start broke off before the program ran",
    "reboot": "the machine was restarted while the program ran",
    "pid reused": "program and supervisor are gone, and the program's pid belongs to another process",
    "supervisor killed": "program and supervisor were both killed",
    "directory gone": "the run directory was removed",
}


def _is(written: Identity | None, start_now: str | None, boot: str) -> bool:
    return written is not None and written.boot == boot and written.start == start_now


def read_snapshot(answers: Iterable[tuple[str, str]]) -> Snapshot:
    """The snapshot in the answers of `look`. What does not parse (the run's user can edit its files) is not there."""
    first: dict[str, str] = {}
    end: list[str] = []
    for key, value in answers:
        first.setdefault(key, value)
        if key == "exit":
            end.append(value)
    return Snapshot(
        gone="gone" in first,
        run=first.get("id", ""),
        owner=first.get("owner", ""),
        boot=first.get("boot", ""),
        begun="go" in first,
        main=_identity(first.get("pid", ""), (2, 3)),
        main_start=first.get("main-start"),
        supervisor=_identity(first.get("supervisor", ""), (1, 2)),
        supervisor_start=first.get("supervisor-start"),
        end=None if "forged" in first else _end(end),
        input_size=_number(first.get("stdin", "")) or 0,
        input_closed="eof" in first,
        directory=path_from_hex(first.get("dir", "")),
        watched=first.get("no-driver", "0") != "0",
    )


def read_process(text: str) -> Process | None:
    """A process from "pid start group name"; None when it is no such line."""
    words = text.split(maxsplit=3)
    if len(words) < 4 or (pid := _number(words[0])) is None or (group := _number(words[2])) is None:
        return None
    return Process(pid, words[1], group, words[3])


def path_from_hex(text: str) -> str:
    """A path that was sent as hexadecimal digits, since it may hold anything. Raises HostError when it was not."""
    try:
        return bytes.fromhex(text).decode("utf-8", "surrogateescape")
    except ValueError:
        raise HostError(f"the host was to say a path and said {text[:80]!r}; it may be asked again") from None


def _identity(line: str, places: tuple[int, int]) -> Identity | None:
    words = line.split()
    if len(words) <= places[-1] or (pid := _number(words[0])) is None:
        return None
    return Identity(pid, words[places[0]], words[places[1]])


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


_REASONS: dict[str, StopReason] = {"no-driver": "no-driver", "spool-limit": "spool-limit", "free-space": "free-space"}


def _end(lines: list[str]) -> Ended | None:
    kind, _, rest = (lines[0] if lines else "").partition(" ")
    number = _number(rest)
    if number is None:
        return None
    outcome: Outcome
    match kind:
        case "exited":
            outcome = Exited(number)
        case "signalled":
            outcome = Signalled(number)
        case "void":
            outcome = Lost("it was stopped before the program was started")
        case "unstarted":
            outcome = Lost("the program could not be started; its stderr says why")
        case _:
            return None
    reason: StopReason = "none"
    left: list[Process] = []
    for line in lines[1:]:
        word, _, rest = line.partition(" ")
        if word == "reason":
            reason = _REASONS.get(rest, "none")
        elif word == "left" and (process := read_process(rest)):
            left.append(process)
    return Ended(outcome, reason, tuple(left))
