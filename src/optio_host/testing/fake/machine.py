"""The fake machine: files, a clock, the programs that run on it, and what they answer."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import assert_never

from ...errors import HostError
from ...host import ProcessHandle
from ..clock import ManualClock
from .builtin import builtin
from .faults import ClockJump, Drop, Effect, Fault, HalfOpen, NoPermission, NoSpace, Reboot, Replaced, Slow, Truncated
from .link import FakeLink
from .process import FakeProcess
from .script import Book, ScriptFailed, Step
from .tree import FileTree

HOME = "/home/user"
"""The home directory of the user of a fake host."""

ENVIRONMENT = {"HOME": HOME, "PATH": "/usr/local/bin:/usr/bin:/bin", "SHELL": "/bin/sh", "USER": "user"}
"""What a login on a fake host has in its environment."""


@dataclass(frozen=True, slots=True)
class CommandRun:
    """A command that a fake host was asked to run.

    Attributes:
        at: seconds on its clock.
        command: the command.
        cwd: the directory it ran in.
        env: its whole environment.
        input: what it was given as stdin; None: nothing, or by and by.
    """

    at: float
    command: str
    cwd: str
    env: Mapping[str, str]
    input: bytes | None


class Machine:
    """What the hosts of one fake machine share, whatever their task directories."""

    def __init__(self, clock: ManualClock, seed: int, faults: Sequence[Fault], tunnels: Mapping[int, int]) -> None:
        self.clock = clock
        self.files = FileTree(clock.time)
        for directory in (HOME, "/tmp"):
            self.files.mkdir(directory, mode=0o700)
        self.book = Book()
        self.random = Random(seed)
        self.link = FakeLink(clock, self.random, faults, self.happen)
        self.tunnels = tunnels
        self.commands: list[CommandRun] = []
        self.processes: list[FakeProcess] = []

    def start(
        self,
        command: str,
        *,
        cwd: str,
        env: Mapping[str, str] | None = None,
        env_remove: Sequence[str] | None = None,
        input: bytes | None = None,
        merge_stderr: bool = False,
    ) -> FakeProcess:
        """Start a command. FileNotFoundError and NotADirectoryError for `cwd`; ScriptFailed when nobody answers it."""
        self.files.listing(cwd)
        inherited = {
            name: value
            for name, value in ENVIRONMENT.items()
            if not any(fnmatchcase(name, pattern) for pattern in env_remove or ())
        }
        environment = {**inherited, **(env or {})}
        self.commands.append(CommandRun(self.clock.monotonic(), command, cwd, environment, input))
        process = FakeProcess(
            1000 + len(self.commands),
            command,
            self._steps(command, cwd, environment),
            cwd=cwd,
            merge_stderr=merge_stderr,
            book=self.book,
            files=self.files,
            clock=self.clock,
        )
        self.processes.append(process)
        process.start()
        return process

    def process_of(self, handle: ProcessHandle) -> FakeProcess:
        """The process behind a handle of this machine."""
        for process in self.processes:
            if process.pid == getattr(handle.pid_like, "pid", None):
                return process
        raise HostError(f"{handle.pid_like!r}: this process was not launched by this host, so it cannot be ended here")

    def happen(self, effect: Effect) -> None:
        """Something goes wrong here, now. ScriptFailed when it cannot: there is no such file."""
        try:
            self._happen(effect)
        except OSError as error:
            raise self.book.failed(f"the fault {effect} could not happen: {error}") from error

    def _happen(self, effect: Effect) -> None:
        match effect:
            case Drop() | HalfOpen() | Slow():
                self.link.happen(effect)
            case Reboot(takes):
                for process in self.processes:
                    process.lose("the machine restarted")
                self.link.break_off(takes)
            case ClockJump(seconds):
                self.clock.set_wall_clock(seconds)
            case NoSpace(free):
                self.files.free = free
            case NoPermission(path):
                self.files.denied.add(os.path.normpath(path))
            case Truncated(path, size):
                self.files.truncate(path, size)
            case Replaced(path, content):
                self.files.replace(path, content)
            case _:
                assert_never(effect)

    def verify(self) -> None:
        """Raise ScriptFailed for everything that went against the scripts, and for what of them was never used."""
        problems = [
            *self.book.problems,
            *self.book.unused(),
            *(f"{each.command!r} still waits for {each.waits_for}" for each in self.processes if each.waits_for),
        ]
        if problems:
            raise ScriptFailed("the scripts of the fake host were not followed:\n  " + "\n  ".join(problems))

    def _steps(self, command: str, cwd: str, env: Mapping[str, str]) -> tuple[Step, ...]:
        steps = self.book.answer(command)
        if steps is None:
            steps = builtin(command, self.files, cwd, env)
        if steps is None:
            raise self.book.unexpected(command)
        return steps
