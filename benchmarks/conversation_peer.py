"""The same as conversation_ours.py with the published claude-agent-sdk: one reader, and nothing is written down."""

import json
import sys
import time
from typing import Any

import anyio
from claude_agent_sdk import (
    ClaudeAgentOptions,
    ClaudeSDKClient,
    PermissionResultAllow,
    ResultMessage,
    ToolPermissionContext,
)
from own_memory import peak_megabytes, resident_megabytes


async def allow(name: str, tool_input: dict[str, Any], context: ToolPermissionContext) -> PermissionResultAllow:
    return PermissionResultAllow()


async def main() -> None:
    task = json.loads(sys.argv[1])
    options = ClaudeAgentOptions(cli_path=task["program"], include_partial_messages=True, can_use_tool=allow)
    async with ClaudeSDKClient(options=options) as client:
        measured = await {"stream": stream, "stuck": stuck}[task["mode"]](client, task)
        print(json.dumps(measured), flush=True)


async def stream(client: ClaudeSDKClient, task: dict[str, Any]) -> dict[str, Any]:
    count = 0
    idle = resident_megabytes()
    begun, worked = time.perf_counter(), time.process_time()
    await client.query("flood")
    async for message in client.receive_messages():
        count += 1
        if isinstance(message, ResultMessage):
            break
    seconds, processor = time.perf_counter() - begun, time.process_time() - worked
    return {"messages": count, "seconds": seconds, "cpu": processor, "idle": idle, "peak": peak_megabytes()}


async def stuck(client: ClaudeSDKClient, task: dict[str, Any]) -> dict[str, Any]:
    """Whether an interrupt is answered while nobody reads: the milliseconds, or null."""
    await client.query("flood and ask")
    begun = time.perf_counter()
    with anyio.move_on_after(task["patience"]):
        await anyio.sleep(task["patience"] / 10)
        begun = time.perf_counter()
        await client.interrupt()
        return {"interrupt": 1000 * (time.perf_counter() - begun)}
    return {"interrupt": None}


anyio.run(main)
