"""Links between the documents lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def links(document: Path) -> Iterator[tuple[Path, str]]:
    """Where the links of a document lead on this disk: a file, and the heading in it or ""."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            path, _, heading = target.partition("#")
            yield (document.parent / path if path else document), heading


def headings(document: Path) -> set[str]:
    """The headings of a document, as a link names them."""
    found = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(document: Path) -> None:
    for path, heading in links(document):
        assert path.exists(), f"{document.name}: {path}"
        assert not heading or heading in headings(path), f"{document.name}: {path.name}#{heading}"


def test_the_readme_leads_to_every_document() -> None:
    named = {path.resolve() for path, _ in links(ROOT / "README.md")}
    assert not {path.name for path in (ROOT / "docs").glob("*.md") if path.resolve() not in named}
