"""From a URL to a store, without ever showing a password."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from optio_agents.errors import StoreError
from optio_agents.journal import Driver, SessionRecord, open_store
from optio_agents.journal.memory import MemoryStore

Run = Callable[[Callable[[], Awaitable[object]]], None]


@pytest.fixture(autouse=True)
def nobodys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("OPTIO_STORE", raising=False)


def url_of(run: Run, url: str | None) -> str:
    found: list[str] = []

    async def body() -> None:
        async with open_store(url) as store:
            found.append(store.url)
            await store.create(
                SessionRecord(id="s", host="local", agent="a", created=1.0), Driver(id="d", hostname="h", pid=1)
            )

    run(body)
    return found[0]


def test_a_journal_that_is_no_regular_file_is_refused_and_stays_as_it_is(run: Run, tmp_path: Path) -> None:
    """As `--store sqlite:////dev/null`, which root would have taken from everybody else."""
    os.mkfifo(tmp_path / "fifo", 0o666)
    before = (tmp_path / "fifo").stat().st_mode

    async def body() -> None:
        with pytest.raises(StoreError, match="no regular file"):
            async with open_store(f"sqlite://{tmp_path}/fifo"):
                pass

    run(body)
    assert (tmp_path / "fifo").stat().st_mode == before


def test_without_a_url_it_is_the_users_own_file(run: Run, tmp_path: Path) -> None:
    assert url_of(run, None) == f"sqlite://{tmp_path}/home/.local/state/optio/journal.db"


def test_the_state_directory_can_be_elsewhere(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert url_of(run, None) == f"sqlite://{tmp_path}/state/optio/journal.db"


def test_a_relative_state_directory_is_ignored(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert url_of(run, None) == f"sqlite://{tmp_path}/home/.local/state/optio/journal.db"


def test_the_environment_names_a_store(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTIO_STORE", f"sqlite://{tmp_path}/x.db")
    assert url_of(run, None) == f"sqlite://{tmp_path}/x.db"
    assert url_of(run, f"sqlite://{tmp_path}/y.db") == f"sqlite://{tmp_path}/y.db"


def test_a_path_may_hold_any_character(run: Run, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/100%25%20%3F%23%C3%A9.db"
    assert url_of(run, url) == url
    assert (tmp_path / "100% ?#é.db").is_file()
    (tmp_path / "100% ?#é.db").unlink()
    with pytest.raises(StoreError, match="names no store that this version knows"):
        url_of(run, f"sqlite://{tmp_path}/a.db?mode=ro")  # not silently a file named a.db
    assert not (tmp_path / "a.db").exists()


def test_a_fourth_slash_names_the_same_file(run: Run, tmp_path: Path) -> None:
    assert url_of(run, f"sqlite:///{tmp_path}/x.db") == f"sqlite://{tmp_path}/x.db"
    assert (tmp_path / "x.db").is_file()


def test_memory_ends_with_the_block(run: Run) -> None:
    async def body() -> None:
        async with open_store("memory:") as store:
            assert isinstance(store, MemoryStore)

    run(body)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite:",
        "sqlite:///",
        "sqlite:////",
        "sqlite://relative.db",
        "sqlite:relative.db",
        "memory:x",
        "mongodb://me:hunter2@db.example/optio?password=hunter2",
        "mongodb://me:hun@hunter2@[::1",
        "nonsense:me:hunter2@x",
        "postgres://hunter2@x/y#hunter2",
        "me:hunter2@db.example/optio",
        "mongodb://me:hun/hunter2@db.example",
        "journal.db",
        "//me:hunter2@db.example",
    ],
)
def test_what_names_no_store_is_refused_and_no_password_is_shown(url: str, run: Run) -> None:
    with pytest.raises(StoreError, match="names no store that this version knows") as caught:
        url_of(run, url)
    assert "hunter2" not in str(caught.value)
