"""A directory is copied as it is, the same is left alone, and a copy that breaks before its end changes nothing."""

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from far_link import FarLink

from left_out import require
from optio_host.archive import DEFAULT_WORKDIR_EXCLUDES, yield_workdir_archive
from optio_host.errors import FileRefused, LinkLost, TransferFailed
from optio_host.local.host import LocalHost
from optio_host.ssh import trees, workdir
from optio_host.trees import TreeCopy

Run = Callable[[Callable[[], Awaitable[object]]], None]

SHELLS = ["dash", "bash", "busybox sh"]


@pytest.fixture(params=SHELLS)
def link(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FarLink:
    return far(request.param, tmp_path_factory.mktemp("bin"))


def far(shell: str, directory: Path) -> FarLink:
    """A host with that shell; the one of busybox has busybox's tools, and no others."""
    require(shell.split()[0])
    if shell != "busybox sh":
        return FarLink(shell)
    for name in BUSYBOX_TOOLS:
        (directory / name).symlink_to("/usr/bin/busybox" if os.path.exists("/usr/bin/busybox") else "/bin/busybox")
    return FarLink(shell, path=str(directory))


BUSYBOX_TOOLS = (
    *(
        "busybox",
        "sh",
        "cat",
        "chmod",
        "dd",
        "df",
        "find",
        "ls",
        "mkdir",
        "mv",
        "od",
        "printf",
        "readlink",
        "rm",
        "rmdir",
    ),
    *("sed", "sha256sum", "stat", "sync", "tail", "tar", "tr", "xargs", "awk", "test", "["),
)


def seen(directory: Path) -> dict[str, object]:
    """Every path below a directory with what matters of it."""
    found: dict[str, object] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_dir():
            found[name] = mode
        else:
            found[name] = (mode, int(path.lstat().st_mtime), path.read_bytes())
    return found


def tree(directory: Path) -> Path:
    (directory / "src" / "deep").mkdir(parents=True)
    (directory / "empty").mkdir(mode=0o750)
    (directory / "src" / "main.py").write_text("print()\n")
    (directory / "src" / "deep" / "run").write_text("#!/bin/sh\n")
    (directory / "src" / "deep" / "run").chmod(0o755)
    (directory / "big").write_bytes(os.urandom(700_000))
    (directory / "nothing").touch(mode=0o400)
    (directory / "-rf").write_text("a leading dash")
    (directory / 'it\'s "quoted" $(touch x)').write_text("x")
    (directory / "grüße\n zwei").write_text("x")
    (directory / os.fsdecode(b"no \xff utf-8")).write_text("x")
    (directory / ("long" * 30)).mkdir()
    (directory / ("long" * 30) / ("name" * 40)).write_text("x")
    (directory / ".hidden").write_text("x")
    (directory / "link").symlink_to("src/main.py")
    (directory / "src" / "up").symlink_to("../big")
    (directory / "src" / "dangling").symlink_to("no\nwhere")
    os.utime(directory / "big", (1_600_000_000, 1_600_000_000))
    return directory


def test_a_tree_arrives_as_it_is_and_again_nothing_is_sent(run: Run, tmp_path: Path, link: FarLink) -> None:
    source, target = tree(tmp_path / "source"), tmp_path / "it's\nnew" / "target"

    async def body() -> None:
        copy = await trees.put_tree(link, str(source), str(target))  # type: ignore[arg-type]
        assert (copy.copied, copy.unchanged, copy.left_out) == (13, 0, ())
        assert seen(target) == seen(source)
        again = await trees.put_tree(link, str(source), str(target))  # type: ignore[arg-type]
        assert (again.copied, again.unchanged, again.size) == (0, 13, 0)

    run(body)
    assert len(link.scripts) == 3  # of the second copy only the listing


def test_a_tree_comes_back_as_it_is_and_again_nothing_is_fetched(run: Run, tmp_path: Path, link: FarLink) -> None:
    source, target = tree(tmp_path / "source"), tmp_path / "new" / "target"

    async def body() -> None:
        copy = await trees.get_tree(link, str(source), str(target))  # type: ignore[arg-type]
        assert (copy.copied, copy.unchanged, copy.left_out) == (13, 0, ())
        assert seen(target) == seen(source)
        again = await trees.get_tree(link, str(source), str(target))  # type: ignore[arg-type]
        assert (again.copied, again.unchanged) == (0, 13)

    run(body)
    assert len(link.scripts) == 3


Copy = Callable[..., Awaitable[TreeCopy]]


def copies(way: str) -> Copy:
    if way == "local":
        return LocalHost("/nowhere").put_tree
    link = FarLink()
    function = trees.put_tree if way == "put" else trees.get_tree

    async def copy(*args: str, **options: object) -> TreeCopy:
        return await function(link, *args, **options)  # type: ignore[arg-type]

    return copy


@pytest.fixture(params=["local", "put", "get"])
def copy(request: pytest.FixtureRequest) -> Copy:
    return copies(request.param)


def test_only_what_changed_is_copied_and_nothing_is_deleted_unasked(run: Run, tmp_path: Path, copy: Copy) -> None:
    source, target = tree(tmp_path / "source"), tmp_path / "target"

    async def body() -> None:
        await copy(str(source), str(target))
        kept = (target / "big").stat().st_ino
        (source / "src" / "main.py").write_text("changed()\n")
        (source / "src" / "new").mkdir()
        (source / "src" / "new" / "file").write_text("x")
        (source / "link").unlink()
        (source / "link").symlink_to("big")
        (source / "src").chmod(0o710)
        (source / "nothing").unlink()
        (target / "theirs").write_text("stays")
        result = await copy(str(source), str(target))
        assert (result.copied, result.deleted, result.size) == (3, 0, 11)
        assert (target / "big").stat().st_ino == kept
        assert set(seen(target)) - set(seen(source)) == {"theirs", "nothing"}
        (target / "src" / "more" / "deep").mkdir(parents=True)
        (target / "src" / "more" / "deep" / "x").touch()
        (target / "src" / "more" / "x.pyc").touch()
        result = await copy(str(source), str(target), delete=True, exclude=("*.pyc",))
        assert result.deleted == 5
        assert set(seen(target)) - set(seen(source)) == {"src/more", "src/more/x.pyc"}

    run(body)
    (target / "src" / "more" / "x.pyc").unlink()
    (target / "src" / "more").rmdir()
    assert seen(target) == seen(source)
    assert not list(target.glob(".*optio-part"))


def test_links_that_lead_out_and_special_files_are_left_out_and_named(run: Run, tmp_path: Path, copy: Copy) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "fifo")
    (source / "absolute").symlink_to("/etc/passwd")
    (source / "climbing").symlink_to("../x")
    (source / "keep").symlink_to("fifo")

    async def body() -> None:
        result = await copy(str(source), str(tmp_path / "target"))
        assert [name for name, _ in result.left_out] == ["absolute", "climbing", "fifo"]

    run(body)
    assert os.listdir(tmp_path / "target") == ["keep"]


