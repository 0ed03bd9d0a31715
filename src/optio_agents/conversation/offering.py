"""How Claude Code is told of the hooks that it is to call and the tools that it may use. Pure.

It gives up each call after a time of its own, so that it is not stuck for ever when nobody drives it; measured with
version 2.1.332. Then a tool has failed, a tool use with a hook before it does not happen, a message with a hook is not
taken up, and a turn ends without its hook.
"""

import json
import math
from collections.abc import Sequence

from ..extensions.tools import SERVER
from ..journal.documents import ConversationDocument, ToolDocument
from .messages import JsonMap

AWAY = 600.0
"""Seconds for which the agent waits longer than a hook or a tool may take: so long nobody needs to drive it."""


def registration(document: ConversationDocument) -> JsonMap:
    """What the first request to the agent says of them."""
    hooks: dict[str, list[JsonMap]] = {}
    for hook in document.hooks:
        # By name: the next driver, in another process, is called by the same.
        registered: JsonMap = {
            **({"matcher": hook.matcher} if hook.matcher else {}),
            "hookCallbackIds": [hook.name],
            "timeout": math.ceil(hook.timeout + AWAY),
        }
        hooks.setdefault(hook.event, []).append(registered)
    servers = list(dict.fromkeys(each.server for each in document.tools))
    return {**({"hooks": hooks} if hooks else {}), **({"sdkMcpServers": servers} if servers else {})}


def arguments_for(tools: Sequence[ToolDocument]) -> tuple[str, ...]:
    """What the program is started with, beside what it is started with anyway."""
    if not tools:
        return ()
    servers: dict[str, JsonMap] = {}
    for server in dict.fromkeys(each.server for each in tools):
        longest = max(each.timeout for each in tools if each.server == server)
        # The model sees functions at once; the tools of another server it may have to look for.
        at_once = {"alwaysLoad": True} if server == SERVER else {}
        servers[server] = {"type": "sdk", "name": server, "timeout": math.ceil((longest + AWAY) * 1000), **at_once}
    return (f"--mcp-config={json.dumps({'mcpServers': servers})}",)


def environment_for(tools: Sequence[ToolDocument]) -> dict[str, str]:
    """Additions to its environment: how long it waits for the handshake, without which it has no tools at all."""
    return {"MCP_TIMEOUT": str(math.ceil(AWAY * 1000))} if tools else {}
