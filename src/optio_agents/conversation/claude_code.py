"""Claude Code as an agent: how it is to be started, checked before it is.

Flags and refusals measured with Claude Code 2.1.330.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from optio_host.host import RunsCommands

from ..errors import AgentRefused
from .program import look_for_program

PermissionMode = Literal["default", "acceptEdits", "plan", "auto", "dontAsk", "bypassPermissions"]
"""Which uses of tools are asked about: see the permission modes of Claude Code."""

_OURS = ("-p", "--print", "--input-format", "--output-format", "--verbose", "--permission-prompt-tool")
"""Flags that make the program speak the protocol; nobody else may set them."""

_BYPASS = ("--dangerously-skip-permissions", "--allow-dangerously-skip-permissions")


@dataclass(frozen=True, kw_only=True)
class ClaudeCode:
    """How a Claude Code is to be started.

    Attributes:
        executable: the program, as the host finds it.
        model: which model; None: its own choice.
        permission_mode: which uses of tools are asked about; None: as its settings say.
        allowed_tools: tools that are not asked about, such as "Edit" or "Bash(git log *)".
        disallowed_tools: tools that it does not get.
        system_prompt: instead of its own; None: its own.
        append_system_prompt: behind it; None: nothing.
        env: additions to its environment.
        resume: id of one of its own sessions to go on with.
        fork: go on with a copy of that session, under a new id.
        session_id: a UUID to give its session; None: it makes one.
        max_turns: how many times it may call its model in one turn; None: as often as it likes.
        max_cost_usd: US dollars that it may spend; at the end of them it ends. None: no limit.
        partial_messages: say each word as it comes, too.
        extra_arguments: more arguments, as they are.

    Raises ValueError for values that never work together.
    """

    executable: str = "claude"
    model: str | None = None
    permission_mode: PermissionMode | None = None
    allowed_tools: tuple[str, ...] = ()
    disallowed_tools: tuple[str, ...] = ()
    system_prompt: str | None = None
    append_system_prompt: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    resume: str | None = None
    fork: bool = False
    session_id: str | None = None
    max_turns: int | None = None
    max_cost_usd: float | None = None
    partial_messages: bool = False
    extra_arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.permission_mode is not None and self.permission_mode not in get_args(PermissionMode):
            known = ", ".join(get_args(PermissionMode))
            raise ValueError(f"permission_mode={self.permission_mode!r}: it is one of {known}")
        if self.fork and self.resume is None:
            raise ValueError("fork=True copies a session: say which with resume=ID")
        if self.session_id is not None:
            _check_uuid(self.session_id)
            if self.resume is not None and not self.fork:
                raise ValueError("session_id= names a new session, and resume= goes on with an old one: add fork=True")
        for name, limit in (("max_turns", self.max_turns), ("max_cost_usd", self.max_cost_usd)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{name}={limit}: nothing could be done at all")
        for argument in self.extra_arguments:
            if argument.partition("=")[0] in _OURS:
                raise ValueError(f"{argument}: this is set for you; without it there is no conversation")
        if any("\0" in word for word in (*self.command(), *self.env.values())):
            raise ValueError("an argument or a value of the environment contains a NUL")

    def command(self) -> tuple[str, ...]:
        """The program and its arguments."""
        arguments = [
            self.executable, "-p",
            "--input-format", "stream-json",
            "--output-format", "stream-json", "--verbose",
            "--permission-prompt-tool", "stdio",
        ]  # fmt: skip
        values = {
            "--model": self.model,
            "--permission-mode": self.permission_mode,
            "--system-prompt": self.system_prompt,
            "--append-system-prompt": self.append_system_prompt,
            "--resume": self.resume,
            "--session-id": self.session_id,
            "--max-turns": self.max_turns,
            "--max-budget-usd": self.max_cost_usd,
        }
        # With "=": some of these take an optional value, which a blank would leave to the next one.
        arguments += [f"{flag}={value}" for flag, value in values.items() if value is not None]
        arguments += [f"--allowed-tools={tool}" for tool in self.allowed_tools]
        arguments += [f"--disallowed-tools={tool}" for tool in self.disallowed_tools]
        arguments += ["--fork-session"] * self.fork + ["--include-partial-messages"] * self.partial_messages
        return (*arguments, *self.extra_arguments)

    def environment(self) -> dict[str, str]:
        """Additions to its environment."""
        # It would take itself for a tool of another one, were it started from within one.
        return {"CLAUDECODE": "", **self.env}

    async def check(self, host: RunsCommands, cwd: str) -> None:
        """Look whether it can be started on a host at all.

        Parameters:
            host: where.
            cwd: absolute path of the directory on the host that it is to run in.

        Raises AgentRefused, saying what to do; HostError when the host does not say.
        """
        program = await look_for_program(host, self.executable, cwd, self.environment())
        if not program.directory:
            raise AgentRefused(f"there is no directory {cwd} on {program.login}: make it, or name another one")
        if program.problem:
            raise AgentRefused(f"{program.problem}; {program.remedy}")
        if program.user == "0" and program.sandbox != "1" and self._bypasses():
            raise AgentRefused(
                "Claude Code does not run as root without asking for permissions: run it as another user, use "
                "another permission mode, or set IS_SANDBOX=1 in its environment where that is true"
            )

    def _bypasses(self) -> bool:
        given = [each.partition("=") for each in self.extra_arguments]
        return (
            self.permission_mode == "bypassPermissions"
            or any(name in _BYPASS for name, _, _ in given)
            or "bypassPermissions" in (value for name, _, value in given if name == "--permission-mode")
        )


def _check_uuid(value: str) -> None:
    try:
        canonical = str(uuid.UUID(value))
    except ValueError:
        canonical = ""
    if canonical != value.lower():
        raise ValueError(f"session_id={value!r}: it must be a UUID, such as {uuid.uuid4()}")
