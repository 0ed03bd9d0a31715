"""The driver is killed at each named seam, and another one goes on: nothing is lost, doubled, or left running."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from crash_driver import SESSION

import optio_agents
from optio_host.errors import HostError
from optio_host.job import Job
from optio_host.job_state import Owner
from optio_host.local.host import LocalHost
from sshd_rig import Sshd

DRIVER = Path(__file__).parent / "crash_driver.py"

WORK = {
    "job started": 1,
    "start committed": 1,
    "before commit": 8,
    "after commit": 8,
    "before landing": 2,
    "landed": 2,
    "handled": 2,
    "before append": 3,
    "appended": 3,
    "program stopped": 1,
    "before the end": 1,
    "ended": 1,
    "released": 1,
}
"""How often an uninterrupted driver comes to each seam when nothing but the log moves; it is killed at each of them."""

STOPPED = [
    ("cancel", "command", 1),
    ("cancel", "before commit", 3),
    ("cancel", "after commit", 3),
    ("cancel", "stop decided", 1),
    ("cancel", "program stopped", 1),
    ("cancel", "before the end", 1),
    ("leftovers", "before commit", 3),
    ("leftovers", "after commit", 3),
    ("leftovers", "program stopped", 1),
    ("leftovers", "before the end", 1),
]

RENEWALS = [("before renewal", 1), ("renewed", 1)]

TWICE = [
    (("job started", 1), ("acquired", 1)),
    (("after commit", 2), ("job adopted", 1)),
    (("before landing", 1), ("adoption committed", 1)),
    (("landed", 1), ("landed", 1)),
    (("handled", 1), ("handled", 1)),
    (("before append", 1), ("before append", 1)),
    (("appended", 2), ("acquired", 1)),
    (("handled", 2), ("before commit", 2)),
    (("program stopped", 1), ("program stopped", 1)),
    (("before the end", 1), ("ended", 1)),
]

TIMELINE = {"driver.changed", "driver.left", "stop"}
"""What may be in one history and not in the other: who drove, and that a stop was carried on."""


class Scene:
    """A session below a directory, and the drivers that come and go."""

    def __init__(self, root: Path, scenario: str, server: Sshd | None = None) -> None:
        self.root = root
        self.scenario = scenario
        self.env = {**os.environ, "XDG_STATE_HOME": str(root / "xdg")}
        self.env.pop("OPTIO_RUN", None)
        if server is not None:
            self.env["OPTIO_TEST_SSHD"] = f"{server.port}:{server.user}:{server.key}:{server.known_hosts}"

    def drive(self, *options: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(DRIVER), str(self.root), self.scenario, *map(str, options)],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def die(self, seam: str, number: int, *options: object) -> None:
        """Run a driver that is killed there."""
        driver = self.drive("--die", seam, number, *options)
        assert driver.returncode == -signal.SIGKILL, (
            f"the driver was to die at {seam!r} number {number} and came to {self.seams}: {driver.stderr}"
        )

    def to_the_end(self, *options: object) -> dict[str, Any]:
        """Run a driver to the end of the session; what the journal holds then."""
        driver = self.drive(*options)
        assert driver.returncode == 0, driver.stderr
        assert driver.stderr == ""
        found: dict[str, Any] = json.loads(driver.stdout)
        return found

    def lines(self, name: str) -> list[str]:
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def seams(self) -> Counter[str]:
        """How often all drivers together came to each seam."""
        return Counter(self.lines("seams"))

    @property
    def replies(self) -> bytes:
        return next((self.root / "state").glob("*/replies")).read_bytes()

    @property
    def files(self) -> dict[str, bytes]:
        """The deliverables as they stand on the person's disk."""
        out = self.root / "out"
        return {str(each.relative_to(out)): each.read_bytes() for each in out.rglob("*") if each.is_file()}

    def running(self) -> list[str]:
        """Everything alive that was started for this session, drivers and supervisors included."""
        mark = f"XDG_STATE_HOME={self.env['XDG_STATE_HOME']}\0".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes() and " Z " not in (process / "stat").read_text():
                    found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # it has just ended
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Callable[[str], Scene]:
    return lambda scenario: Scene(tmp_path, scenario)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Scene, dict[str, Any]]]:
    """A session of this scenario whose driver nobody killed, and what its journal holds."""
    made: dict[str, tuple[Scene, dict[str, Any]]] = {}

    def make(scenario: str) -> tuple[Scene, dict[str, Any]]:
        if scenario not in made:
            scene = Scene(tmp_path_factory.mktemp(scenario), scenario)
            made[scenario] = (scene, scene.to_the_end())
        return made[scenario]

    return make


