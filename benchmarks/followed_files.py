"""Follow many files by the published surface of a host, in a process of its own, with ours or the published package.

The first argument is JSON: `files` names a directory with the files 0, 1, ... of which `count` are followed, each with
one line in it; `ssh` says how to reach a host over SSH, null is this machine; `host_each` makes a host for each file.
Prints "ready" when the first line of each has come. For each JSON line on stdin, {"samples": most, "seconds": at most},
it appends to files chosen at random, one after the other, and prints how long each line took to come back, in ms.
"""

import asyncio
import json
import os
import random
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import anyio

ARRIVAL = 20.0
"""Seconds in which a line must come."""


async def follow(host: Any, path: str, number: int, arrived: "asyncio.Queue[int]") -> None:
    async for _ in host.tail_file(path):
        arrived.put_nowait(number)


async def append(
    directory: str, arrived: "asyncio.Queue[int]", count: int, samples: int, seconds: float
) -> list[float]:
    took: list[float] = []
    end = time.monotonic() + seconds
    while len(took) < samples and time.monotonic() < end:
        number = random.randrange(count)
        descriptor = os.open(f"{directory}/{number}", os.O_WRONLY | os.O_APPEND)
        begun = time.perf_counter()
        os.write(descriptor, b"one more line\n")
        came = await asyncio.wait_for(arrived.get(), ARRIVAL)
        took.append(1000 * (time.perf_counter() - begun))
        os.close(descriptor)
        assert came == number, "a line of another file came"
        await asyncio.sleep(random.uniform(0, 0.01))
    return took


async def main() -> None:
    task = json.loads(sys.argv[1])
    async with AsyncExitStack() as stack:
        if task["ssh"] is None:
            from optio_host import LocalHost

            hosts = []
            for _ in range(task["count"] if task["host_each"] else 1):
                hosts.append(LocalHost(task["taskdir"]))
                await hosts[-1].connect()
                stack.push_async_callback(hosts[-1].disconnect)
        else:
            from openssh import connected

            from optio_host.types import KnownHosts, SSHConfig

            settings = {**task["ssh"], "host_key": KnownHosts((task["ssh"]["host_key"],))}
            config = SSHConfig(**settings, config_files=(), agent=False, jump=())
            hosts = [await stack.enter_async_context(connected(config, task["taskdir"]))]
        arrived: asyncio.Queue[int] = asyncio.Queue()
        followers = [
            asyncio.ensure_future(follow(hosts[n % len(hosts)], f"{task['files']}/{n}", n, arrived))
            for n in range(task["count"])
        ]
        for _ in followers:
            await asyncio.wait_for(arrived.get(), 120)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            wanted = json.loads(line)
            took = await append(task["files"], arrived, task["count"], wanted["samples"], wanted["seconds"])
            print(json.dumps(took), flush=True)
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


anyio.run(main)
