"""docs/security.md says first what is not protected, and claims nothing that no test holds."""

import os
import re
import stat
from pathlib import Path

import anyio
import pytest

from optio_agents import Session, open_store
from optio_agents.conversation.contract import PermissionDecision, PermissionRequest
from optio_agents.delivery import DELIVERABLE_LIMIT
from optio_agents.landing import Landing
from optio_agents.testing import Delivers, EndsTurn, FakeAgent, UsesTool
from optio_host.local.host import LocalHost
from optio_host.paths import ensure_private_dir, state_dir

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_it_says_first_that_an_agent_has_all_the_rights_of_its_user() -> None:
    _, first, second, *_ = TEXT.split("\n\n")
    assert "all the rights of the user" in " ".join(first.split())
    assert "Permissions are a guard rail, not a sandbox" in " ".join(second.split())


def test_every_test_that_it_names_exists() -> None:
    files = [*(ROOT / "tests").rglob("test_*.py")]
    defined = set(re.findall(r"^def (test_\w+)\(", "\n".join(map(Path.read_text, files)), re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 30
    assert not named - defined


def test_the_largest_deliverable_is_that_of_the_code() -> None:
    assert f"of at most {DELIVERABLE_LIMIT // 1024**3} GiB" in " ".join(TEXT.split())


def rows() -> list[tuple[str, str, int]]:
    """What is where, with which mode."""
    found = re.findall(r"^\| `([^`]+)` \| (both|driving|host) \| (0\d+) \|", TEXT, re.MULTILINE)
    return [(path, machine, int(mode, 8)) for path, machine, mode in found]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_everything_has_the_mode_that_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = os.umask(0o022)
    seen: dict[str, int | None] = {}

    async def body() -> None:
        host = LocalHost(state_dir())
        fake = FakeAgent(UsesTool("Bash", {"command": "make"}), Delivers("a/b.txt", "text"), EndsTurn())
        async with open_store() as store:
            session = await Session.start(
                host,
                store,
                agent=await fake.install(host),
                prompt="go",
                cwd=str(tmp_path),
                deliverables=str(tmp_path / "out"),
                state_dir=state_dir(),
            )

            def decide(request: PermissionRequest) -> PermissionDecision:
                for path, _, _ in rows():
                    place = Path(state_dir(), path.replace("<session>", session.id))
                    seen[path] = mode(place) if place.exists() else None
                return PermissionDecision("allow")

            session.conversation.on_permission_request(decide)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.wait)
                async for record in session.events():
                    if record.event.type == "turn.ended":
                        break
                await session.conversation.close()

    try:
        ensure_private_dir(state_dir())
        anyio.run(body)
    finally:
        os.umask(before)
    assert len(seen) > 10
    # The variables are gone by now, and nobody drives in the background.
    absent = {"<session>/run/1/env", "<session>/driver.log"}
    assert {path: found for path, found in seen.items() if path not in absent} == {
        path: wanted for path, _, wanted in rows() if path not in absent
    }
    assert seen["<session>/run/1/env"] is None
    landed = [tmp_path / "out", tmp_path / "out" / "a", tmp_path / "out" / "a" / "b.txt"]
    assert Landing(tmp_path / "out").directory == str(landed[0])
    assert [mode(each) for each in landed] == [0o700, 0o700, 0o600]
