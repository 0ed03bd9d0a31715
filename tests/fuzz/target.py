"""Fuzz targets: one function for each reader of the outside. It gets bytes, and asserts what must hold of any bytes."""

import base64
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CORPUS = Path(__file__).with_name("corpus")
MODULES = ("framing", "conversing", "hosts", "answers", "journals", "policies", "archives")
"""Where targets are; each file has those of one part of the program."""

TARGETS: dict[str, Callable[[bytes], None]] = {}
"""Every target by its name, once `load` was called."""


def target(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Make a function a target, called as it is."""
    TARGETS[function.__name__] = function
    return function


def load() -> None:
    """Import all targets."""
    for module in MODULES:
        importlib.import_module(f"fuzz.{module}")


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a corpus.

    Attributes:
        name: what was found with it, as a test would be called; "" for one that is there for its coverage.
        data: its bytes.
    """

    name: str
    data: bytes


def corpus(name: str) -> list[Input]:
    """The committed inputs of a target: a JSON object a line, {"in": base64} or also {"found": name}."""
    file = CORPUS / f"{name}.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [Input(each.get("found", ""), base64.b64decode(each["in"])) for each in map(json.loads, lines)]


def write_corpus(name: str, inputs: Sequence[Input]) -> None:
    """Replace the committed inputs of a target: what was found first, then the others, the shortest first."""
    ordered = sorted(inputs, key=lambda each: (not each.name, each.name, len(each.data), each.data))
    CORPUS.joinpath(f"{name}.jsonl").write_text("".join(f"{json.dumps(_document(each))}\n" for each in ordered))


def _document(each: Input) -> dict[str, str]:
    found = {"found": each.name} if each.name else {}
    return {**found, "in": base64.b64encode(each.data).decode()}


class Choices:
    """Bytes read as choices, one after the other; when they are used up, each choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes have not been used."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """The next bytes, fewer where there are not so many."""
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def below(self, bound: int) -> int:
        """A number from 0 on."""
        width = 1 if bound <= 256 else 2
        return int.from_bytes(self.take(width), "little") % bound

    def pick(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.below(len(options))]

    def flag(self) -> bool:
        """Yes or no."""
        return self.below(2) == 1

    def text(self, most: int = 255) -> str:
        """A text, invalid UTF-8 as surrogates: what a file name or an argument may be."""
        return self.take(self.below(most + 1)).decode("utf-8", "surrogateescape")

    def pieces(self, words: Sequence[T], most: int) -> list[T]:
        """Several of them."""
        return [self.pick(words) for _ in range(min(self.below(most + 1), self.left))]


def chunked(choices: Choices, data: bytes) -> Iterator[bytes]:
    """The data cut at places of choice."""
    cuts = sorted(choices.below(len(data) + 1) for _ in range(choices.below(9)))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[start:end]