def test_a_directory_in_the_place_of_a_file_is_refused_before_anything(run: Run, tmp_path: Path, copy: Copy) -> None:
    for name in ("source/a", "source/file", "target/a/precious"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    before = seen(tmp_path / "target")

    async def body() -> None:
        await copy(str(tmp_path / "source"), str(tmp_path / "target"))

    with pytest.raises(FileRefused, match="is a file in the source"):
        run(body)
    assert seen(tmp_path / "target") == before


def test_a_link_in_the_target_is_replaced_and_not_written_through(run: Run, tmp_path: Path, copy: Copy) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "precious").write_text("precious")
    for name in ("file", "into"):
        (tmp_path / "source" / name).write_text("new")
    (tmp_path / "target" / "file").symlink_to(tmp_path / "precious")
    (tmp_path / "target" / "into").symlink_to(tmp_path / "outside")

    async def body() -> None:
        await copy(str(tmp_path / "source"), str(tmp_path / "target"))

    run(body)
    assert (tmp_path / "precious").read_text() == "precious"
    assert os.listdir(tmp_path / "outside") == []
    assert seen(tmp_path / "target") == seen(tmp_path / "source")


def test_by_content_a_file_that_was_only_touched_is_not_copied(run: Run, tmp_path: Path, copy: Copy) -> None:
    source, target = tree(tmp_path / "source"), tmp_path / "target"

    async def body() -> None:
        await copy(str(source), str(target))
        (source / "src" / "main.py").write_text("PRINT()\n")
        os.utime(source / "src" / "main.py", (target / "src" / "main.py").stat()[7:9])
        for name in ("big", "grüße\n zwei"):
            os.utime(source / name, (1_500_000_000, 1_500_000_000))
        assert (await copy(str(source), str(target), by_content=True)).copied == 1
        assert (target / "src" / "main.py").read_text() == "PRINT()\n"

    run(body)


