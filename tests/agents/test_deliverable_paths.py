"""An announced path is inside the workdir and below its deliverables, symbolic links resolved, or it is refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optio_agents.protocol.paths import relativize_deliverable_path, validate_deliverable_path


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    directory = tmp_path / "work dir"
    (directory / "deliverables" / "sub").mkdir(parents=True)
    (directory / "deliverables" / "a.md").write_text("a")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("s")
    return directory


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("deliverables/a.md", "a.md"),
        ("./deliverables/a.md", "a.md"),
        ("deliverables/../deliverables/a.md", "a.md"),
        ("deliverables//sub/../a.md", "a.md"),
        ("deliverables/sub/new.md", "sub/new.md"),
        ("deliverables/-rf", "-rf"),
        ("deliverables/..hidden", "..hidden"),
        ("deliverables/a b\nc", "a b\nc"),
    ],
)
def test_a_path_below_deliverables_is_accepted(workdir: Path, path: str, name: str) -> None:
    for given_path in (path, f"{workdir}/{path}"):
        resolved = validate_deliverable_path(given_path, str(workdir))
        assert resolved == f"{workdir}/deliverables/{name}"
        assert relativize_deliverable_path(resolved, str(workdir)) == name


@pytest.mark.parametrize(
    "path", ["", "..", "../outside/secret", "/etc/passwd", "deliverables/../../outside/secret", "/", "a\0b"]
)
def test_a_path_that_leaves_the_workdir_is_refused(workdir: Path, path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        validate_deliverable_path(path, str(workdir))


def test_a_neighbour_whose_name_begins_like_the_workdir_is_outside(workdir: Path) -> None:
    with pytest.raises(ValueError, match="leads outside"):
        validate_deliverable_path(f"{workdir}-2/a", str(workdir))


def test_a_symlink_out_of_the_workdir_is_refused(workdir: Path) -> None:
    (workdir / "deliverables" / "file").symlink_to("../../outside/secret")
    (workdir / "deliverables" / "directory").symlink_to(workdir.parent / "outside")
    for path in ("deliverables/file", "deliverables/directory/secret"):
        with pytest.raises(ValueError, match="leads outside"):
            validate_deliverable_path(path, str(workdir))


def test_a_symlink_out_of_deliverables_is_refused(workdir: Path) -> None:
    (workdir / "key").write_text("k")
    (workdir / "deliverables" / "link").symlink_to("../key")
    resolved = validate_deliverable_path("deliverables/link", str(workdir))
    assert resolved == f"{workdir}/key"
    for path in (resolved, f"{workdir}/deliverables/link"):
        with pytest.raises(ValueError, match="not below"):
            relativize_deliverable_path(path, str(workdir))


def test_a_symlink_inside_deliverables_is_followed(workdir: Path) -> None:
    (workdir / "deliverables" / "link").symlink_to("a.md")
    assert validate_deliverable_path("deliverables/link", str(workdir)) == f"{workdir}/deliverables/a.md"


def test_a_loop_of_symlinks_does_not_hang(workdir: Path) -> None:
    (workdir / "deliverables" / "loop").symlink_to("loop")
    assert validate_deliverable_path("deliverables/loop", str(workdir)).startswith(str(workdir))


def test_a_workdir_behind_a_symlink_is_resolved_on_both_sides(workdir: Path) -> None:
    link = workdir.parent / "link"
    link.symlink_to(workdir)
    resolved = validate_deliverable_path("deliverables/a.md", str(link))
    assert resolved == f"{workdir}/deliverables/a.md"
    assert relativize_deliverable_path(resolved, str(link)) == "a.md"


@pytest.mark.parametrize("path", ["deliverables", ".", "deliverables/", "other/a.md", "deliverables-2/a.md"])
def test_what_is_not_strictly_below_deliverables_has_no_name(workdir: Path, path: str) -> None:
    resolved = validate_deliverable_path(path, str(workdir))
    with pytest.raises(ValueError, match="not below"):
        relativize_deliverable_path(resolved, str(workdir))


@given(st.text(max_size=30) | st.lists(st.sampled_from(["..", ".", "a", "deliverables", "", "~"])).map("/".join))
def test_what_is_accepted_lies_in_the_workdir_and_nothing_but_valueerror_is_raised(path: str) -> None:
    try:
        resolved = validate_deliverable_path(path, "/nowhere/work")
    except ValueError:
        return
    assert os.path.commonpath([resolved, "/nowhere/work"]) == "/nowhere/work"
