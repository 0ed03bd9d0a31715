"""Commands per second: ours with `run_command("true")`, OpenSSH with one `ssh` each on one connection."""

import subprocess
import time
from collections.abc import Awaitable, Callable

import anyio
from openssh import Place, far_side
from table import Row, TimesAsMuch, by_turns

from optio_host.ssh.host import RemoteHost

PEER = "ssh with ControlMaster"


async def one_at_a_time(quick: bool) -> list[Row]:
    with far_side() as place:
        ours, peer = await _rates(place, 1, 5 if quick else 100, 1 if quick else 5)
    return [Row("commands, one at a time", "/s", ours, peer, PEER, TimesAsMuch(2))]


async def eight_at_a_time(quick: bool) -> list[Row]:
    with far_side() as place:
        ours, peer = await _rates(place, 8, 16 if quick else 200, 1 if quick else 5)
    return [Row("commands, 8 at a time", "/s", ours, peer, PEER, TimesAsMuch(2.5))]


async def slow_login(quick: bool) -> list[Row]:
    with far_side(slow_login=0.1) as place:
        ours, peer = await _rates(place, 1, 5 if quick else 30, 1 if quick else 3)
    return [Row("commands, rc file of 100 ms", "/s", ours, peer, PEER, TimesAsMuch(15))]


async def _rates(place: Place, at_once: int, number: int, rounds: int) -> list[float]:
    async with place.host() as host:
        # What is begun with the first commands is not part of the rate.
        await _ours(host, at_once, 2 * at_once)
        _peer(place, at_once, at_once)
        return await by_turns(
            rounds,
            [
                _per_second(number, lambda: _ours(host, at_once, number)),
                _per_second(number, lambda: anyio.to_thread.run_sync(_peer, place, at_once, number)),
            ],
        )


def _per_second(number: int, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[float]]:
    async def measured() -> float:
        begun = time.perf_counter()
        await work()
        return number / (time.perf_counter() - begun)

    return measured


async def _ours(host: RemoteHost, at_once: int, number: int) -> None:
    left = number

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            result = await host.run_command("true")
            if result.exit_code != 0:
                raise RuntimeError(f"a command failed: {result}")

    async with anyio.create_task_group() as tasks:
        for _ in range(at_once):
            tasks.start_soon(worker)


def _peer(place: Place, at_once: int, number: int) -> None:
    # xargs starts them faster than Python does.
    numbers = "".join(f"{n}\n" for n in range(number)).encode()
    xargs = ["xargs", "-P", str(at_once), "-n", "1", *place.ssh("true")]
    subprocess.run([*xargs[:5], "ssh", "-n", *xargs[6:]], input=numbers, check=True, timeout=300)
