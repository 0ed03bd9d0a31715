"""A session with a scripted agent, in a process of its own; prints what it measured as JSON.

The argument is JSON: `program` is the agent, `directory` is empty and for this run, `mode` is "stream" (with so many
`subscribers`) or "stuck" (with so many `questions` and as many interrupts, behind a flood that one subscriber has not
read).
"""

import json
import os
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
from own_memory import peak_megabytes, resident_megabytes

from optio_agents import ClaudeCode, Session
from optio_agents.conversation.contract import PermissionDecision
from optio_agents.journal.sqlite.store import open_sqlite
from optio_host import LocalHost

PATIENCE = 120.0
"""Seconds in which a measurement must be over."""


async def main() -> None:
    task = json.loads(sys.argv[1])
    directory = Path(task["directory"])
    (directory / "cwd").mkdir(parents=True)
    async with AsyncExitStack() as stack:
        host = LocalHost(str(directory / "host"))
        await host.connect()
        stack.push_async_callback(host.disconnect)
        store = await stack.enter_async_context(open_sqlite(directory / "journal.db"))
        session = await Session.start(
            host,
            store,
            agent=ClaudeCode(executable=task["program"], partial_messages=True),
            cwd=str(directory / "cwd"),
            deliverables=str(directory / "deliverables"),
            state_dir=str(directory / "state"),
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.wait)
            try:
                with anyio.fail_after(PATIENCE):
                    await session.conversation.context_usage()  # answered: the agent has started
                    measure = {"stream": stream, "stuck": stuck}[task["mode"]]
                    measured = await measure(session, task)
                    await session.conversation.close()
            except BaseException:
                with anyio.move_on_after(10, shield=True):  # it would go on without this driver
                    await session.kill()
                raise
    print(json.dumps(measured))


async def stream(session: Session, task: dict[str, Any]) -> dict[str, Any]:
    """Everything that the agent says, to every subscriber."""
    counts = [0] * task["subscribers"]
    waiting = len(counts)
    all_have_all = anyio.Event()

    def subscribe(number: int) -> None:
        def take(event: dict[str, object]) -> None:
            nonlocal waiting
            counts[number] += 1
            if event["type"] == "result":
                waiting -= 1
                if not waiting:
                    all_have_all.set()

        # Who is cut off has not got everything: that would be no measurement.
        session.conversation.on_event(take, on_cut_off=lambda cut: os.abort())

    for number in range(len(counts)):
        subscribe(number)
    idle = resident_megabytes()
    begun, worked = time.perf_counter(), time.process_time()
    await session.conversation.send("flood")
    await all_have_all.wait()
    seconds, processor = time.perf_counter() - begun, time.process_time() - worked
    assert len(set(counts)) == 1
    return {"messages": counts[0], "seconds": seconds, "cpu": processor, "idle": idle, "peak": peak_megabytes()}


async def stuck(session: Session, task: dict[str, Any]) -> dict[str, Any]:
    """Questions and interrupts, with a flood that one subscriber has not read."""
    conversation = session.conversation

    async def hang(event: dict[str, object]) -> None:
        await anyio.sleep_forever()

    subscription = conversation.on_event(hang)
    conversation.on_permission_request(lambda request: PermissionDecision("allow"))
    first = json.loads((await conversation.ask("flood and ask")).text)
    answers = json.loads((await conversation.ask(f"ask {task['questions']}")).text)
    interrupts = []
    for _ in range(task["questions"]):
        begun = time.perf_counter()
        await conversation.interrupt()
        interrupts.append(1000 * (time.perf_counter() - begun))
    subscription()
    return {"first": first[0], "answers": answers, "interrupts": interrupts}


anyio.run(main)
