"""From an append to the line in the callback, over SSH, with one file."""

import random
import time

import anyio
from openssh import far_side
from table import Row, TimesAtMost, percentile
from tails import append, tails


async def over_ssh(quick: bool) -> list[Row]:
    """One file: `RemoteHost.follow` in this process, and a blocking read of `ssh far tail -F`."""
    samples, rounds = (20, 1) if quick else (250, 4)
    ours: list[float] = []
    peer: list[float] = []
    with far_side() as place:
        files = {name: place.work / name for name in ("ours", "peer")}
        for path in files.values():
            path.write_text("first\n")
        async with place.host() as host:
            lines = host.follow(str(files["ours"]))
            await anext(lines)
            with tails(place, [files["peer"]]) as output:
                for _ in range(rounds):
                    for _ in range(samples):
                        begun = append(files["ours"])
                        await anext(lines)
                        ours.append(1000 * (time.perf_counter() - begun))
                        await anyio.sleep(random.uniform(0, 0.003))
                    for _ in range(samples):
                        begun = append(files["peer"])
                        output.line()
                        peer.append(1000 * (time.perf_counter() - begun))
                        await anyio.sleep(random.uniform(0, 0.003))
            await lines.aclose()
    what, peer_is = "append to line, SSH, one file", "ssh far tail -F"
    return [
        Row(f"{what}, p50", "ms", percentile(ours, 50), percentile(peer, 50), peer_is, TimesAtMost(2)),
        Row(f"{what}, p99", "ms", percentile(ours, 99), percentile(peer, 99), peer_is, TimesAtMost(2)),
    ]
