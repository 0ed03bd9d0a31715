"""What `make fuzz` has found stays mended, and every target still holds for the inputs that reach the most."""

import pytest

from fuzz import target

target.load()
FOUND = [(name, each) for name in target.TARGETS for each in target.corpus(name) if each.name]


@pytest.mark.parametrize(("name", "found"), FOUND, ids=[f"{name}-{each.name}" for name, each in FOUND])
def test_what_fuzzing_found_stays_mended(name: str, found: target.Input) -> None:
    target.TARGETS[name](found.data)


@pytest.mark.parametrize("name", target.TARGETS)
def test_what_must_hold_of_any_bytes_holds_of_the_corpus(name: str) -> None:
    inputs = target.corpus(name)
    assert inputs, f"no inputs of {name} are committed"
    for each in inputs:
        target.TARGETS[name](each.data)
