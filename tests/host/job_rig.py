"""A run directory on this machine under each shell, and the one place where a test waits for something to be so."""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from optio_host.host import OUTPUT_LIMIT, RunResult
from optio_host.job import NO_LIMITS, Job, Limits
from optio_host.job_state import Owner
from optio_host.local.host import LocalHost
from ssh_rig import HereOverSsh, config_for
from sshd_rig import Sshd

SHELLS = ("dash", "bash", "bash --posix", "busybox sh")

OWNER = Owner("store", "session", 1)


OVER_SSH = "sh over ssh"
"""A way to have a rig, beside the shells: /bin/sh on this machine by a real sshd."""


def shells_here() -> list[str]:
    """The shells to test with: those found, or all of them where nothing may be left out."""
    if os.environ.get("OPTIO_REQUIRE_ALL") == "1":
        return list(SHELLS)
    return [shell for shell in SHELLS if shutil.which(shell.split()[0])]


class ShellHost(LocalHost):
    """This machine, with another shell than /bin/sh and, if given, other programs on the PATH."""

    def __init__(self, taskdir: str, shell: str, path: str | None = None) -> None:
        super().__init__(taskdir)
        self._shell = shell
        self.path = path

    async def run_command(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        input: bytes | None = None,
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
    ) -> RunResult:
        return await super().run_command(
            f"exec {self._shell} -c {shlex.quote(command)}",
            cwd=cwd,
            env={**(env or {}), **({"PATH": self.path} if self.path else {})},
            input=input,
            timeout=timeout,
            output_limit=output_limit,
        )


class Rig:
    """One task directory with run directories in it.

    Parameters:
        base: where they are.
        shell: that supervises.
        server: to reach this machine by; None: directly.
    """

    def __init__(self, base: Path, shell: str, server: Sshd | None = None) -> None:
        if not shutil.which(shell.split()[0]):
            raise AssertionError(f"{shell} is not installed, and OPTIO_REQUIRE_ALL=1 leaves nothing out")
        self.shell = shell
        self.base = base
        self.server = server
        self.host: ShellHost | HereOverSsh = ShellHost(str(base / "task"), shell)
        if server is not None:
            self.host = HereOverSsh(config_for(server), str(base / "task"))
        os.makedirs(self.host.workdir)
        self.rundir = str(base / "task" / "run" / "1")

    async def start(
        self,
        command: str,
        *,
        env: dict[str, str] | None = None,
        limits: Limits = NO_LIMITS,
        owner: Owner = OWNER,
        cwd: str | None = None,
    ) -> Job:
        return await Job.start(
            self.host,
            self.rundir,
            command,
            cwd=cwd or self.host.workdir,
            owner=owner,
            env=env,
            limits=limits,
            shell=self.shell,
        )

    def only_programs(self, *names: str, without: tuple[str, ...] = ()) -> None:
        """From now on the host has these programs, or all that are here without some."""
        directory = self.base / "programs"
        directory.mkdir()
        if not names:
            found = {entry.name: entry.path for place in ("/usr/bin", "/bin") for entry in os.scandir(place)}
            for name, path in found.items():
                if name not in without:
                    (directory / name).symlink_to(path)
        for name in names:
            (directory / name).symlink_to(str(shutil.which(name)))
        self.host.path = str(directory)

    def program(self, name: str, script: str) -> None:
        """A program of this name that comes before the host's own."""
        directory = self.base / "first"
        directory.mkdir(exist_ok=True)
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
        self.host.path = f"{directory}:{os.environ['PATH']}"


@contextmanager
def rig_in(base: Path, shell: str, server: Sshd | None = None) -> Iterator[Rig]:
    """A rig; at the end nothing of any of its runs may be left, and what is left is killed."""
    rig = Rig(base, shell, server)
    try:
        yield rig
        # A supervisor tidies up after it has written the end.
        deadline = time.monotonic() + 10
        while of_runs(base) and time.monotonic() < deadline:
            time.sleep(0.01)
        left = [describe(pid) for pid in of_runs(base)]
        assert not left, f"the test left processes: {left}"
    finally:
        for pid in of_runs(base):
            os.kill(pid, 9)


@contextmanager
def each_kind_of_rig(base: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A rig of the kind that the calling fixture is parametrized with."""
    if request.param == OVER_SSH:
        with rig_in(base, "sh", request.getfixturevalue("sshd_here")) as rig:
            yield rig
    else:
        with rig_in(base, request.param) as rig:
            yield rig


def of_runs(base: Path) -> list[int]:
    """Every living process that belongs to a run below a directory or to its supervisor."""
    jobs = base / "state" / "optio" / "jobs"
    return [pid for job in os.listdir(jobs) for pid in tagged(job)] if jobs.is_dir() else []


def tagged(run: str) -> list[int]:
    """Every living process that carries a run in its environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            carries = f"={run}".encode() in (entry / "environ").read_bytes()
        except OSError:
            continue
        if carries and alive(int(entry.name)):
            found.append(int(entry.name))
    return found


def supervisor_pid(job: Job) -> int:
    return int(Path(job.rundir, "supervisor").read_text().split()[0])


def main_pid(job: Job) -> int:
    return int(Path(job.rundir, "pid").read_text().split()[0])


def describe(pid: int) -> str:
    try:
        return f"{pid}: {Path(f'/proc/{pid}/cmdline').read_bytes()!r}"
    except OSError:
        return f"{pid}: gone"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(holds: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str, seconds: float = 20) -> None:
    """Return when it holds; fail when it does not within the deadline. For what tells nobody that it has happened."""
    with anyio.move_on_after(seconds):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await anyio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


def content(path: Path) -> str:
    """What is in a file; nothing while it is not there."""
    return path.read_text() if path.exists() else ""


async def until_stdout(job: Job, text: str) -> None:
    await until(lambda: text in Path(job.stdout_path).read_text(errors="replace"), f"{text!r} in stdout")


def run_quietly(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)
