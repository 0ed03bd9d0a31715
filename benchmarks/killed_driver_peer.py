"""A driver made with the published claude-agent-sdk, to be killed while its agent waits for an answer.

The argument is JSON: `program`, `env` and `cwd` of the agent; `prompt`, or `resume`, the id of a session to go on with.
Prints a JSON line for the id of the session, and one when the agent asks; nobody answers.
"""

import json
import sys
from typing import Any

import anyio
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, PermissionResultAllow, ToolPermissionContext


async def ask_nobody(name: str, tool_input: dict[str, Any], context: ToolPermissionContext) -> PermissionResultAllow:
    print(json.dumps({"asked": name}), flush=True)
    await anyio.sleep_forever()
    return PermissionResultAllow()


async def main() -> None:
    task = json.loads(sys.argv[1])
    options = ClaudeAgentOptions(
        cli_path=task["program"], env=task["env"], cwd=task["cwd"], resume=task.get("resume"), can_use_tool=ask_nobody
    )
    async with ClaudeSDKClient(options=options) as client:
        if "prompt" in task:
            await client.query(task["prompt"])
        print(json.dumps({"connected": True}), flush=True)
        async for message in client.receive_messages():
            data = getattr(message, "data", None)
            if data and "session_id" in data:
                print(json.dumps({"session": data["session_id"]}), flush=True)


anyio.run(main)
