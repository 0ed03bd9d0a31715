"""Promises about single files: written as text, fetched, removed, whatever they are called and whatever they are."""

import os

from ...errors import FileRefused
from .ground import Ground, fails

ODD_NAMES = (
    "with blank",
    "quo'te\"s",
    "new\nline",
    "-rf",
    "--",
    "$(touch x)",
    "`touch x`",
    "back\\slash",
    "*?[a]",
    " lead and trail ",
    "ünïcode €",
    "~",
    "a;b|c&d",
    os.fsdecode(b"not \xff utf-8 \xc3"),
    "x" * 200,
)
"""Names that a command which is put together without care takes for something else."""


async def text_is_written_below_the_workdir(ground: Ground) -> None:
    """As UTF-8, line ends as given, parents made; what was there before is replaced."""
    for content in ("grüße\r\n€\n", "", "shorter"):
        await ground.host.write_text("a/b c/note.txt", content)
        assert await ground.far.read(ground.path("a/b c/note.txt")) == content.encode()
    assert await ground.far.names(ground.path("a/b c")) == ["note.txt"]


async def text_does_not_leave_the_workdir(ground: Ground) -> None:
    """ValueError for an absolute path, for dots that climb out, and for a link over there that leads out."""
    host, far = ground.host, ground.far
    await far.symlink(host.taskdir, ground.path("up"))
    await far.symlink("../out", ground.path("to-out"))
    for outside in ("../out", f"{host.taskdir}/out", "a/../../out", "up/out", "to-out", "", "."):
        await fails(ValueError, host.write_text(outside, "x"))
    assert await far.names(host.taskdir) == ["workdir"]


async def a_file_is_fetched_as_it_is(ground: Ground) -> None:
    """Any bytes, none, and one that grew; the percents end at 100."""
    host, path = ground.host, ground.path("file")
    told: list[float | None] = []
    await ground.far.append(path, b"")
    assert await host.fetch_bytes_from_host(path) == b""
    await ground.far.append(path, bytes(range(256)))
    await ground.far.append(path, b"\n\n")
    content = await host.fetch_bytes_from_host(path, progress_cb=lambda percent, message: told.append(percent))
    assert content == bytes(range(256)) + b"\n\n"
    assert told[-1] == 100.0


async def a_file_that_is_not_there_is_file_not_found(ground: Ground) -> None:
    """Also below a directory or a file that is not there, and a link that leads nowhere."""
    await ground.far.append(ground.path("file"), b"x")
    await ground.far.symlink("nowhere", ground.path("link"))
    for missing in ("missing", "missing/deep", "file/below", "link"):
        await fails(FileNotFoundError, ground.host.fetch_bytes_from_host(ground.path(missing)))


async def what_is_no_regular_file_is_not_fetched(ground: Ground) -> None:
    """A FIFO would hang, a device never ends: FileRefused, at once. Also behind a link."""
    await ground.far.fifo(ground.path("fifo"))
    await ground.far.symlink("fifo", ground.path("link"))
    for name in ("fifo", "link", "."):
        await fails(FileRefused, ground.host.fetch_bytes_from_host(ground.path(name)))


async def a_device_is_not_fetched(ground: Ground) -> None:
    """/dev/zero would fill the memory of whoever fetches it."""
    await fails(FileRefused, ground.machine.fetch_bytes_from_host("/dev/zero"))


async def removing_a_file_that_is_not_there_is_fine(ground: Ground) -> None:
    """A link is removed itself, not what it leads to."""
    await ground.far.append(ground.path("target"), b"x")
    await ground.far.append(ground.path("file"), b"x")
    await ground.far.symlink("target", ground.path("link"))
    for name in ("file", "file", "missing", "missing/deep", "target/below", "link"):
        await ground.host.remove_file(ground.path(name))
    assert await ground.far.names(ground.host.workdir) == ["target"]


async def a_directory_is_not_removed_as_a_file(ground: Ground) -> None:
    """FileRefused, and everything in it is still there."""
    await ground.host.write_text("directory/file", "x")
    await fails(FileRefused, ground.host.remove_file(ground.path("directory")))
    assert await ground.far.names(ground.path("directory")) == ["file"]


async def names_with_every_odd_character_are_taken_as_they_are(ground: Ground) -> None:
    """Blanks, quotes, line ends, leading dashes, what a shell would run, bytes that are not UTF-8."""
    host = ground.host
    for number, name in enumerate(ODD_NAMES):
        await host.put_file_to_host(b"%d" % number, ground.path(name))
    assert await ground.far.names(host.workdir) == sorted(ODD_NAMES)
    for number, name in enumerate(ODD_NAMES):
        assert await host.fetch_bytes_from_host(ground.path(name)) == b"%d" % number, ascii(name)
        await host.remove_file(ground.path(name))
    assert await ground.far.names(host.workdir) == []
    for name in ("-n a'b", "line\nend/x"):
        await host.write_text(name, name)
        assert await host.fetch_bytes_from_host(ground.path(name)) == name.encode()


PROMISES = (
    text_is_written_below_the_workdir,
    text_does_not_leave_the_workdir,
    a_file_is_fetched_as_it_is,
    a_file_that_is_not_there_is_file_not_found,
    what_is_no_regular_file_is_not_fetched,
    a_device_is_not_fetched,
    removing_a_file_that_is_not_there_is_fine,
    a_directory_is_not_removed_as_a_file,
    names_with_every_odd_character_are_taken_as_they_are,
)
