"""The agents that `optio run` knows by name, and what each is told first."""

from collections.abc import Mapping, Sequence

import click

from ..conversation.claude_code import ClaudeCode
from ..protocol.prompt import build_log_channel_prompt

AGENTS = ("claude",)


REMINDER = (
    "System: your turn has ended, and there is neither DONE nor ERROR in the log. Go on; when the work is finished, or "
    "cannot be, append one of them."
)
"""What an agent is told once that stands still."""


def agent_of(env: Mapping[str, str], resume: str | None, executable: str | None = None) -> ClaudeCode:
    """Claude Code.

    Parameters:
        env: additions to its environment.
        resume: id of one of its own sessions to go on with.
        executable: its program; None: as it is found on the PATH.
    """
    try:
        return ClaudeCode(executable=executable or "claude", env=env, resume=resume)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def first_prompt(words: Sequence[str]) -> str:
    """What a person wants of the agent, and how it reports on its work."""
    prompt = " ".join(words).strip()
    if not prompt:
        raise click.UsageError('say what the agent shall do, as in: optio run --agent claude "Fix the failing test."')
    channel = build_log_channel_prompt(log_path="$OPTIO_LOG", deliverables_dir="$OPTIO_DELIVERABLES")
    return f"{prompt}\n\n{channel}"
