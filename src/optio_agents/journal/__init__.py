"""The journal: what is known of each session, in a store that outlives the driver.

`contract` is the manual. Importing this does nothing; names are loaded when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batch import Batch as Batch
    from .batch import Committed as Committed
    from .batch import Event as Event
    from .batch import Gap as Gap
    from .batch import NewEvent as NewEvent
    from .batch import Outbox as Outbox
    from .batch import Outgoing as Outgoing
    from .batch import Page as Page
    from .batch import Snapshot as Snapshot
    from .contract import Store as Store
    from .documents import Allowed as Allowed
    from .documents import Command as Command
    from .documents import ConversationDocument as ConversationDocument
    from .documents import Deliverable as Deliverable
    from .documents import Driver as Driver
    from .documents import HookDocument as HookDocument
    from .documents import JsonObject as JsonObject
    from .documents import Limits as Limits
    from .documents import OpenCall as OpenCall
    from .documents import OutcomeDocument as OutcomeDocument
    from .documents import Question as Question
    from .documents import Receipt as Receipt
    from .documents import SessionRecord as SessionRecord
    from .documents import SourceDocument as SourceDocument
    from .documents import State as State
    from .documents import ToolDocument as ToolDocument
    from .export import export_lines as export_lines
    from .export import import_lines as import_lines
    from .ids import new_id as new_id
    from .lease import Lease as Lease
    from .lease import LeaseState as LeaseState
    from .open import open_store as open_store

_HOME_OF = {
    "Allowed": "documents",
    "Batch": "batch",
    "Command": "documents",
    "Committed": "batch",
    "ConversationDocument": "documents",
    "Deliverable": "documents",
    "Driver": "documents",
    "Event": "batch",
    "Gap": "batch",
    "HookDocument": "documents",
    "JsonObject": "documents",
    "Lease": "lease",
    "LeaseState": "lease",
    "Limits": "documents",
    "NewEvent": "batch",
    "OpenCall": "documents",
    "Outbox": "batch",
    "OutcomeDocument": "documents",
    "Outgoing": "batch",
    "Page": "batch",
    "Question": "documents",
    "Receipt": "documents",
    "SessionRecord": "documents",
    "Snapshot": "batch",
    "SourceDocument": "documents",
    "State": "documents",
    "Store": "contract",
    "export_lines": "export",
    "import_lines": "export",
    "new_id": "ids",
    "open_store": "open",
    "ToolDocument": "documents",
}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
