"""What an agent may do without a person being asked: policy files. Names are loaded when they are used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .call import ToolCall as ToolCall
    from .decision import Decision as Decision
    from .decision import Judged as Judged
    from .parts import as_written as as_written
    from .parts import named_paths as named_paths
    from .policy import Policy as Policy

_HOME_OF = {
    "Decision": "decision",
    "Judged": "decision",
    "Policy": "policy",
    "ToolCall": "call",
    "as_written": "parts",
    "named_paths": "parts",
}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
