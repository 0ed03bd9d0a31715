"""Run a coding agent on a host, follow what it reports, and bring its work home.

Importing this does nothing; names are loaded when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import browser_shims as browser_shims
    from . import seeds as seeds
    from .context import HookContext as HookContext
    from .context import HookContextProtocol as HookContextProtocol
    from .conversation import ClaudeCode as ClaudeCode
    from .conversation import Conversation as Conversation
    from .conversation import ConversationClosed as ConversationClosed
    from .conversation import PermissionDecision as PermissionDecision
    from .conversation import PermissionRequest as PermissionRequest
    from .conversation import open_conversation as open_conversation
    from .journal.open import open_store as open_store
    from .protocol.events import DeliverableEvent as DeliverableEvent
    from .protocol.events import DoneEvent as DoneEvent
    from .protocol.events import ErrorEvent as ErrorEvent
    from .protocol.events import LogEvent as LogEvent
    from .protocol.events import StatusEvent as StatusEvent
    from .protocol.events import UnknownLine as UnknownLine
    from .protocol.features import BrowserMode as BrowserMode
    from .protocol.features import ProtocolFeatures as ProtocolFeatures
    from .protocol.parser import parse_log_line as parse_log_line
    from .protocol.paths import relativize_deliverable_path as relativize_deliverable_path
    from .protocol.paths import validate_deliverable_path as validate_deliverable_path
    from .protocol.prompt import RESUME_NOTICE as RESUME_NOTICE
    from .protocol.prompt import build_log_channel_prompt as build_log_channel_prompt
    from .protocol.protocol import Protocol as Protocol
    from .protocol.protocol import get_protocol as get_protocol
    from .protocol.replies import SYSTEM_MESSAGE_PREFIX as SYSTEM_MESSAGE_PREFIX
    from .protocol.session import CALLER_MESSAGE_QUEUE_BOUND as CALLER_MESSAGE_QUEUE_BOUND
    from .protocol.session import DELIVERABLE_QUEUE_BOUND as DELIVERABLE_QUEUE_BOUND
    from .protocol.session import AgentSender as AgentSender
    from .protocol.session import CallerMessageCallback as CallerMessageCallback
    from .protocol.session import DeliverableCallback as DeliverableCallback
    from .protocol.session import HookCallback as HookCallback
    from .protocol.session import fetch_deliverable_text as fetch_deliverable_text
    from .protocol.session import run_log_protocol_session as run_log_protocol_session
    from .session import Session as Session

_HOME_OF = {
    "AgentSender": "protocol.session",
    "BrowserMode": "protocol.features",
    "CALLER_MESSAGE_QUEUE_BOUND": "protocol.session",
    "CallerMessageCallback": "protocol.session",
    "ClaudeCode": "conversation",
    "Conversation": "conversation",
    "ConversationClosed": "conversation",
    "DELIVERABLE_QUEUE_BOUND": "protocol.session",
    "DeliverableCallback": "protocol.session",
    "DeliverableEvent": "protocol.events",
    "DoneEvent": "protocol.events",
    "ErrorEvent": "protocol.events",
    "HookCallback": "protocol.session",
    "HookContext": "context",
    "HookContextProtocol": "context",
    "LogEvent": "protocol.events",
    "PermissionDecision": "conversation",
    "PermissionRequest": "conversation",
    "Protocol": "protocol.protocol",
    "ProtocolFeatures": "protocol.features",
    "RESUME_NOTICE": "protocol.prompt",
    "SYSTEM_MESSAGE_PREFIX": "protocol.replies",
    "Session": "session",
    "StatusEvent": "protocol.events",
    "UnknownLine": "protocol.events",
    "build_log_channel_prompt": "protocol.prompt",
    "fetch_deliverable_text": "protocol.session",
    "get_protocol": "protocol.protocol",
    "open_conversation": "conversation",
    "open_store": "journal.open",
    "parse_log_line": "protocol.parser",
    "relativize_deliverable_path": "protocol.paths",
    "run_log_protocol_session": "protocol.session",
    "validate_deliverable_path": "protocol.paths",
}
_MODULES = ("browser_shims", "seeds")
__all__ = sorted([*_HOME_OF, *_MODULES])


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