Run = Callable[[Callable[[], Awaitable[object]]], None]
Uninterrupted = Callable[[str], tuple[Scene, dict[str, Any]]]


LEFT_BEHIND = "the program ended and left processes behind"
"""What a cancel may see or not: the whole tree gets TERM at once, and some process of it is the last to go."""


def history(found: dict[str, Any], scenario: str) -> dict[str, list[Any]]:
    """The events of each source in order, without those that tell of the drivers."""
    events = [each for each in found["events"] if each[1] not in TIMELINE]
    if scenario == "cancel":
        events = [each for each in events if not each[2].get("message", "").startswith(LEFT_BEHIND)]
    return {wanted: [each for each in events if each[0] == wanted] for wanted in ("session", "log")}


def assert_as_if_nothing_had_happened(scene: Scene, found: dict[str, Any], uninterrupted: Uninterrupted) -> None:
    original, wanted = uninterrupted(scene.scenario)
    assert history(found, scene.scenario) == history(wanted, scene.scenario)
    assert found["seqs"] == list(range(1, len(found["seqs"]) + 1))
    assert found["events"][-1][1] == "session.ended"
    for name in ("state", "outcome", "outbox", "deliverables", "receipts", "owner"):
        assert found[name] == wanted[name], name
    assert scene.replies == original.replies
    assert scene.files == original.files
    assert_handled_like(scene, original)
    assert scene.lines("runs") == ["run"], "the program is to run exactly once"
    assert scene.running() == []


def assert_handled_like(scene: Scene, original: Scene) -> None:
    calls = [json.loads(each) for each in scene.lines("handled")]
    ids = {(name, event_id) for name, event_id, _ in calls}
    assert ids == {(name, event_id) for name, event_id, _ in map(json.loads, original.lines("handled"))}
    for each in ids:
        again = [redelivered for name, event_id, redelivered in calls if (name, event_id) == each][1:]
        assert all(again), f"the handler was called again for {each} and was not told so: {calls}"


def point(scenario: str, seam: str, number: int) -> Any:
    return pytest.param(scenario, seam, number, id=f"{scenario}-{seam.replace(' ', '_')}-{number}")


@pytest.mark.parametrize(
    ("scenario", "seam", "number"),
    [point("work", seam, number + 1) for seam, times in WORK.items() for number in range(times)]
    + [point(*each) for each in STOPPED],
)
def test_a_driver_killed_at_any_seam_loses_nothing_and_doubles_nothing(
    scene: Callable[[str], Scene], uninterrupted: Uninterrupted, scenario: str, seam: str, number: int
) -> None:
    killed = scene(scenario)
    killed.die(seam, number)
    assert_as_if_nothing_had_happened(killed, killed.to_the_end(), uninterrupted)


@pytest.mark.parametrize(("seam", "number"), RENEWALS, ids=str)
def test_a_driver_killed_around_the_renewal_of_its_lease_loses_nothing_and_doubles_nothing(
    scene: Callable[[str], Scene], uninterrupted: Uninterrupted, seam: str, number: int
) -> None:
    killed = scene("work")
    killed.die(seam, number, "--renew", 0.01)
    assert_as_if_nothing_had_happened(killed, killed.to_the_end("--renew", 0.01), uninterrupted)


