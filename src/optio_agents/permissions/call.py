"""What is judged: a tool that an agent wants to use."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
        variables: variables of the agent's environment whose values are known, and that its shell has not changed.
    """

    tool: str
    input: Mapping[str, object]
    cwd: str
    taskdir: str
    host: str = "local"
    agent: str = "claude"
    subagent: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
