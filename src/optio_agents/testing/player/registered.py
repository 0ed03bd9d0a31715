"""What its driver has told the agent of: hooks to call, and servers with tools."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Registered:
    """A hook: when it is called, and for which tools."""

    event: str
    matcher: str

    def is_for(self, event: str, tool: str) -> bool:
        """Whether it is called now."""
        return self.event == event and (not self.matcher or re.search(self.matcher, tool) is not None)


@dataclass(frozen=True)
class Called:
    """A call of a hook or a tool that has no answer yet.

    Attributes:
        call: what the script knows it by.
        hook: name of the hook; "": it is a tool.
        event: when the hook is called.
        use: the use of a tool that it is about.
        tool: that tool.
        rpc: the id within the dialogue with the tool's server.
        server: that server.
    """

    call: str
    hook: str
    event: str
    use: str
    tool: str
    rpc: int = 0
    server: str = ""


def hooks_in(initialize: Mapping[str, object]) -> dict[str, Registered]:
    """The hooks that the first request registers, by name."""
    found: dict[str, Registered] = {}
    events = initialize.get("hooks")
    for event, groups in events.items() if isinstance(events, dict) else ():
        for group in groups:
            for hook in group["hookCallbackIds"]:
                found[hook] = Registered(event, group.get("matcher") or "")
    return found


def servers_in(arguments: Iterable[str]) -> list[str]:
    """The servers that the program is told of when it is started."""
    given = [json.loads(each.partition("=")[2]) for each in arguments if each.startswith("--mcp-config=")]
    return [server for config in given for server in config["mcpServers"]]
