"""The tools of an MCP server object, of the package `mcp`: driven in this process, through streams in memory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..journal.documents import ToolDocument
from .running import Threads
from .tools import ToolContext, ToolResult

if TYPE_CHECKING:
    from mcp import Client

TIMEOUT = 60.0
"""Seconds that each of its tools may take."""


class McpServer(Protocol):
    """An `MCPServer`, or a `Server` of a lower level."""

    @property
    def name(self) -> str:
        """What it is called: the model calls its tools `mcp__NAME__TOOL`."""
        ...


@dataclass(frozen=True)
class ServerTool:
    """One tool of such a server. The server itself validates the arguments.

    Attributes:
        server: whose it is.
        described: what is known of it.
    """

    server: McpServer
    described: ToolDocument

    def document(self) -> ToolDocument:
        """What the journal has of it."""
        return self.described

    async def call(self, arguments: Mapping[str, object], context: ToolContext, threads: Threads) -> ToolResult:
        """Have the server carry it out, in a connection of its own."""

        async def report(progress: float, total: float | None, message: str | None) -> None:
            fraction = progress / total if total and 0 <= progress <= total else None
            context.progress(message or "", fraction)

        async with _connected(self.server) as client:
            result = await client.call_tool(self.described.name, dict(arguments), progress_callback=report)
        parts = [each.text if each.type == "text" else f"[{each.type}]" for each in result.content]
        return ToolResult("\n".join(parts), bool(result.is_error))


async def tools_of(server: McpServer) -> list[ServerTool]:
    """Its tools. Raises TypeError when it is no server of that package."""
    found: list[ServerTool] = []
    cursor: str | None = None
    async with _connected(server) as client:
        while True:
            page = await client.list_tools(cursor=cursor)
            for each in page.tools:
                described = ToolDocument(
                    server=re.sub(r"[^A-Za-z0-9_-]", "_", server.name),
                    name=each.name,
                    description=each.description or "",
                    input_schema=each.input_schema,
                    timeout=TIMEOUT,
                )
                found.append(ServerTool(server, described))
            cursor = page.next_cursor
            if cursor is None:
                return found


def _connected(server: McpServer) -> "Client":
    try:
        from mcp import Client
        from mcp.server import Server
        from mcp.server.mcpserver import MCPServer
    except ImportError:
        Client = None  # type: ignore[misc, assignment]
    if Client is None or not isinstance(server, MCPServer | Server):
        raise TypeError(
            f"{server!r} is no tool: hand in functions, Tool(...), or an MCPServer of the package mcp "
            "(version 2 or newer: pip install 'optio-agents[mcp]')"
        )
    return Client(server)
