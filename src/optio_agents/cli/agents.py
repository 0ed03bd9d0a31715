"""The agents that `optio run` knows by name, and what each is told first."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from ..conversation.claude_code import ClaudeCode, PermissionMode
from ..errors import CallbacksNotLoaded, PolicyError
from ..protocol.prompt import build_log_channel_prompt
from .options import executable_option
from .visible import visible

if TYPE_CHECKING:
    from ..extensions.given import ToolSource
    from ..extensions.hooks import Hook
    from ..journal import SourceDocument

    FromFiles = tuple[list[SourceDocument], list[Hook], list[ToolSource]]
    """Files, and the hooks and tools in them."""

AGENTS = ("claude",)

NO_POLICY = "none"
"""The policy of who wants to be asked about everything that the agent asks."""

Command = Callable[..., None]

REMINDER = (
    "System: your turn has ended, and there is neither DONE nor ERROR in the log. Go on; when the work is finished, or "
    "cannot be, append one of them."
)
"""What an agent is told once that stands still."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What a person has said of the agent on the command line; None: nothing.

    Attributes:
        executable: its program; else as it is found on the PATH.
        model: which model it uses.
        permission_mode: which uses of tools it asks about.
        resume: id of one of its own sessions to go on with.
        policy: a policy file, `built-in` or `none`; else what OPTIO_POLICY names, or the built-in one.
        hooks: files that hooks are loaded from.
        tools: files that tools are loaded from.
    """

    executable: str | None
    model: str | None
    permission_mode: PermissionMode | None
    resume: str | None
    policy: str | None
    hooks: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


def with_agent_options(command: Command) -> Command:
    """Add the options of an agent to a command, which gets them as `agent_options`."""

    @wraps(command)
    def taken(
        executable: str | None,
        model: str | None,
        permission_mode: PermissionMode | None,
        resume: str | None,
        policy: str | None,
        hooks: tuple[str, ...],
        tools: tuple[str, ...],
        **others: object,
    ) -> None:
        options = AgentOptions(executable, model, permission_mode, resume, policy, hooks, tools)
        command(agent_options=options, **others)

    for option in reversed(
        [
            executable_option,
            click.option("--model", metavar="NAME", help="The agent's model. Default: its own choice."),
            click.option(
                "--permission-mode",
                type=click.Choice(get_args(PermissionMode)),
                help="Which uses of tools the agent asks about. Default: as its settings say.",
            ),
            click.option(
                "--policy",
                metavar="F",
                help="A policy file, which says what the agent may do without a person being asked; `built-in`: it may "
                "read in its working directory, and report; `none`. Default: $OPTIO_POLICY, else built-in.",
            ),
            click.option(
                "--hooks",
                multiple=True,
                metavar="F",
                help="A file of Python (or FILE.py:NAME) with hooks that the agent calls here. Each driver of the "
                "session runs it. May be repeated.",
            ),
            click.option(
                "--tools",
                multiple=True,
                metavar="F",
                help="The same with tools that run here while the agent runs there.",
            ),
            click.option("--resume", metavar="ID", help="Go on with one of the agent's own sessions."),
        ]
    ):
        taken = option(taken)
    return taken


def agent_of(env: Mapping[str, str], options: AgentOptions, *, partial_messages: bool = False) -> ClaudeCode:
    """Claude Code.

    Parameters:
        env: additions to its environment.
        options: what a person has said of it.
        partial_messages: it says each word as it comes.

    Raises click.UsageError for what never works together.
    """
    try:
        return ClaudeCode(
            executable=options.executable or "claude",
            model=options.model,
            permission_mode=options.permission_mode,
            env=env,
            resume=options.resume,
            partial_messages=partial_messages,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def extensions_of(options: AgentOptions) -> "FromFiles":
    """The files that were named, and what is in them. Raises click.UsageError for what cannot be loaded."""
    from ..extensions.files import load, source_of

    try:
        sources = [source_of("hooks", each) for each in options.hooks]
        sources += [source_of("tools", each) for each in options.tools]
        return sources, *load("", sources)
    except OSError as error:
        raise click.UsageError(f"--hooks, --tools: {visible(str(error))}") from error
    except CallbacksNotLoaded as error:
        raise click.UsageError(f"--hooks, --tools: {visible(str(error.__cause__))} ({error.names[0]})") from error


def policy_text(options: AgentOptions) -> str:
    """The text of the policy that a session gets; "" for none. Raises click.UsageError when it cannot be read."""
    from ..permissions.policy import BUILT_IN, Policy, built_in_text

    name = options.policy or os.environ.get("OPTIO_POLICY") or BUILT_IN
    if name == NO_POLICY:
        return ""
    if name == BUILT_IN:
        return built_in_text()
    try:
        text = Path(name).read_text()
        Policy.loads(text, name)
    except (OSError, UnicodeDecodeError, PolicyError) as error:
        raise click.UsageError(f"--policy: {visible(str(error))}") from error
    return text


def first_prompt(words: Sequence[str]) -> str:
    """What a person wants of the agent, and how it reports on its work."""
    prompt = " ".join(words).strip()
    if not prompt:
        raise click.UsageError('say what the agent shall do, as in: optio run --agent claude "Fix the failing test."')
    channel = build_log_channel_prompt(log_path="$OPTIO_LOG", deliverables_dir="$OPTIO_DELIVERABLES")
    return f"{prompt}\n\n{channel}"
