"""Where things are kept, and when a directory is safe to keep secrets in."""

import os
import stat
from pathlib import Path

import pytest

import optio_host.paths as paths
from optio_host.errors import FileRefused, HostError
from optio_host.paths import ensure_private_dir, state_dir, task_dir
from optio_host.types import SSHConfig

REMOTE = SSHConfig(host="h", user="u", key_path="k")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME", "MY_TOOL_TASK_ROOT", "MY_TOOL_REMOTE_TASK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")


def where(ssh: SSHConfig | None, process_id: str = "p.1_x-y") -> str:
    return task_dir(ssh=ssh, process_id=process_id, consumer_name="my-tool")


def test_a_local_task_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert where(None) == "/home/someone/.local/share/my-tool/p.1_x-y"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert where(None) == "/data/my-tool/p.1_x-y"
    monkeypatch.setenv("MY_TOOL_TASK_ROOT", "/tasks")
    assert where(None) == "/tasks/p.1_x-y"
    monkeypatch.setenv("MY_TOOL_TASK_ROOT", "")
    assert where(None) == "/data/my-tool/p.1_x-y"


def test_a_remote_task_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOOL_TASK_ROOT", "/tasks")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert where(REMOTE) == "/tmp/my-tool/p.1_x-y"
    monkeypatch.setenv("MY_TOOL_REMOTE_TASK_ROOT", "/remote")
    assert where(REMOTE) == "/remote/p.1_x-y"


@pytest.mark.parametrize("bad", ["", "a/b", "..", ".", "a b", "a\n", "ü", "a;rm"])
@pytest.mark.parametrize("ssh", [None, REMOTE])
def test_a_process_id_that_could_lead_elsewhere_is_refused(ssh: SSHConfig | None, bad: str) -> None:
    with pytest.raises(ValueError, match="process id"):
        where(ssh, bad)


def test_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_dir() == "/home/someone/.local/state/optio"
    monkeypatch.setenv("XDG_STATE_HOME", "relative is to be ignored")
    assert state_dir() == "/home/someone/.local/state/optio"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert state_dir() == "/state/optio"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_everything_that_is_missing_is_created_for_us_alone(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        ensure_private_dir(str(tmp_path / "a" / "b" / "c"))
    finally:
        os.umask(umask)
    assert [mode_of(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3
    ensure_private_dir(str(tmp_path / "a" / "b" / "c"))


def test_a_directory_that_others_may_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    ensure_private_dir(str(tmp_path / "a"))
    assert mode_of(tmp_path / "a") == 0o700


@pytest.mark.parametrize("name", ["a", "a/b", "a/b/c"])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    (tmp_path / name).chmod(0o777)
    with pytest.raises(FileRefused, match="written by others"):
        ensure_private_dir(str(tmp_path / "a" / "b" / "c"))


def test_a_sticky_directory_above_is_fine_and_at_the_end_is_not(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    ensure_private_dir(str(tmp_path / "tmp" / "mine"))
    with pytest.raises(FileRefused, match="written by others"):
        ensure_private_dir(str(tmp_path / "tmp"))


def test_a_link_at_the_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(FileRefused, match="something else"):
        ensure_private_dir(str(tmp_path / "link"))


def test_a_link_above_is_followed_and_what_it_leads_through_is_checked(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link").symlink_to("../real")
    ensure_private_dir(str(tmp_path / "sub" / "link" / "a" / "b"))
    assert mode_of(tmp_path / "real" / "a" / "b") == 0o700
    (tmp_path / "real").chmod(0o777)
    with pytest.raises(FileRefused, match="written by others"):
        ensure_private_dir(str(tmp_path / "sub" / "link" / "a" / "b"))


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileRefused, match="circle"):
        ensure_private_dir(str(tmp_path / "a" / "x"))


@pytest.mark.parametrize("name", ["file", "file/x"])
def test_a_file_in_the_way_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileRefused, match="move it away"):
        ensure_private_dir(str(tmp_path / name))


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / "a"
    ours.mkdir(mode=0o700)
    other = os.geteuid() + 1
    # Seen by another user, what is ours belongs to someone else; what is root's stays root's.
    monkeypatch.setattr(paths.os, "geteuid", lambda: other)
    with pytest.raises(FileRefused, match="belongs to user"):
        ensure_private_dir(str(ours))


def test_a_private_group_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o775)
    monkeypatch.setattr(paths, "_is_private_group", lambda group: True)
    ensure_private_dir(str(tmp_path / "a" / "b"))
    monkeypatch.setattr(paths, "_is_private_group", lambda group: False)
    with pytest.raises(FileRefused, match="written by others"):
        ensure_private_dir(str(tmp_path / "a" / "b"))


def test_a_place_where_nothing_can_be_created_is_said() -> None:
    with pytest.raises(HostError, match="cannot be made"):
        ensure_private_dir("/proc/optio/x")


def test_a_relative_path_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="absolute"):
        ensure_private_dir("relative")
