"""Hooks and tools from files of Python, for drivers that have no program of their own: `optio run --tools FILE.py`.

Loading a file runs it. What the record of a session names is run only with the very content that it had when the
session was started.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType
from typing import Literal, cast

from ..errors import CallbacksNotLoaded
from ..journal.documents import SourceDocument
from .given import ToolSource
from .hooks import Hook
from .tools import Tool


def source_of(kind: Literal["hooks", "tools"], reference: str) -> SourceDocument:
    """What a reference says: FILE.py, or FILE.py:NAME. Raises OSError when the file cannot be read."""
    path, _, attribute = reference.rpartition(":") if not reference.endswith(".py") else (reference, "", "")
    path = os.path.abspath(path or attribute)
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return SourceDocument(kind=kind, path=path, attribute=attribute, sha256=digest)


def load(session: str, sources: Sequence[SourceDocument]) -> tuple[list[Hook], list[ToolSource]]:
    """The hooks and tools of a session. Raises CallbacksNotLoaded when a file is not there, is another, or fails."""
    hooks: list[Hook] = []
    tools: list[ToolSource] = []
    modules: dict[str, ModuleType] = {}
    for source in sources:
        try:
            module = modules.get(source.path) or _run(source)
            modules[source.path] = module
            found = _in(module, source)
        except Exception as error:  # whatever the file does
            raise CallbacksNotLoaded(session, source.path, f"{type(error).__name__}: {error}") from error
        if source.kind == "hooks":
            hooks += cast("list[Hook]", found)
        else:
            tools += cast("list[ToolSource]", found)
    return hooks, tools


def _run(source: SourceDocument) -> ModuleType:
    with open(source.path, "rb") as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise ValueError("it is not what it was when the session was started")
    name = f"optio_extensions_{source.sha256[:16]}"
    spec = spec_from_loader(name, loader=None, origin=source.path)
    assert spec is not None
    module = module_from_spec(spec)
    module.__file__ = source.path
    sys.modules[name] = module  # types that are named in annotations are looked for there
    exec(compile(content, source.path, "exec"), module.__dict__)
    return module


def _in(module: ModuleType, source: SourceDocument) -> list[object]:
    kind: type[object] = Hook if source.kind == "hooks" else Tool
    if source.attribute:
        named = getattr(module, source.attribute)
        return list(named) if isinstance(named, list | tuple) else [named]
    found = [each for each in vars(module).values() if isinstance(each, kind)]
    if not found:
        raise ValueError(f"it defines no {source.kind}")
    return found
