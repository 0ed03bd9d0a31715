"""A driver made with the published optio-agents, of one program on a host over SSH. Ended by SIGTERM, or by SIGKILL.

The argument is JSON: `user`, `key` and `port` of the server, `taskdir`, and `program`, a shell command. Prints what the
program reports, a line each.
"""

import asyncio
import json
import signal
import sys

from optio_agents import run_log_protocol_session
from optio_host import RemoteHost, SSHConfig


class Context:
    """The process around the session, which is asked to stop by SIGTERM."""

    process_id = "bench"

    def __init__(self) -> None:
        self.goes_on = True

    def report_progress(self, percent: float | None, message: str | None = None) -> None:
        print(message, flush=True)

    def should_continue(self) -> bool:
        return self.goes_on

    def stop(self) -> None:
        self.goes_on = False


async def main() -> None:
    task = json.loads(sys.argv[1])
    context = Context()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, context.stop)
    ssh = SSHConfig(host="127.0.0.1", user=task["user"], key_path=task["key"], port=task["port"])
    host = RemoteHost(ssh, task["taskdir"])
    await host.connect()
    try:

        async def body(host, hook_ctx) -> None:  # type: ignore[no-untyped-def]
            handle = await host.launch_subprocess(task["program"])
            try:
                await asyncio.sleep(1000)  # the session ends it, at DONE or when it is to stop
            finally:
                await host.terminate_subprocess(handle, aggressive=True)

        await run_log_protocol_session(host, context, body=body)
    finally:
        await host.disconnect()


asyncio.run(main())
