"""What is judged: a tool that an agent wants to use."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that an agent wants to use, and where.

    Attributes:
        tool: the tool, as the agent calls it.
        input: what it would be called with.
        cwd: the directory on the host that a relative path begins at: for a command, where the agent's shell is.
        taskdir: the session's directory on the host.
        host: name of the host.
        agent: short name of the agent.
        subagent: which subagent asks; None: the agent itself.
    """

    tool: str
    input: Mapping[str, object]
    cwd: str
    taskdir: str
    host: str = "local"
    agent: str = "claude"
    subagent: str | None = None
