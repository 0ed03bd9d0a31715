"""Hazards of the disks of an SSH host: a home that is missing or cannot be written to, a disk that is full."""

import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from job_rig import OWNER

from optio_host.errors import HostError, TransferFailed
from optio_host.job import Job
from optio_host.job_errors import StartFailed
from ssh_rig import config_for, connected
from sshd_rig import Sshd, sshd

Run = Callable[[Callable[[], Awaitable[object]]], None]


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[None]:
    """A file system of its own in a directory."""
    directory.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", directory], capture_output=True)
    if done.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def test_a_home_that_cannot_be_written_to_does_not_matter_to_commands_and_is_named_by_runs(
    run: Run, tmp_path: Path
) -> None:
    async def body() -> None:
        with mounted(tmp_path / "ro", "ro"), sshd(tmp_path / "sshd", settings=f"SetEnv HOME={tmp_path}/ro") as server:
            async with connected(config_for(server), str(tmp_path / "task")) as host:
                assert await host.resolve_host_home() == str(tmp_path / "ro")
                await host.put_file_to_host(b"content", host.workdir + "/file")
                assert await host.fetch_bytes_from_host(host.workdir + "/file") == b"content"
                with pytest.raises(TransferFailed, match=r"(?s)ro/file.*[Rr]ead-only file system"):
                    await host.put_file_to_host(b"content", f"{tmp_path}/ro/file")
                with pytest.raises(TransferFailed, match=r"[Rr]ead-only file system"):
                    await host.at(f"{tmp_path}/ro/task").setup_workdir()
                with pytest.raises(StartFailed, match="ro/"):
                    await Job.start(host, host.taskdir + "/run/1", "true", cwd=host.workdir, owner=OWNER)

    run(body)


def test_a_user_without_a_home_is_told_so(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        with sshd(tmp_path / "sshd", settings="SetEnv HOME=/nonexistent") as server:
            async with connected(config_for(server), str(tmp_path / "task")) as host:
                assert (await host.run_command("echo works")).stdout == "works\n"
                with pytest.raises(HostError, match="no home directory"):
                    await host.resolve_host_home()

    run(body)


def test_a_full_disk_leaves_the_old_file_and_says_so(run: Run, sshd_here: Sshd, tmp_path: Path) -> None:
    async def body() -> None:
        with mounted(tmp_path / "small", "size=1m"):
            async with connected(config_for(sshd_here), str(tmp_path / "small")) as host:
                target = Path(host.workdir, "file")
                await host.put_file_to_host(b"old", str(target))

                async def much() -> object:
                    for _ in range(40):
                        yield bytes(100_000)

                with pytest.raises(TransferFailed, match=r"(?i)space"):
                    await host.put_file_to_host(much(), str(target))  # type: ignore[arg-type]
                assert target.read_bytes() == b"old"
                assert os.listdir(host.workdir) == ["file"]
                source = tmp_path / "tree"
                source.mkdir()
                (source / "big").write_bytes(bytes(3_000_000))
                with pytest.raises(TransferFailed, match=r"(?i)space"):
                    await host.put_tree(str(source), host.workdir + "/tree")
                assert (await host.run_command("echo still")).stdout == "still\n"

    run(body)
