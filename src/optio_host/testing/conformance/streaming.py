"""Promises about `stream_file`: what must not be handed over is refused on the host where it lies."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from ...errors import FileRefused
from .ground import Ground, collect, fails


async def a_file_is_streamed_whole(ground: Ground) -> None:
    """In chunks, any bytes; also an empty one, and one behind a link."""
    content = bytes(range(256)) * 9000
    await ground.host.put_file_to_host(content, ground.path("file"))
    await ground.far.append(ground.path("empty"), b"")
    await ground.far.symlink("file", ground.path("link"))
    for name, expected in (("file", content), ("link", content), ("empty", b"")):
        assert await collect(ground.streamer.stream_file(ground.path(name))) == expected


async def a_file_outside_of_its_directory_is_refused(ground: Ground) -> None:
    """Links and dots are resolved on the host; what then lies inside is handed over."""
    stream, host = ground.streamer.stream_file, ground.host
    await host.put_file_to_host(b"secret", f"{host.taskdir}/outside")
    await host.put_file_to_host(b"neighbour", f"{host.workdir}-2/file")
    await host.write_text("out/file", "inside")
    await ground.far.symlink("../../outside", ground.path("out/link"))
    await ground.far.symlink("../..", ground.path("out/up"))
    await ground.far.symlink("file", ground.path("out/inside"))
    within = ground.path("out")
    for name in ("link", "up/outside", "../../outside", "../../workdir-2/file"):
        await fails(FileRefused, collect(stream(f"{within}/{name}", within=within)))
    await fails(FileRefused, collect(stream(f"{host.workdir}-2/file", within=host.workdir)))
    for name in ("file", "inside", "up/workdir/out/file"):
        assert await collect(stream(f"{within}/{name}", within=within)) == b"inside"


async def a_file_that_is_too_large_is_refused(ground: Ground) -> None:
    """Before a byte of it is sent; one of exactly that size is not."""
    await ground.host.write_text("file", "12345")
    stream = ground.streamer.stream_file
    assert await collect(stream(ground.path("file"), max_bytes=5)) == b"12345"
    seen: list[bytes] = []

    async def read() -> None:
        async for chunk in stream(ground.path("file"), max_bytes=4):
            seen.append(chunk)

    await fails(FileRefused, read())
    assert seen == []


async def what_is_no_regular_file_is_not_streamed(ground: Ground) -> None:
    """A FIFO, a directory: FileRefused; what is not there: FileNotFoundError."""
    await ground.far.fifo(ground.path("fifo"))
    await ground.far.symlink("fifo", ground.path("link"))
    await ground.far.symlink("nowhere", ground.path("dangling"))
    for name, error in (
        ("fifo", FileRefused),
        ("link", FileRefused),
        (".", FileRefused),
        ("missing", FileNotFoundError),
        ("dangling", FileNotFoundError),
    ):
        await fails(error, collect(ground.streamer.stream_file(ground.path(name))))


async def no_mixture_of_two_contents_is_handed_over(ground: Ground) -> None:
    """A file that changes while it is read is refused, at the latest at its end, unless all of the old one was read."""
    path, old = ground.path("file"), bytes(6_000_000)

    async def read(change: Callable[[str, bytes], Awaitable[None]]) -> bytes:
        async with aclosing(ground.streamer.stream_file(path)) as chunks:
            first = await anext(chunks)
            await change(path, b"other")
            return first + await collect(chunks)

    for change in (ground.far.append, ground.far.overwrite):
        await ground.host.put_file_to_host(old, path)
        try:
            found = await read(change)
        except FileRefused:
            continue
        assert found == old, f"{len(found)} bytes came, and no error"


async def a_stream_that_is_left_early_holds_nothing(ground: Ground) -> None:
    """The next one begins at the beginning, however many were left."""
    content = bytes(range(256)) * 8000
    await ground.host.put_file_to_host(content, ground.path("file"))
    for _ in range(8):
        async with aclosing(ground.streamer.stream_file(ground.path("file"))) as chunks:
            assert content.startswith(await anext(chunks))
    assert await collect(ground.streamer.stream_file(ground.path("file"))) == content


PROMISES = (
    a_file_is_streamed_whole,
    a_file_outside_of_its_directory_is_refused,
    a_file_that_is_too_large_is_refused,
    what_is_no_regular_file_is_not_streamed,
    no_mixture_of_two_contents_is_handed_over,
    a_stream_that_is_left_early_holds_nothing,
)