def test_directories_that_forbid_writing_come_too(run: Run, tmp_path: Path, copy: Copy) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "locked" / "deeper").mkdir(parents=True)
    (source / "locked" / "deeper" / "file").write_text("x")
    for name in ("locked/deeper", "locked"):
        (source / name).chmod(0o555)

    async def body() -> None:
        await copy(str(source), str(target))

    run(body)
    assert seen(target) == seen(source)
    for directory in (source, target):
        for name in ("locked", "locked/deeper"):
            (directory / name).chmod(0o755)


def test_a_source_that_is_not_there_is_file_not_found(run: Run, tmp_path: Path, copy: Copy) -> None:
    async def body() -> None:
        await copy(str(tmp_path / "missing"), str(tmp_path / "target"))

    with pytest.raises(FileNotFoundError):
        run(body)
    assert not (tmp_path / "target").exists()


def test_percents_rise_and_end_at_100(run: Run, tmp_path: Path, copy: Copy) -> None:
    told: list[float | None] = []

    async def body() -> None:
        await copy(
            str(tree(tmp_path / "source")),
            str(tmp_path / "target"),
            progress_cb=lambda percent, _: told.append(percent),
        )

    run(body)
    assert told[-1] == 100
    assert told == sorted(told, key=lambda each: each or 0)


# Of the whole archive; the last one is before the two empty blocks, in the member that says that all is there.
CUTS = {"at the start": 0, "in a header": 600, "in the middle": 200_000, "behind the last file": -1024 - 100}


@pytest.mark.parametrize("at", CUTS.values(), ids=CUTS.keys())
def test_a_link_lost_in_the_middle_of_a_tree_changes_nothing(run: Run, tmp_path: Path, link: FarLink, at: int) -> None:
    source, target = tree(tmp_path / "source"), tmp_path / "target"
    target.mkdir()
    (target / "big").write_text("old")
    before = seen(target)

    async def body() -> None:
        await trees.put_tree(link, str(source), str(tmp_path / "whole"))  # type: ignore[arg-type]
        link.budgets = [None, max(at, 1) if at >= 0 else link.taken[-1] + at]
        with pytest.raises(LinkLost):
            await trees.put_tree(link, str(source), str(target))  # type: ignore[arg-type]

    run(body)
    assert seen(target) == before


def test_a_tree_that_cannot_be_stored_says_why(run: Run, tmp_path: Path) -> None:
    link = FarLink()
    link.before_script = "tar() { cat >/dev/null; echo 'No space left on device' >&2; return 2; }\n"

    async def body() -> None:
        await trees.put_tree(link, str(tree(tmp_path / "source")), str(tmp_path / "target"))  # type: ignore[arg-type]

    with pytest.raises(TransferFailed, match="No space left"):
        run(body)
    assert os.listdir(tmp_path / "target") == []


def test_a_file_that_changes_while_it_is_fetched_keeps_its_old_copy_and_is_named(run: Run, tmp_path: Path) -> None:
    source, target = tree(tmp_path / "source"), tmp_path / "target"
    target.mkdir()
    (target / "big").write_text("old")
    link = FarLink()
    grow = f"echo more >>'{source}/big'; rm -f '{source}/.hidden'"
    link.before_script = f'xargs() {{ command xargs "$@"; {grow}; return 1; }}\n'

    async def body() -> None:
        result = await trees.get_tree(link, str(source), str(target))  # type: ignore[arg-type]
        assert [name for name, _ in result.left_out] == [".hidden", "big"]

    run(body)
    assert (target / "big").read_text() == "old"
    assert not (target / ".hidden").exists()
    assert (target / "src" / "main.py").exists()


# The workdir


async def pack(link: FarLink, path: Path, exclude: tuple[str, ...] = ()) -> AsyncIterator[bytes]:
    async with aclosing(workdir.archive_workdir(link, str(path), exclude)) as chunks:  # type: ignore[arg-type]
        async for chunk in chunks:
            yield chunk


