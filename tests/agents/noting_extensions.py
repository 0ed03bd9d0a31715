"""A hook and a tool that note each of their calls below a directory, and never come back while a file is there."""

import json
import time
from pathlib import Path

from optio_agents.extensions.hooks import Hook, PreToolUse, PreToolUseDecision, pre_tool_use
from optio_agents.extensions.tools import Tool, ToolContext, tool


class Noting:
    """Both, for one session.

    Parameters:
        base: where `calls` is written, and `hang-before` and `hang-note` keep the one or the other from coming back.
    """

    def __init__(self, base: Path) -> None:
        self._base = base

    @property
    def hooks(self) -> list[Hook]:
        @pre_tool_use(matcher="mcp__optio__note")
        def before(use: PreToolUse) -> PreToolUseDecision:
            self._note("before", use.call_id, use.redelivered)
            return PreToolUseDecision("allow")

        return [before]

    @property
    def tools(self) -> list[Tool]:
        @tool
        def note(text: str, *, context: ToolContext) -> str:
            """Note something down."""
            self._note("note", context.call_id, context.redelivered)
            return f"noted {text}"

        return [note]

    def calls(self) -> list[tuple[str, str, bool]]:
        """Each call: of what, its id, and whether it may have been made before."""
        noted = self._base / "calls"
        return [tuple(json.loads(line)) for line in noted.read_text().splitlines()] if noted.exists() else []

    def _note(self, what: str, call_id: str, redelivered: bool) -> None:
        with (self._base / "calls").open("a") as calls:
            calls.write(json.dumps([what, call_id, redelivered]) + "\n")
        while (self._base / f"hang-{what}").exists():
            time.sleep(0.02)
