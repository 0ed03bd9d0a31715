"""The dialogue of Claude Code with an MCP server that is its driver: JSON-RPC in control requests. Pure.

Only calls of tools need the driver's functions. Everything else is answered from the record of the session, at once:
the agent waits for the handshake before it answers the first request to it, and a driver without the tools can still
say what they were. Measured with Claude Code 2.1.332.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..journal.documents import ToolDocument
from .compose import answer_line
from .messages import JsonMap, McpAsked

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool is called.

    Attributes:
        tool: which.
        arguments: with what.
        rpc: id of the request within the dialogue with its server.
        use: the use of the tool that this carries out; "" when it is not said.
    """

    tool: ToolDocument
    arguments: JsonMap
    rpc: int | str
    use: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The request of this id is not waited for any more."""

    rpc: object


def call_in(asked: McpAsked, tools: Sequence[ToolDocument]) -> ToolCall | None:
    """The call of a tool that this is; None: it is something else, or none that is offered."""
    params = asked.message.get("params")
    rpc = asked.message.get("id")
    if asked.message.get("method") != "tools/call" or not isinstance(params, dict) or not isinstance(rpc, int | str):
        return None
    arguments = params.get("arguments", {})
    meta = params.get("_meta")
    use = meta.get("claudecode/toolUseId") if isinstance(meta, dict) else None
    for tool in tools:
        if (tool.server, tool.name) == (asked.server, params.get("name")) and isinstance(arguments, dict):
            return ToolCall(tool, arguments, rpc, use if isinstance(use, str) else "")
    return None


def cancelled_in(asked: McpAsked) -> Cancelled | None:
    """The request that this takes back; None: it is something else."""
    params = asked.message.get("params")
    if asked.message.get("method") != "notifications/cancelled" or not isinstance(params, dict):
        return None
    return Cancelled(params.get("requestId"))


def answer_at_once(asked: McpAsked, tools: Sequence[ToolDocument], version: str) -> bytes:
    """The line that answers what is no call of a tool; `version` is that of this program."""
    message = asked.message
    params = message.get("params")
    match message.get("method"):
        case "initialize":
            wanted = params.get("protocolVersion") if isinstance(params, dict) else None
            info = {"name": asked.server, "version": version}
            result: JsonMap = {"protocolVersion": wanted, "capabilities": {"tools": {}}, "serverInfo": info}
        case "ping":
            result = {}
        case "tools/list":
            result = {
                "tools": [
                    {"name": each.name, "description": each.description, "inputSchema": each.input_schema}
                    for each in tools
                    if each.server == asked.server
                ]
            }
        case "tools/call":
            named = params.get("name") if isinstance(params, dict) else None
            return error_line(asked, INVALID_PARAMS, f"there is no tool {named!r}, or it was called with no object")
        case method if "id" in message:
            return error_line(asked, METHOD_NOT_FOUND, f"{method!r} is not supported: there are tools, and no more")
        case _:
            return answer_line(asked.request, {"mcp_response": {"jsonrpc": "2.0", "result": {}}})
    return _line(asked, {"result": result})


def result_line(request: str, rpc: int | str | None, text: str, *, is_error: bool) -> bytes:
    """The line that answers the call of a tool."""
    result: JsonMap = {"content": [{"type": "text", "text": text}], "isError": is_error}
    return answer_line(request, {"mcp_response": {"jsonrpc": "2.0", "id": rpc, "result": result}})


def error_line(asked: McpAsked, code: int, message: str) -> bytes:
    """The line that refuses a request of JSON-RPC."""
    return _line(asked, {"error": {"code": code, "message": message}})


def _line(asked: McpAsked, body: JsonMap) -> bytes:
    answer: JsonMap = {"jsonrpc": "2.0", "id": asked.message.get("id"), **body}
    return answer_line(asked.request, {"mcp_response": answer})