def test_a_workdir_is_archived_and_restored_as_it_was(run: Run, tmp_path: Path, link: FarLink) -> None:
    source, target = tree(tmp_path / "source"), tmp_path / "target"
    (source / "node_modules" / "x").mkdir(parents=True)
    os.link(source / "big", source / "src" / "same")
    (target / "old").mkdir(parents=True)
    (target / "old" / "file").touch()
    (target / "old").chmod(0o555)
    inode = target.stat().st_ino

    async def body() -> None:
        async with aclosing(pack(link, source, DEFAULT_WORKDIR_EXCLUDES)) as chunks:
            await workdir.restore_workdir(link, chunks, str(target))  # type: ignore[arg-type]

    run(body)
    (source / "node_modules" / "x").rmdir()
    (source / "node_modules").rmdir()
    assert seen(target) == seen(source)
    assert target.stat().st_ino == inode


@pytest.mark.parametrize("at", CUTS.values(), ids=CUTS.keys())
def test_a_link_lost_in_the_middle_of_a_restore_changes_nothing(
    run: Run, tmp_path: Path, link: FarLink, at: int
) -> None:
    source, target = tree(tmp_path / "source"), tree(tmp_path / "target")
    (target / "old").touch()
    before = seen(target)

    async def restore(into: Path) -> None:
        async with aclosing(yield_workdir_archive(str(source), ())) as chunks:
            await workdir.restore_workdir(link, chunks, str(into))  # type: ignore[arg-type]

    async def body() -> None:
        await restore(tmp_path / "whole")
        link.budgets = [None, max(at, 1) if at >= 0 else link.taken[-1] + at]
        with pytest.raises(LinkLost):
            await restore(target)

    run(body)
    assert seen(target) == before


def test_a_move_that_fails_is_undone(run: Run, tmp_path: Path, link: FarLink) -> None:
    target = tree(tmp_path / "target")
    before = seen(target)

    async def body() -> None:
        for failing in (1, 3, 12, 16):
            link.before_script = f'n=0; mv() {{ n=$((n + 1)); [ $n -ne {failing} ] || return 1; command mv "$@"; }}\n'
            async with aclosing(yield_workdir_archive(str(tmp_path / "source"), ())) as chunks:
                with pytest.raises(TransferFailed):
                    await workdir.restore_workdir(link, chunks, str(target))  # type: ignore[arg-type]
            assert seen(target) == before

    tree(tmp_path / "source")
    run(body)


def test_an_archive_that_leads_out_never_leaves_this_machine(run: Run, tmp_path: Path) -> None:
    link = FarLink()

    async def evil() -> AsyncIterator[bytes]:
        yield b"no gzip"

    async def body() -> None:
        await workdir.restore_workdir(link, evil(), str(tmp_path / "target"))  # type: ignore[arg-type]

    with pytest.raises(TransferFailed, match="broken or cut off"):
        run(body)
    assert link.scripts == []


def test_a_workdir_that_is_a_link_is_not_restored_into(run: Run, tmp_path: Path, link: FarLink) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "workdir").symlink_to("real")

    async def body() -> None:
        async with aclosing(yield_workdir_archive(str(tree(tmp_path / "source")), ())) as chunks:
            await workdir.restore_workdir(link, chunks, str(tmp_path / "workdir"))  # type: ignore[arg-type]

    with pytest.raises(TransferFailed, match="symbolic link"):
        run(body)
    assert os.listdir(tmp_path / "real") == []


def test_directories_are_made_private_and_removed_with_locked_ones_in_them(
    run: Run, tmp_path: Path, link: FarLink
) -> None:
    top = tmp_path / "it's\n-a" / "task"

    async def body() -> None:
        await workdir.make_directories(link, str(top), str(top / "workdir"))  # type: ignore[arg-type]
        assert [stat.S_IMODE(each.stat().st_mode) for each in (top, top / "workdir")] == [0o700, 0o700]
        (top / "workdir" / "locked").mkdir(mode=0o555)
        await workdir.remove_tree(link, str(top))  # type: ignore[arg-type]
        await workdir.remove_tree(link, str(top))  # type: ignore[arg-type]

    run(body)
    assert not top.exists()


def test_removing_a_file_that_is_not_there_is_fine_and_a_directory_is_refused(
    run: Run, tmp_path: Path, link: FarLink
) -> None:
    (tmp_path / "-file").touch()
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")

    async def body() -> None:
        for name in ("missing", "missing/file", "target/below", "-file", "link"):
            await workdir.remove_file(link, str(tmp_path / name))  # type: ignore[arg-type]
        with pytest.raises(FileRefused, match="is a directory"):
            await workdir.remove_file(link, str(tmp_path))  # type: ignore[arg-type]

    run(body)
    assert os.listdir(tmp_path) == ["target"]