@pytest.mark.parametrize(("first", "second"), TWICE, ids=str)
def test_the_driver_that_took_over_is_killed_too(
    scene: Callable[[str], Scene], uninterrupted: Uninterrupted, first: tuple[str, int], second: tuple[str, int]
) -> None:
    killed = scene("work")
    killed.die(*first)
    killed.die(*second)
    assert_as_if_nothing_had_happened(killed, killed.to_the_end(), uninterrupted)


OVER_SSH = [
    ("work", "job started", 1), ("work", "before commit", 2), ("work", "after commit", 5),
    ("work", "before landing", 1), ("work", "landed", 2),
    ("work", "before append", 1), ("work", "appended", 2), ("work", "program stopped", 1),
    ("work", "before the end", 1), ("cancel", "command", 1), ("cancel", "stop decided", 1),
    ("cancel", "program stopped", 1), ("leftovers", "after commit", 3),
]  # fmt: skip
"""Every kind of seam once: where the host is, makes no difference to the others."""


@pytest.mark.parametrize(("scenario", "seam", "number"), [point(*each) for each in OVER_SSH])
def test_over_ssh_a_driver_killed_at_a_seam_loses_nothing_and_doubles_nothing(
    tmp_path: Path, sshd_here: Sshd, uninterrupted: Uninterrupted, scenario: str, seam: str, number: int
) -> None:
    killed = Scene(tmp_path, scenario, sshd_here)
    killed.die(seam, number)
    assert_as_if_nothing_had_happened(killed, killed.to_the_end(), uninterrupted)


def test_a_hook_that_a_dead_driver_called_is_told_so_also_when_another_driver_came_and_went(
    scene: Callable[[str], Scene], uninterrupted: Uninterrupted
) -> None:
    killed = scene("work")
    killed.die("handled", 1)
    assert killed.to_the_end("--leave")["state"] == "running"
    assert_as_if_nothing_had_happened(killed, killed.to_the_end(), uninterrupted)
    assert [json.loads(each)[2] for each in killed.lines("handled")] == [False, True, False]


def test_a_driver_killed_before_it_started_the_program_leaves_a_failure_and_no_program(
    scene: Callable[[str], Scene],
) -> None:
    killed = scene("work")
    killed.die("created", 1)
    found = killed.to_the_end()
    assert (found["state"], found["outcome"]["outcome"]) == ("ended", "failed")
    assert found["outcome"]["reason"] == "the driver died before the program was started"
    assert [kind for _, kind, _, _ in found["events"]] == ["session.ended"]
    assert not found["owner"]
    assert killed.lines("runs") == []
    assert killed.running() == []


def test_a_start_that_was_on_its_way_when_its_driver_died_starts_nothing_once_the_session_is_given_up(
    run: Run, scene: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = scene("work")
    monkeypatch.setenv("XDG_STATE_HOME", killed.env["XDG_STATE_HOME"])
    killed.die("created", 1)
    assert killed.to_the_end()["outcome"]["outcome"] == "failed"

    async def late_start() -> None:
        host = LocalHost(str(killed.root))
        rundir = killed.root / "state" / SESSION / "run" / "1"
        with suppress(HostError):
            await Job.start(
                host, str(rundir), "exec sleep 300", cwd=str(killed.root), owner=Owner("store", SESSION, 1)
            )  # fmt: skip
        assert not (rundir / "pid").exists()

    run(late_start)
    assert killed.running() == []


def test_an_uninterrupted_driver_comes_to_each_seam_as_often_as_it_is_killed_there(
    uninterrupted: Uninterrupted,
) -> None:
    original, _ = uninterrupted("work")
    assert {seam: original.seams[seam] for seam in ("created", *WORK)} == {"created": 1, **WORK}


def test_every_seam_in_the_code_is_one_that_a_driver_is_killed_at() -> None:
    source = Path(optio_agents.__file__).parent
    named = {
        name
        for each in source.rglob("*.py")
        for name in re.findall(r'seams\.reached\(\s*"([^"]+)"', each.read_text(encoding="utf-8"))
    }
    killed_at = {"created", *WORK} | {seam for _, seam, _ in STOPPED} | {seam for seam, _ in RENEWALS}
    assert named == killed_at | {seam for pair in TWICE for seam, _ in pair}
