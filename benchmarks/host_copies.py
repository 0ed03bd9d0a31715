"""Files and trees to and from a host: ours against scp and rsync on a connection that is there already."""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
from openssh import Place, far_side
from table import LeftOut, Row, TimesAsMuch, by_turns

from optio_host.ssh.host import RemoteHost

MEBIBYTE = 1024 * 1024
SCP, RSYNC = "scp, not verified", "rsync -a"


async def put(quick: bool) -> list[Row]:
    size, rounds = (4, 1) if quick else (256, 5)
    with far_side() as place:
        source = place.work / "source"
        _fill(source, size)
        async with place.host() as host:

            async def ours() -> None:
                await host.put_file_to_host(source, str(place.work / "ours"))

            async def peer() -> None:
                await _run("scp", "-q", *place.options, str(source), f"far:{place.work}/peer")

            figures = await by_turns(rounds, [_rate(size, ours, place, "ours"), _rate(size, peer, place, "peer")])
    return [Row(f"put a file of {size} MB", "MiB/s", *figures, SCP, TimesAsMuch(1.5))]


async def get(quick: bool) -> list[Row]:
    size, rounds = (4, 1) if quick else (256, 5)
    with far_side() as place:
        source = place.work / "source"
        _fill(source, size)
        async with place.host() as host:

            async def ours() -> None:
                with await anyio.to_thread.run_sync(open, place.work / "ours", "wb") as file:
                    async with aclosing(host.stream_file(str(source))) as chunks:
                        async for chunk in chunks:
                            file.write(chunk)

            async def peer() -> None:
                await _run("scp", "-q", *place.options, f"far:{source}", str(place.work / "peer"))

            figures = await by_turns(rounds, [_rate(size, ours, place, "ours"), _rate(size, peer, place, "peer")])
    return [Row(f"get a file of {size} MB", "MiB/s", *figures, SCP, TimesAsMuch(1.3))]


async def tree(quick: bool) -> list[Row]:
    number, rounds = (20, 1) if quick else (2000, 3)
    if shutil.which("rsync") is None:
        raise LeftOut("rsync is not installed")
    with far_side() as place:
        source = place.work / "tree"
        for n in range(number):
            file = source / f"{n % 20}" / f"{n}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.urandom(4096))
        async with place.host() as host:
            again = [_ours_tree(host, place, number), _peer_tree(place, number)]
            new = [_anew(again[0], place, "ours"), _anew(again[1], place, "peer")]
            first = await by_turns(rounds, new)
            for copied in ("ours", "peer"):
                found = sum(len(files) for _, _, files in os.walk(place.work / copied))
                if found != number:
                    raise RuntimeError(f"{copied}: {found} files of {number} came")
            second = await by_turns(rounds, again)
    return [
        Row(f"put a tree of {number} files of 4 kB", "files/s", *first, RSYNC, TimesAsMuch(3)),
        Row("the same again, unchanged", "files/s", *second, RSYNC, TimesAsMuch(1)),
    ]


def _ours_tree(host: RemoteHost, place: Place, number: int) -> Callable[[], Awaitable[float]]:
    async def measured() -> float:
        begun = time.perf_counter()
        await host.put_tree(str(place.work / "tree"), str(place.work / "ours"))
        return number / (time.perf_counter() - begun)

    return measured


def _peer_tree(place: Place, number: int) -> Callable[[], Awaitable[float]]:
    async def measured() -> float:
        begun = time.perf_counter()
        shell = shlex.join(["ssh", *place.options])
        await _run("rsync", "-a", "-e", shell, f"{place.work}/tree/", f"far:{place.work}/peer")
        return number / (time.perf_counter() - begun)

    return measured


def _anew(copy: Callable[[], Awaitable[float]], place: Place, name: str) -> Callable[[], Awaitable[float]]:
    async def measured() -> float:
        shutil.rmtree(place.work / name, ignore_errors=True)
        os.sync()  # what is written for the one must not slow the other
        return await copy()

    return measured


def _rate(size: int, copy: Callable[[], Awaitable[None]], place: Place, name: str) -> Callable[[], Awaitable[float]]:
    async def measured() -> float:
        (place.work / name).unlink(missing_ok=True)
        os.sync()
        begun = time.perf_counter()
        await copy()
        taken = time.perf_counter() - begun
        if (place.work / name).stat().st_size != size * MEBIBYTE:
            raise RuntimeError(f"{name}: not all of the file came")
        return size / taken

    return measured


def _fill(path: Path, size: int) -> None:
    with open(path, "wb") as file:
        for _ in range(size):
            file.write(os.urandom(MEBIBYTE))


async def _run(*command: str) -> None:
    await anyio.to_thread.run_sync(lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=300))
