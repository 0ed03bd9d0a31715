"""Lines of a log, from the file to `report_progress`, by `run_log_protocol_session`: ours or the published one.

The argument is JSON: `taskdir`, and `lines`, a file of so many (`count`) STATUS lines. Prints the seconds as JSON.
"""

import asyncio
import json
import sys
import time

from optio_agents import run_log_protocol_session
from optio_host import LocalHost


class Context:
    """The process around the session, which counts."""

    process_id = "bench"

    def __init__(self, count: int) -> None:
        self.left = count
        self.ended = 0.0

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        if message is not None and message.startswith("compiling"):
            self.left -= 1
            self.ended = time.perf_counter()

    def should_continue(self) -> bool:
        return True


async def main() -> None:
    task = json.loads(sys.argv[1])
    context = Context(task["count"])
    host = LocalHost(task["taskdir"])
    await host.connect()
    begun = 0.0

    async def body(host, hook_ctx) -> None:  # type: ignore[no-untyped-def]
        nonlocal begun
        await asyncio.sleep(0.5)  # until it follows
        begun = time.perf_counter()
        handle = await host.launch_subprocess(f"cat '{task['lines']}' >>optio.log; echo DONE >>optio.log; sleep 1000")
        try:
            await asyncio.sleep(1000)
        finally:
            await host.terminate_subprocess(handle, aggressive=True)

    await run_log_protocol_session(host, context, body=body)
    assert context.left == 0, f"{context.left} lines have not come"
    print(json.dumps({"seconds": context.ended - begun}), flush=True)
    await host.disconnect()


asyncio.run(main())
