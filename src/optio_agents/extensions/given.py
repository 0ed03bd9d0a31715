"""The hooks and tools that one driver has: found by name, and described for the journal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..journal.documents import HookDocument, ToolDocument
from .hooks import Hook
from .mcp_server import McpServer, tools_of
from .tools import Offered, Tool

ToolSource = Tool | Callable[..., object] | McpServer
"""What may be handed in as a tool: one, a typed function, or an MCP server with tools of its own."""


@dataclass(frozen=True)
class Extensions:
    """What a driver has.

    Attributes:
        hooks: by name.
        tools: by the name that the model uses.
    """

    hooks: Mapping[str, Hook] = field(default_factory=dict)
    tools: Mapping[str, Offered] = field(default_factory=dict)

    @classmethod
    async def of(cls, hooks: Sequence[Hook], tools: Sequence[ToolSource]) -> "Extensions":
        """From what was handed in. ValueError for two of one name; TypeError for what is none."""
        by_name: dict[str, Hook] = {}
        for hook in hooks:
            if not isinstance(hook, Hook):
                raise TypeError(f"{hook!r} is no hook: make one with @pre_tool_use(), @stop() and the like")
            if hook.name in by_name:
                raise ValueError(f"two hooks are called {hook.name}: give one of them another name=")
            by_name[hook.name] = hook
        offered: dict[str, Offered] = {}
        for source in tools:
            for tool in await _offered(source):
                name = model_name(tool.document())
                if name in offered:
                    raise ValueError(f"two tools are called {name}: give one of them another name=")
                offered[name] = tool
        return cls(by_name, offered)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all, as the record of a session has them."""
        return (*(f"hook {each}" for each in self.hooks), *(f"tool {each}" for each in self.tools))

    def hook_documents(self) -> tuple[HookDocument, ...]:
        """The hooks, for the record."""
        return tuple(each.document() for each in self.hooks.values())

    def tool_documents(self) -> tuple[ToolDocument, ...]:
        """The tools, for the record."""
        return tuple(each.document() for each in self.tools.values())


NOTHING = Extensions()


def model_name(tool: ToolDocument) -> str:
    """What the model calls a tool."""
    return f"mcp__{tool.server}__{tool.name}"


async def _offered(source: ToolSource) -> Sequence[Offered]:
    if isinstance(source, Tool):
        return [source]
    return [Tool(source)] if callable(source) else await tools_of(source)
